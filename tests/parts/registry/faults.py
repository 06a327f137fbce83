"""A registry in the test process that fails on demand, and a relay that counts bytes to a real registry and cuts them.

Nothing here sleeps, because time passes on a `Clock`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jupyter_condabuild.oci.retry import Patience
from tests.parts.registry import streamed


@dataclass(frozen=True)
class Reply:
    """An answer that the fake gives instead of its work. With `after`, the fake does its work first.

    Args:
        take: the number of bytes of the request's body to read; all if None.
        kept: whether the bytes of a PATCH are stored.
        cut: the number of bytes of the answer's body before the connection ends.
        drop: whether the connection ends before any answer.
        hang: whether there is no answer as long as the server lives.
        sized: whether the answer has a length. Otherwise the end of the connection is the end of the body.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    take: int | None = None
    kept: bool = False
    cut: int | None = None
    drop: bool = False
    hang: bool = False
    sized: bool = True
    after: bool = False


@dataclass(frozen=True)
class Seen:
    """A received request, with header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def authorization(self) -> str:
        """The credentials in the request."""
        return self.headers.get("authorization", "")


def spec_error(status: int, code: str, message: str, **headers: str) -> Reply:
    """Returns an error answer in the format of the specification."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Reply(status, {"Content-Type": "application/json", **headers}, body)


class FakeRegistry(ThreadingHTTPServer):
    """A small registry whose answers to chosen requests are scripted.

    Set `guard` to refuse requests before anything else. Call `on` to set the answers to the next matching requests. For
    a method, `restatus` has the status of its successful answers, and `without` the headers that they do not have.
    """

    daemon_threads = False

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tls = context
        self.seen: list[Seen] = []
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.has_referrers = False
        self.uploads: dict[str, bytearray] = {}
        self.cancelled: list[str] = []
        self._numbers = itertools.count()
        self.restatus: Mapping[str, int] = {}
        self.without: Mapping[str, set[str]] = {}
        self.guard: Callable[[Seen], Reply | None] = lambda seen: None
        self._script: list[tuple[str, re.Pattern[str], Reply]] = []
        self._lock = threading.Lock()
        self.ending = threading.Event()
        self.connections: set[socket.socket] = set()

    @property
    def port(self) -> int:
        """The port on this machine."""
        return int(self.server_address[1])

    @property
    def host(self) -> str:
        """The host and port, as in an image's name."""
        return f"127.0.0.1:{self.port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refuses our certificate, or closes the connection, is no error here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Sets the replies, one each, to the next requests with this method and a path that matches the pattern."""
        self._script += [(method, re.compile(path), reply) for reply in replies]

    def times(self, method: str, path: str = "") -> int:
        """Returns the number of such requests."""
        return sum(seen.method == method and re.search(path, seen.path) is not None for seen in self.seen)

    def put(self, repository: str, data: bytes) -> str:
        """Stores a blob, and returns its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs.setdefault(repository, {})[digest] = data
        return digest

    def put_manifest(self, repository: str, target: str, media_type: str, raw: bytes) -> None:
        """Stores a manifest under its digest and under `target`."""
        for name in (target, f"sha256:{hashlib.sha256(raw).hexdigest()}"):
            self.manifests.setdefault(repository, {})[name] = (media_type, raw)

    def scripted(self, method: str, path: str) -> Reply | None:
        """Returns and removes the next reply for this request."""
        with self._lock:
            for index, (wanted, pattern, reply) in enumerate(self._script):
                if wanted == method and pattern.search(path):
                    del self._script[index]
                    return reply
        return None

    def varied(self, method: str, reply: Reply) -> Reply:
        """Returns a successful answer as another registry would give it."""
        if reply.status >= 300:
            return reply
        headers = {name: text for name, text in reply.headers.items() if name not in self.without.get(method, ())}
        return replace(reply, status=self.restatus.get(method, reply.status), headers=headers)

    def answer(self, seen: Seen) -> Reply:
        """Handles a request as a registry does (distribution-spec v1.1)."""
        url = urlsplit(seen.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/v2/":
            return Reply()
        match = re.fullmatch(
            r"/v2/(?P<name>.+?)/(?P<kind>blobs/uploads|blobs|manifests|tags|referrers)/(?P<rest>[^/]*)", url.path
        )
        if match is None:
            return spec_error(404, "NAME_UNKNOWN", "no such place")
        action: Callable[..., Reply] = getattr(self, "_" + match["kind"].replace("/", "_"))
        return action(seen, match["name"], match["rest"], query)

    def _blobs(self, seen: Seen, name: str, digest: str, query: Mapping[str, str]) -> Reply:
        data = self.blobs.get(name, {}).get(digest)
        if data is None:
            return spec_error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        if wanted := re.fullmatch(r"bytes=([0-9]+)-", seen.headers.get("range", "")):
            start = int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Reply(206, headers, data[start:])
        return Reply(200, headers, data)

    def _blobs_uploads(self, seen: Seen, name: str, upload: str, query: Mapping[str, str]) -> Reply:
        if seen.method == "POST":
            if (digest := query.get("mount", "")) in self.blobs.get(query.get("from", ""), {}):
                self.put(name, self.blobs[query["from"]][digest])
                return Reply(201, {"Location": f"/v2/{name}/blobs/{digest}"})
            upload = f"u{next(self._numbers)}"
            self.uploads[upload] = bytearray()
            return Reply(202, {"Location": f"/v2/{name}/blobs/uploads/{upload}?state=a%2Bb", "Range": "0-0"})
        if upload not in self.uploads:
            return spec_error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        data = self.uploads[upload]
        if seen.method == "DELETE":
            self.cancelled.append(upload)
            del self.uploads[upload]
            return Reply(204)
        start = re.match(r"([0-9]+)-", seen.headers.get("content-range", ""))
        if seen.method == "PATCH" and start and int(start[1]) != len(data):
            return spec_error(416, "BLOB_UPLOAD_INVALID", "out of order", Range=f"0-{max(0, len(data) - 1)}")
        data += seen.body
        headers = {"Location": f"/v2/{name}/blobs/uploads/{upload}?state=a%2Bb", "Range": f"0-{max(0, len(data) - 1)}"}
        if seen.method != "PUT":
            return Reply(202 if seen.method == "PATCH" else 204, headers)
        del self.uploads[upload]
        if hashlib.sha256(data).hexdigest() != query["digest"].removeprefix("sha256:"):
            return spec_error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        return Reply(201, {"Location": "/", "Docker-Content-Digest": self.put(name, bytes(data))})

    def _referrers(self, seen: Seen, name: str, digest: str, query: Mapping[str, str]) -> Reply:
        if not self.has_referrers:
            return Reply(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
        found = []
        for target, (media_type, raw) in self.manifests.get(name, {}).items():
            value = json.loads(raw)
            if ":" in target and value.get("subject", {}).get("digest") == digest:
                entry = {"mediaType": media_type, "digest": target, "size": len(raw)}
                found.append(entry | {key: value[key] for key in ("artifactType", "annotations") if key in value})
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": found}
        return Reply(200, {"Content-Type": index["mediaType"]}, json.dumps(index).encode())  # type: ignore[dict-item]

    def _tags(self, seen: Seen, name: str, rest: str, query: Mapping[str, str]) -> Reply:
        tags = [target for target in self.manifests.get(name, {}) if ":" not in target]
        return Reply(200, {"Content-Type": "application/json"}, json.dumps({"name": name, "tags": tags}).encode())

    def _manifests(self, seen: Seen, name: str, target: str, query: Mapping[str, str]) -> Reply:
        if seen.method == "PUT":
            self.put_manifest(name, target, seen.headers["content-type"], seen.body)
            digest = f"sha256:{hashlib.sha256(seen.body).hexdigest()}"
            headers = {"Location": "/", "Docker-Content-Digest": digest}
            if self.has_referrers and (subject := json.loads(seen.body).get("subject")):
                headers["OCI-Subject"] = subject["digest"]
            return Reply(201, headers)
        media_type, raw = self.manifests.get(name, {}).get(target, ("", b""))
        if not media_type:
            return spec_error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if seen.method == "DELETE":
            self.manifests[name] = {key: value for key, value in self.manifests[name].items() if value[1] != raw}
            return Reply(202)
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        return Reply(200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, raw)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeRegistry

    def setup(self) -> None:
        if self.server.tls:
            self.request.settimeout(10)
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.server.connections.add(self.request)
        super().setup()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        self.server.connections.discard(self.request)
        if self.server.tls:
            self.request.close()

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True

    def _serve(self) -> None:
        reply = self.server.scripted(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        take = length if reply is None or reply.take is None else reply.take
        headers = {name.lower(): value for name, value in self.headers.items()}
        is_streamed = headers.get("transfer-encoding") == "chunked"
        body = streamed.read(self.rfile, take) if is_streamed else self.rfile.read(take)
        seen = Seen(self.command, self.path, headers, body)
        self.server.seen.append(seen)
        if reply is None:
            reply = self.server.guard(seen) or self.server.varied(seen.method, self.server.answer(seen))
        elif reply.after:
            self.server.answer(seen)
        elif reply.kept:
            self.server.uploads[urlsplit(self.path).path.rpartition("/")[2]] += seen.body
        if reply.hang:
            self.server.ending.wait(10)
        if reply.drop or reply.hang or take < length:
            self.close_connection = True
        if not (reply.drop or reply.hang):
            self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        length = {"Content-Length": str(len(reply.body))} if reply.sized else {"Connection": "close"}
        for name, value in {**length, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body if reply.cut is None else reply.body[: reply.cut])
        if reply.cut is not None or not reply.sized:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[FakeRegistry]:
    """A running fake registry."""
    with FakeRegistry(context) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.ending.set()
            server.shutdown()
            for connection in tuple(server.connections):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            thread.join()


class Relay:
    """A relay between clients and a server. It counts bytes, and cuts connections above a limit."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.sent = self.received = 0
        self.cut_sent_at: int | None = None
        self.cut_received_at: int | None = None

    @property
    def host(self) -> str:
        """The host and port, as in an image's name."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Relay:
        self._start(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in (self._listener, *self._sockets):
            self._end(connection)
        for thread in self._threads:
            thread.join()
        for connection in (self._listener, *self._sockets):
            connection.close()

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            self._start(self._pass, client, server, "sent")
            self._start(self._pass, server, client, "received")

    def _pass(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        try:
            while data := source.recv(65536):
                total = getattr(self, direction) + len(data)
                setattr(self, direction, total)
                limit = getattr(self, f"cut_{direction}_at")
                if limit is not None and total > limit:
                    setattr(self, f"cut_{direction}_at", None)
                    break
                sink.sendall(data)
        except OSError:
            pass
        for connection in (source, sink):
            self._end(connection)
            connection.close()

    @staticmethod
    def _end(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class Clock:
    """A clock whose time passes only in sleeps. It records each sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Advances the clock without a wait."""
        self.waits.append(seconds)
        self.now += seconds

    @property
    def patience(self) -> Patience:
        """The usual retry policy with this clock, without random waits."""
        return Patience(clock=lambda: self.now, sleep=self.sleep, jitter=lambda: 1.0)
