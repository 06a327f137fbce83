"""An environment of macOS or Windows whose platforms the settings name: a name gets an image for each."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.conda.formats import load
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.jobs import export, lock, nightly_base, plan, snapshot
from jupyter_condabuild.jobs.exported_files import Exported
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.requests.build import BaseRequest
from jupyter_condabuild.requests.others import ExportRequest, LockRequest
from tests.parts.builds import Workshop
from tests.parts.jobs import plan_request, request, silent
from tests.parts.registry.reading import document
from tests.parts.small_image import two_platforms

BOTH = ("linux-64", "linux-aarch64")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty store, and a base for two processors."""
    return Workshop(tmp_path, two_platforms(tmp_path / "two.tar"))


def test_the_setting_gives_a_name_an_image_for_each_platform(
    workshop: Workshop, mac: Path, linux: Path, tmp_path: Path
) -> None:
    """For an environment and a lock file of macOS, if nobody names a platform; for no environment of Linux."""
    lockfile = tmp_path / "mac.yml"
    lockfile.write_text(
        lock.run(request(LockRequest, prefix=mac), silent).lockfile_text(request(LockRequest, prefix=mac))
    )
    for source in (mac, lockfile):
        wanted = {"archive": str(tmp_path / "index.tar"), "default_platforms": BOTH}
        done = workshop.build(source, **wanted).event
        assert list(done.images or {}) == list(BOTH)
        named = workshop.build(source, archive=str(tmp_path / "named.tar"), platforms=BOTH).event
        assert done.digest == named.digest
        assert workshop.build(source, **wanted, platform=BOTH[1]).event.images is None
        kind = "prefix" if source == mac else "lockfile"
        given = {kind: source, "base": workshop.base, "store_dir": workshop.store, "default_platforms": BOTH}
        assert list(plan.run(plan_request(**given), silent).summary()["images"]) == list(BOTH)
        with pytest.raises(UsageError, match="The docker engine builds an image for one platform"):
            workshop.build(source, **wanted, engine="docker")
    assert workshop.build(linux, **wanted).event.images is None


def test_a_snapshot_has_a_table_for_each_platform(workshop: Workshop, mac: Path) -> None:
    """The rest is the snapshot for the first platform; the warnings are those of all, each once."""
    given = {"prefix": mac, "base": workshop.base, "store_dir": workshop.store}
    both = snapshot.run(plan_request(**given, platforms=BOTH), silent)
    one, other = (snapshot.run(plan_request(**given, platform=platform), silent) for platform in BOTH)
    assert both["other_substitutions"] == [other["substitution"]]
    for member in ("digest", "identity", "platform", "substitution", "conda", "lock"):
        assert both[member] == one[member]
    assert one["other_substitutions"] == []
    assert [one for one in other["warnings"] if one not in both["warnings"]] == []
    assert len({str(one) for one in both["warnings"]}) == len(both["warnings"])
    assert len(both["warnings"]) > len(one["warnings"])
    with pytest.raises(UsageError, match="An image cannot be for 'linux-mips'"):
        snapshot.run(plan_request(**given, platforms=["linux-64", "linux-mips"]), silent)


def exported(**given: Any) -> Exported:
    """Exports files with a request of JSON values."""
    values = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    return export.run(ExportRequest.parse(values), silent)


@pytest.mark.parametrize(
    ("kind", "file"), [("github-actions", ".github/workflows/environment-image.yml"), ("gitlab-ci", ".gitlab-ci.yml")]
)
def test_pipelines_build_for_all_platforms(mac: Path, kind: str, file: str) -> None:
    """The lock file has each of them, and the commands name them. Where somebody names one, there is only that one."""
    given = {"prefix": mac, "kind": kind, "reference": "registry.lab.org/team/env:v1", "default_platforms": BOTH}
    made = exported(**given)
    lines = [line for line in made.files[file].splitlines() if "--lockfile" in line]
    assert len(lines) == 2
    assert all("--engine layers --platform linux-64 --platform linux-aarch64" in line for line in lines)
    for platform in BOTH:
        found = load(made.files["environment/conda-lock.yml"], platform=platform)
        expected = lock.run(request(LockRequest, prefix=mac, platform=[platform]), silent).others[0].lockfile
        assert found.digest == expected.digest
    one = exported(**given, platform=BOTH[1])
    assert "--platform" not in one.files[file]


@pytest.mark.parametrize("kind", ["dockerfile", "spdx", "cyclonedx"])
def test_files_for_one_platform_are_refused_with_the_next_step(mac: Path, linux: Path, kind: str) -> None:
    """A Dockerfile and an SBOM have the packages of one platform. An environment of Linux has one."""
    given = {"kind": kind, "default_platforms": BOTH}
    with pytest.raises(
        UsageError, match="is for one platform, and the setting platforms names linux-64, linux-aarch64"
    ) as caught:
        exported(**given, prefix=mac)
    assert caught.value.hint == "Name one of them: --platform linux-64."
    assert exported(**given, prefix=linux).files


def test_the_nightly_base_is_for_all_platforms(workshop: Workshop, mac: Path, registry: str) -> None:
    """The dated base has an image for each, without an option."""
    name = f"{registry}/nightly/{uuid.uuid4().hex}"
    given = {"prefix": mac, "base": workshop.base, "store_dir": workshop.store, "default_platforms": BOTH}
    done = nightly_base.refresh(request(BaseRequest, **given, reference=f"{name}:v1"), "20260101", silent)
    for tag in ("base-20260101", "latest-base"):
        index = document(f"{name}:{tag}")
        assert isinstance(index, Index)
        assert (str(index.descriptor.digest), index.platforms) == (done.digest, ("linux/amd64", "linux/arm64"))
