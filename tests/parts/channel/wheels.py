"""Wheels of PyPI, which are downloaded once into a cache, and the conda packages from them."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from configparser import ConfigParser
from dataclasses import dataclass, replace
from email import message_from_string
from email.message import Message
from functools import cached_property
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.parts.channel.bytecode import SITE_PACKAGES, TAG, VERSION, compile_tree
from tests.parts.channel.entry_points import script
from tests.parts.channel.package import PLACEHOLDER, Metadata, from_folder, write

RECIPE = "2"  # increase this number if the same wheel should give another package
BEFORE = "2026-11-20T00:00:00Z"  # later wheels are ignored, so that every machine has the same versions
UNDERSCORES = {
    "jupyter-client", "jupyter-core", "jupyter-events", "jupyter-server", "jupyter-server-terminals",
    "jupyterlab-pygments", "jupyterlab-server", "prompt-toolkit", "pure-eval", "stack-data", "typing-extensions",
}  # fmt: skip
"""Projects whose conda-forge package has the underscore that PyPI's canonical name does not have."""
RUNTIMES = {b"libstdc++.so.6": "libstdcxx", b"libgcc_s.so.1": "libgcc", b"libz.so.1": "zlib"}
"""Libraries that wheels expect on the system, and that conda packages bring."""


def download(requirements: Iterable[str], cache: Path) -> list[Path]:
    """Returns the wheels of the requirements and of their dependencies. The second call needs no network."""
    wanted = sorted(requirements)
    key = hashlib.sha256(repr((wanted, BEFORE, TAG)).encode()).hexdigest()[:12]
    folder = cache / f"{TAG}-{key}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=cache))
        command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"]
        subprocess.run(
            [*command, "--only-binary", ":all:", "--uploaded-prior-to", BEFORE, "-d", str(partial), *wanted],
            check=True,
        )
        try:
            partial.rename(folder)
        except OSError:  # another process was faster
            assert folder.exists()
    return sorted(folder.glob("*.whl"))


def conda_name(project: str) -> str:
    """Returns the name of the conda package for a PyPI project."""
    name = canonicalize_name(project)
    return name.replace("-", "_") if name in UNDERSCORES else name


def packages(files: Sequence[Path], others: Collection[str]) -> list[WheelPackage]:
    """Returns the wheels of a set as packages that depend on each other and on `others`.

    conda has no extras. If a wheel of the set needs an extra of another wheel, the other wheel gets the dependencies of
    the extra.
    """
    extras: dict[str, frozenset[str]] = {}
    within = frozenset({conda_name(file.name.split("-")[0]) for file in files} | set(others))
    while True:
        made = [WheelPackage(file, within, extras.get(file.name.split("-")[0], frozenset())) for file in files]
        asked = [requirement for package in made for requirement in package.requirements]
        found: dict[str, frozenset[str]] = {}
        for file in files:
            stem = file.name.split("-")[0]
            named = (r.extras for r in asked if conda_name(r.name) == conda_name(stem))
            found[stem] = frozenset().union(*named)
        if found == extras:
            return made
        extras = found


@dataclass(frozen=True)
class WheelPackage:
    """A wheel as a conda package. Pure wheels are `noarch: python`; others are for this Python and linux-64."""

    wheel: Path
    within: frozenset[str]  # conda names; dependencies on other projects are dropped
    extras: frozenset[str] = frozenset()

    @cached_property
    def pure(self) -> bool:
        return self.wheel.name.endswith("-none-any.whl")

    @cached_property
    def metadata(self) -> Metadata:
        """Name, version, entry points, and the dependencies on Python projects."""
        message = self._message
        with zipfile.ZipFile(self.wheel) as archive:
            scripts = self._entry_points(archive)
        return Metadata(
            name=conda_name(message["Name"]),
            version=message["Version"],
            build="pyhd_0" if self.pure else f"{TAG}_0",
            depends=(*self._python(message), *self._requires()),
            noarch="python" if self.pure else None,
            entry_points=tuple(scripts) if self.pure else (),
            license=message.get("License-Expression") or "",
            summary=message.get("Summary") or "",
        )

    @cached_property
    def requirements(self) -> list[Requirement]:
        """The dependencies for this platform and this Python."""
        found = map(Requirement, self._message.get_all("Requires-Dist") or [])
        environments = [{"extra": extra} for extra in sorted({"", *self.extras})]
        return [r for r in found if r.marker is None or any(map(r.marker.evaluate, environments))]

    @cached_property
    def _message(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            return message_from_string(archive.read(f"{self.info}/METADATA").decode())

    @cached_property
    def info(self) -> str:
        """The name of the `.dist-info` folder."""
        with zipfile.ZipFile(self.wheel) as archive:
            return next(n.split("/")[0] for n in archive.namelist() if n.endswith(".dist-info/METADATA"))

    @property
    def key(self) -> str:
        return repr((RECIPE, TAG, self.wheel.name, self.wheel.stat().st_size, self.metadata))

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder`."""
        site = "site-packages" if self.pure else SITE_PACKAGES
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            with zipfile.ZipFile(self.wheel) as archive:
                for member in archive.infolist():
                    if not member.is_dir():
                        executable = bool(member.external_attr >> 16 & 0o111)
                        self._put(root, site, member.filename, archive.read(member), executable)
                scripts = self._entry_points(archive)
            if not self.pure:
                for entry_point in scripts:
                    name, text = script(entry_point, PLACEHOLDER)
                    self._put(root, "", name, text.encode(), executable=True)
            self._record(root, site, scripts)
            if not self.pure:
                compile_tree(root, SITE_PACKAGES)
            metadata = replace(self.metadata, depends=(*self.metadata.depends, *self._runtimes(root)))
            return write(metadata, from_folder(root, PLACEHOLDER), folder)

    def _put(self, root: Path, site: str, name: str, content: bytes, executable: bool) -> None:
        data = self.info.removesuffix(".dist-info") + ".data/"
        target = f"{site}/{name}" if site else name
        if name.startswith(data):
            kind, _, rest = name.removeprefix(data).partition("/")
            target = {
                "scripts": f"{'python-scripts' if self.pure else 'bin'}/{rest}",
                "headers": f"include/python{VERSION}/{self.metadata.name}/{rest}",
                "data": rest,
            }.get(kind, f"{site}/{rest}")
            if kind == "scripts":
                executable = True
                if content.startswith(b"#!python"):
                    content = content.replace(b"#!python", f"#!{PLACEHOLDER}/bin/python".encode(), 1)
        if target.startswith("share/jupyter/kernels/") and target.endswith("/kernel.json"):
            content = content.replace(b'"python",', f'"{PLACEHOLDER}/bin/python",'.encode(), 1)  # as conda-forge does
        path = root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)

    def _record(self, root: Path, site: str, scripts: list[str]) -> None:
        """Names conda as the installer, and lists the files with their installed paths, as an installer does."""
        info = root / site / self.info
        (info / "INSTALLER").write_text("conda\n")
        (info / "REQUESTED").write_text("")
        rows = [[f"{site}/{self.info}/RECORD", "", ""]]
        rows += [[f"bin/{s.split(' = ')[0]}", "", ""] for s in scripts if self.pure]
        for path in root.rglob("*"):
            if path.is_file() and path.name != "RECORD":
                digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
                name = path.relative_to(root).as_posix()
                rows.append([name.replace("python-scripts/", "bin/"), f"sha256={digest}", str(path.stat().st_size)])
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for name, digest, size in sorted(rows):
            inside = name.startswith(f"{site}/")
            writer.writerow([name.removeprefix(f"{site}/") if inside else f"../../../{name}", digest, size])
        (info / "RECORD").write_text(text.getvalue())

    def _entry_points(self, archive: zipfile.ZipFile) -> list[str]:
        try:
            text = archive.read(f"{self.info}/entry_points.txt").decode()
        except KeyError:
            return []
        parser = ConfigParser(delimiters=("=",), interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        sections = [s for s in ("console_scripts", "gui_scripts") if parser.has_section(s)]
        found = [item for section in sections for item in parser.items(section)]
        return sorted(f"{name} = {value.split('[')[0].strip().replace(' ', '')}" for name, value in found)

    def _python(self, message: Message) -> Iterator[str]:
        if self.pure:
            yield f"python {_conda(SpecifierSet(message.get('Requires-Python') or '>=3.8'))}"
        else:
            major, minor = VERSION.split(".")
            yield f"python >={VERSION},<{major}.{int(minor) + 1}.0a0"
            yield f"python_abi {VERSION}.* *_cp{major}{minor}"

    def _requires(self) -> list[str]:
        specifiers: dict[str, SpecifierSet] = {}
        for requirement in self.requirements:
            name = conda_name(requirement.name)
            if name in self.within and name != conda_name(self._message["Name"]):
                specifiers[name] = specifiers.get(name, SpecifierSet()) & requirement.specifier
        return [f"{name} {_conda(specifiers[name])}".strip() for name in sorted(specifiers)]

    def _runtimes(self, root: Path) -> list[str]:
        """Returns the system libraries that its extension modules need and that it does not contain."""
        contents = (path.read_bytes() for path in root.rglob("*.so*") if path.is_file())
        found = {package for content in contents for soname, package in RUNTIMES.items() if soname in content}
        return sorted(found & self.within)


def _conda(specifiers: SpecifierSet) -> str:
    """Returns version specifiers of PyPI in the form of conda."""
    clauses = (f"{s.operator}{s.version}".replace("===", "==") for s in specifiers)
    return ",".join(sorted(c.removeprefix("==") if c.endswith(".*") else c for c in clauses))
