"""A mirror of Debian is believed only as far as a signature, TLS or the file system vouches for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jupyter_condabuild.debian.mirror import Mirror, NotAtMirror
from jupyter_condabuild.debian.packages import DebianPackage, PackageIndex
from jupyter_condabuild.errors import BaseUnavailable
from tests.parts.debian.mirror import SmallMirror


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Writes nothing."""


@pytest.fixture
def over_http(small_mirror: SmallMirror) -> Iterator[str]:
    """The URL of the mirror at a server without TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(small_mirror.folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def package(mirror: Mirror, name: str) -> DebianPackage:
    index = PackageIndex()
    text = mirror.index(mirror.release("bookworm"), "amd64", lambda sha256, size, chunks: b"".join(chunks))
    index.add(text, mirror.url)
    (found,) = index.closure([name])
    return found


def test_the_signature_of_the_real_archive_is_checked(debian_mirrors: tuple[str, ...], tmp_path: Path) -> None:
    """One changed byte of a signed Release is an error, also where TLS or the file system would vouch for it."""
    mirror = Mirror(debian_mirrors[0])
    release = mirror.release("bookworm")
    assert release.vouched_by == "signed by a key of Debian"
    signed = b"".join(mirror._read("dists/bookworm/InRelease", 1 << 20))
    copy = SmallMirror(tmp_path)
    copy.write("InRelease", signed)
    assert Mirror(copy.url).release("bookworm") == release
    copy.write("InRelease", signed.replace(b"Origin: Debian", b"Origin: debian", 1))
    with pytest.raises(BaseUnavailable, match="signature of the Release of bookworm"):
        Mirror(copy.url).release("bookworm")
    copy.write("InRelease", signed + b"\nCodename: bookworm\n")
    with pytest.raises(BaseUnavailable, match="sends no signed Release"):
        Mirror(copy.url).release("bookworm")


def test_without_a_key_a_folder_is_believed_and_plain_http_is_not(small_mirror: SmallMirror, over_http: str) -> None:
    """A person is told that nobody checked the signature."""
    for keyrings in ((), (Path("/nowhere.gpg"),)):
        release = Mirror(small_mirror.url, keyrings).release("bookworm")
        assert release.vouched_by == "the signature was not checked: the mirror is a folder"
        with pytest.raises(BaseUnavailable, match="Nothing vouches for the mirror"):
            Mirror(over_http, keyrings).release("bookworm")


def test_a_signature_of_nobody_does_not_count(small_mirror: SmallMirror, over_http: str) -> None:
    """With the keyring of Debian, too."""
    with pytest.raises(BaseUnavailable, match="Nothing vouches for the mirror"):
        Mirror(over_http).release("bookworm")


@pytest.mark.parametrize(
    "url", ["ftp://mirror.org/debian", "https://user:secret@mirror.org/debian", "mirror.org", "/debian"]
)
def test_a_url_that_is_no_mirror_is_refused(url: str) -> None:
    """A login is not repeated in the message."""
    with pytest.raises(BaseUnavailable, match="cannot be a mirror") as refused:
        Mirror(url)
    assert "secret" not in refused.value.message


def test_what_is_not_at_the_mirror_is_said(small_mirror: SmallMirror, over_http: str) -> None:
    """In a folder and at a server."""
    for url in (small_mirror.url, over_http):
        with pytest.raises(NotAtMirror, match="dists/trixie/InRelease"):
            Mirror(url).release("trixie")
        assert Mirror(url).answers("bookworm")
        assert not Mirror(url).answers("trixie")


def test_the_release_of_another_suite_is_refused(small_mirror: SmallMirror) -> None:
    """Somebody may have copied a file to a wrong place."""
    text = (small_mirror.folder / "dists/bookworm/InRelease").read_bytes()
    small_mirror.write("InRelease", text.replace(b"Codename: bookworm", b"Codename: buster"))
    with pytest.raises(BaseUnavailable, match="another suite than bookworm"):
        Mirror(small_mirror.url).release("bookworm")


def test_a_package_with_other_bytes_is_refused(small_mirror: SmallMirror, tmp_path: Path) -> None:
    """Shorter, longer, or with another hash."""
    mirror = Mirror(small_mirror.url)
    bash = package(mirror, "bash")
    file = small_mirror.folder / bash.filename
    right = file.read_bytes()
    for number, (wrong, why) in enumerate(
        [
            (right[:-1], "is not the file"),
            (right + b"x", "larger than it may be"),
            (right[:-1] + bytes([right[-1] ^ 1]), "is not the file"),
        ]
    ):
        file.write_bytes(wrong)
        with pytest.raises(BaseUnavailable, match=why):
            mirror.download(bash, tmp_path / str(number))


@pytest.mark.parametrize("data", [b"", b"no index", b"\xfd7zXZ\0"])
def test_a_damaged_index_is_refused(small_mirror: SmallMirror, data: bytes) -> None:
    """Also one whose hash the store has."""
    mirror = Mirror(small_mirror.url)
    with pytest.raises(BaseUnavailable, match="index of bookworm"):
        mirror.index(mirror.release("bookworm"), "amd64", lambda sha256, size, chunks: data)


def test_a_processor_without_packages_is_said(small_mirror: SmallMirror) -> None:
    """The message names the path that the Release does not have."""
    mirror = Mirror(small_mirror.url)
    with pytest.raises(BaseUnavailable, match="binary-s390x"):
        mirror.index(mirror.release("bookworm"), "s390x", lambda sha256, size, chunks: b"")
