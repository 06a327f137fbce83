"""``@EXPLICIT`` files: each line is the URL of an archive, with its hash.

https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html#building-identical-conda-environments
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from jupyter_condabuild.conda.formats import requirement
from jupyter_condabuild.conda.lockfile import Lockfile, check_number, of_packages
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.platforms import choose, linux_platform
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.text import counted

_HASH = re.compile(r"(?:(?:sha256|md5):)?([0-9a-f]{64}|[0-9a-f]{32})", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]+")


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
        if kind := replace(package, depends=()).with_noarch(package.kind).noarch:
            lines.append(f"# noarch: {package.fn} {kind}")
    if lockfile.pip:
        lines += [
            "#",
            f"# NOT INSTALLED by conda: {counted(lockfile.pip, 'pip package')}. This format cannot contain them.",
            "# Install them afterwards with 'pip install --no-deps', or use the conda-lock format.",
            *(f"# pip: {requirement.dump(package)}" for package in lockfile.pip),
        ]
    return "\n".join(lines) + "\n"


def load(text: str, where: str, platform: str) -> Lockfile:
    """Reads an explicit file, which contains no dependencies and no sizes. Raises LockfileError.

    The platform comes from the comment ``# platform:``, which conda writes, or else from the URLs of the packages.
    """
    conda, pip, named = [], [], ""
    kinds: dict[str, str] = {}
    for raw in _LINE.finditer(text):
        line = raw[0].strip()
        if match := re.fullmatch(r"#\s*platform:\s*(\S+)", line):
            named = match[1]
        elif match := re.fullmatch(r"#\s*noarch:\s*(\S+)\s+(\S+)", line):
            kinds[match[1]] = match[2]
        elif line.startswith("# pip: "):
            if package := requirement.load(line.removeprefix("# pip: ")):
                pip.append(package)
        elif line and line[0] != "#" and line != "@EXPLICIT":
            try:
                conda.append(_package(line))
            except ValueError as error:
                number = text.count("\n", 0, raw.start()) + 1
                raise LockfileError(f"{where}, line {number}: {error}.") from None
        check_number(len(conda) + len(pip), where)
    subdirs = {package.subdir for package in conda} - {"noarch"}
    platforms = [named] if named else sorted(subdirs) or [platform or linux_platform()]
    conda = [package.with_noarch(kinds.get(package.fn, "")) for package in conda]
    return of_packages(choose(platforms, platform, where), conda, pip)


def _package(line: str) -> CondaPackage:
    """Raises ValueError, whose text completes a message."""
    url, _, fragment = line.partition("#")
    digest = _HASH.fullmatch(fragment)
    if fragment and not digest:
        raise ValueError("the text after # is neither an md5 nor a sha256")
    value = digest[1].lower() if digest else ""
    return CondaPackage.of_url(
        scrub_url(url), sha256=value if len(value) == 64 else "", md5=value if len(value) == 32 else ""
    )


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
