"""An unpacked image has the files of a container. Nothing is written elsewhere, and images share their files."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from jupyter_condabuild.errors import BadImage, ContentMismatch
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.tree.unpacked import remove_unused, size, unpacked
from tests.oci.tree.test_merged import CASES, layer
from tests.oci.tree.test_merged import files as merged_files
from tests.parts.small_image import Failing, blobs, from_source, image


def on_disk(root: Path) -> dict[str, str]:
    """Returns the files of an unpacked image, in the form of `merged_files`; a hard link as a file."""
    found = {}
    for parent, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(parent, name)
            what = f"-> {os.readlink(path)}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
            found[str(path.relative_to(root))] = what
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_unpacked_files_are_those_of_the_image(name: str, tmp_path: Path) -> None:
    """Whiteouts, opaque folders and links are as in a container; no file can be written or was written outside."""
    with Store(tmp_path / "store") as store:
        made = unpacked(image(CASES[name]), store)
    expected = merged_files(*CASES[name])
    while links := {path: expected[what[2:]] for path, what in expected.items() if what.startswith("= ")}:
        expected |= links
    found = on_disk(made.root)
    assert {path: found.get(path) for path in expected} == expected
    assert all(not path.lstat().st_mode & 0o222 for path in made.root.rglob("*") if stat.S_ISREG(path.lstat().st_mode))


def test_images_share_their_files(tmp_path: Path) -> None:
    """Equal contents are on the disk once. What no image needs any more is removed; an image that runs stays."""
    with Store(tmp_path / "store") as store:
        one = unpacked(image([layer(("a", b"same"), ("b", b"one"))]), store)
        other = unpacked(image([layer(("c/a", b"same"), ("c/b", b"other"))]), store)
        assert (one.root / "a").samefile(other.root / "c/a")
        assert size(store) == len("sameoneother")
        with other.held():
            assert remove_unused(store, 0) == len("one")
        assert (other.root / "c/a").read_text() == "same"
        assert not one.root.exists()
        assert remove_unused(store, 0) == len("sameother")
        assert size(store) == 0


def test_two_processes_that_write_a_file_at_once_keep_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To link a file that another process replaces at this moment fails. So no process replaces one."""
    with Store(tmp_path / "store") as store:
        one = unpacked(image([layer(("a", b"same"))]), store)
        exists = os.path.exists
        monkeypatch.setattr(os.path, "exists", lambda path: "/files/" not in str(path) and exists(path))
        other = unpacked(image([layer(("b", b"same"))]), store)
        assert (one.root / "a").samefile(other.root / "b")
        assert [path.name for path in (store.root / "unpacked/files").iterdir()] == [
            f"{sha256(b'same').hexdigest()}-444"
        ]


@pytest.mark.parametrize(
    "layers",
    [
        [layer(("../a", b"1"))],
        [layer(("a", "-> /etc"), ("a/passwd", b"1"))],
        [layer(("a", "-> ..")), layer(("a/b", b"1"))],
        [layer(("a", "= ../../etc/shadow"))],
    ],
)
def test_a_hostile_layer_is_not_unpacked(layers: list[bytes], tmp_path: Path) -> None:
    """Nothing is written outside of the folder, and no part of the image stays."""
    with Store(tmp_path / "store") as store, pytest.raises(BadImage):
        unpacked(image(layers), store)
    assert not list((tmp_path / "store/unpacked/images").iterdir())
    assert not list((tmp_path / "store/tmp").iterdir())


def test_a_layer_that_differs_from_its_digest_is_not_unpacked(tmp_path: Path) -> None:
    """The digest decides; a registry that breaks off leaves nothing, and the next try is whole."""
    whole = image([layer(("a", b"1"))])
    (digest,) = whole.sources
    wrong = blobs(image([layer(("a", b"2"))]))
    (bytes_,) = [data for data in wrong.blobs.values() if data[:2] == b"\x1f\x8b"]
    with Store(tmp_path / "store") as store:
        wrong.blobs[digest] = bytes_
        with pytest.raises(ContentMismatch):
            unpacked(from_source(whole, wrong), store)
        with pytest.raises(KeyError):
            unpacked(from_source(whole, Failing(blobs(whole), KeyError())), store)
        assert (unpacked(whole, store).root / "a").read_text() == "1"
