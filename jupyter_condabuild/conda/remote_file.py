"""RemoteFile: a file at a server, of which only the parts are transferred that are read."""

from __future__ import annotations

import io
import re

from jupyter_condabuild.conda.logins import open_url

_PART = 64 << 10
_MOST = 64 << 20


class RemoteFile(io.RawIOBase):
    """A file at a server that sends parts of files (RFC 9110, 14.2). Raises OSError if it does not."""

    def __init__(self, url: str, seconds: float) -> None:
        """Reads the end of a file. `seconds` is the time for a request."""
        self._url = url
        self._seconds = seconds
        self._place = 0
        self._start, self._data, self._size = self._part(f"-{_PART}")

    def _part(self, text: str) -> tuple[int, bytes, int]:
        """Returns the first place of a part, its bytes, and the size of the file."""
        with open_url(self._url, self._seconds, headers={"Range": f"bytes={text}"}) as response:
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range") or "")
            if response.status != 206 or not match:
                raise OSError("the server does not send parts of files")
            return int(match[1]), response.read(_MOST), int(match[2])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence])
        return self._place

    def read(self, size: int = -1) -> bytes:
        wanted = min(self._size - self._place if size < 0 else size, self._size - self._place, _MOST)
        if wanted <= 0:
            return b""
        if not self._start <= self._place <= self._place + wanted <= self._start + len(self._data):
            last = min(self._size, self._place + max(wanted, _PART)) - 1
            self._start, self._data, _ = self._part(f"{self._place}-{last}")
        first = self._place - self._start
        data = self._data[first : first + wanted] if first >= 0 else b""
        self._place += len(data)
        return data
