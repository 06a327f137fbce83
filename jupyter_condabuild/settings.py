"""Settings of the command line and the server: their names, defaults and help, and where the command line finds them.

``c.CondaBuild.base_image`` in a ``jupyter_condabuild_config.py`` on Jupyter's configuration path, or
``CONDABUILD_BASE_IMAGE``; the environment wins, an option on the command line wins over both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.requests.build import DEFAULT_BASE, ENGINES, INSTALLERS, BuildRequest, Request, default_store

CONFIG = "jupyter_condabuild_config"

R = TypeVar("R", bound=Request)


def _setting(default: Any, help: str, **bounds: Any) -> Any:
    return field(default=default, metadata={"help": help, **bounds})


@dataclass(frozen=True)
class Settings:
    """What holds for every build of a user; each field's metadata has its help text and what values it takes."""

    registry: str = _setting("", "Registry, and path in it, of images that name none, such as registry.lab.org/team.")
    engine: str = _setting("layers", "How images are made: layers, or docker (BuildKit).", choices=ENGINES)
    base_image: str = _setting(DEFAULT_BASE, "The image below: a reference, or oci-archive:FILE, docker-daemon:NAME.")
    installer: str = _setting("micromamba", "Who installs packages in the docker engine.", choices=INSTALLERS)
    installer_image: str = _setting("", "The image that the installer runs in; default the installer's own.")
    cache_from: tuple[str, ...] = _setting((), "Images whose layers may be reused, beside those of the same name.")
    stack_updates: bool = _setting(False, "Whether what is new goes on top of the image that a tag has (--stack).")
    bytecode: bool = _setting(True, "Whether modules of noarch packages are compiled (--bytecode).")
    layer_pool: str = _setting("", "Repository of layers that all share, such as registry.lab.org/team/layers.")
    store_dir: str = _setting("", "Folder of the local layer store; default ~/.cache/jupyter-condabuild.")
    store_max_bytes: int = _setting(20 << 30, "Bytes that 'jupyter condabuild prune' leaves in the store.", min=0)
    insecure_registries: tuple[str, ...] = _setting((), "Registries that may speak plain HTTP or have any certificate.")
    docker_host: str = _setting("", "Address of the Docker or Podman Engine; default DOCKER_HOST or the usual socket.")
    layer_budget: int = _setting(96, "The highest number of package layers in an image.", min=1, max=120)
    compression_level: int = _setting(1, "From 0 (none) to 3 (small); isal's levels.", min=0, max=3)
    overlay_max_bytes: int = _setting(1 << 30, "Bytes that an image takes of files that belong to no package.", min=0)
    allow_prefixes: tuple[str, ...] = _setting(
        (),
        "Folders that the server builds environments from, and those below them; default any that the user can read.",
    )
    max_concurrent_builds: int = _setting(2, "Builds that a server runs at once; others wait.", min=1)
    max_queued_builds: int = _setting(20, "Builds that may wait in the server; more are refused.", min=0)
    max_build_seconds: int = _setting(4 * 3600, "Seconds after which the server ends a build; 0: never.", min=0)
    max_build_memory: int = _setting(0, "Bytes of memory above which the server ends a build; 0: no limit.", min=0)
    history_max_builds: int = _setting(200, "Ended builds that the server remembers.", min=1)
    history_max_bytes: int = _setting(1 << 30, "Bytes of logs of ended builds that the server keeps.", min=0)
    state_dir: str = _setting(
        "", "Folder of the server's history and running builds; default in Jupyter's data folder."
    )

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Reads the configuration files, if there are any, and the environment; raises UsageError for wrong values."""
        values = {name: _converted(name, value, f"c.CondaBuild.{name}") for name, value in _configured(environ).items()}
        return cls(**values).with_environment(environ)

    def with_environment(self, environ: Mapping[str, str] = os.environ) -> Settings:
        """These settings where ``CONDABUILD_…`` variables do not say otherwise; raises UsageError for wrong values."""
        values: dict[str, Any] = {"store_dir": self.store_dir or default_store()}
        for name in _FIELDS:
            variable = f"CONDABUILD_{name.upper()}"
            if environ.get(variable):
                values[name] = _converted(name, environ[variable], variable)
        return replace(self, **values)

    def request(self, **given: Any) -> BuildRequest:
        """A build request; see `fill`."""
        return self.fill(BuildRequest, **given)

    def fill(
        self,
        kind: type[R],
        /,
        *,
        reference: str = "",
        engine: str | None = None,
        base: str | None = None,
        cache_from: Iterable[str] | None = None,
        installer: str | None = None,
        installer_image: str | None = None,
        stack: bool | None = None,
        bytecode: bool | None = None,
        **given: Any,
    ) -> R:
        """A request of a kind, with what it does not say as the settings have it. Raises as the kind does."""
        values = {
            "reference": self.named(reference),
            "engine": engine or self.engine,
            "base": base or self.base_image,
            "cache_from": tuple(cache_from or self.cache_from),
            "installer": installer or self.installer,
            "installer_image": installer_image or (self.installer_image if installer in (None, self.installer) else ""),
            "stack": self.stack_updates if stack is None else stack,
            "bytecode": self.bytecode if bytecode is None else bytecode,
            "store_dir": self.store_dir,
            "insecure_registries": self.insecure_registries,
            "docker_host": self.docker_host,
            "layer_pool": self.layer_pool,
            "layer_budget": self.layer_budget,
            "compression_level": self.compression_level,
            "overlay_max_bytes": self.overlay_max_bytes,
        }
        members = {item.name for item in fields(kind)}
        return kind(**{name: value for name, value in values.items() if name in members}, **given)

    def named(self, reference: str) -> str:
        """The reference, with `registry` before it where it names none."""
        head, slash, _ = reference.partition("/")
        if not reference or not self.registry or (slash and ("." in head or ":" in head or head == "localhost")):
            return reference
        return f"{self.registry.rstrip('/')}/{reference}"


_FIELDS = {item.name: item for item in fields(Settings)}


def _converted(name: str, value: Any, where: str) -> Any:
    kind, bounds = str(_FIELDS[name].type), _FIELDS[name].metadata
    try:
        if kind == "bool":
            return _truth(value)
        if kind == "int":
            number = int(value)
            if not bounds.get("min", number) <= number <= bounds.get("max", number):
                most = f" to {bounds['max']}" if "max" in bounds else " up"
                raise UsageError(f"{where} is {number}, and should be from {bounds['min']}{most}.", "Mend the setting.")
            return number
        if kind.startswith("tuple"):
            texts = value.split(",") if isinstance(value, str) else list(value)
            return tuple(str(text).strip() for text in texts if str(text).strip())
    except (TypeError, ValueError):
        expected = {"int": "a whole number", "bool": "true or false"}.get(kind, "a list")
        raise UsageError(f"{where} is {value!r}, and should be {expected}.", "Mend the setting.") from None
    if not isinstance(value, str):
        raise UsageError(f"{where} is {value!r}, and should be text.", "Mend the setting.")
    return value


def _truth(value: Any) -> bool:
    """Raises ValueError for what is neither true nor false."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in known:
        raise ValueError(value)
    return known[str(value).lower()]


def _configured(environ: Mapping[str, str]) -> dict[str, Any]:
    folders = [folder for folder in _folders(environ) if any(folder.glob(f"{CONFIG}.*"))]
    if not folders:
        return {}
    from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader

    values: dict[str, Any] = {}
    for folder in reversed(folders):
        for loader in (
            PyFileConfigLoader(f"{CONFIG}.py", str(folder)),
            JSONFileConfigLoader(f"{CONFIG}.json", str(folder)),
        ):
            try:
                section = loader.load_config().get("CondaBuild", {})
            except ConfigFileNotFound:
                continue
            except Exception as error:  # noqa: BLE001 a configuration file is a program and can raise anything
                raise UsageError(f"{folder / CONFIG} cannot be read: {error}", "Mend the file.") from None
            values |= {name: value for name, value in section.items() if name in _FIELDS}
    return values


def _folders(environ: Mapping[str, str]) -> list[Path]:
    """Jupyter's configuration path for a user, nearest first (jupyter_core.paths, which takes long to import)."""
    import sys

    home = Path(environ.get("HOME") or Path.home())
    named = environ.get("JUPYTER_CONFIG_PATH", "").split(os.pathsep)
    user = Path(environ.get("JUPYTER_CONFIG_DIR") or home / ".jupyter")
    return [Path(text) for text in named if text] + [
        user,
        Path(sys.prefix) / "etc/jupyter",
        Path("/usr/local/etc/jupyter"),
        Path("/etc/jupyter"),
    ]
