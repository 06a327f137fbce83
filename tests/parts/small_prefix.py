"""Prefixes of a few bytes for tests: conda-meta as conda or rattler writes it, and the files of pip."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from tests.parts.channel.entry_points import script

CHANNEL = "https://conda.example.org/lab"
SITE = "lib/python3.11/site-packages"


@dataclass
class SmallPrefix:
    """A prefix that grows by method calls. `pkgs` next to it is its package cache, with hard links to its files."""

    path: Path
    like: Literal["conda", "rattler"] = "conda"

    def __post_init__(self) -> None:
        (self.path / "conda-meta").mkdir(parents=True)

    @property
    def pkgs(self) -> Path:
        return self.path.parent / "pkgs"

    def add(
        self,
        name: str,
        version: str = "1.0",
        build: str = "0",
        *,
        files: Mapping[str, bytes] | None = None,
        links: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Path:
        """Installs a package. `fields` replace members of its record. Returns the record's path."""
        dist = f"{name}-{version}-{build}"
        subdir = fields.get("subdir", "linux-64")
        paths = [self._link(dist, path, content) for path, content in (files or {}).items()]
        for path, target in (links or {}).items():
            for place in (self.pkgs / dist / path, self.path / path):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(target)
            paths.append({"_path": path, "path_type": "softlink", "sha256": sha256(b"").hexdigest()})
        record: dict[str, Any] = {
            "name": name,
            "version": version,
            "build": build,
            "build_number": 0,
            "channel": f"{CHANNEL}/{subdir}" if self.like == "conda" else CHANNEL,
            "subdir": subdir,
            "fn": f"{dist}.conda",
            "md5": sha256(dist.encode()).hexdigest()[:32],
            "sha256": sha256(dist.encode()).hexdigest(),
            "url": f"{CHANNEL}/{subdir}/{dist}.conda",
            "size": 1000 + len(dist),
            "depends": [],
            "constrains": [],
            "files": [path["_path"] for path in paths],
            "paths_data": {"paths_version": 1, "paths": paths},
            "extracted_package_dir": str(self.pkgs / dist),
        }
        if self.like == "rattler":
            record["requested_specs"] = []
        record = {key: value for key, value in (record | fields).items() if value is not None}
        info = self.pkgs / dist / "info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "index.json").write_text(json.dumps({"name": name}))
        if self.like == "conda":
            (info / "repodata_record.json").write_text(json.dumps({"name": name}))
        written = self.path / f"conda-meta/{dist}.json"
        written.write_text(json.dumps(record, indent=2))
        return written

    def python(self, version: str = "3.11.7", build: str = "h0_cpython", **fields: Any) -> None:
        """Installs a Python of one file."""
        self.add(
            "python", version, build, files={"bin/python3.11": b"#!\n"}, links={"bin/python": "python3.11"}, **fields
        )

    def entry_point(self, record: Path, command: str, target: str, indent: str = "    ") -> Path:
        """Adds a script to an installed noarch package, as conda (4 spaces) or rattler (a tab) writes it.

        As in conda, the record has no hash of it. Returns the script.
        """
        module, _, function = target.partition(":")
        value = json.loads(record.read_bytes())
        text = script(f"{command} = {module}:{function}", str(self.path))[1].replace("    ", indent)
        path = self.write(f"bin/{command}", text.encode())
        path.chmod(0o755)
        value["files"].append(f"bin/{command}")
        entry = {"_path": f"bin/{command}", "path_type": "unix_python_entry_point", "size_in_bytes": len(text)}
        value["paths_data"]["paths"].append(entry)
        record.write_text(json.dumps(value))
        link = self.pkgs / record.stem / "info/link.json"
        points = [*(json.loads(link.read_bytes())["noarch"]["entry_points"] if link.exists() else ())]
        points.append(f"{command} = {target}")
        link.write_text(json.dumps({"noarch": {"type": "python", "entry_points": points}}))
        return path

    def distribution(
        self, name: str, version: str = "1.0", files: Mapping[str, bytes] | None = None, installer: str = "conda"
    ) -> dict[str, bytes]:
        """Returns the files of a Python distribution by their path in the prefix, with dist-info."""
        info = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
        content = {
            **(files or {}),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        }
        content[f"{info}/INSTALLER"] = f"{installer}\n".encode()
        lines = [_record_line(path, data) for path, data in content.items()]
        content[f"{info}/RECORD"] = "".join([*lines, f"{os.path.relpath(info, SITE)}/RECORD,,\n"]).encode()
        return content

    def pip(
        self,
        name: str,
        version: str = "1.0",
        files: Mapping[str, bytes] | None = None,
        direct_url: Mapping[str, Any] | None = None,
        installer: str = "pip",
    ) -> Path:
        """Installs a distribution as pip does, and overwrites existing files. Returns its dist-info."""
        content = self.distribution(name, version, files, installer)
        info = next(path for path in content if path.endswith("/METADATA")).removesuffix("/METADATA")
        if direct_url is not None:
            content[f"{info}/direct_url.json"] = json.dumps(direct_url).encode()
        for path, data in content.items():
            self.write(path, data)
        return self.path / info

    def write(self, path: str, content: bytes = b"") -> Path:
        """Writes a file that is in no package cache."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(content)
        return target

    def history(self, *lines: str) -> None:
        """Writes conda-meta/history."""
        (self.path / "conda-meta/history").write_text("\n".join(["==> 2026-11-24 06:52:10 <==", *lines, ""]))

    def _link(self, dist: str, path: str, content: bytes) -> dict[str, Any]:
        source, target = self.pkgs / dist / path, self.path / path
        for place in (source, target):
            place.parent.mkdir(parents=True, exist_ok=True)
        source.unlink(missing_ok=True)
        source.write_bytes(content)
        os.utime(source, (1.7e9, 1.7e9))
        target.unlink(missing_ok=True)
        os.link(source, target)
        digest = sha256(content).hexdigest()
        entry = {"_path": path, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(content)}
        return entry | ({"sha256_in_prefix": digest} if self.like == "conda" else {})


def specs_line(specs: Sequence[str], action: str = "update") -> str:
    """Returns a line of conda-meta/history."""
    return f"# {action} specs: {list(specs)!r}"


def _record_line(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(sha256(data).digest()).decode().rstrip("=")
    name = os.path.relpath(path, SITE)
    return f'"{name}",sha256={digest},{len(data)}\n' if "," in name else f"{name},sha256={digest},{len(data)}\n"
