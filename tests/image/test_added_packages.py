"""Packages of Debian are added to a base as one layer, which is the same for everybody and leaves the base as it is."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from packageurl import PackageURL

from jupyter_condabuild.errors import BadImage, DebianPackagesRefused, UnsafePackage
from jupyter_condabuild.events import Event, Log, Warning
from jupyter_condabuild.image.added_packages import with_packages, with_recorded
from jupyter_condabuild.image.apt_label import LABEL_APT, Added, AddedPackage, packages_in
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.image.debian_image import NOT_MADE
from jupyter_condabuild.image.opener import members as entries_of
from jupyter_condabuild.oci.image import ImageConfig
from jupyter_condabuild.requests.build import JobRequest
from jupyter_condabuild.requests.job_context import open_job
from tests.parts.debian.mirror import Item, SmallMirror, deb, member, members
from tests.parts.small_image import image

LIBRARY = "usr/lib/x86_64-linux-gnu/libGL.so.1"
STATUS = b"Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\n\n"
SYSTEM: list[Item] = [
    member("etc/", kind=tarfile.DIRTYPE),
    member("etc/os-release", kind=tarfile.SYMTYPE, target="../usr/lib/os-release"),
    member("etc/gl.conf", b"mine", mode=0o600),
    member("usr/lib/os-release", b"ID=debian\nVERSION_CODENAME=bookworm\n"),
    member("lib", kind=tarfile.SYMTYPE, target="usr/lib"),
    member("usr/share/gl/", kind=tarfile.DIRTYPE, mode=0o2775),
    member("var/lib/dpkg/status", STATUS),
]


def base_of(items: Sequence[Item], layers: Sequence[bytes] = ()) -> Base:
    """Returns a base with one layer of these members, and further layers."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, data in items:
            tar.addfile(info, io.BytesIO(data))
    made = image([out.getvalue(), *layers], Env=["PATH=/bin"])
    return Base("small", made.manifest.descriptor.digest, made)


def with_library(mirror: SmallMirror, *items: Item, **control: bytes) -> SmallMirror:
    """Gives a mirror libgl1, which needs libglvnd0. It has a library, a configuration file, a link and a hard link."""
    files = members({"lib/x86_64-linux-gnu/libGL.so.1": b"GL", "etc/gl.conf": b"theirs", "usr/share/gl/a": b"a"})
    link = member("./lib/x86_64-linux-gnu/libGL.so.0", kind=tarfile.LNKTYPE, target="./lib/x86_64-linux-gnu/libGL.so.1")
    control = {"conffiles": b"/etc/gl.conf\n", "postinst": b"#!/bin/sh\n", **control}
    mirror.add(
        "libgl1", deb("libgl1", [*files, link, *items], control=control), "Depends: libglvnd0, libc6 (>= 2.30)\n"
    )
    mirror.add("libglvnd0", deb("libglvnd0", members({"usr/lib/x86_64-linux-gnu/libGLdispatch.so.0": b"d"})))
    mirror.publish()
    return mirror


def added(
    base: Base, mirror: SmallMirror, store: Path, *names: str, events: list[Event] | None = None, makes: bool = True
) -> Base:
    report = (events if events is not None else []).append
    with open_job(JobRequest(store_dir=store, debian_mirrors=(mirror.url,)), report) as job:
        return with_packages(base, names, job, makes=makes)


def tree(base: Base) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    layer = base.image.manifest.layers[-1]
    return {entry.name: (entry, content.read() if content else b"") for entry, content in entries_of(base.image, layer)}


def test_the_packages_are_one_layer_above_the_base(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """Its files are where the links of the base lead. Folders and settings of the base stay as they are."""
    base, events = base_of(SYSTEM), list[Event]()
    found = added(base, with_library(small_mirror), tmp_path / "store", "libgl1", events=events)
    assert (found.name, found.digest, found.named) == (base.name, base.digest, base.named)
    assert found.layers[:-1] == base.layers
    files = tree(found)
    assert files[LIBRARY.replace(".so.1", ".so.0")][1] == b"GL"
    assert (files[LIBRARY][0].islnk(), files[LIBRARY][0].linkname) == (True, LIBRARY.replace(".so.1", ".so.0"))
    assert {"lib", "etc/gl.conf"}.isdisjoint(files)
    assert files["usr/share/gl"][0].mode == 0o2775
    status = files["var/lib/dpkg/status"][1]
    assert status.startswith(STATUS)
    assert re.findall(rb"Package: (\S+)\n", status) == [b"libc6", b"libgl1", b"libglvnd0"]
    assert b"/lib/x86_64-linux-gnu/libGL.so.1\n" in files["var/lib/dpkg/info/libgl1.list"][1]
    assert found.config.diff_ids[:-1] == base.config.diff_ids
    assert found.config.runtime["Env"] == ["PATH=/bin"]
    (warning,) = (event for event in events if isinstance(event, Warning))
    assert (warning.code, "libgl1" in warning.message) == ("debian-scripts-not-run", True)


def test_the_label_says_which_packages(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """It has nothing of the mirror but the path, so that it is the same for all mirrors."""
    found = added(base_of(SYSTEM), with_library(small_mirror), tmp_path / "store", "libgl1")
    value = json.loads(found.config.runtime["Labels"][LABEL_APT])
    assert (value["suite"], value["names"]) == ("bookworm", ["libgl1"])
    assert [(one["name"], one["version"], one["path"]) for one in value["packages"]] == [
        ("libgl1", "1.0-1", "pool/libgl1.deb"),
        ("libglvnd0", "1.0-1", "pool/libglvnd0.deb"),
    ]
    assert small_mirror.folder.name not in found.image.config.decode().replace("mirror.deb", "")
    package = AddedPackage("libstdc++6", "1:12.2~rc1+b1-0ubuntu", "0" * 64, "pool/main/g/gcc/libstdc++6_12_arm64.deb")
    expected = PackageURL("deb", "debian", package.name, package.version, {"arch": "arm64"})
    assert package.purl == str(expected)


def test_the_same_packages_give_the_same_layer(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """From another mirror, into another store. The store makes the layer once, and reads a base once."""
    base = base_of(SYSTEM)
    first = added(base, with_library(small_mirror), tmp_path / "a", "libgl1", "libglvnd0", "libgl1")
    other = with_library(SmallMirror(tmp_path / "other"))
    assert added(base, other, tmp_path / "b", "libglvnd0", "libgl1").image.manifest.raw == first.image.manifest.raw
    for file in (other.folder / "pool").iterdir():
        file.unlink()
    events: list[Event] = []
    again = added(base, other, tmp_path / "b", "libglvnd0", "libgl1", events=events)
    assert again.image.manifest.raw == first.image.manifest.raw
    assert not any("Reading the packages" in event.text for event in events if isinstance(event, Log))


def test_a_plan_makes_no_layer(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """It counts the bytes of the packages until the layer is made."""
    planned = added(base_of(SYSTEM), with_library(small_mirror), tmp_path / "store", "libgl1", makes=False)
    sizes = [len(small_mirror.packages[name][0]) for name in ("libgl1", "libglvnd0")]
    assert (planned.layers[-1].digest, planned.layers[-1].size) == (NOT_MADE, sum(sizes))


def test_a_base_with_the_packages_gets_no_layer(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """The label still says what the user wanted, for a rebase on a base without it."""
    base = base_of(SYSTEM)
    found = added(base, with_library(small_mirror), tmp_path / "store", "libc6")
    assert (found.layers, json.loads(found.config.runtime["Labels"][LABEL_APT])["names"]) == (base.layers, ["libc6"])


def test_the_layers_of_a_base_are_read_as_its_container_shows_them(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """A higher layer may have replaced a link, a file or the list of packages."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, data in [
            member(".wh.lib"),
            member("lib/", kind=tarfile.DIRTYPE),
            member("var/lib/dpkg/status", b"\n"),
        ]:
            tar.addfile(info, io.BytesIO(data))
    with_library(small_mirror).add("libc6", deb("libc6", members({"usr/lib/libc.so.6": b"c"})), "Version: 2.36-9\n")
    small_mirror.publish()
    files = tree(added(base_of(SYSTEM, [out.getvalue()]), small_mirror, tmp_path / "store", "libgl1"))
    assert {"usr/lib/libc.so.6", "lib/x86_64-linux-gnu/libGL.so.1"} <= files.keys()
    assert b"libc6" in files["var/lib/dpkg/status"][1]


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (member("./usr/lib/os-release", b"x"), "The base has /usr/lib/os-release already"),
        (member("./lib/os-release", b"x"), "The base has /usr/lib/os-release already"),
        (member("./etc/gl.conf/x", b"x"), "/etc/gl.conf is not a folder"),
        (member("./usr/lib/x86_64-linux-gnu/libGLdispatch.so.0", b"x"), "which another package has, too"),
        (member("./usr/share/gl", b"x"), "The base has /usr/share/gl already"),
        (member("./../x", b"x"), "leads out of the image"),
        (member("./dev/x", kind=tarfile.CHRTYPE), "neither a file nor a folder nor a link"),
        (member("./usr/.wh.lib", b"x"), "marks a deleted file"),
    ],
)
def test_a_package_that_would_change_the_base_is_refused(
    small_mirror: SmallMirror, tmp_path: Path, item: Item, fault: str
) -> None:
    """Also through a link of the base. Nothing of it stays in the store."""
    with_library(small_mirror, item)
    with pytest.raises((DebianPackagesRefused, UnsafePackage, BadImage), match=re.escape(fault)):
        added(base_of(SYSTEM), small_mirror, tmp_path / "store", "libgl1")
    assert not [*(tmp_path / "store/layers").iterdir(), *(tmp_path / "store/tmp").iterdir()]


@pytest.mark.parametrize(
    ("target", "path"), [("/../../etc", "etc/x"), ("../../../etc", "etc/x"), ("loop", ""), ("/opt/a/../b", "opt/b/x")]
)
def test_links_of_the_base_never_lead_out_of_it(
    small_mirror: SmallMirror, tmp_path: Path, target: str, path: str
) -> None:
    """They lead to paths of the image, as in a container."""
    system = [*SYSTEM, member("loop", kind=tarfile.SYMTYPE, target=target)]
    with_library(small_mirror, member("./loop/x", b"x"))
    if path:
        assert path in tree(added(base_of(system), small_mirror, tmp_path / "store", "libgl1"))
    else:
        with pytest.raises(DebianPackagesRefused, match="is not a folder"):
            added(base_of(system), small_mirror, tmp_path / "store", "libgl1")


def test_no_file_makes_its_user_root(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """The setuid bit is taken away, and the log says so."""
    events: list[Event] = []
    with_library(small_mirror, member("./usr/bin/su", b"su", mode=0o4755))
    found = added(base_of(SYSTEM), small_mirror, tmp_path / "store", "libgl1", events=events)
    assert tree(found)["usr/bin/su"][0].mode == 0o755
    assert any("/usr/bin/su" in event.text for event in events if isinstance(event, Log))


def test_a_folder_of_two_owners_is_not_taken_over(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """A layer of ours cannot describe it, and would give it to another group."""
    shared = member("usr/local/", kind=tarfile.DIRTYPE)
    shared[0].gid = 50
    with_library(small_mirror, member("./usr/local/x", b"x"))
    with pytest.raises(DebianPackagesRefused, match="/usr/local of the base belongs to a user and to another group"):
        added(base_of([*SYSTEM, shared]), small_mirror, tmp_path / "store", "libgl1")


def test_a_recorded_layer_is_made_again_or_refused(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """Only exactly the same packages count, by their hashes."""
    base = base_of(SYSTEM)
    found = added(base, with_library(small_mirror), tmp_path / "a", "libgl1")
    label = Added.of(found.config)
    assert label
    with open_job(JobRequest(store_dir=tmp_path / "b", debian_mirrors=(small_mirror.url,)), print) as job:
        assert with_recorded(base, label, job).image.manifest.raw == found.image.manifest.raw
        with_library(small_mirror, member("./usr/bin/new", b"new"))
        with pytest.raises(DebianPackagesRefused, match="other packages now"):
            with_recorded(base, label, job)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"suite": "x", "names": ["a"], "packages": [{"name": 1}]}', "[" * 100_000]
)
def test_a_label_that_is_not_valid_is_refused(text: str) -> None:
    """For an SBOM, it has no packages."""
    config = ImageConfig({"config": {"Labels": {LABEL_APT: text}}}, ())
    with pytest.raises(BadImage):
        Added.of(config)
    assert list(packages_in(config)) == []
