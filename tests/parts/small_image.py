"""Images of a few bytes for tests: real layers. One layer has programs that need no other file."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.image import (
    OCI_LAYER_GZIP,
    Descriptor,
    Digest,
    Image,
    ImageConfig,
    Manifest,
    canonical_json,
)
from jupyter_condabuild.oci.index import Index, entry_of
from tests.conftest import missing


class Memory:
    """Blobs in memory, as a `BlobSource`."""

    def __init__(self, blobs: Mapping[Digest, bytes], chunk: int = 50_000) -> None:
        self.blobs = dict(blobs)
        self.chunk = chunk

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        blob = self.blobs[descriptor.digest]
        for start in range(0, len(blob), self.chunk):
            yield blob[start : start + self.chunk]


class Failing(Memory):
    """Blobs whose reading fails after some bytes."""

    def __init__(self, source: Memory, error: BaseException) -> None:
        super().__init__(source.blobs)
        self.error = error

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yields some bytes of a blob, and raises the error."""
        yield next(super().read(descriptor))
        raise self.error


def blobs(made: Image) -> Memory:
    """Returns the source of the layers of an image of this module."""
    return next(iter(made.sources.values()))  # type: ignore[return-value]


def from_source(made: Image, source: Memory) -> Image:
    """Returns an image whose layers come from another source."""
    return Image(made.manifest, made.config, dict.fromkeys(made.sources, source))


def tar(files: Mapping[str, bytes], mode: int = 0o644) -> bytes:
    """Returns a tar with these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def image(layers: Sequence[bytes], architecture: str = "amd64", **runtime: Any) -> Image:
    """Returns an image of these tars, compressed with gzip."""
    blobs = {Digest.of(layer): gzip.compress(layer, mtime=0) for layer in layers}
    descriptors = [
        Descriptor(OCI_LAYER_GZIP, Digest.of(blobs[diff_id]), len(blobs[diff_id])) for diff_id in map(Digest.of, layers)
    ]
    value = {
        "architecture": architecture,
        "os": "linux",
        "config": runtime,
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer)) for layer in layers]},
    }
    config = ImageConfig.parse(canonical_json(value))
    source = Memory({Digest.of(blob): blob for blob in blobs.values()})
    return Image(Manifest.make(config.descriptor, descriptors), config.raw, {d.digest: source for d in descriptors})


def two_platforms(path: Path, content: bytes = b"1\n") -> str:
    """Writes a base with an image for each of two processors, and returns it as a value of `--base`."""
    images = [
        image([programs(), tar({"etc/base": content + processor.encode()})], processor, Env=["PATH=/bin"])
        for processor in ("amd64", "arm64")
    ]
    index = Index.make([entry_of(made.manifest, ImageConfig.parse(made.config)) for made in images])
    archive.write_files(archive.index_entries(index, images, ""), path)
    return f"oci-archive:{path}"


def program(code: bytes) -> bytes:
    """Returns a static ELF executable for x86-64 with this machine code."""
    start = 0x400000
    magic = b"\x7fELF\x02\x01\x01"
    header = struct.pack("<16sHHIQQQIHHHHHH", magic, 2, 62, 1, start + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = 120 + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 0x1000) + code


HELLO = b"hello from inside\n"
SAYS_HELLO = program(
    b"\xb8\x01\0\0\0\xbf\x01\0\0\0\x48\x8d\x35\x13\0\0\0"  # write(1, HELLO, …
    b"\xba"
    + struct.pack("<I", len(HELLO))
    + b"\x0f\x05\xb8\x3c\0\0\0\xbf\x07\0\0\0\x0f\x05"  # …); exit(7)
    + HELLO
)
WAITS = program(b"\xb8\x22\0\0\0\x0f\x05\xeb\xf7")  # for ever: pause()


def programs() -> bytes:
    """Returns a layer with /hello, which prints HELLO and exits with 7, and /wait, which does not end."""
    return tar({"hello": SAYS_HELLO, "wait": WAITS}, 0o755)


NAME = "registry.lab.org/team/env:v1"
ETC, OPT = tar({"etc/name": b"value\n"}), tar({"opt/env/data": bytes(range(256)) * 1000})


def three_layers() -> Image:
    """Returns an image of three layers, two of which are equal."""
    return image([ETC, OPT, ETC], Cmd=["/hello"], Env=["PATH=/opt/env/bin"], Labels={"a": "b"})


def run(*command: str | Path) -> str:
    """Returns the output of a program that checks images. The test fails if the program fails."""
    if not shutil.which(str(command[0])):
        missing(f"{command[0]} is not installed")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def content(image: Image) -> list[bytes]:
    """Returns the stored bytes of an image's layers."""
    return [b"".join(image.read(layer)) for layer in image.manifest.layers]


def add(out: tarfile.TarFile, name: str, data: bytes) -> None:
    """Adds a file to a tar."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    out.addfile(member, io.BytesIO(data))


def members(path: Path) -> dict[str, bytes]:
    """Returns the files of a tar."""
    with tarfile.open(path) as tarball:
        return {member.name: tarball.extractfile(member).read() for member in tarball}  # type: ignore[union-attr]
