"""Request and BuildRequest: what was asked, validated; and the JSON form in which a server hands it to a process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Reference

DEFAULT_BASE = "docker.io/library/debian:bookworm-slim"
ENGINES = ("layers", "docker")
INSTALLERS = ("micromamba", "conda", "rattler")


def default_store() -> str:
    """``CONDABUILD_STORE_DIR``, else a folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("CONDABUILD_STORE_DIR") or os.path.join(cache, "jupyter-condabuild")


@dataclass(frozen=True)
class Request:
    """What a command is asked for: every member has a default, and one that makes no sense raises UsageError."""

    what: ClassVar[str] = "A request"

    def to_json(self) -> dict[str, Any]:
        """The request as a JSON object."""
        return asdict(self)

    @classmethod
    def parse(cls, value: Any) -> Self:
        """A request from its JSON object; raises UsageError for unknown members and wrong types."""
        if not isinstance(value, Mapping):
            raise UsageError(f"{cls.what} is a JSON object.")
        known = {item.name: item for item in fields(cls)}
        arguments: dict[str, Any] = {}
        for name, given in value.items():
            if name not in known:
                raise UsageError(f"{cls.what} has no member {name!r}.")
            if isinstance(given, list):
                given = tuple(given)
            kind = {"str": str, "bool": bool, "int": int, "tuple[str, ...]": tuple}[str(known[name].type)]
            texts = isinstance(given, tuple) and all(isinstance(item, str) for item in given)
            if type(given) is not kind or (kind is tuple and not texts):
                raise UsageError(f"{cls.what} has a member {name} of the wrong type.")
            arguments[name] = given
        return cls(**arguments)


@dataclass(frozen=True)
class BuildRequest(Request):
    """One build: exactly one of `prefix` and `lockfile`, and at least one of push, load and archive.

    `archive` is a path, with ``docker-archive:`` before it for the older format. `stack` puts new layers on top of the
    image that the tag has in the registry (see `engines.layers.stacking`). `bytecode` compiles the modules of noarch
    Python packages and of pip packages. `again` looks at everything anew, though nothing changed since the last build.
    `layer_pool` is a repository where the layers of everyone are found; `layer_budget` is the highest number of package
    layers; `compression_level` is isal's, 0 to 3; `overlay_max_bytes` bounds what is copied from the live prefix
    besides packages. `variables` puts the environment's own variables, which may be secrets, into the image.
    `installer`, `installer_image` (empty: the installer's own) and `pull`, which looks for a newer one of it, are the
    docker engine's.
    """

    what: ClassVar[str] = "A build request"

    prefix: str = ""
    lockfile: str = ""
    reference: str = ""
    push: bool = False
    load: bool = False
    archive: str = ""
    engine: str = "layers"
    base: str = DEFAULT_BASE
    installer: str = "micromamba"
    installer_image: str = ""
    pull: bool = False
    cache_from: tuple[str, ...] = ()
    include: str = ""
    strict: bool = False
    variables: bool = False
    stack: bool = False
    bytecode: bool = True
    again: bool = False
    store_dir: str = field(default_factory=default_store)
    insecure_registries: tuple[str, ...] = ()
    docker_host: str = ""
    layer_pool: str = ""
    layer_budget: int = 96
    compression_level: int = 1
    overlay_max_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        """Raises UsageError, BadReference or BadDigest for a request that makes no sense."""
        if bool(self.prefix) == bool(self.lockfile):
            raise UsageError("A build needs an environment or a lock file, and not both.")
        if not (self.push or self.load or self.archive):
            raise UsageError(
                "The image would go nowhere.", "Add --push, --load or -o FILE.tar: where should the image go?"
            )
        if (self.push or self.load) and not self.reference:
            raise UsageError("--push and --load need the image's name.", "Add -t registry.lab.org/team/env:tag.")
        if self.engine not in ENGINES:
            raise UsageError(f"There is no engine {self.engine!r}.", "Engines are: layers, docker.")
        if self.installer not in INSTALLERS:
            raise UsageError(f"There is no installer {self.installer!r}.", f"Installers are: {', '.join(INSTALLERS)}.")
        if not 1 <= self.layer_budget <= 120:
            raise UsageError("layer_budget must be from 1 to 120: container engines take 125 layers with the base's.")
        if not 0 <= self.compression_level <= 3:
            raise UsageError("compression_level must be from 0 to 3.")
        for text in (self.reference, self.installer_image, self.layer_pool, *self.cache_from):
            if text:
                Reference.parse(text)
        if self.reference and not Reference.parse(self.reference).tag:
            raise UsageError(f"{self.reference} names no tag to put the image under.", "Write it as name:tag.")
        if self.include and not Path(self.include).is_dir():
            raise UsageError(f"--include {self.include}: there is no such folder.")

    @property
    def archive_kind(self) -> Literal["oci-archive", "docker-archive"]:
        """``oci-archive`` or ``docker-archive``."""
        return "docker-archive" if self.archive.startswith("docker-archive:") else "oci-archive"

    @property
    def archive_path(self) -> Path:
        """The archive's path without the kind before it."""
        return Path(self.archive.removeprefix("docker-archive:").removeprefix("oci-archive:"))
