"""The kernelspecs inside an image: which of them are valid, and what they say. All of it is a stranger's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.image.paths import PREFIX
from jupyter_condabuild.receive.kernelspecs import CONNECTION_FILE

FOLDERS = tuple(f"{prefix}/share/jupyter/kernels" for prefix in (PREFIX, "/opt/conda", "/usr/local", "/usr"))
"""The folders of an image that may have kernelspecs: those of our images first."""

MOST_BYTES = 4 << 20
"""The largest folder of kernelspecs that is read."""

MOST = 20
"""The most kernelspecs of one image. The launcher shows all of them, in front of the user's own."""

ICONS = ("logo-32x32.png", "logo-64x64.png")
"""The icons that are copied. An SVG from a stranger could run scripts in the browser."""

_PNG = b"\x89PNG\r\n\x1a\n"
_LANGUAGE = re.compile(r"[\w+#. -]{1,40}")
_MESSAGES = Version("6")
"""The first version of ipykernel that is interrupted by a message. Source: ipykernel's changelog."""


def kernelspecs_in(read: Callable[[str, int], dict[str, bytes]]) -> dict[str, dict[str, bytes]]:
    """Returns the files of each valid kernelspec of an image, by name.

    Args:
        read: returns the files of a folder by their paths below it, as `read_folder` does.

    Raises BadImage, EngineFault.
    """
    found: dict[str, dict[str, bytes]] = {}
    for folder in FOLDERS:
        for path, data in read(folder, MOST_BYTES).items():
            name, _, file = path.partition("/")
            found.setdefault(name, {})[file] = data
        if found := {name: files for name, files in found.items() if _is_kernelspec(files.get("kernel.json", b""))}:
            break
    if len(found) > MOST:
        raise BadImage(
            f"The image has {len(found)} kernels; at most {MOST} can be added to the launcher.",
            "Build an image with the kernels that you need.",
        )
    return found


def _is_kernelspec(data: bytes) -> bool:
    try:
        spec = json.loads(data)
        argv = spec["argv"]
        if not isinstance(argv, list) or any(b"\0" in word.encode() for word in argv):
            return False
        return any(CONNECTION_FILE in word for word in argv)
    except (AttributeError, ValueError, RecursionError, KeyError, TypeError):
        return False


def language_of(spec: Mapping[str, Any]) -> str:
    found = str(spec.get("language", ""))
    return found if _LANGUAGE.fullmatch(found) else "python"


def properties_of(spec: Mapping[str, Any], lockfile: Lockfile | None) -> dict[str, Any]:
    """Returns what a client has to know about a kernel: how to interrupt it, and whether it has a debugger."""
    metadata = spec.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    by_message = spec.get("interrupt_mode") == "message" or _takes_messages(spec, lockfile)
    properties: dict[str, Any] = {"interrupt_mode": "message" if by_message else "signal"}
    if metadata.get("debugger") is True:
        properties["debugger"] = True
    encryption = metadata.get("supported_encryption")
    if isinstance(encryption, list) and "curve" in encryption:
        properties["supported_encryption"] = ["curve"]
    return properties


def _takes_messages(spec: Mapping[str, Any], lockfile: Lockfile | None) -> bool:
    """Whether a kernel is an ipykernel that is interrupted by a message. Otherwise it gets a signal."""
    if lockfile is None or not any("ipykernel" in word for word in spec["argv"]):
        return False
    versions = [version for name, version in packages_in(lockfile) if name == "ipykernel"]
    try:
        return bool(versions) and min(map(Version, versions)) >= _MESSAGES
    except InvalidVersion:
        return False


def packages_in(lockfile: Lockfile) -> set[tuple[str, str]]:
    """Returns the name and the version of each package."""
    conda = {(package.name, package.version) for package in lockfile.conda}
    return conda | {(package.name, package.version) for package in lockfile.pip}


def icons_in(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Returns the icons of a kernelspec. Other files of it are left out."""
    return {icon: data for icon in ICONS if (data := files.get(icon, b"")).startswith(_PNG)}
