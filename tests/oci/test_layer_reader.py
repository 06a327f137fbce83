"""A layer is read as a stream. A hostile layer is refused before it takes memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from jupyter_condabuild.errors import BadImage, ContentMismatch
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest
from jupyter_condabuild.oci.layer_reader import entries
from jupyter_condabuild.system.zstd import zstd
from tests.parts.small_image import Memory

WIDE = bytes.fromhex("28b52ffd0090010000")
"""A frame of zstd whose reader must keep 256 MiB (RFC 8878, section 3.1.1.1.2)."""

Found = list[tuple[str, str, bytes]]


def header(name: str, kind: bytes, size: int) -> bytes:
    """Returns the header of an entry, with any data after it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def read(raw: bytes, limit: int | None = None) -> Found:
    """Returns the names, link targets and contents of a layer's entries."""
    layer = Descriptor(OCI_LAYER_GZIP, Digest.of(raw), len(raw))
    source = Memory({layer.digest: raw})
    return [
        (member.name, member.linkname, content.read() if content else b"")
        for member, content in entries(source, layer, limit)
    ]


def frames(data: bytes) -> bytes:
    """Compresses with zstd in several frames, with one between them that a reader skips (RFC 8878, section 3.1.2)."""
    skipped = bytes.fromhex("502a4d1803000000") + b"abc"
    return zstd.compress(data[:700]) + skipped + zstd.compress(data[700:]) + skipped


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress, frames])
def test_every_entry_of_a_layer_is_read(form: int, pack: Callable[[bytes], bytes]) -> None:
    """Long names and targets, folders, links and files are read, compressed or not. An entry can be skipped."""
    long = "a/" + "é" * 200
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, kind, target, data in (
            ("d/", tarfile.DIRTYPE, "", b""),
            (long, tarfile.REGTYPE, "", b"x" * 5000),
            ("l", tarfile.SYMTYPE, long, b""),
            ("h", tarfile.LNKTYPE, "d/f", b""),
            ("d/f", tarfile.REGTYPE, "", b""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(data)
            tar.addfile(info, io.BytesIO(data))
    raw = pack(out.getvalue())
    expected = [("d", "", b""), (long, "", b"x" * 5000), ("l", long, b""), ("h", "d/f", b""), ("d/f", "", b"")]
    assert read(raw) == expected
    layer = Descriptor(OCI_LAYER_GZIP, Digest.of(raw), len(raw))
    assert [member.name for member, _ in entries(Memory({layer.digest: raw}), layer)] == [e[0] for e in expected]


def pax(key: str, value: bytes) -> bytes:
    """Returns an extended header with one record, as a whole entry."""
    size = len(key) + len(value) + 3
    record = b"%d %s=%s\n" % (size + len(str(size + 1)), key.encode(), value)
    return header("x", tarfile.XHDTYPE, len(record)) + record + bytes(-len(record) % 512)


MANY = b"".join(pax("comment", b"c" * 100_000) for _ in range(12))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (header("x", tarfile.XHDTYPE, 1_200_000_000) + bytes(1 << 20), "extended headers"),
        (header("x", tarfile.GNUTYPE_LONGNAME, 1 << 40), "extended headers"),
        (header("x", tarfile.XGLTYPE, 1 << 30), "extended headers"),
        (MANY + header("a", tarfile.REGTYPE, 0), "extended headers"),
        (pax("GNU.sparse.size", b"9" * 12) + header("a", tarfile.REGTYPE, 0), "sparse"),
        (header("a", tarfile.GNUTYPE_SPARSE, 10) + bytes(1024), "sparse"),
        (pax("size", b"-5") + header("a", tarfile.REGTYPE, 0), "not a size"),
        (header("a", tarfile.REGTYPE, 1 << 40) + bytes(512), "cut off"),
        (b"\x1f\x8b" + bytes(100), "decompressed"),
        (gzip.compress(bytes(10_000), mtime=0)[:-4], "decompressed"),
        (zstd.compress(bytes(10_000))[:4] + bytes(100), "decompressed"),
        (zstd.compress(bytes(10_000))[:-4], "decompressed"),
        (WIDE, "decompressed"),
        (b"no tar at all" * 100, "not a tar"),
        (b"", "cut off"),
    ],
)
def test_a_hostile_layer_is_refused(raw: bytes, said: str) -> None:
    """Huge headers, sparse files, invalid sizes, cut data and data that is not a tar give a message."""
    with pytest.raises(BadImage, match=said):
        read(raw)


def test_a_bomb_takes_no_memory() -> None:
    """2 GB of zeros in 2 MB of gzip end at the limit. Each part is small."""
    bomb = gzip.compress(header("a", tarfile.REGTYPE, 1 << 31) + bytes(1 << 25), 1)

    class Endless:
        """A source that repeats the bomb."""

        def read(self, descriptor: Descriptor) -> Iterator[bytes]:
            for _ in range(64):
                yield bomb

    layer = Descriptor(OCI_LAYER_GZIP, Digest.of(bomb), len(bomb))
    tracemalloc.start()
    with pytest.raises(BadImage, match="more than 67108864 bytes"):
        for _ in entries(Endless(), layer, 64 << 20):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_bytes_after_the_end_are_verified() -> None:
    """The digest includes the bytes after the last entry."""

    class Longer(Memory):
        """A source whose last byte shows a wrong digest, like the sources of registries and archives."""

        def read(self, descriptor: Descriptor) -> Iterator[bytes]:
            yield from super().read(descriptor)
            raise ContentMismatch("another digest")

    raw = header("a", tarfile.REGTYPE, 0) + bytes(20_000)
    layer = Descriptor(OCI_LAYER_GZIP, Digest.of(raw), len(raw))
    with pytest.raises(ContentMismatch):
        list(entries(Longer({layer.digest: raw}), layer))
