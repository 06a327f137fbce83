"""Settings of the command line: the server's names, from jupyter_condabuild_config files and the environment.

``c.CondaBuild.base_image`` in a ``jupyter_condabuild_config.py`` on Jupyter's configuration path, or
``CONDABUILD_BASE_IMAGE``; the environment wins, an option on the command line wins over both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from jupyter_condabuild.build.request import DEFAULT_BASE, default_store
from jupyter_condabuild.errors import UsageError

CONFIG = "jupyter_condabuild_config"


@dataclass(frozen=True)
class Settings:
    """What holds for every build of a user. `registry` is put before references that name none."""

    registry: str = ""
    engine: str = "layers"
    base_image: str = DEFAULT_BASE
    cache_from: tuple[str, ...] = ()
    store_dir: str = ""
    store_max_bytes: int = 20 << 30
    insecure_registries: tuple[str, ...] = ()
    docker_host: str = ""
    layer_budget: int = 96
    compression_level: int = 1
    overlay_max_bytes: int = 1 << 30

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Reads the configuration files, if there are any, and the environment; raises UsageError for wrong values."""
        settings = cls()
        for name, value in _configured(environ).items():
            settings = replace(settings, **{name: _converted(name, value, f"c.CondaBuild.{name}")})
        for item in fields(cls):
            variable = f"CONDABUILD_{item.name.upper()}"
            if environ.get(variable):
                settings = replace(settings, **{item.name: _converted(item.name, environ[variable], variable)})
        return settings if settings.store_dir else replace(settings, store_dir=default_store())


_TYPES = {item.name: str(item.type) for item in fields(Settings)}


def _converted(name: str, value: Any, where: str) -> Any:
    kind = _TYPES[name]
    try:
        if kind == "int":
            return int(value)
        if kind.startswith("tuple"):
            texts = value.split(",") if isinstance(value, str) else list(value)
            return tuple(str(text).strip() for text in texts if str(text).strip())
    except (TypeError, ValueError):
        expected = "a whole number" if kind == "int" else "a list"
        raise UsageError(f"{where} is {value!r}, and should be {expected}.", "Mend the setting.") from None
    if not isinstance(value, str):
        raise UsageError(f"{where} is {value!r}, and should be text.", "Mend the setting.")
    return value


def _configured(environ: Mapping[str, str]) -> dict[str, Any]:
    folders = [folder for folder in _folders(environ) if any(folder.glob(f"{CONFIG}.*"))]
    if not folders:
        return {}
    from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader

    values: dict[str, Any] = {}
    for folder in reversed(folders):
        for loader in (PyFileConfigLoader(f"{CONFIG}.py", str(folder)), JSONFileConfigLoader(f"{CONFIG}.json", str(folder))):
            try:
                section = loader.load_config().get("CondaBuild", {})
            except ConfigFileNotFound:
                continue
            except Exception as error:  # a configuration file is a program and can raise anything
                raise UsageError(f"{folder / CONFIG} cannot be read: {error}", "Mend the file.") from None
            values |= {name: value for name, value in section.items() if name in _TYPES}
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
