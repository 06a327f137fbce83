"""Mirror: reads the indexes and the packages of a Debian mirror, and checks each hash from the signed Release on.

The signature of InRelease is checked with gpgv and Debian's keyring where this machine has both. Without them, TLS
vouches for the mirror, or the file system for a mirror in a folder; plain HTTP is refused.

Source: wiki.debian.org/DebianRepository/Format; gpgv(1) and gnupg's doc/DETAILS for the status lines.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from jupyter_condabuild.certificates import client_context
from jupyter_condabuild.debian.packages import DebianPackage, parse_fields
from jupyter_condabuild.errors import BaseUnavailable
from jupyter_condabuild.proxies import Proxies

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg"),
)
"""Where Debian, and distributions that can make a Debian, have the keys of Debian's archive."""

MOST_RELEASE, MOST_INDEX, MOST_INDEX_TEXT, MOST_PACKAGE = 4 << 20, 64 << 20, 512 << 20, 256 << 20
"""The largest sizes in bytes of a Release, of an index (compressed, and not), and of a package."""

_ONE_MESSAGE = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\n(?!.*^-----BEGIN PGP SIGNED)"
    rb".*^-----BEGIN PGP SIGNATURE-----\n[^-]*^-----END PGP SIGNATURE-----\n*",
    re.DOTALL | re.MULTILINE,
)
"""One signed text and nothing before or after it, so that all that is read was signed."""

_SECONDS = 30
_CHUNK = 1 << 18


class NotAtMirror(BaseUnavailable):
    """The mirror has no such file."""


@dataclass(frozen=True)
class Release:
    """A checked Release of a suite: its time, its version, and for each path its size in bytes and its sha256.

    `vouched_by` says in words why the Release is believed.
    """

    suite: str
    time: datetime
    version: str
    files: dict[str, tuple[int, str]]
    vouched_by: str


class Mirror:
    """A mirror of a Debian archive at a URL: https, http or file, as ``https://deb.debian.org/debian``."""

    def __init__(self, url: str, keyrings: tuple[Path, ...] = KEYRINGS) -> None:
        """Raises BaseUnavailable if the URL has another scheme, or a login, which would be shown in messages."""
        self.url = url.rstrip("/")
        self._keyrings = [keyring for keyring in keyrings if keyring.is_file()]
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http", "file") or "@" in parts.netloc:
            raise BaseUnavailable(
                f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} cannot be a mirror of Debian.",
                "A mirror is a URL without a login that begins with https, http or file.",
            )
        self._scheme = parts.scheme

    def answers(self, suite: str, seconds: float = _SECONDS) -> bool:
        """Whether the mirror has a suite, and says so within some seconds."""
        try:
            return any(self._read(f"dists/{suite}/InRelease", MOST_RELEASE, seconds))
        except BaseUnavailable:
            return False

    def release(self, suite: str) -> Release:
        """Reads and checks the Release of a suite. Raises BaseUnavailable, or NotAtMirror if the suite is not there."""
        text, vouched_by = self._checked(b"".join(self._read(f"dists/{suite}/InRelease", MOST_RELEASE)), suite)
        fields = parse_fields(text)
        if suite not in (fields.get("Codename"), fields.get("Suite")):
            raise BaseUnavailable(f"The mirror {self.url} sends the Release of another suite than {suite}.")
        files: dict[str, tuple[int, str]] = {}
        for line in fields.get("SHA256", "").splitlines():
            words = line.split()
            if len(words) == 3 and words[1].isdecimal():
                files[words[2]] = (int(words[1]), words[0])
        # Who can change what plain HTTP sends could hold back updates with an old Release.
        until = fields.get("Valid-Until", "") if self._scheme == "http" else ""
        if until and self._time(until, suite) < datetime.now(UTC):
            raise BaseUnavailable(
                f"The Release of {suite} at {self.url} was valid until {until}.",
                "Check the clock of this machine, or use another mirror.",
            )
        time = self._time(fields.get("Date", ""), suite)
        return Release(suite, time, fields.get("Version", "")[:40], files, vouched_by)

    def _time(self, text: str, suite: str) -> datetime:
        try:
            return parsedate_to_datetime(text.replace("UTC", "+0000")).astimezone(UTC)
        except (ValueError, OverflowError):
            raise BaseUnavailable(f"The Release of {suite} at {self.url} has no valid time.") from None

    def _checked(self, signed: bytes, suite: str) -> tuple[str, str]:
        """Returns the text of an InRelease, and what vouches for it."""
        if not _ONE_MESSAGE.fullmatch(signed):
            raise BaseUnavailable(f"The mirror {self.url} sends no signed Release of {suite}.")
        gpgv = shutil.which("gpgv")
        if gpgv and self._keyrings:
            # `--output -` writes the signed text alone: what stands around it is nobody's.
            command = [gpgv, "--status-fd", "2", "--output", "-"]
            command += [word for keyring in self._keyrings for word in ("--keyring", str(keyring))]
            done = subprocess.run(command, input=signed, capture_output=True, timeout=_SECONDS, check=False)
            status = {line.split()[1] for line in done.stderr.splitlines() if line.startswith(b"[GNUPG:] ")}
            if b"BADSIG" in status:
                raise BaseUnavailable(f"The signature of the Release of {suite} at {self.url} is wrong.")
            if b"GOODSIG" in status:
                return done.stdout.decode(errors="replace"), "signed by a key of Debian"
        if self._scheme == "http":
            raise BaseUnavailable(
                f"Nothing vouches for the mirror {self.url}: it has no TLS, and the signature of {suite} cannot be "
                "checked here.",
                "Use a mirror with https, or install gpgv and debian-archive-keyring.",
            )
        text = signed.decode(errors="replace").partition("\n\n")[2].partition("\n-----BEGIN PGP SIGNATURE-----")[0]
        vouched = "TLS alone vouches for the mirror" if self._scheme == "https" else "the mirror is a folder"
        return text, f"the signature was not checked: {vouched}"

    def index(self, release: Release, architecture: str, kept: Callable[[str, int, Iterator[bytes]], bytes]) -> str:
        """Returns the text of the index of the component main.

        Args:
            kept: returns the bytes with a sha256 and a size, from a store, or from the given chunks.
        """
        path = f"main/binary-{architecture}/Packages.xz"
        size, sha256 = release.files.get(path) or release.files.get(f"updates/{path}") or (0, "")
        if not sha256:
            raise BaseUnavailable(f"The mirror {self.url} has no {path} in {release.suite}.")
        if size > MOST_INDEX:
            raise BaseUnavailable(f"The index of {release.suite} at {self.url} has {size} bytes.")
        data = kept(sha256, size, self._read(f"dists/{release.suite}/{path}", size))
        try:
            decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, 128 << 20)
            text = decompressor.decompress(data, MOST_INDEX_TEXT)
        except lzma.LZMAError as error:
            raise BaseUnavailable(f"The index of {release.suite} at {self.url} is damaged: {error}.") from None
        if not decompressor.eof:
            raise BaseUnavailable(f"The index of {release.suite} at {self.url} is too large, or cut off.")
        return text.decode(errors="replace")

    def download(self, package: DebianPackage, target: Path) -> None:
        """Downloads a package. Raises BaseUnavailable if its size or its sha256 differs from that of the index."""
        if package.size > MOST_PACKAGE:
            raise BaseUnavailable(f"The package {package.name} has {package.size} bytes.")
        hasher = hashlib.sha256()
        size = 0
        with open(target, "xb") as file:
            for chunk in self._read(package.filename, package.size):
                hasher.update(chunk)
                size += len(chunk)
                file.write(chunk)
        if size != package.size or hasher.hexdigest() != package.sha256:
            raise BaseUnavailable(f"{self.url}/{package.filename} is not the file that the index of the mirror names.")

    def _read(self, path: str, most: int, seconds: float = _SECONDS) -> Iterator[bytes]:
        """Yields the bytes of a file of the mirror, at most `most` of them."""
        url = f"{self.url}/{path}"
        try:
            with self._open(url, seconds) as response:
                while chunk := response.read(_CHUNK):
                    most -= len(chunk)
                    if most < 0:
                        raise BaseUnavailable(f"{url} is larger than it may be.")
                    yield chunk
        except HTTPError as error:
            error.close()
            raise (NotAtMirror if error.code == 404 else BaseUnavailable)(
                f"The mirror answers {error.code} for {url}."
            ) from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            missing = isinstance(reason, FileNotFoundError) or "No such file" in str(reason)
            raise (NotAtMirror if missing else BaseUnavailable)(
                f"The mirror does not give {url}: {str(reason)[:200]}.",
                "Check the network and the proxy, or set another mirror (debian_mirrors).",
            ) from None

    def _open(self, url: str, seconds: float) -> IO[bytes]:
        handlers: list[Any] = [_SameSecurity]
        proxy = Proxies.read().find_for(url)
        handlers.append(urllib.request.ProxyHandler({self._scheme: proxy.url} if proxy and proxy.is_http else {}))
        if self._scheme == "https":
            handlers.append(urllib.request.HTTPSHandler(context=client_context()))
        opened: IO[bytes] = urllib.request.build_opener(*handlers).open(url, timeout=seconds)
        return opened


class _SameSecurity(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but from https to no address without TLS."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise OSError("the mirror redirects to an address without TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
