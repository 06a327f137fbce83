"""A channel's host with a few files: it requires a login, redirects paths, and records requests."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Host:
    """A host that records its requests.

    Args:
        login: the required ``user:password``.
        moved: the target URLs of redirected paths.
        sends_parts: whether it sends parts of files (RFC 9110, 14.2).

    Attributes:
        seen: the requests as ``METHOD path``.
        logins: the logins of the requests, empty for none.
        referers: the `Referer` headers of the requests.
    """

    files: dict[str, bytes]
    login: str = ""
    moved: dict[str, str] = field(default_factory=dict)
    sends_parts: bool = False
    seen: list[str] = field(default_factory=list)
    logins: set[str] = field(default_factory=set)
    referers: list[str] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def serving(self) -> Iterator[Host]:
        """Listens on loopback, at `url`."""
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "").removeprefix("Basic ")
                login = base64.b64decode(given).decode()
                host.seen.append(f"{self.command} {self.path}")
                host.logins.add(login)
                host.referers += [self.headers["Referer"]] if "Referer" in self.headers else []
                data = host.files.get(self.path)
                if login != host.login:
                    self.send_error(401)
                elif self.path in host.moved:
                    self.send_response(302)
                    self.send_header("Location", host.moved[self.path])
                    self.end_headers()
                elif data is None:
                    self.send_error(404)
                else:
                    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
                    if asked and host.sends_parts:
                        first = int(asked[1]) if asked[1] else max(0, len(data) - int(asked[2]))
                        last = min(len(data), int(asked[2]) + 1) if asked[1] and asked[2] else len(data)
                        self.send_response(206)
                        self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(data)}")
                        data = data[first:last]
                    else:
                        self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    if self.command == "GET":
                        self.wfile.write(data)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()
