"""The layout of a package cache and of a prefix in conda, with each field: records, hard links, bytecode, history.

Source: conda 26, `conda/core/link.py`, `path_actions.py`, `prefix_data.py`, `history.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, Protocol

from conda_package_streaming.extract import extract  # type: ignore[import-untyped]

from tests.parts.channel.entry_points import script

VERSION = "26.7.1"
NOARCH_SOURCE = re.compile(r"^site-packages/[^\t\n\r\f\v]+\.py$")
Json = dict[str, Any]


class Record(Protocol):
    """The members of a solved record that are used here."""

    file_name: str
    url: str
    sha256: bytes | None


@dataclass
class Installed:
    """A package that is being installed into the prefix."""

    dist: str
    index: Json
    url: str
    archive: Path
    folder: Path
    paths: list[Json] = field(default_factory=list)  # the entries of `paths_data`
    files: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)  # the modules to compile

    @property
    def subdir_url(self) -> str:
        return self.url.rsplit("/", 1)[0]

    def info(self, name: str) -> Json:
        """Returns a JSON file of `info/`, or an empty object if there is none."""
        path = self.folder / "info" / name
        return json.loads(path.read_bytes()) if path.exists() else {}


def link_order(depends: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yields the names of packages in the order of conda's `PrefixGraph` (without its rules for circles)."""
    graph = {name: {re.split(r"[ =<>!~]", depend)[0] for depend in own} for name, own in depends.items()}
    graph = {name: (parents & graph.keys()) - {name} for name, parents in graph.items()}
    connected = set().union(*graph.values())
    yield from (alone := sorted(name for name in graph if not graph[name] and name not in connected))
    while graph:
        free = sorted(name for name in graph if not graph[name])
        yield from (name for name in free if name not in alone)
        graph = {name: parents.difference(free) for name, parents in graph.items() if parents}
        assert free


@dataclass(frozen=True)
class Conda:
    """A prefix and the package cache of its hard links."""

    prefix: Path
    pkgs: Path
    channel_url: str
    always_softlink: bool = False

    def create(
        self, records: Iterable[Record], specs: Sequence[str], scripts: bool, env_vars: Mapping[str, str]
    ) -> None:
        """Runs `conda create`: it downloads, links, compiles, runs scripts, and writes records and history."""
        meta = self.prefix / "conda-meta"
        meta.mkdir(parents=True)
        self.pkgs.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(2) as pool:
            packages = list(pool.map(self.fetch, records))
        for name in ("urls", "urls.txt"):
            with (self.pkgs / name).open("a") as file:
                file.writelines(f"{package.url}\n" for package in packages)
        site = next((p.index["python_site_packages_path"] for p in packages if p.index["name"] == "python"), "")
        for package in packages:
            self.link(package, site)
        self.compile(packages)
        for package in packages:
            if scripts:
                self.post_link(package)
            record = self.record(package, specs)
            (meta / f"{package.dist}.json").write_text(json.dumps(record, indent=2, ensure_ascii=False))
        (meta / "history").write_text(self.history(packages, specs))
        (meta / "created_at").write_text(repr(time.time()))
        if env_vars:
            (meta / "state").write_text(json.dumps({"version": 1, "env_vars": dict(env_vars)}))

    def fetch(self, record: Record) -> Installed:
        """Puts the package into the cache: archive, extracted folder, and origin."""
        archive = self.pkgs / record.file_name
        folder = archive.with_suffix("")
        url = str(record.url)
        if not archive.exists() or sha256(archive.read_bytes()).digest() != record.sha256:
            shutil.rmtree(folder, ignore_errors=True)
            with urllib.request.urlopen(url) as response, archive.open("wb") as file:
                shutil.copyfileobj(response, file)
            extract(str(archive), str(folder))
        index = json.loads((folder / "info/index.json").read_bytes())
        content = archive.read_bytes()
        index |= {"md5": md5(content, usedforsecurity=False).hexdigest()}
        index |= {"sha256": sha256(content).hexdigest(), "size": len(content)}
        package = Installed(folder.name, index, url, archive, folder)
        origin = {**index, "channel": package.subdir_url, "fn": archive.name, "url": url}
        (folder / "info/repodata_record.json").write_text(json.dumps(origin, indent=2, sort_keys=True))
        return package

    def link(self, package: Installed, site: str) -> None:
        """Links the package's files, and collects the entries of the record."""
        python = package.index.get("noarch") == "python"
        for path in package.info("paths.json")["paths"]:
            name = path["_path"]
            target = _noarch(name, site) if python else name
            digest = self._place(package.folder / name, self.prefix / target, path)
            entry = {"_path": name, **_pick(path, "prefix_placeholder", "file_mode", "no_link")}
            entry |= _pick(path, "path_type", "sha256", "size_in_bytes")
            if self.always_softlink and "prefix_placeholder" not in path:
                entry["path_type"] = "softlink"
            package.paths.append(entry | ({"sha256_in_prefix": digest} if digest else {}))
            package.files.append(target)
            if python and NOARCH_SOURCE.match(name):
                package.sources.append(target)

    def _place(self, source: Path, target: Path, path: Json) -> str | None:
        # conda warns about the clobbered path, and the later package wins: with a folder, or instead of a folder
        for folder in target.relative_to(self.prefix).parents:
            if os.path.lexists(self.prefix / folder) and not (self.prefix / folder).is_dir():
                (self.prefix / folder).unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        if path["path_type"] == "softlink":
            target.symlink_to(os.readlink(source))
            return None
        if "prefix_placeholder" in path:
            shutil.copy(source, target)
            content = source.read_bytes()
            content = _rewrite(content, path["prefix_placeholder"], str(self.prefix), path.get("file_mode", "text"))
            target.write_bytes(content)
            return sha256(content).hexdigest()
        if self.always_softlink:
            if os.access(source, os.X_OK):  # for $ORIGIN in its RPATH, says `_do_softlink`
                shutil.copy2(source, target)
            else:
                target.symlink_to(source)
            return None
        if path.get("no_link"):
            shutil.copy2(source, target)
        else:
            _hard_link(source, target)
        return str(path["sha256"])

    def compile(self, packages: Sequence[Installed]) -> None:
        """Makes bytecode and console scripts of noarch packages. Modules that cannot be compiled are not listed."""
        sources = [str(self.prefix / source) for package in packages for source in package.sources]
        python = self.prefix / "bin" / "python"
        if sources:
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
                listing.write("\n".join(sources))
                listing.flush()
                command = [str(python), "-Wi", "-m", "compileall", "-q", "-l", "-i", listing.name, "-j", "0"]
                subprocess.run(command, cwd=self.prefix, capture_output=True, check=False)
            tag = subprocess.run([str(python), "-c", "import sys; print(sys.implementation.cache_tag)"],
                                 capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
        for package in packages:
            for source in package.sources:
                folder, name = os.path.split(source)
                pyc = f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc"
                self._note(package, pyc, "pyc_file")
            for entry_point in package.info("link.json").get("noarch", {}).get("entry_points", []):
                path, text = script(entry_point, str(self.prefix))
                (self.prefix / path).write_text(text)
                (self.prefix / path).chmod(0o775)
                self._note(package, path, "unix_python_entry_point")

    def _note(self, package: Installed, path: str, path_type: str) -> None:
        if (self.prefix / path).exists():
            size = (self.prefix / path).stat().st_size
            package.paths.append({"_path": path, "path_type": path_type, "size_in_bytes": size})
            package.files.append(path)

    def post_link(self, package: Installed) -> None:
        """Runs the package's post-link script, if there is one. No record has the files of the script."""
        path = self.prefix / f"bin/.{package.index['name']}-post-link.sh"
        if path.exists():
            names = {"PKG_NAME": package.index["name"], "PKG_VERSION": package.index["version"]}
            names |= {"PREFIX": str(self.prefix), "PKG_BUILDNUM": str(package.index["build_number"])}
            subprocess.run(["/bin/sh", str(path)], env={**os.environ, **names}, check=True)
            (self.prefix / ".messages.txt").unlink(missing_ok=True)  # conda prints the file's text

    def record(self, package: Installed, specs: Sequence[str]) -> Json:
        """Writes `conda-meta/<dist>.json`, with the keys in conda's order."""
        index = package.index
        requested = [spec for spec in specs if re.split(r"[ =<>!~]", spec)[0] == index["name"]]
        record = _pick(index, "name", "version", "build", "build_number")
        record |= {"channel": package.subdir_url, "subdir": index["subdir"], "fn": package.archive.name}
        record |= {"md5": index["md5"], "url": package.url, "sha256": index["sha256"]}
        record |= {key: index[key] for key in ("arch", "platform") if index.get(key)}
        record |= _pick(index, "depends", "constrains", "noarch", "license")
        if "noarch" in index:
            record["package_type"] = f"noarch_{index['noarch']}"
        record |= _pick(index, "python_site_packages_path", "timestamp", "size")
        if requested:
            record["requested_spec"] = requested[0]
        else:
            record["_requested_specs"] = []
        record |= {"package_tarball_full_path": str(package.archive), "extracted_package_dir": str(package.folder)}
        record |= {"files": package.files, "paths_data": {"paths_version": 1, "paths": package.paths}}
        record["link"] = {"source": str(package.folder), "type": 2 if self.always_softlink else 1}
        return record | ({"requested_specs": requested} if requested else {})

    def history(self, packages: Sequence[Installed], specs: Sequence[str]) -> str:
        """Writes `conda-meta/history` for one command."""
        conda = self.pkgs.parent / "bin" / "conda"
        asked = f"-p {self.prefix} --override-channels -c {self.channel_url} {' '.join(specs)}"
        return "".join(
            [
                time.strftime("==> %Y-%m-%d %H:%M:%S <==\n"),
                f"# cmd: {conda} create -y -q {asked}\n",
                f"# conda version: {VERSION}\n",
                *sorted(f"+{package.subdir_url}::{package.dist}\n" for package in packages),
                f"# update specs: {list(specs)!r}\n",
            ]
        )


def _noarch(name: str, site: str) -> str:
    if name.startswith("site-packages/"):
        return f"{site}/{name.removeprefix('site-packages/')}"
    return f"bin/{name.removeprefix('python-scripts/')}" if name.startswith("python-scripts/") else name


def _rewrite(content: bytes, placeholder: str, prefix: str, mode: str) -> bytes:
    old, new = placeholder.encode(), prefix.encode()
    if mode == "binary":

        def replace(match: re.Match[bytes]) -> bytes:
            text = match[0].replace(old, new)
            return text + b"\0" * (len(match[0]) - len(text))

        return re.sub(re.escape(old) + rb"[^\0]*\0", replace, content)
    content = content.replace(old, new)
    first, newline, rest = content.partition(b"\n")
    if first.startswith(b"#!/") and len(first) > 127:  # the kernel's limit; for a longer path conda uses env
        program = first.split(b" ", 1)
        first = b" ".join([b"#!/usr/bin/env " + program[0].rsplit(b"/", 1)[1], *program[1:]])
    return first + newline + rest


def _hard_link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # for another file system, conda copies, and still writes 1 into the record
        shutil.copy2(source, target)


def _pick(values: Json, *keys: str) -> Json:
    return {key: values[key] for key in keys if key in values}
