"""``@EXPLICIT`` files: each line is the URL of an archive, with its hash.

https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html#building-identical-conda-environments
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from jupyter_condabuild.conda.formats import pip_sources, requirement
from jupyter_condabuild.conda.lockfile import Lockfile, check_number, of_file
from jupyter_condabuild.conda.packages import PYPI, CondaPackage, PipPackage, canonical_name, is_on_pypi
from jupyter_condabuild.conda.platforms import choose, linux_platform, of_subdirs
from jupyter_condabuild.conda.secrets import scrub, scrub_url
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.text import counted

_HASH = re.compile(r"(?:(?:sha256|md5):)?([0-9a-f]{64}|[0-9a-f]{32})", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]+")
_PIP = re.compile(r"# pip(?:: +| +(?=\S+ *(?:@|==)))(.*)")  # ours, and conda-lock's


def dump(lockfile: Lockfile, hash: Literal["sha256", "md5"] = "sha256") -> str:
    """Returns the text for ``conda create --file``. pip packages are comments: the format cannot contain them."""
    lines = [
        "# This file may be used to create an environment using:",
        "# $ conda create --name <env> --file <this file>",
        f"# platform: {lockfile.platform}",
        "@EXPLICIT",
    ]
    for package in _dependencies_first(lockfile.conda):
        digest = (package.md5 if hash == "md5" else package.sha256) or package.sha256 or package.md5
        lines.append(f"{package.url}#{digest}" if digest else package.url)
    for package in lockfile.conda:  # the format cannot contain dependencies, which show the kind of most packages
        if kind := CondaPackage.of_url(package.url).with_noarch(package.kind).noarch:
            lines.append(f"# noarch: {package.fn} {kind}")
    return "\n".join(lines) + "\n" + pip_comments(lockfile.pip)


def pip_comments(packages: Sequence[PipPackage]) -> str:
    """Returns the lines of an explicit file that name the pip packages; empty if there are none."""
    if not packages:
        return ""
    lines = [
        "#",
        f"# NOT INSTALLED by conda: {counted(packages, 'pip package')}. This format cannot contain them.",
        "# Install them afterwards with 'pip install --no-deps', or use the conda-lock format.",
        *(f"# pip: {requirement.dump(package, details=True)}" for package in packages),
    ]
    return "\n".join(lines) + "\n"


def load(text: str, where: str, platform: str, *, other: bool = False) -> Lockfile:
    """Reads an explicit file, which contains no dependencies and no sizes. Raises LockfileError.

    The platform comes from the comment ``# platform:``, which conda writes, or else from the URLs of the packages. They
    must not differ. conda-lock writes pip packages as comments: ``# pip NAME @ URL#sha256=…``.
    """
    conda: list[CondaPackage] = []
    pip: list[PipPackage] = []
    kinds: dict[str, str] = {}
    urls: list[str] = []
    pip_urls: dict[str, str] = {}
    named = ""
    for raw in _LINE.finditer(text):
        line = raw[0].strip()
        try:
            if match := re.fullmatch(r"#\s*platform:\s*(\S+)", line):
                named = match[1]
            elif match := re.fullmatch(r"#\s*noarch:\s*(\S+)\s+(\S+)", line):
                kinds[match[1]] = match[2]
            elif match := _PIP.fullmatch(line):
                pip.append(_pip_package(match[1]))
                pip_urls[pip[-1].name] = match[1]
            elif line and line[0] != "#" and line != "@EXPLICIT":
                item = _package(line)
                if isinstance(item, PipPackage):
                    pip.append(item)
                    pip_urls[item.name] = line
                else:
                    urls.append(line.partition("#")[0])
                    conda.append(item)
        except ValueError as error:
            number = text.count("\n", 0, raw.start()) + 1
            raise LockfileError(f"{where}, line {number}: {error}.") from None
        check_number(len(conda) + len(pip), where)
    default = platform or linux_platform()
    found = named or next(iter(of_subdirs(package.subdir for package in conda)), default)
    conda = [package.with_noarch(kinds.get(package.fn, "")) for package in conda]
    lockfile = of_file(where, found, conda, pip, urls=urls, pip_urls=pip_urls)
    choose([found], platform, where, other=other)
    return lockfile


def _pip_package(line: str) -> PipPackage:
    """Raises ValueError, whose text completes a message."""
    package = requirement.load(line)
    if package is None:
        raise ValueError(f"{scrub(line[:200])!r} is not a pip package. Write it as NAME @ URL or NAME == VERSION")
    return package


def _package(line: str) -> CondaPackage | PipPackage:
    """Returns the package of a line. Raises ValueError, whose text completes a message."""
    url, _, fragment = line.partition("#")
    digest = _HASH.fullmatch(fragment)
    if fragment and not digest:
        raise ValueError("the text after # is neither an md5 nor a sha256")
    value = digest[1].lower() if digest else ""
    url, sha256, md5 = scrub_url(url), value if len(value) == 64 else "", value if len(value) == 32 else ""
    if names := pip_sources.wheel_names(url):
        index = PYPI if is_on_pypi(url) else ""
        return PipPackage(canonical_name(names["name"]), names["version"], url=url, index=index, sha256=sha256)
    return CondaPackage.of_url(url, sha256=sha256, md5=md5)


def _dependencies_first(packages: tuple[CondaPackage, ...]) -> list[CondaPackage]:
    """Sorts the packages so that each package comes after its dependencies.

    conda before version 24 links packages in the order of the file, and it needs Python before noarch packages.
    """
    by_name = {package.name: package for package in packages}
    ordered: dict[str, CondaPackage] = {}
    for package in packages:
        open_names = [package.name]
        entered: set[str] = set()
        while open_names:
            name = open_names[-1]
            needed = [] if name in entered else _needed(by_name[name])
            entered.add(name)
            missing = [other for other in needed if other in by_name and other not in ordered and other not in entered]
            if missing:
                open_names += reversed(missing)
            else:
                ordered.setdefault(name, by_name[open_names.pop()])
    return list(ordered.values())


def _needed(package: CondaPackage) -> list[str]:
    """Returns the names of the packages that come before a package. Every noarch Python package needs Python."""
    return [depend.split()[0] for depend in package.depends] + ["python"] * (package.kind == "python")
