"""Settings of the command line and the server: their names, defaults and help, and where the command line finds them.

``c.CondaBuild.base_image`` in a ``jupyter_condabuild_config.py`` on Jupyter's configuration path, or
``CONDABUILD_BASE_IMAGE``; the environment wins, an option on the command line wins over both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_condabuild.errors import UsageError

CONFIG = "jupyter_condabuild_config"
DEFAULT_BASE = "docker.io/library/debian:bookworm-slim"
ENGINES = ("layers", "docker")
INSTALLERS = ("micromamba", "conda", "rattler")


def default_store() -> str:
    """``CONDABUILD_STORE_DIR``, else a folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("CONDABUILD_STORE_DIR") or os.path.join(cache, "jupyter-condabuild")


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

    def named(self, reference: str) -> str:
        """The reference, with `registry` before it where it names none."""
        head, slash, _ = reference.partition("/")
        if not reference or not self.registry or (slash and ("." in head or ":" in head or head == "localhost")):
            return reference
        return f"{self.registry.rstrip('/')}/{reference}"


_FIELDS = {item.name: item for item in fields(Settings)}


class Setting(NamedTuple):
    """What is known of a setting: its default as JSON has it, its help text, and the values that it takes."""

    default: Any
    help: str
    choices: tuple[str, ...]


def setting_of(name: str) -> Setting:
    """The setting of a name. Raises KeyError where there is none."""
    item = _FIELDS[name]
    return Setting(item.default, item.metadata["help"], item.metadata.get("choices", ()))


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
