"""A SIF has the same bytes each time, siftool reads it, and a failed write leaves no file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyter_condabuild.errors import (
    BadImage,
    ContentMismatch,
    DiskFull,
    SquashfsFailed,
    SquashfsUnavailable,
    StoreError,
)
from jupyter_condabuild.oci.image import Image
from jupyter_condabuild.oci.sif import writer
from tests.conftest import missing
from tests.oci.sif.sif_file import Inode, inodes, objects, unpacked
from tests.parts.small_image import NAME, Failing, Memory, blobs, from_source, image, run, tar, three_layers

PROGRAMS = ("tar2sqfs", "sqfstar")


@pytest.fixture
def small() -> Image:
    return three_layers()


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH. It is empty."""
    folder = tmp_path_factory.mktemp("programs")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(program: str, folder: Path) -> Path:
    """Puts one program of this machine into a folder."""
    real = shutil.which(program, path="/usr/local/bin:/usr/bin:/bin")
    if not real:
        missing(f"{program} is not installed")
    (folder / program).symlink_to(real)
    return folder / program


# Written SIFs


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_same_image_gives_the_same_bytes(
    small: Image, program: str, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes depend neither on the size of the chunks, nor on the umask, the time or SOURCE_DATE_EPOCH."""
    install(program, programs)
    writer.write(small, NAME, tmp_path / "one.sif")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    before = os.umask(0o077)
    try:
        writer.write(from_source(small, Memory(blobs(small).blobs, chunk=7)), NAME, tmp_path / "two.sif")
    finally:
        os.umask(before)
    assert (tmp_path / "one.sif").read_bytes() == (tmp_path / "two.sif").read_bytes()
    assert (tmp_path / "two.sif").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "one.sif").stat().st_mode & 0o777 == 0o777 & ~before


def test_both_programs_write_the_same_files(small: Image, tmp_path: Path, programs: Path, monkeypatch: Any) -> None:
    """The program that makes the file system decides nothing that a user sees."""
    found = []
    for program in PROGRAMS:
        installed = install(program, programs)
        writer.write(small, NAME, tmp_path / f"{program}.sif")
        installed.unlink()
    monkeypatch.undo()
    for program in PROGRAMS:
        found.append(inodes(unpacked(tmp_path / f"{program}.sif", tmp_path / program)))
    assert found[0] == found[1]
    assert found[0]["etc/name"].mode == "-rw-r--r--"


def test_another_image_and_another_name_have_another_identity(small: Image, tmp_path: Path) -> None:
    """The identity in the header comes from the image's digest and its name."""

    def identity(made: Image, name: str) -> bytes:
        writer.write(made, name, tmp_path / "image.sif")
        return (tmp_path / "image.sif").read_bytes()[48:64]

    other = image([tar({"etc/name": b"other\n"})])
    assert len({identity(small, NAME), identity(small, ""), identity(other, NAME)}) == 3


@pytest.mark.parametrize(("processor", "code"), [("amd64", "amd64"), ("arm64", "arm64"), ("ppc64le", "ppc64le")])
def test_siftool_reads_the_header_and_all_objects(processor: str, code: str, tmp_path: Path) -> None:
    """The header names the image's processor. The objects are those that Apptainer writes, and have their content."""
    made = image([tar({"etc/name": b"value\n"})], processor, Cmd=["/hello"], Labels={"a": "b"}, Env=["X=1"])
    sif = tmp_path / "image.sif"
    writer.write(made, NAME, sif)
    header = run("siftool", "header", sif)
    assert f"Primary Architecture: {code}" in header
    assert "Descriptors Free:     44" in header
    found = objects(sif)
    assert list(found) == ["1 Def.FILE", "2 JSON.Generic", "3 JSON.Generic", f"4 FS (Squashfs/*System/{code})"]
    start, end = found[f"4 FS (Squashfs/*System/{code})"]
    assert (start % 4096, end) == (0, sif.stat().st_size)
    assert f"From: {NAME}" in run("siftool", "dump", "1", sif)
    inspection = json.loads(run("siftool", "dump", "2", sif))
    assert inspection["type"] == "container"
    assert inspection["data"]["attributes"]["labels"] == {"a": "b"}
    assert json.loads(run("siftool", "dump", "3", sif)) == {"Cmd": ["/hello"], "Labels": {"a": "b"}, "Env": ["X=1"]}
    assert "inspect-metadata.json" in run("siftool", "info", "2", sif)
    assert "oci-config.json" in run("siftool", "info", "3", sif)


def test_a_sif_can_be_signed_later(small: Image, tmp_path: Path) -> None:
    """siftool adds another object, as a signature is added."""
    sif, note = tmp_path / "image.sif", tmp_path / "note"
    writer.write(small, NAME, sif)
    note.write_text("note")
    run("siftool", "add", "--datatype", "7", sif, note)
    assert run("siftool", "dump", "5", sif) == "note"


def test_the_sif_has_the_places_for_mounts(tmp_path: Path) -> None:
    """Folders and files that Apptainer mounts at are there. What the image has at these paths stays as it is."""
    writer.write(image([tar({"etc/hosts": b"mine\n", "environment": b"mine\n"}, 0o600)]), "", tmp_path / "image.sif")
    root = unpacked(tmp_path / "image.sif", tmp_path / "unpacked")
    found = inodes(root)
    assert {path: found[path].mode for path in ("proc", "dev", "home", "tmp", "etc/resolv.conf", "etc/hosts")} == {
        "proc": "drwxr-xr-x",
        "dev": "drwxr-xr-x",
        "home": "drwxr-xr-x",
        "tmp": "drwxrwxrwt",
        "etc/resolv.conf": "-rw-r--r--",
        "etc/hosts": "-rw-------",
    }
    assert (root / "environment").read_bytes() == b"mine\n"
    assert found["singularity"] == Inode("lrwxrwxrwx", (0, 0), ".singularity.d/runscript")


def test_progress_ends_with_all_bytes(small: Image, tmp_path: Path) -> None:
    """The progress is that of the bytes of the layers. It never runs backwards."""
    told: list[tuple[int, int]] = []
    writer.write(small, NAME, tmp_path / "image.sif", lambda complete, total: told.append((complete, total)))
    total = sum(layer.size for layer in small.manifest.layers)
    assert told[-1] == (total, total)
    assert told == sorted(told)


# Failed writes


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ContentMismatch("wrong bytes"), RuntimeError("a bug")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    small: Image, tmp_path: Path, error: BaseException
) -> None:
    """After Ctrl-C, a damaged layer or a bug, the old file is unchanged, no other file exists, and no program runs."""
    out = tmp_path / "image.sif"
    out.write_bytes(b"old")
    with pytest.raises(type(error)):
        writer.write(from_source(small, Failing(blobs(small), error)), NAME, out)
    assert out.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["image.sif"]
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert [pid for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() in PROGRAMS] == []


def test_the_error_names_a_missing_program(small: Image, tmp_path: Path, programs: Path) -> None:
    """Without tar2sqfs and sqfstar, the error says how to install one, before anything is written."""
    with pytest.raises(SquashfsUnavailable, match="tar2sqfs") as caught:
        writer.write(small, NAME, tmp_path / "image.sif")
    assert "apt-get install squashfs-tools-ng" in caught.value.hint
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo first >&2; echo 'bad block' >&2; exit 3", "tar2sqfs failed: bad block"),
        ("cat >/dev/null; echo late >&2; exit 1", "late"),
        ("head -c 100000 /dev/zero | tr '\\0' 'x' >&2; exit 1", "tar2sqfs failed: xxx"),
        ("kill -9 $$", "status -9"),
    ],
)
def test_the_error_has_the_last_words_of_a_program_that_fails(
    tmp_path: Path, programs: Path, script: str, message: str
) -> None:
    """A program that stops reading, or fails at the end, makes no SIF. The old file stays."""
    (programs / "tar2sqfs").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    (programs / "tar2sqfs").chmod(0o755)
    (tmp_path / "image.sif").write_bytes(b"old")
    with pytest.raises(SquashfsFailed, match=message):
        writer.write(image([tar({"random": os.urandom(3_000_000)})]), NAME, tmp_path / "image.sif")
    assert (tmp_path / "image.sif").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["image.sif"]


@pytest.mark.parametrize("size", ["256k", "1792k", "3m"])
def test_the_error_names_a_full_disk(tmp_path: Path, size: str) -> None:
    """A disk that becomes full, for the file system or for the SIF, has an error of its own. No file is left."""
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", tmp_path]).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        with pytest.raises(DiskFull):
            writer.write(image([tar({"random": os.urandom(2_000_000)})]), NAME, tmp_path / "image.sif")
        assert os.listdir(tmp_path) == []
    finally:
        run("umount", tmp_path)


def test_only_a_file_is_replaced(small: Image, tmp_path: Path) -> None:
    """A folder is not replaced, and a missing folder is named."""
    (tmp_path / "folder.sif").mkdir()
    with pytest.raises(StoreError, match="is not a file"):
        writer.write(small, NAME, tmp_path / "folder.sif")
    with pytest.raises(StoreError, match="nowhere"):
        writer.write(small, NAME, tmp_path / "nowhere" / "image.sif")


@pytest.mark.parametrize(
    ("architecture", "runtime", "message"),
    [
        ("sparc64", {}, "processor 'sparc64'"),
        ("", {}, "processor ''"),
        ("amd64", {"Env": "X=1"}, "'Env'"),
        ("amd64", {"Cmd": [1]}, "'Cmd'"),
        ("amd64", {"Entrypoint": ["a\0b"]}, "'Entrypoint'"),
        ("amd64", {"Labels": ["a"]}, "'Labels'"),
    ],
)
def test_a_configuration_that_is_not_valid_is_refused(
    architecture: str, runtime: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The error names the fault of the configuration, and nothing is written."""
    with pytest.raises(BadImage, match=message):
        writer.write(image([tar({"a": b"1"})], architecture, **runtime), "", tmp_path / "image.sif")
    assert os.listdir(tmp_path) == []
