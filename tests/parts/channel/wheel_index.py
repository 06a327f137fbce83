"""A package index on loopback that answers in JSON, with wheels that are made for the test."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.parts.channel_host import Host


@dataclass
class WheelIndex:
    """An index. Its projects are at ``url``, as in ``pip --index-url``."""

    host: Host
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.host.url}/simple"

    def wheel(
        self,
        name: str,
        version: str = "1.0",
        tag: str = "py3-none-any",
        *,
        requires: tuple[str, ...] = (),
        files: Mapping[str, bytes] | None = None,
        metadata: bool = True,
    ) -> bytes:
        """Publishes a wheel. Without `metadata`, the index does not serve its METADATA alone. Returns the wheel."""
        module = name.replace("-", "_")
        info = f"{module}-{version}.dist-info"
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        text += "".join(f"Requires-Dist: {spec}\n" for spec in requires)
        pure = "true" if tag.endswith("-any") else "false"
        content = {f"{module}.py": f"VERSION = {version!r}\nTAG = {tag!r}\n".encode(), **(files or {})}
        content |= {f"{info}/METADATA": text.encode()}
        content |= {f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: {tag}\n".encode()}
        lines = [f"{path},{_hash(data)},{len(data)}" for path, data in content.items()]
        content[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            for path, data in content.items():
                archive.writestr(zipfile.ZipInfo(path), data)
        extra = {"core-metadata": True} if metadata else {}
        self.publish(name, f"{module}-{version}-{tag}.whl", written.getvalue(), **extra)
        if metadata:
            self.host.files[f"/files/{module}-{version}-{tag}.whl.metadata"] = text.encode()
        return written.getvalue()

    def sdist(self, name: str, version: str = "1.0") -> None:
        """Publishes a source distribution."""
        self.publish(name, f"{name.replace('-', '_')}-{version}.tar.gz", b"source")

    def publish(self, name: str, filename: str, data: bytes, **members: Any) -> None:
        """Publishes a file."""
        self.host.files[f"/files/{filename}"] = data
        digest = hashlib.sha256(data).hexdigest()
        entry = {
            "filename": filename,
            "url": f"../../files/{filename}",
            "hashes": {"sha256": digest},
            "size": len(data),
            **members,
        }
        self.entries.setdefault(name, []).append(entry)
        answer = {"meta": {"api-version": "1.1"}, "name": name, "files": self.entries[name]}
        self.host.files[f"/simple/{name}/"] = json.dumps(answer).encode()


def _hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"sha256={digest}"


@contextmanager
def serving() -> Iterator[WheelIndex]:
    """Serves an empty index."""
    with Host({}, sends_parts=True).serving() as host:
        yield WheelIndex(host)
