"""A relocatable `python` package from the running interpreter, and the libraries that it needs."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.parts.channel import debian, libraries
from tests.parts.channel.bytecode import SITE_PACKAGES, VERSION, compile_tree
from tests.parts.channel.libraries import LibraryPackage
from tests.parts.channel.package import PLACEHOLDER, Metadata, from_folder, write

RECIPE = "2"
STDLIB = f"lib/python{VERSION}"
ABI = "cp" + VERSION.replace(".", "")
LEFT_OUT = {"test", "tests", "idlelib", "turtledemo", "tkinter", "site-packages", "__pycache__", "lib2to3/tests"}
MODULES_LEFT_OUT = ("_tkinter", "nis", "_gdbm", "_dbm", "_test", "_xxtestfuzz", "_ctypes_test", "xxlimited")
"""Extension modules for tests, and modules that need Tk, NIS or a database."""


@dataclass(frozen=True)
class PythonPackage:
    """CPython without its tests and its Tk, with bytecode, for any prefix."""

    base: Path
    depends: tuple[str, ...]

    @property
    def metadata(self) -> Metadata:
        return Metadata(
            "python",
            ".".join(map(str, sys.version_info[:3])),
            "h0_cpython",
            depends=self.depends,
            constrains=(f"python_abi {VERSION}.* *_{ABI}",),
            license="Python-2.0",
            summary="General purpose programming language",
            site_packages=SITE_PACKAGES,
        )

    @property
    def key(self) -> str:
        return repr((RECIPE, str(self.base), (self.base / f"bin/python{VERSION}").stat().st_mtime_ns, self.metadata))

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder`."""
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            self._copy(root)
            if self.base == debian.BASE:
                debian.undo(root)
            self._relocate(root)
            prefixed = self._placehold(root)
            compile_tree(root, STDLIB, jobs=2)
            for path in prefixed:  # rewritten at the installation, so that their bytecode would not be valid
                for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
                    stale.unlink()
            return write(self.metadata, from_folder(root, PLACEHOLDER), folder)

    def _copy(self, root: Path) -> None:
        def leave_out(folder: str, names: list[str]) -> set[str]:
            where = Path(folder).name
            return {n for n in names if n in left_out or f"{where}/{n}" in left_out or _unwanted(n)}

        shared = self.base == debian.BASE
        left_out = LEFT_OUT | debian.LEFT_OUT if shared else LEFT_OUT
        for part in (STDLIB, f"include/python{VERSION}", "lib/pkgconfig"):
            if (self.base / part).exists() and not (shared and part == "lib/pkgconfig"):
                shutil.copytree(self.base / part, root / part, symlinks=True, ignore=leave_out)
        (root / SITE_PACKAGES).mkdir()
        (root / SITE_PACKAGES / "README.txt").write_text("This directory contains third party packages.\n")
        names = ["python", "python3", "python3-config", "pydoc3"]
        names += ["python{0}", "python{0}-config", "pydoc{0}", "2to3-{0}"]
        programs = [self.base / "bin" / name.format(VERSION) for name in names]
        manuals = (self.base / "share/man/man1").glob("python3*")
        for path in [*programs, *manuals, *(self.base / "lib").glob("libpython*.so*")]:
            if path.exists():
                target = root / path.relative_to(self.base)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target, follow_symlinks=False)
        if not (root / "bin/python").exists():
            (root / "bin/python").symlink_to(f"python{VERSION}")

    def _relocate(self, root: Path) -> None:
        libraries.relocate(root / f"bin/python{VERSION}", "../lib")
        for library in (root / "lib").glob("libpython*.so*"):
            if not library.is_symlink():
                library.chmod(0o755)
                libraries.relocate(library, "")
        for module in (root / STDLIB / "lib-dynload").glob("*.so"):
            libraries.relocate(module, "../..")

    def _placehold(self, root: Path) -> list[Path]:
        """Writes the placeholder into text files that contain the interpreter's own prefix."""
        old, new = str(self.base), PLACEHOLDER
        if self.base == debian.BASE:
            old, new = debian.INTERPRETER, f"{PLACEHOLDER}/bin/python3"
        changed = []
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                if old.encode() in content and b"\0" not in content:
                    path.write_bytes(content.replace(old.encode(), new.encode()))
                    changed.append(path)
        return changed


@dataclass(frozen=True)
class AbiPackage:
    """`python_abi`: a package without files, as conda-forge has several."""

    @property
    def metadata(self) -> Metadata:
        requires = (f"python {VERSION}.* *_cpython",)
        return Metadata("python_abi", VERSION, f"8_{ABI}", 8, constrains=requires, noarch="generic")

    @property
    def key(self) -> str:
        return repr((RECIPE, self.metadata))

    def make(self, folder: Path) -> Path:
        """Writes the package into `folder`."""
        return write(self.metadata, [], folder)


def packages() -> list[PythonPackage | LibraryPackage | AbiPackage]:
    """Returns Python, its ABI package, and the system libraries that Python and wheels need."""
    base = Path(sys.base_prefix)
    binary = base / f"bin/python{VERSION}"
    if not binary.exists():
        raise RuntimeError(f"a package can be made of an installed Python only: there is no {binary}")
    modules = Path(sysconfig.get_path("platstdlib"), "lib-dynload")
    if not modules.exists():
        modules = base / STDLIB / "lib-dynload"
    binaries = [binary, *(m for m in modules.glob("*.so") if not _unwanted(m.name))]
    found = {soname: path for soname, path in libraries.needed(binaries).items() if not soname.startswith("libpython")}
    own = {libraries.package_name(soname) for soname in found}
    system = libraries.packages({**libraries.runtimes(), **found})
    return [PythonPackage(base, tuple(sorted(own))), AbiPackage(), *system]


def _unwanted(name: str) -> bool:
    return name.startswith(MODULES_LEFT_OUT) or name.endswith((".a", ".o"))
