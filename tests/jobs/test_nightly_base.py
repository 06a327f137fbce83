"""The nightly base has a dated tag. Old bases are removed. If only the base image is newer, the base is rebased."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.distribution.destinations import newest
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Event, Finished, Layer
from jupyter_condabuild.jobs import build
from jupyter_condabuild.jobs.nightly_base import _with_variables, _without, dated, refresh
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.image import Digest, Reference
from jupyter_condabuild.oci.referrers import content, fallback_tag, referrers
from jupyter_condabuild.oci.registry import Repository, open_registry
from jupyter_condabuild.oci.tag_list import tags_of
from jupyter_condabuild.requests.build import BaseRequest
from jupyter_condabuild.trust.dsse import MEDIA_TYPE, Envelope
from tests.parts.builds import install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine
from tests.parts.engines import DockerWorkshop, steps
from tests.parts.jobs import build_request, request, silent
from tests.parts.small_image import image, programs, tar
from tests.trust.test_signatures import make_key


@pytest.fixture
def name(registry: str) -> str:
    """A repository for one test."""
    return f"{registry}/base-tests-{os.urandom(6).hex()}/env"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An environment with one package."""
    channel = small_channel(tmp_path / "channel", [(Metadata("one", "1.0"), [File("share/one", os.urandom(50_000))])])
    return install(tmp_path / "env", channel, "one")


def system(tmp_path: Path, content: bytes) -> str:
    """Returns a base of a few bytes."""
    path = tmp_path / f"system-{content.hex()}.tar"
    archive.write(image([programs(), tar({"etc/system": content})]), "", path)
    return f"oci-archive:{path}"


@pytest.fixture
def repository(name: str) -> Iterator[Repository]:
    """The repository of the images."""
    reference = Reference.parse(name)
    with open_registry(reference) as registry:
        yield registry.repository(reference.repository)


def night(made: Path, name: str, day: str, base: str, tmp_path: Path, **more: Any) -> tuple[Any, list[Event]]:
    """Runs the nightly job once."""
    events: list[Event] = []
    asked = request(BaseRequest, prefix=made, reference=f"{name}:v1", base=base, store_dir=tmp_path / "store", **more)
    return refresh(asked, day, events.append), events


def test_a_base_has_a_dated_tag_and_the_newest_has_its_own_tag(
    made: Path, name: str, tmp_path: Path, repository: Repository
) -> None:
    """After two nights there are two dated tags, and latest-base is the second. One event ends each run."""
    one, events = night(made, name, "20260101", system(tmp_path, b"1"), tmp_path)
    other, _ = night(made, name, "20260102", system(tmp_path, b"2"), tmp_path)
    place = repository
    assert set(tags_of(place)) == {"base-20260101", "base-20260102", "latest-base"}
    tags = {tag: str(place.head(tag).digest) for tag in tags_of(place)}  # type: ignore[union-attr]
    assert tags["latest-base"] == tags["base-20260102"] == other.digest != one.digest
    assert len([event for event in events if isinstance(event, Finished)]) == 1


def test_a_newer_base_image_needs_no_build(made: Path, name: str, tmp_path: Path, repository: Repository) -> None:
    """The second night builds and sends no layer of the environment. The users' image is rebased, too."""
    base = system(tmp_path, b"1")
    night(made, name, "20260101", base, tmp_path)
    store = str(tmp_path / "store")
    build.run(build_request(prefix=made, reference=f"{name}:v1", push=True, base=base, store_dir=store), silent)
    before = repository.head("v1")
    found, events = night(made, name, "20260102", system(tmp_path, b"2"), tmp_path)
    assert found.rebased
    assert found.moved == f"{name}:v1"
    assert repository.head("v1") != before
    assert not [event for event in events if isinstance(event, Layer) and event.state == "built"]


def test_the_rebase_of_a_night_has_the_options_of_the_request(
    made: Path, name: str, tmp_path: Path, repository: Repository
) -> None:
    """Its receipt is signed, like that of a build."""
    key = str(make_key(tmp_path))
    night(made, name, "20260101", system(tmp_path, b"1"), tmp_path, signing_key=key)
    found, _ = night(made, name, "20260102", system(tmp_path, b"2"), tmp_path, signing_key=key)
    assert found.rebased
    [receipt] = referrers(repository, Digest.parse(found.digest), MEDIA_TYPE)
    assert Envelope.parse(content(repository, receipt, 1 << 20)).signatures


def test_a_night_without_changes_changes_nothing(made: Path, name: str, tmp_path: Path) -> None:
    """The same packages on the same base image give the same digest. No byte of a layer is sent."""
    base = system(tmp_path, b"1")
    one, _ = night(made, name, "20260101", base, tmp_path)
    other, _ = night(made, name, "20260102", base, tmp_path)
    assert (other.digest, other.bytes_pushed) == (one.digest, 0)


def test_old_bases_are_removed_and_shared_manifests_are_kept(
    made: Path, name: str, tmp_path: Path, repository: Repository
) -> None:
    """Dated tags beyond --keep are removed, except if another tag has the same manifest."""
    for number, day in enumerate(("20260101", "20260102", "20260103")):
        found, _ = night(made, name, day, system(tmp_path, str(number).encode()), tmp_path, keep=2)
        if day == "20260101":
            place = repository
            place.push_manifest(place.manifest("base-20260101"), "released")
    assert found.removed == ()
    old, kept = (
        fallback_tag(repository.head(f"base-{day}").digest)  # type: ignore[union-attr]
        for day in ("20260102", "20260101")
    )
    assert {old, kept} <= _all_tags(name)
    found, _ = night(made, name, "20260104", system(tmp_path, b"4"), tmp_path, keep=2)
    assert found.removed == ("base-20260102",)
    assert set(tags_of(repository)) == {
        "base-20260101",
        "base-20260103",
        "base-20260104",
        "latest-base",
        "released",
    }
    assert kept in _all_tags(name)
    assert old not in _all_tags(name)  # the list of receipts is removed with the base


def _all_tags(name: str) -> set[str]:
    """Returns the tags of a repository, with the tags of lists of referrers."""
    host, _, path = name.partition("/")
    return set(requests.get(f"http://{host}/v2/{path}/tags/list", timeout=60).json()["tags"])


def test_a_new_tag_gets_its_layers_from_the_newest_base(
    made: Path, name: str, tmp_path: Path, repository: Repository
) -> None:
    """With an empty store and a new tag, the build finds the base in the same repository, which it trusts."""
    base = system(tmp_path, b"1")
    night(made, name, "20260101", base, tmp_path)
    empty = str(tmp_path / "empty")
    trusted = [name]
    asked = build_request(
        prefix=made, reference=f"{name}:new", push=True, base=base, store_dir=empty, trusted_repositories=trusted
    )
    done = build.run(asked, silent)
    reused = [layer.state for layer in done.layers if "one" in layer.title]
    assert reused == ["reused-remote"]
    assert newest(repository) == "base-20260101"


def test_the_docker_engine_uses_the_base_as_a_cache(
    docker_workshop: DockerWorkshop, name: str, tmp_path: Path, made: Path
) -> None:
    """A build of another tag finds the environment CACHED through the base, which it finds in the list of tags."""
    docker = {
        "engine": "docker",
        "installer": "rattler",
        "installer_image": docker_workshop.installer_image,
        "docker_host": docker_workshop.docker_host,
    }
    found, _ = night(made, name, "20260101", docker_workshop.base, tmp_path, **docker)
    assert not found.rebased
    docker_workshop.build(made, reference=f"{name}:new", push=True)
    assert [step for step in steps(docker_workshop.log) if "COPY --from=environment" in step]


def test_invalid_dates_and_numbers_are_refused(made: Path, name: str, tmp_path: Path) -> None:
    """A base with an invalid date and a --keep of 0 are refused."""
    for day, keep in (("today", 7), ("20260101", 0)):
        with pytest.raises(UsageError):
            night(made, name, day, system(tmp_path, b"1"), tmp_path, keep=keep)


def test_only_dated_tags_are_bases() -> None:
    """Other tags with the same prefix are not changed."""
    assert dated(["base-20260101", "base-2026", "latest-base", "base-20260101-x", "base-20251231", "v1"]) == [
        "base-20260101",
        "base-20251231",
    ]


def test_base_is_a_command(made: Path, name: str, tmp_path: Path) -> None:
    """The command takes an environment. --without leaves out a package, and a package that is not there is an error."""
    run = CommandLine(tmp_path)
    base = ["--base", system(tmp_path, b"1")]
    done = run("base", made, "-t", f"{name}:v1", *base, "--json")
    assert done.status == 0, done.err
    assert done.json["reference"].startswith(f"{name}:base-20")
    done = run("base", made, "-t", f"{name}:v1", *base, "--without", "other")
    assert done.status == 2
    assert "not in the environment: other." in done.err


def test_a_base_without_a_package_is_built_with_the_logins_of_its_lock_file() -> None:
    """The lock file that the build reads has the variables. It has no login in clear."""
    urls = ["https://$USER:$WORD@h/noarch/a-1-0.conda", "https://me:canary@h/noarch/b-1-0.conda"]
    whole = load("\n".join(["# platform: linux-64", "@EXPLICIT", *urls, "https://h/noarch/c-1-0.conda"]))
    text = dump(_with_variables(_without(whole, ["c"]), whole.choices.urls))
    assert "canary" not in text
    assert load(text).choices.urls == {"https://h/noarch/a-1-0.conda": urls[0]}
    assert [package.name for package in load(text).conda] == ["a", "b"]
