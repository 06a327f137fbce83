"""A base that is made of Debian's packages is a Debian, and the same for everybody."""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_condabuild.errors import BaseUnavailable
from jupyter_condabuild.events import Event
from jupyter_condabuild.image.base import Base, resolve
from jupyter_condabuild.image.debian_image import NOT_MADE
from jupyter_condabuild.image.opener import members
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.build import JobRequest
from jupyter_condabuild.requests.job_context import open_job
from tests.parts.debian.mirror import FILES, SmallMirror, deb, member
from tests.parts.debian.mirror import members as honest
from tests.parts.jobs import silent

BOOKWORM = ImageLocation.parse("debian-packages:bookworm")


def made(store: Path, mirrors: tuple[str, ...], report: Callable[[Event], None] = silent, **options: bool) -> Base:
    with open_job(JobRequest(store_dir=store, debian_mirrors=mirrors), report) as job:
        return resolve(BOOKWORM, "amd64", job, **options)


def tree(base: Base) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    (layer,) = base.image.manifest.layers
    return {entry.name: (entry, content.read() if content else b"") for entry, content in members(base.image, layer)}


def test_the_same_packages_give_the_same_image(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """In another store, from another mirror, in another order of the index."""
    first = made(tmp_path / "a", (small_mirror.url,))
    other = SmallMirror(tmp_path / "other")
    other.packages = dict(reversed(other.packages.items()))
    other.publish()
    assert made(tmp_path / "b", (other.url,)).image.manifest.raw == first.image.manifest.raw
    assert (first.name, first.config.runtime["Cmd"]) == ("debian-packages:bookworm", ["bash"])
    assert first.config.runtime["Labels"] == {"org.jupyter.condabuild.debian": "bookworm 12.1 of 2026-07-11"}
    other.add("bash", deb("bash", honest({**FILES["bash"], "bin/bash": b"newer"})))
    other.publish()
    assert made(tmp_path / "b", (other.url,)).digest != first.digest


def test_a_second_build_makes_nothing(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """The packages are not even read again."""
    first = made(tmp_path / "store", (small_mirror.url,))
    for file in (small_mirror.folder / "pool").iterdir():
        file.unlink()
    assert made(tmp_path / "store", (small_mirror.url,)).digest == first.digest


def test_the_files_that_scripts_would_make_are_there(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """Users, links, the bundle of certificates, and the database of dpkg; documentation is left out."""
    found = tree(made(tmp_path / "store", (small_mirror.url,)))
    links = {path: entry.linkname for path, (entry, _) in found.items() if entry.issym()}
    assert (links["bin"], links["usr/bin/rbash"], links["etc/localtime"]) == (
        "usr/bin",
        "bash",
        "/usr/share/zoneinfo/Etc/UTC",
    )
    assert found["usr/bin/bash"][1] == b"bash"
    assert found["etc/passwd"][1].startswith(b"root:*:0:0")
    assert found["etc/nsswitch.conf"][1] == b"hosts: files dns\n"
    assert found["etc/ssl/certs/ca-certificates.crt"][1].count(b"\n-----END CERTIFICATE-----\n") == 2
    assert found["etc/ca-certificates.conf"][1] == b"mozilla/A.crt\nmozilla/B.crt\n"
    assert found["var/lib/dpkg/info/bash.list"][1].splitlines()[-1] == b"/usr/share/doc/bash/copyright"
    assert b"Package: bash\nStatus: install ok installed\nVersion: 1.0-1\n" in found["var/lib/dpkg/status"][1]
    assert "usr/share/doc/bash/copyright" in found
    assert "usr/share/doc/bash/NEWS" not in found
    assert not any(entry.mode & 0o6000 or entry.uid or entry.gid or entry.isdev() for entry, _ in found.values())


def test_a_plan_makes_nothing(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """It says the size of the packages until the base is made, and then the size of the layer."""
    planned = made(tmp_path / "store", (small_mirror.url,), makes=False)
    (layer,) = planned.layers
    assert layer.digest == NOT_MADE
    assert layer.size == pytest.approx(sum(len(data) for data, _ in small_mirror.packages.values()), rel=0.2)
    real = made(tmp_path / "store", (small_mirror.url,))
    assert made(tmp_path / "store", (small_mirror.url,), makes=False).layers == real.layers


@pytest.mark.parametrize(
    ("name", "data", "fault"),
    [
        ("dash", deb("dash", honest({"bin/bash": b"mine"})), "which another package has, too"),
        ("dash", deb("dash", [member("./etc/passwd/x", b"x")]), "/etc/passwd is not a folder"),
        ("dash", deb("dash", [member("./usr/bin/rbash/x", b"x")]), "/usr/bin/rbash is not a folder"),
        ("dash", deb("dash", [member("./../x", b"x")]), "leads out of the image"),
        ("dash", deb("dash", [member("./.wh.etc", b"x")]), "marks a deleted file"),
        ("dash", b"no package", "cannot be unpacked"),
    ],
)
def test_a_hostile_package_makes_no_base(
    small_mirror: SmallMirror, tmp_path: Path, name: str, data: bytes, fault: str
) -> None:
    """The base is not available, for the reason that is said. Nothing of it stays in the store."""
    small_mirror.add(name, data)
    small_mirror.publish()
    with pytest.raises(BaseUnavailable, match=re.escape(fault)):
        made(tmp_path / "store", (small_mirror.url,))
    assert not [*(tmp_path / "store/layers").iterdir(), *(tmp_path / "store/tmp").iterdir()]


@pytest.mark.parametrize(
    ("suite", "mirrors", "fault"),
    [
        ("../etc", None, "is not a release of Debian"),
        ("trixie", None, "has no trixie"),
        ("bookworm", (), "No mirror of Debian is set"),
    ],
)
def test_a_suite_that_is_nowhere_is_said(
    small_mirror: SmallMirror, tmp_path: Path, suite: str, mirrors: tuple[str, ...] | None, fault: str
) -> None:
    """The error names the base, so that the user knows what to change."""
    request = JobRequest(
        store_dir=tmp_path / "store", debian_mirrors=(small_mirror.url,) if mirrors is None else mirrors
    )
    with open_job(request, silent) as job, pytest.raises(BaseUnavailable, match=fault) as refused:
        resolve(ImageLocation("debian-packages", suite), "amd64", job)
    assert f"debian-packages:{suite}" in refused.value.message


@pytest.fixture(scope="module")
def real(debian_mirrors: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Base:
    """The base of the mirrors of this machine."""
    return made(tmp_path_factory.mktemp("real") / "store", debian_mirrors)


def test_the_real_base_has_the_files_of_a_debian_that_dpkg_has_installed(real: Base, base_archive: Path) -> None:
    """Compared with the base of the other tests, which is Debian's own or mmdebstrap's: its files are the same.

    Only packages of the same version are compared.
    """
    ours = tree(real)
    theirs: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    with open_job(JobRequest(), silent) as job:
        other = resolve(ImageLocation("oci-archive", str(base_archive)), "amd64", job)
        for layer in other.image.manifest.layers:
            theirs |= {
                entry.name.removeprefix("./").rstrip("/"): (entry, content.read() if content else b"")
                for entry, content in members(other.image, layer)
            }
    common = _versions(ours).items() & _versions(theirs).items()
    assert len(common) > 20
    for name, _ in common:
        for path in _listed(ours, name):
            real_path = path if path in ours else f"usr/{path}"
            if real_path not in ours or real_path not in theirs or real_path.startswith("var/lib/dpkg/"):
                continue
            (mine, data), (entry, other_data) = ours[real_path], theirs[real_path]
            assert (mine.isdir(), mine.issym(), mine.linkname) == (
                entry.isdir(),
                entry.issym(),
                entry.linkname if entry.issym() else "",
            ), path
            assert data == other_data or not entry.isreg(), path
    for path in ("etc/passwd", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"):
        if path in theirs and ("ca-certificates", _versions(ours)["ca-certificates"]) in common:
            assert ours[path][1].splitlines()[:5] == theirs[path][1].splitlines()[:5]


def _versions(files: dict[str, tuple[tarfile.TarInfo, bytes]]) -> dict[str, str]:
    status = files["var/lib/dpkg/status"][1].decode()
    return dict(re.findall(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)\n", status, re.MULTILINE))


def _listed(files: dict[str, tuple[tarfile.TarInfo, bytes]], name: str) -> list[str]:
    (path,) = (path for path in files if re.fullmatch(rf"var/lib/dpkg/info/{re.escape(name)}(:\w+)?\.list", path))
    return [line.removeprefix("/") for line in files[path][1].decode().splitlines()]


def test_dpkg_reads_the_database_of_the_real_base(real: Base, tmp_path: Path) -> None:
    """dpkg finds no fault in it, knows whose a file is, and finds each file unchanged that it has a hash of."""
    (layer,) = real.image.manifest.layers
    root = tmp_path / "root"
    with open(tmp_path / "layer", "wb") as file:
        file.writelines(real.image.read(layer))
    subprocess.run(["tar", "-xf", tmp_path / "layer", f"--one-top-level={root}"], check=True)
    assert layer.size < 25 << 20
    dpkg = ["dpkg", f"--root={root}"]
    assert subprocess.run([*dpkg, "--audit"], capture_output=True, text=True, check=True).stdout == ""
    owner = subprocess.run([*dpkg, "-S", "/bin/bash"], capture_output=True, text=True, check=True)
    assert owner.stdout == "bash: /bin/bash\n"
    verified = subprocess.run([*dpkg, "--verify"], capture_output=True, text=True, check=False)
    wrong = [line for line in verified.stdout.splitlines() if not line.startswith("missing")]
    assert wrong == []
