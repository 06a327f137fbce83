"""Hostile registries, and names of images that lead anywhere."""

from __future__ import annotations

import atexit
import functools
import json
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from jupyter_condabuild.oci.image import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from tests.torture.case import SECRET, Case, Command, Place
from tests.torture.images import config, descriptor

Answer = Callable[[BaseHTTPRequestHandler], None]
RAW = json.dumps(config()).encode()


def body(data: bytes, media_type: str = OCI_MANIFEST, status: int = 200, **headers: str) -> Answer:
    """An answer of these bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(status)
        for name, value in {"Content-Type": media_type, "Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(data)

    return answer


def document(**changed: object) -> Answer:
    """A manifest, in which some members are changed."""
    value = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor(OCI_CONFIG, RAW), "layers": []}
    return body(json.dumps({**value, **changed}).encode())


def endless(media_type: str = OCI_MANIFEST, status: int = 200) -> Answer:
    """An answer that does not end before the client goes away."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(status)
        handler.send_header("Content-Type", media_type)
        handler.end_headers()
        with suppress(OSError):
            while handler.command != "HEAD":
                handler.wfile.write(b" " * 65536)
        handler.close_connection = True

    return answer


def raw(data: bytes) -> Answer:
    """Bytes that are no HTTP, or hardly."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return answer


def redirect(location: str) -> Answer:
    """A redirect."""
    return body(b"", status=307, Location=location)


def challenge(text: str) -> Answer:
    """A request for a login."""
    return body(b"", status=401, WWW_Authenticate=text)


def _config(data: bytes, **more: object) -> Answer:
    return document(config={**descriptor(OCI_CONFIG, data), **more})


_INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX}
_SELF = descriptor(OCI_INDEX, b"x", platform={"architecture": "amd64", "os": "linux"})

MANIFESTS: dict[str, Answer] = {
    "a manifest without an end": endless(),
    "an error without an end": endless(status=400),
    "a page": body(b"<html>log in</html>", "text/html"),
    "a manifest that is deep": body(b"[" * 100_000),
    "a manifest that is a number": body(b"5"),
    "a manifest of wrong bytes": body(b"\xff\xfe" * 1000),
    "a manifest and an index at once": document(manifests=[]),
    "an index without an image": body(json.dumps({**_INDEX, "manifests": []}).encode(), OCI_INDEX),
    "an index of itself": body(json.dumps({**_INDEX, "manifests": [_SELF]}).encode(), OCI_INDEX),
    "another digest in the header": body(b"{}", Docker_Content_Digest="sha256:" + "0" * 64),
    "a digest that is none": body(b"{}", Docker_Content_Digest="sha256:../../x"),
    "a digest with control characters": body(b"{}", Docker_Content_Digest="\x9b2J"),
    "a redirect to itself": redirect("/v2/r/manifests/1"),
    "a redirect to a file": redirect("file:///etc/passwd"),
    "a redirect to another scheme": redirect("gopher://127.0.0.1/x"),
    "a redirect to nothing": redirect(""),
    "a redirect to a URL that is none": redirect("http://[::1"),
    "a redirect with a login": redirect(f"http://u:{SECRET}@127.0.0.1:9/x"),
    "a realm that is a file": challenge('Bearer realm="file:///etc/passwd"'),
    "a realm that is none": challenge('Bearer realm=""'),
    "a challenge of 60 kB": challenge("Bearer " + "a=b," * 15_000),
    "a challenge of an unknown kind": challenge("\x9b2JNegotiate"),
    "an error with control characters": body(
        json.dumps({"errors": [{"code": "\x1b[2J", "message": "\x9d" * 10_000}]}).encode(), "application/json", 403
    ),
    "an error of another form": body(b'{"errors": {"a": 1}}', "application/json", 403),
    "a status of 999": body(b"", status=999),
    "no HTTP": raw(b"\x00\x01\x02" * 100),
    "a header without an end": raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000),
    "a length that is negative": raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
    "chunks that are none": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    "a chunk of 1 TB": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000\r\n{}"),
    "a configuration of 1 TB": _config(b"x", size=1 << 40),
    "a configuration of 5 MB": _config(b"x" * 5_000_000),
    "a configuration of a negative size": _config(b"x", size=-1),
    "a configuration whose digest leads up": _config(b"x", digest="sha256:../../x"),
    "a configuration that is missing": _config(b"not there"),
    "layers that are a text": document(layers="x"),
    "annotations that are a text": document(annotations="x"),
    "a layer that is a number": document(layers=[1]),
}
"""What a registry answers for the manifest."""

BLOBS: dict[str, tuple[bytes, Answer]] = {
    "another blob": (RAW, body(b"x" * len(RAW))),
    "a blob that is longer": (RAW, body(RAW + b"x")),
    "a blob without an end": (RAW, endless("application/octet-stream")),
    "a blob that is moved to a file": (RAW, redirect("file:///etc/passwd")),
    "a configuration that is no configuration": (b"[]", body(b"[]")),
    "a blob in gzip": (RAW, body(b"\x1f\x8b" + bytes(100), Content_Encoding="gzip")),
}
"""What a registry answers for the blob that its manifest names as the configuration."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def _answer(self) -> None:
        kind, number, what = re.match(r"/v2/(\w+?)(\d+)/x/(\w+)/", self.path + "/").groups()  # type: ignore[union-attr]
        if kind == "r":
            list(MANIFESTS.values())[int(number)](self) if what == "manifests" else body(RAW)(self)
            return
        data, blob = list(BLOBS.values())[int(number)]
        (_config(data) if what == "manifests" else blob)(self)

    do_GET = do_HEAD = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error."""


@functools.cache
def _host() -> str:
    """The host of the registry, which lives as long as this process."""
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    atexit.register(server.server_close)
    return f"127.0.0.1:{server.server_address[1]}"


def _compared(repository: str) -> Callable[[Place], Sequence[Command]]:
    def prepare(place: Place) -> Sequence[Command]:
        empty = place.work / "empty.txt"
        empty.write_text("# platform: linux-64\n@EXPLICIT\n")
        name = f"{_host()}/{repository}:1"
        archive = place.out / "image.tar"
        return [["diff", name, empty], ["build", "--lockfile", empty, "--base", name, "-o", archive]]

    return prepare


NAMES = {
    "a shell's words": "$(touch ../executed)",
    "a name of 100 kB": "a" * 100_000,
    "a name of many parts": "registry.lab.org/" + "a/" * 20_000,
    "a digest that leads up": "registry.lab.org/a@sha256:../../../etc/passwd",
    "control characters": "\x1b[2J\x9b31m\x07",
    "letters that look alike": "registry.lab.org/\uff41\u202e",
    "a URL": f"https://u:{SECRET}@registry.lab.org/a",
    "a path that leads up": "registry.lab.org/../../v2/a",
    "an address that is none": "[::1/a:1",
    "a port that is none": "registry.lab.org:99999999/a",
    "two tags": "registry.lab.org/a:b:c",
    "an archive that is secret": "oci-archive:/etc/shadow",
    "an archive that is a device": "oci-archive:/dev/zero",
    "an archive that is a folder of the system": "oci:/proc/self",
    "an archive without a name": "oci-archive:",
    "an archive of a name of 100 kB": "oci-archive:" + "a" * 100_000,
    "an image of the engine that leads up": "docker-daemon:../../v1/containers",
    "an unknown kind": "containers-storage:/etc",
    "nothing": "",
    "spaces": "   ",
    "a login in the place of a host": f"u:{SECRET}@h/a",
}


def _named(text: str) -> Callable[[Place], Sequence[Command]]:
    return lambda place: [["verify", text], ["diff", text, text]]


def _hidden(name: str) -> Case:
    # The command line shows a user what the user has typed; only a login in a URL is not shown.
    return Case("reference", name, _named(NAMES[name].replace(SECRET, "typed")), refused=True)


CASES = [
    *(_hidden(name) for name in NAMES),
    *(Case("registry", name, _compared(f"r{n}/x"), refused=True) for n, name in enumerate(MANIFESTS)),
    *(Case("registry", name, _compared(f"b{n}/x"), refused=True) for n, name in enumerate(BLOBS)),
]
