"""environment.yml: the packages with versions and without builds. It is written, but never read: it locks nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jupyter_condabuild.conda.channels import ALIAS, UNKNOWN
from jupyter_condabuild.conda.formats import requirement, yaml
from jupyter_condabuild.conda.lockfile import Lockfile


def dump(lockfile: Lockfile, name: str = "", channels: Sequence[str] = ()) -> str:
    """Returns the text that ``conda env export --no-builds`` would write, without the prefix.

    If the requested specs are known, the text contains only them, and the solver chooses the other packages (like
    ``conda env export --from-history``).
    """
    requested = lockfile.requested
    versions = [f"{package.name}={package.version}" for package in lockfile.conda]
    dependencies: list[Any] = list(requested or versions)
    if lockfile.pip:
        if not any(package.name == "pip" for package in lockfile.conda) or requested:
            dependencies += [] if any(spec.split("=")[0].strip() == "pip" for spec in dependencies) else ["pip"]
        dependencies.append({"pip": [requirement.dump(package, hashes=False) for package in lockfile.pip]})
    document: dict[str, Any] = {"name": name} if name else {}
    known = [channel for channel in channels or lockfile.channels if channel != UNKNOWN]
    document["channels"] = [channel.removeprefix(f"{ALIAS}/") for channel in known] or ["nodefaults"]
    return yaml.dump({**document, "dependencies": dependencies})
