"""Bodies of requests whose length is not known: chunks with their sizes (RFC 9112 section 7.1)."""

from __future__ import annotations

from typing import BinaryIO


def read(file: BinaryIO, take: int) -> bytes:
    """Reads a body; with `take`, its beginning of at least so many bytes. Raises ConnectionResetError if it ends."""
    body = bytearray()
    while True:
        if not (line := file.readline()):
            raise ConnectionResetError("The client has ended its body too early.")
        size = int(line, 16)
        body += file.read(size)
        file.readline()
        if not size or (take and len(body) >= take):
            return bytes(body)
