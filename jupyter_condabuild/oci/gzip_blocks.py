"""Writes a gzip file of independent blocks, so that several threads compress it, and always to the same bytes.

Each block of the content is compressed without the bytes before it, and ends with a full flush. All blocks together are
one member of a gzip file, which every program can read.

Source: RFC 1951 section 3.2 for the blocks; RFC 1952 for the header and the end of the file.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple

from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.system.opening import read_into

BLOCK = 1 << 20
"""The bytes of the content in a block. A gain or a loss of a few bytes in a layer changes all blocks after it."""

_HEADER = bytes.fromhex("1f8b08000000000000ff")  # deflate; no name, no time, no system
_END = b"\x03\x00"  # the last block, which is empty
_FIRST = 8
"""The bytes of a block that are flushed alone, see `_packed`. The loop for long inputs leaves so few to another one."""

_APART = 64 << 10
"""The bytes from which a part of a file is hashed by a thread: handing it over takes as long as hashing 20 kB."""


class Written(NamedTuple):
    """What was written: digest and size of the compressed bytes, and digest and size of the content."""

    digest: Digest
    size: int
    content_digest: Digest
    content_size: int


class _Sent(NamedTuple):
    """A block whose compression has begun. `hashed` ends when no other thread reads the block."""

    block: bytearray
    size: int
    packed: Future[tuple[bytes, int]]
    hashed: tuple[Future[None] | None, ...]


class GzipBlocks:
    """Compresses, hashes and writes bytes. A context manager.

    Args:
        out: a file that is open for writing.
        level: the compression level of isal, 0 to 3.
        threads: how many threads compress. With one, all work is done by the caller's thread; with more, one thread
            hashes the content, and one the files that `read` reads.
        progress: called with the number of bytes of the content since the last call.
    """

    def __init__(self, out: BinaryIO, level: int, threads: int, progress: Callable[[int], None]) -> None:
        self._out = out
        self._level = level
        self._progress = progress
        self._content, self._digest = hashlib.sha256(), hashlib.sha256()
        self._crc = self._size = self._content_size = 0
        self._block, self._used = bytearray(BLOCK), 0
        self._threads = threads
        self._pools = [ThreadPoolExecutor(count) for count in (threads, 1, 1)] if threads > 1 else []
        self._sent: deque[_Sent] = deque()
        self._free: list[bytearray] = []
        self._last_part: Future[None] | None = None  # of a file; a thread hashes one part after the other

    def __enter__(self) -> GzipBlocks:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    @property
    def position(self) -> int:
        """The bytes of the content until now."""
        return self._content_size + self._used

    def add(self, data: bytes) -> None:
        """Adds bytes to the content."""
        while len(data) > (free := BLOCK - self._used):
            self._fill(data[:free])
            data = data[free:]
        self._fill(data)

    def read(self, descriptor: int, most: int, hasher: Any = None) -> int:
        """Adds at most `most` bytes that a file gives next, and returns their number; 0 at the end of the file.

        Args:
            hasher: a hash object of hashlib that gets the same bytes. `settle` returns when it has all of them.
        """
        view = memoryview(self._block)[self._used : min(BLOCK, self._used + most)]
        count = read_into(descriptor, view)
        if hasher and self._pools and count >= _APART:
            self._last_part = self._pools[2].submit(hasher.update, view[:count])
        elif hasher:
            self.settle()
            hasher.update(view[:count])
        self._moved(count)
        return count

    def settle(self) -> None:
        """Waits until all hashers of `read` have their bytes."""
        if self._last_part:
            self._last_part.result()

    def finish(self) -> Written:
        """Writes the end of the file. Nothing can be added afterwards."""
        if self._used:
            self._compress()
        while self._sent:
            self._collect()
        self._put(_END + self._crc.to_bytes(4, "little") + (self._content_size % (1 << 32)).to_bytes(4, "little"))
        self._out.flush()
        content = Digest(self._content.hexdigest())
        return Written(Digest(self._digest.hexdigest()), self._size, content, self._content_size)

    def _fill(self, data: bytes) -> None:
        self._block[self._used : self._used + len(data)] = data
        self._moved(len(data))

    def _moved(self, count: int) -> None:
        self._used += count
        if self._used == BLOCK:
            self._compress()

    def _compress(self) -> None:
        """Compresses the current block, or has it compressed, and begins the next one."""
        size, self._used = self._used, 0
        self._content_size += size
        view = memoryview(self._block)[:size]
        if not self._pools:
            self._content.update(view)
            self._take(*_packed(view, self._level), size)
            return
        packing, hashing, _ = self._pools
        packed = packing.submit(_packed, view, self._level)
        hashed = hashing.submit(self._content.update, view)
        self._sent.append(_Sent(self._block, size, packed, (hashed, self._last_part)))
        while len(self._sent) > self._threads + 1 or (self._sent and self._sent[0].packed.done()):
            self._collect()
        self._block = self._free.pop() if self._free else bytearray(BLOCK)

    def _collect(self) -> None:
        sent = self._sent.popleft()
        self._take(*sent.packed.result(), sent.size)
        for hashed in filter(None, sent.hashed):
            hashed.result()
        self._free.append(sent.block)

    def _take(self, data: bytes, crc: int, size: int) -> None:
        """Writes a compressed block. `crc` and `size` are those of its content."""
        from isal import isal_zlib

        self._crc = isal_zlib.crc32_combine(self._crc, crc, size)
        self._put(data)
        self._progress(size)

    def _put(self, data: bytes) -> None:
        if not self._size:
            data = _HEADER + data
        self._digest.update(data)
        self._size += len(data)
        self._out.write(data)


def _packed(block: memoryview, level: int) -> tuple[bytes, int]:
    """Returns the compressed bytes of a block, and the CRC-32 of the block.

    The first bytes are flushed alone. Otherwise isal begins with its loop for long inputs, which takes the hash of the
    third byte from a register that nobody has set (ISA-L 2.31, igzip_icf_body_h1_gr_bt.asm, `.write_first_byte`): it
    has the address of the compressor's memory, so that one block in 5,000 would get other bytes.
    """
    from isal import isal_zlib  # imported here, because code that only reads layers does not need it

    compressor = isal_zlib.compressobj(level, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
    parts = (
        compressor.compress(block[:_FIRST]),
        compressor.flush(isal_zlib.Z_SYNC_FLUSH),
        compressor.compress(block[_FIRST:]),
        compressor.flush(isal_zlib.Z_FULL_FLUSH),
    )
    return b"".join(parts), isal_zlib.crc32(block)
