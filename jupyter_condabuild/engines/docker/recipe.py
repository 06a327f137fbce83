"""Makes a Dockerfile and the files that it copies from a lock file. The same lock file gives the same bytes.

The Dockerfile contains no names and versions of packages. They are only in the files that an installer reads.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from jupyter_condabuild.conda.formats import dump, pip_sources, requirement
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.packages import PYPI, CondaPackage, PipPackage
from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.engines.docker.dockerfile import DockerfileParts, render
from jupyter_condabuild.engines.docker.installers import Installer
from jupyter_condabuild.errors import LockfileError, UsageError
from jupyter_condabuild.image.configuration import command, environment
from jupyter_condabuild.image.programs import PROGRAMS

LOCKFILE = "conda-lock.yml"
REDUCED = "install-lock.yml"
EXPLICIT = "explicit.txt"
PACKAGES = "packages"
_BUILDER = "/build"
_PLAIN = re.compile(r"[^\s\x00-\x20\x7f'\"`$\\]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def lock_program(lockfile: Lockfile) -> str:
    """Returns the program in the image that prints the environment as an explicit lock file."""
    return f"#!/bin/sh\ncat <<'END OF FILE'\n{dump(lockfile, 'explicit')}END OF FILE\n"


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile and the files that it copies.

    Args:
        dockerfile: the text of the Dockerfile.
        files: the contents of the files, by name.
        executable: the names of the files that are programs.
    """

    dockerfile: str
    files: Mapping[str, bytes] = field(hash=False)
    executable: frozenset[str] = frozenset(("activate", "entrypoint", "lock"))


@dataclass(frozen=True)
class Wanted:
    """The options of a recipe, without the lock file.

    Args:
        base: the reference of the base image.
        installer: the program that installs the environment.
        installer_image: the reference of its image. Empty for the default image of the installer.
        vendored: the packages whose archives are in the context, because the builder cannot download them.
        skipped: the packages that are not installed, because the overlay has their files.
        pip: whether pip installs the pip packages of the lock file. If not, they are in the overlay.
        removed: the paths to delete, relative to the prefix.
        overlay: whether the context has an overlay.
        workspace: the folder of the user's files in the context; empty for none.
        added: the names of packages of Debian that the context has for the base; empty for none.
        variables: the environment variables of the image, in addition to ours.
        labels: the labels of the image.
        mounts: whether the builder supports ``RUN --mount``. The classic builder does not.
        folder: the folder of the recipe's files in the context, with a slash at its end; empty for the context itself.
    """

    base: str
    installer: Installer
    installer_image: str = ""
    vendored: Sequence[CondaPackage] = ()
    skipped: Sequence[CondaPackage] = ()
    pip: bool = True
    removed: Sequence[str] = ()
    overlay: bool = False
    workspace: str = ""
    added: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: bool = True
    folder: str = ""


def recipe(lockfile: Lockfile, wanted: Wanted) -> Recipe:
    """Returns the recipe of a lock file.

    Raises:
        LockfileError: a package cannot be installed from a lock file, or has characters that are not safe.
        UsageError: a Dockerfile cannot contain a variable.
    """
    for package in lockfile.conda:
        _check_conda(package)
    for pip in lockfile.pip:
        _check(pip.name, (pip.version, pip.url, pip.index))
    files = {LOCKFILE: dump(lockfile).encode(), "lock": lock_program(lockfile).encode()}
    files |= {posixpath.basename(path): data for path, data in PROGRAMS.items()}
    vendored = {package.dist: package for package in wanted.vendored}
    skipped = {package.dist for package in wanted.skipped}
    installed = tuple(
        replace(package, url=vendored_url(package)) if package.dist in vendored else package
        for package in lockfile.conda
        if package.dist not in skipped
    )
    for_conda = replace(lockfile, conda=installed, pip=())
    if wanted.installer.lockfile == "explicit":
        name = EXPLICIT
        files[name] = dump(for_conda, "explicit").encode()
    elif for_conda == lockfile:
        name = LOCKFILE
    else:
        name = REDUCED
        files[name] = dump(for_conda).encode()
    requirements = _requirements(lockfile.pip) if wanted.pip else {}
    files |= {requirements_name: text.encode() for requirements_name, text in requirements.items()}
    if wanted.installer.script:
        files["install.py"] = wanted.installer.script.encode()
    if wanted.removed:
        files["removed.list"] = b"".join(f"{path}\0".encode("utf-8", "surrogateescape") for path in wanted.removed)
    for variable, value in wanted.variables.items():
        if not _VARIABLE.fullmatch(variable) or re.search(r"[\x00-\x1f\x7f]", value):
            raise UsageError(
                f"A Dockerfile cannot contain the variable {variable[:100]!r}: its name or value has odd characters.",
                "Build with --engine layers, or without --variables.",
            )
    text = render(
        DockerfileParts(
            base=wanted.base,
            installer=wanted.installer,
            installer_image=wanted.installer_image or wanted.installer.image,
            lockfile=name,
            packages=f"{len(lockfile.conda)} conda packages" + (f", {len(lockfile.pip)} pip" if lockfile.pip else ""),
            vendored=bool(vendored),
            requirements=tuple((file, "unhashed" not in file) for file in requirements),
            removed=bool(wanted.removed),
            overlay=wanted.overlay,
            workspace=wanted.workspace,
            environment={**_fixed(lockfile), **wanted.variables},
            labels=wanted.labels,
            command=command(lockfile),
            mounts=wanted.mounts,
            folder=wanted.folder,
            added=wanted.added,
        )
    )
    return Recipe(text, files)


def vendored_url(package: CondaPackage) -> str:
    """Returns the URL of a vendored archive in the builder. Installers accept its folder as the folder of a channel."""
    return f"file://{_BUILDER}/{vendored_path(package)}"


def vendored_path(package: CondaPackage) -> str:
    """Returns the path of a vendored archive in the build context."""
    return f"{PACKAGES}/{quote(package.subdir)}/{quote(package.fn)}"


def _fixed(lockfile: Lockfile) -> dict[str, str]:
    """Returns the environment variables that each image has, without PATH."""
    return {name: value for name, value in environment("", lockfile).items() if name != "PATH"}


def _check_conda(package: CondaPackage) -> None:
    _check(package.name, (package.version, package.build, package.subdir, package.url))
    if not package.fn or "/" in package.fn or package.subdir in (".", ".."):
        raise LockfileError(f"{package.url[:200]!r} is not the URL of a conda package.")


def _check(name: str, texts: Sequence[str]) -> None:
    """Raises LockfileError if a text of a package has characters that are not safe in the files of a recipe."""
    if not _PLAIN.fullmatch(name) or not all(_PLAIN.fullmatch(text) for text in texts if text):
        raise LockfileError(f"The package {name[:100]!r} has odd characters in its name, version or URL.")


def _order(group: tuple[tuple[str, bool], object]) -> tuple[str, bool]:
    (index, hashed), _ = group
    return index, not hashed


def _requirements(packages: Sequence[PipPackage]) -> dict[str, str]:
    """Returns the requirements files by name.

    Each index has a file for the packages with a hash, and another file for the packages without a hash.
    """
    groups: dict[tuple[str, bool], list[PipPackage]] = {}
    for package in packages:
        if package.editable or package.url.startswith("file:"):
            raise LockfileError(
                f"The pip package {package.name} was installed from a local folder or file; no index has this package.",
                "Build from the environment itself, or install a released version of the package.",
            )
        if package.url and not pip_sources.is_accepted(package.url):
            raise LockfileError(
                f"pip cannot install {package.name} from {scrub(package.url[:200])}.",
                "Use a release from an index, the URL of an archive, or a repository: git+https://HOST/NAME@COMMIT.",
            )
        if package.sha256 and not re.fullmatch(r"[0-9a-f]{64}", package.sha256):
            raise LockfileError(f"The sha256 of the pip package {package.name} is not a hash.")
        if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", package.name):
            raise LockfileError(f"{package.name[:100]!r} is not the name of a pip package.")
        if package.version and not re.fullmatch(r"[A-Za-z0-9.!+_-]+", package.version):
            raise LockfileError(f"{package.version[:100]!r} is not a version of a pip package.")
        groups.setdefault((package.index or PYPI, bool(package.sha256)), []).append(package)
    files = {}
    for number, ((index, hashed), members) in enumerate(sorted(groups.items(), key=_order)):
        name = f"requirements{'' if hashed else '-unhashed'}{f'-{number}' if index != PYPI else ''}.txt"
        head = [f"--index-url {index}"] if index != PYPI else []
        if not hashed:
            head.insert(
                0, "# pip does not record the hashes of packages that it downloads, so these packages are not checked."
            )
        lines = [requirement.dump(package).partition("  #")[0] for package in members]
        files[name] = "\n".join([*head, *lines]) + "\n"
    return files
