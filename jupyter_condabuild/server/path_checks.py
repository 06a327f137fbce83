"""Checks of the paths and image names in REST requests.

`options` checks every option of a request by its type, so that a new option cannot be forgotten.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.prefix.launchers import is_prefix
from jupyter_condabuild.errors import BadRequest, NotAPrefix, PrefixNotAllowed
from jupyter_condabuild.oci.image import Reference, with_registry
from jupyter_condabuild.oci.location import ImageLocation, has_prefix
from jupyter_condabuild.requests.option import Request
from jupyter_condabuild.settings import Settings

_MAX_BYTES = 4096
"""The longest path, in bytes, that a client may give (PATH_MAX of Linux)."""

_ENGINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")
"""The name, digest or id of an image of an engine."""


def environment(path: str | Path, allowed: Iterable[str]) -> Path:
    """Returns the real path of a conda environment that this server may build.

    Symbolic links are resolved first, so the check concerns the folder that is read. The error for a folder that is
    not allowed does not depend on whether the folder exists.

    Args:
        allowed: the setting allow_prefixes. If it is empty, every environment is allowed.

    Raises:
        NotAPrefix: the path is not a conda environment.
        PrefixNotAllowed: the environment is not below an allowed folder.
    """
    text = str(path)
    if not os.path.isabs(text) or "\0" in text or len(os.fsencode(text)) > _MAX_BYTES:
        raise NotAPrefix(f"{_printable(text)} is not the absolute path of a folder.")
    real = Path(os.path.realpath(text))
    roots = [Path(os.path.realpath(os.path.expanduser(folder))) for folder in allowed]
    if roots and not any(real.is_relative_to(root) for root in roots):
        raise PrefixNotAllowed(f"{_printable(text)} is not among the environments that this server may build.")
    if not is_prefix(real):
        raise NotAPrefix(f"{_printable(text)} is not a conda environment: it has no conda-meta folder.")
    return real


def new_environment(folder: Path, root: Path, allowed: Iterable[str]) -> None:
    """Checks the folder of an environment that this server is asked to make.

    Args:
        folder: a real path, as `below` returns it.
        root: the server's root folder, which cannot be an environment itself.
        allowed: the setting allow_prefixes.

    Raises BadRequest, PrefixNotAllowed.
    """
    if folder == Path(os.path.realpath(root)):
        raise BadRequest("target must be a folder below the server's root folder, such as envs/NAME.")
    roots = [Path(os.path.realpath(os.path.expanduser(one))) for one in allowed]
    if roots and not any(folder.is_relative_to(one) for one in roots):
        raise PrefixNotAllowed(
            f"This server may not have an environment in {_printable(str(folder))}.",
            "Name a folder inside one of those that c.CondaBuild.allow_prefixes lists.",
        )


def below(root: Path, text: str, member: str) -> Path:
    """Returns the real path of a path relative to the server's root folder.

    Args:
        member: the name of the request's member that has the path, for the message.

    Raises:
        BadRequest: the path is absolute, too long, or leads out of the root folder.
    """
    if "\0" in text or os.path.isabs(text) or len(os.fsencode(text)) > _MAX_BYTES:
        raise BadRequest(f"{member} must be a path relative to the server's root folder.")
    top = Path(os.path.realpath(root))
    real = Path(os.path.realpath(top / text))
    if not real.is_relative_to(top):
        raise BadRequest(f"{member} leads out of the server's root folder: {_printable(text)}.")
    return real


def options(kind: type[Request], values: Mapping[str, Any], root: Path, settings: Settings) -> dict[str, Any]:
    """Returns the options that a client gave: each path is a real path, and each image may be named by a client.

    A value that is the value of the option's setting is not changed: the administrator has chosen it.

    Raises:
        BadRequest, BadReference, BadDigest, RegistryNotAllowed.
    """
    checked = dict(values)
    for name, (item, option) in kind.options().items():
        given = values.get(name)
        if not given or (option.setting and given == getattr(settings, option.setting)):
            continue
        match str(item.type):
            case "Path" | "Path | None":
                checked[name] = str(below(root, given, name))
            case "ImageLocation | None" if option.parse == ImageLocation.parse_archive:
                checked[name] = archive(root, given)
            case "ImageLocation" | "ImageLocation | None":
                checked[name] = image(root, given, settings, name, completed=option.completed)
            case "Reference | None":
                check_registry(with_registry(given, settings.registry) if option.completed else given, settings)
            case "tuple[Reference, ...]":
                for text in given:
                    check_registry(text, settings)
    return checked


def archive(root: Path, text: str) -> str:
    """Returns the value for `BuildRequest.archive`: the archive that a client named, with a real path.

    Raises BadRequest.
    """
    location = ImageLocation.parse_archive(text)
    if ":" in location.name:
        raise BadRequest("archive must be a path, with or without docker-archive: or oci-archive: before it.")
    path = below(root, location.name, "archive")
    if path.suffix != ".tar" or path.is_dir():
        raise BadRequest("archive must be the path of a file whose name ends in .tar.")
    if not path.parent.is_dir():
        raise BadRequest(f"There is no folder {_printable(os.path.dirname(location.name))} for the archive.")
    return str(ImageLocation(location.kind, str(path)))


def image(root: Path, text: str, settings: Settings, member: str = "reference", *, completed: bool = True) -> str:
    """Returns the image that a client named, with a registry or a real path.

    Args:
        text: the reference, ``docker-daemon:NAME``, ``debian-packages:SUITE``, or an archive relative to the server's
            root folder.
        member: the name of the request's member that has the image, for messages.
        completed: whether the setting `registry` is put before a reference without a registry.

    Raises:
        BadRequest, BadReference, BadDigest, RegistryNotAllowed.
    """
    if not has_prefix(text):
        # The result has a registry, so the command cannot take it for the path of a file.
        return str(check_registry(with_registry(text, settings.registry) if completed else text, settings))
    location = ImageLocation.parse(text)
    if location.is_file:
        return str(ImageLocation(location.kind, str(below(root, location.name, member))))
    if not _ENGINE_NAME.fullmatch(location.name):
        place = "release of Debian" if location.kind == "debian-packages" else "image of the engine"
        raise BadRequest(f"{member} names no {place}: {_printable(location.name)}.")
    return text


def check_registry(text: str, settings: Settings) -> Reference:
    """Returns the reference in a text, if the setting allowed_registries has its registry.

    Raises BadReference, BadDigest, RegistryNotAllowed.
    """
    reference = Reference.parse(text)
    if settings.allowed_registries:
        # Imported here: a server loads no HTTP client at its start.
        from jupyter_condabuild.oci.connections.allowed_hosts import AllowedHosts
        from jupyter_condabuild.oci.connections.origins import Origin

        AllowedHosts(settings.allowed_registries).check(
            Origin.of_registry(reference.registry, "https"), reference.registry
        )
    return reference


def _printable(text: str) -> str:
    """Returns the path for a message: escaped if it has unusual characters, at most 200 characters of it."""
    return ascii(text[:200]) if len(text) > 200 or not text.isprintable() else text
