"""The files of a SIF are those of the image's container: layers are merged as other tools unpack them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.image import Image
from jupyter_condabuild.oci.sif import writer
from jupyter_condabuild.oci.tree import merged as tree
from jupyter_condabuild.oci.tree.merged import MOST_NAME, merged
from tests.oci.sif.sif_file import inodes, unpacked
from tests.parts.small_image import Memory, image, run


def layer(*entries: tuple[str, str | bytes]) -> bytes:
    """Returns a layer. An entry is a path with its content, or with ``/``, ``-> TARGET`` or ``= TARGET``.

    The last three are a folder, a symbolic link and a hard link.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as made:
        for path, what in entries:
            member = tarfile.TarInfo(path)
            member.mode, member.mtime, member.uid = 0o640, 7, 5
            data = what if isinstance(what, bytes) else b""
            if what == "/":
                member.type, member.mode = tarfile.DIRTYPE, 0o750
            elif isinstance(what, str) and what.startswith("-> "):
                member.type, member.linkname = tarfile.SYMTYPE, what[3:]
            elif isinstance(what, str) and what.startswith("= "):
                member.type, member.linkname = tarfile.LNKTYPE, what[2:]
            elif what == "device":
                member.type, member.devmajor, member.devminor = tarfile.CHRTYPE, 1, 3
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return out.getvalue()


def files(*layers: bytes) -> dict[str, str]:
    """Returns the files of an image by path, in the form that `layer` takes, with text for content."""
    found = {}
    for member, content in merged(image(layers), [], []):
        assert member.name not in found
        if content:
            found[member.name] = content.read().decode()
        elif member.islnk():
            found[member.name] = f"= {member.linkname}"
        else:
            found[member.name] = "/" if member.isdir() else f"-> {member.linkname}"
    return found


CASES = {
    "a file of a higher layer": [layer(("a", b"old"), ("b", b"same")), layer(("a", b"new"))],
    "a whiteout": [layer(("d", "/"), ("d/a", b"1"), ("d/b", b"2")), layer(("d", "/"), ("d/.wh.a", b""))],
    "a whiteout of a folder": [layer(("d", "/"), ("d/e", "/"), ("d/e/f", b"1")), layer((".wh.d", b""))],
    "a folder made again": [
        layer(("d", "/"), ("d/old", b"1")),
        layer((".wh.d", b"")),
        layer(("d", "/"), ("d/new", b"2")),
    ],
    "an opaque folder": [
        layer(("d", "/"), ("d/old", b"1"), ("d/e", "/"), ("d/e/old", b"1")),
        layer(("d", "/"), ("d/.wh..wh..opq", b""), ("d/new", b"2")),
    ],
    "a file where a folder was": [layer(("d", "/"), ("d/old", b"1")), layer(("d", b"file"))],
    "a folder where a file was": [layer(("d", b"file")), layer(("d", "/"), ("d/new", b"1"))],
    "a folder where a link was": [layer(("e", "/"), ("d", "-> e")), layer(("d", "/"), ("d/new", b"1"))],
    "a link where a folder was": [layer(("d", "/"), ("d/old", b"1")), layer(("d", "-> /etc"))],
    "hard links": [layer(("a", b"1"), ("b", "= a"), ("c", "= a"))],
    "a hard link to a file that is replaced": [layer(("a", b"1"), ("b", "= a"), ("c", "= a")), layer(("a", b"2"))],
    "a hard link to a file that is removed": [layer(("a", b"1"), ("b", "= a"), ("c", "= a")), layer((".wh.a", b""))],
    "a hard link that is replaced": [layer(("a", b"1"), ("b", "= a")), layer(("b", b"2"))],
    "a hard link to a file of a lower layer": [layer(("a", b"1")), layer(("b", "= a"))],
    "a hard link to a removed file of a lower layer": [
        layer(("a", b"1")),
        layer(("b", "= a"), ("c", "= b")),
        layer((".wh.a", b"")),
    ],
    "a hard link to a hard link of a lower layer": [layer(("x", b"1"), ("a", "= x")), layer(("b", "= a"))],
    "names": [layer(("./d", "/"), ("./d//é\udcff", b"1"), (f"d/{'x' * 200}", b"2"), ("-a b\nc", b"3"))],
}


@pytest.mark.parametrize("name", CASES)
def test_the_files_are_those_that_umoci_unpacks(name: str, tmp_path: Path) -> None:
    """Contents, kinds, modes, owners, links and their targets are the same, for each way to change a file."""
    made = image(CASES[name])
    archive.write(made, "lab.org/env:v1", tmp_path / "image.tar")
    (tmp_path / "layout").mkdir()
    run("tar", "-xf", tmp_path / "image.tar", "-C", tmp_path / "layout")
    run("umoci", "unpack", "--image", f"{tmp_path}/layout:v1", tmp_path / "bundle")
    expected = inodes(tmp_path / "bundle" / "rootfs")
    writer.write(made, "", tmp_path / "image.sif")
    found = inodes(unpacked(tmp_path / "image.sif", tmp_path / "unpacked"))
    assert {path: found.get(path) for path in expected} == expected
    extra = {path for path in found.keys() - expected.keys() if path.partition("/")[0] not in OURS}
    assert extra == set()


OURS = {
    *(".singularity.d", ".run", ".exec", ".test", ".shell", "singularity", "environment"),
    *("dev", "etc", "home", "proc", "root", "sys", "tmp", "var"),
}


def test_layers_are_read_once_except_for_a_hidden_target() -> None:
    """A layer is read a second time only if it has a hard link whose target a higher layer hides."""

    class Counting(Memory):
        reads = 0

        def read(self, descriptor):  # type: ignore[no-untyped-def]
            self.reads += 1
            return super().read(descriptor)

    def reads(*layers: bytes) -> int:
        made = image(layers)
        counting = Counting(next(iter(made.sources.values())).blobs)  # type: ignore[attr-defined]
        for _, content in merged(Image(made.manifest, made.config, dict.fromkeys(made.sources, counting)), [], []):
            if content:
                content.read()
        return counting.reads

    linked = layer(("a", b"1"), ("b", "= a"))
    assert reads(linked, layer(("c", b"2"))) == 2
    assert reads(linked, layer(("a", b"2"))) == 3


def test_a_folder_that_no_layer_describes_is_made() -> None:
    """A layer may have a file without its folder. The folder is then there with the modes of any folder."""
    assert files(layer(("a/b/c", b"1"))) == {"a/b/c": "1", "a": "/", "a/b": "/"}
    assert files(layer(("a", "/"), ("a/x", b"1")), layer(("a/y", b"2"))) == {"a/y": "2", "a": "/", "a/x": "1"}


def test_a_path_may_be_as_deep_as_linux_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 folders in each other are read. The folders that deep paths imply count for the limit of the memory."""
    deep = "/".join(["d"] * 2000)
    found = files(layer((deep, b"1")), layer((f"{deep[:-1]}e", b"2")))
    assert (len(found), found[deep], found[f"{deep[:-1]}e"]) == (2001, "1", "2")
    monkeypatch.setattr(tree, "MOST_CHARACTERS", 1_000_000)
    with pytest.raises(BadImage, match="1000000 characters together"):
        files(layer((deep, b"1")))


def test_devices_and_notes_of_file_systems_are_left_out() -> None:
    """A device, a hard link to one, and the notes of aufs are no files of the SIF."""
    notes = (".wh..wh.plnk", "/"), (".wh..wh.plnk/1.2", b"x")
    assert files(layer(("null", "device"), ("zero", "= null"), ("a", b"1"))) == {"a": "1"}
    assert ".wh..wh.plnk" not in files(layer(*notes))


def test_a_folder_of_apptainer_in_the_image_is_replaced(tmp_path: Path) -> None:
    """Nothing that a foreign image has in /.singularity.d is in the SIF, where Apptainer would run it."""
    foreign = layer((".singularity.d/env/05-evil.sh", b"evil"), (".singularity.d/runscript", b"evil"))
    writer.write(image([foreign]), "", tmp_path / "image.sif")
    folder = unpacked(tmp_path / "image.sif", tmp_path / "unpacked") / ".singularity.d"
    assert b"evil" not in (folder / "runscript").read_bytes()
    assert sorted(path.name for path in (folder / "env").iterdir()) == [
        "10-docker2singularity.sh",
        "90-environment.sh",
        "99-base.sh",
    ]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([layer(("../a", b"1"))], "leads out"),
        ([layer(("a/../../b", b"1"))], "leads out"),
        ([layer(("a", "= ../../etc/shadow"))], "leads out"),
        ([layer(("x" * (MOST_NAME + 1), b"1"))], "more than 255 bytes"),
        ([layer(("x/" * 2049, "/"))], "more than 4095 bytes"),
        ([layer(("a", "-> "))], "no valid target"),
        ([layer(("a", "-> " + "x/" * 2049))], "no valid target"),
        ([layer(("a", b"1"), ("a", b"2"))], "twice"),
        ([layer(("a", "/"), ("a", b"2"))], "twice"),
        ([layer(("a", b"1"), ("a", "/"))], "twice"),
        ([layer(("a", "-> /etc"), ("a/passwd", b"1"))], "no folder"),
        ([layer(("a/passwd", b"1"), ("a", "-> /etc"))], "no folder"),
        ([layer(("a", "-> /etc")), layer(("a/passwd", b"1"))], "files below it"),
        ([layer(("a", "= b"))], "no file of the image"),
        ([layer(("b", "/"), ("a", "= b"))], "no file of the image"),
        ([layer(("b", "/")), layer(("a", "= b"))], "no file of the image"),
        ([layer(("a", "= b"), ("b", "= a"))], "leads to itself"),
        ([layer(("a", b"1"))[:700]], "cut off"),
        ([b"no tar" * 1000], "not a tar"),
    ],
)
def test_a_hostile_layer_is_refused(layers: Sequence[bytes], message: str, tmp_path: Path) -> None:
    """The error names the fault. No file is left."""
    with pytest.raises(BadImage, match=message):
        writer.write(image(layers), "", tmp_path / "image.sif")
    assert list(tmp_path.iterdir()) == []
