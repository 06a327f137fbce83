"""A build request is validated before the build, and is transferred unchanged from a server to a build's process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.errors import BadReference, CondaBuildError, UsageError
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.build import BaseRequest, BuildRequest, PlanRequest
from jupyter_condabuild.requests.option import Request
from jupyter_condabuild.requests.others import DiffRequest, ExportRequest, RebaseRequest
from jupyter_condabuild.settings import Settings, default_store
from tests.parts.jobs import build_request

GOOD: dict[str, Any] = {"prefix": "/env", "archive": "x.tar"}


def test_a_request_is_read_unchanged_from_json(tmp_path: Path) -> None:
    """Every option is the same after the transfer."""
    request = build_request(
        prefix="/env",
        reference="lab.org/team/env:v1",
        push=True,
        load=True,
        archive="docker-archive:x.tar",
        base="lab.org/base:1",
        cache_from=("lab.org/a:1", "lab.org/b"),
        include=tmp_path,
        strict=True,
        variables=True,
        bytecode=False,
        store_dir="/store",
        insecure_registries=("lab.org",),
        layer_budget=7,
        compression_level=3,
        overlay_max_bytes=5,
    )
    assert BuildRequest.parse(json.loads(json.dumps(request.to_json()))) == request
    assert request.archive == ImageLocation("docker-archive", "x.tar")
    assert request.to_json()["archive"] == "docker-archive:x.tar"


WRONG: dict[str, dict[str, Any]] = {
    "no source": {"archive": "x.tar"},
    "two sources": {**GOOD, "lockfile": "y"},
    "no destination": {"prefix": "/env"},
    "an empty path outside": {**GOOD, "include_outside": [""]},
    "an empty path that is not needed": {**GOOD, "without_outside": ["/a", " "]},
    "a path that is taken and left out": {**GOOD, "include_outside": ["/a"], "without_outside": ["/b", "/a/"]},
    "an option of apt": {**GOOD, "apt": ["libgl1", "-o=Dir::Etc=/tmp"]},
    "a path of a package": {**GOOD, "apt": ["../libgl1.deb"]},
    "a package in capital letters": {**GOOD, "apt": ["LibGL1"]},
    "a version that is none": {**GOOD, "apt": ["libgl1=1.6;x"]},
    "too many packages": {**GOOD, "apt": [f"lib{number}" for number in range(201)]},
    "a push without a name": {"prefix": "/env", "push": True},
    "a load without a name": {"prefix": "/env", "load": True},
    "a digest instead of a tag": {**GOOD, "push": True, "reference": f"lab.org/x@sha256:{'0' * 64}"},
    "a digest beside a tag": {**GOOD, "push": True, "reference": f"lab.org/x:v1@sha256:{'0' * 64}"},
    "an unknown engine": {**GOOD, "engine": "magic"},
    "no layer": {**GOOD, "layer_budget": 0},
    "too many layers": {**GOOD, "layer_budget": 121},
    "a too high compression level": {**GOOD, "compression_level": 9},
    "a folder that does not exist": {**GOOD, "include": "/nowhere/at/all"},
    "an unknown member": {**GOOD, "colour": "red"},
    "a number instead of a text": {**GOOD, "reference": 5},
    "a text instead of a number": {**GOOD, "layer_budget": "5"},
    "a number instead of a boolean": {**GOOD, "push": 1},
    "a boolean instead of a number": {**GOOD, "layer_budget": True},
    "a text instead of a list": {**GOOD, "cache_from": "lab.org/a"},
    "a list of numbers": {**GOOD, "cache_from": [1]},
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_an_invalid_request_is_refused(value: dict[str, Any]) -> None:
    """The error has the exit status 2 and a hint."""
    with pytest.raises(UsageError) as raised:
        BuildRequest.parse(value)
    assert raised.value.hint


def test_a_digest_is_never_the_name_of_a_result() -> None:
    """The digest of an image is known only after the build. Files that run an image may name its digest."""
    name = f"lab.org/x:v1@sha256:{'0' * 64}"
    for make in (
        lambda: PlanRequest.parse({"prefix": "/env", "reference": name}),
        lambda: RebaseRequest.parse({"reference": "lab.org/x:v1", "target": name}),
        lambda: ExportRequest.parse({"prefix": "/env", "reference": name, "kind": "gitlab-ci"}),
    ):
        with pytest.raises(UsageError, match="has a digest") as raised:
            make()
        assert raised.value.hint == "Write it as lab.org/x:v1."
    assert str(RebaseRequest.parse({"reference": name}).result) == "lab.org/x:v1"
    assert str(ExportRequest.parse({"prefix": "/env", "reference": name, "kind": "compose"}).reference) == name


BARE: dict[str, Callable[[str], Request]] = {
    "build": lambda name: BuildRequest.parse({"prefix": "/env", "push": True, "reference": name}),
    "base": lambda name: BaseRequest.parse({"prefix": "/env", "reference": name}),
    "rebase": lambda name: RebaseRequest.parse({"reference": name}),
    "rebase to": lambda name: RebaseRequest.parse({"reference": "lab.org/x", "target": name}),
    "github-actions": lambda name: ExportRequest.parse({"prefix": "/env", "kind": "github-actions", "reference": name}),
    "gitlab-ci": lambda name: ExportRequest.parse({"prefix": "/env", "kind": "gitlab-ci", "reference": name}),
}


@pytest.mark.parametrize("kind", BARE)
def test_nothing_goes_to_docker_hub_that_was_not_named(kind: str) -> None:
    """A name without a registry is refused for a push. The hint has the name that means Docker Hub, which is taken."""
    for name, full in {"team/env": "docker.io/team/env:latest", "env:1": "docker.io/library/env:1"}.items():
        with pytest.raises(UsageError, match=f"The image name {name}.* names no registry") as raised:
            BARE[kind](name)
        assert full in raised.value.hint
        assert BARE[kind](full)
    assert BARE[kind]("localhost/env")
    assert BARE[kind]("lab:5000/env")


def test_a_name_without_a_registry_is_enough_where_nothing_is_pushed() -> None:
    """An image in an engine or an archive, and a plan, may have such a name. The setting `registry` completes it."""
    assert (
        str(BuildRequest.parse({**GOOD, "load": True, "reference": "env"}).reference) == "docker.io/library/env:latest"
    )
    assert PlanRequest.parse({"prefix": "/env", "reference": "team/env"})
    assert ExportRequest.parse({"prefix": "/env", "kind": "compose", "reference": "team/env"})
    lab = Settings(registry="lab.org/team/")
    assert str(BuildRequest.of(lab, prefix="/env", push=True, reference="env").reference) == "lab.org/team/env:latest"
    digest = f"sha256:{'0' * 64}"
    compared = DiffRequest.of(lab, before="env:v1", after=digest)
    assert (compared.before, compared.after) == ("lab.org/team/env:v1", digest)


def test_a_server_passes_on_that_a_name_has_a_registry() -> None:
    """The request of the process of a build names Docker Hub if the first request did."""
    request = BuildRequest.parse({"prefix": "/env", "push": True, "reference": "docker.io/env"})
    assert BuildRequest.parse(json.loads(json.dumps(request.to_json()))) == request


@pytest.mark.parametrize("value", [[], None, "text", 3])
def test_a_request_must_be_an_object(value: Any) -> None:
    """Each other kind of JSON value is refused."""
    with pytest.raises(UsageError):
        BuildRequest.parse(value)


@pytest.mark.parametrize("name", ["UPPER", "lab.org/", "lab.org/x:ta g", "../x", "-rf"])
@pytest.mark.parametrize("member", ["reference", "cache_from"])
def test_names_of_images_are_validated(name: str, member: str) -> None:
    """The message names the wrong part."""
    value = [name] if member == "cache_from" else name
    with pytest.raises((BadReference, CondaBuildError)):
        BuildRequest.parse({**GOOD, "push": True, "reference": "lab.org/x", member: value})


def test_the_folder_of_the_store_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own variable sets it. The default is a folder in the user's cache."""
    monkeypatch.delenv("CONDABUILD_STORE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_store() == "/cache/jupyter-condabuild"
    monkeypatch.setenv("CONDABUILD_STORE_DIR", "/store")
    assert default_store() == str(BuildRequest.parse(GOOD).store_dir) == "/store"


@pytest.mark.parametrize("folder", ["home/user", "home", "", "home/user/work/.."])
def test_a_home_folder_cannot_be_included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """A folder above it is refused, too, in any spelling and through a link."""
    (tmp_path / "home/user/work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home/user"))
    (tmp_path / "home/user/work/link").symlink_to(tmp_path / folder)
    for named in (tmp_path / folder, tmp_path / "home/user/work/link"):
        with pytest.raises(UsageError, match="is a home folder, or contains one"):
            build_request(**GOOD, include=named)
    assert build_request(**GOOD, include=tmp_path / "home/user/work").include


@pytest.mark.parametrize("folder", ["/", "/home", "~"])
def test_the_home_of_the_account_cannot_be_included_for_any_home_variable(
    monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """A service can run with another HOME."""
    named = Path(folder).expanduser()
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(UsageError, match="is a home folder, or contains one"):
        build_request(**GOOD, include=named)
