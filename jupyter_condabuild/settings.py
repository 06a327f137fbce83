"""The settings of the command line and the server: names, defaults, help texts, and their values for the command line.

A setting is read from a ``jupyter_condabuild_config.py`` or ``.json`` on Jupyter's configuration path (for example
``c.CondaBuild.base_image``) and from the environment (``CONDABUILD_BASE_IMAGE``). The environment overrides the file,
and an option on the command line overrides both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.system import folders

CONFIG = "jupyter_condabuild_config"
DEFAULT_BASE = "docker.io/library/debian:bookworm-slim"
DEBIAN_MIRRORS = ("https://deb.debian.org/debian", "https://deb.debian.org/debian-security")
ENGINES = ("layers", "docker")
INSTALLERS = ("micromamba", "conda", "rattler")


def default_store() -> str:
    """Returns the path of the local store: ``CONDABUILD_STORE_DIR``, or else a folder in the user's cache folder."""
    return os.environ.get("CONDABUILD_STORE_DIR") or str(folders.own_cache("jupyter-condabuild"))


def _setting(default: Any, help: str, **bounds: Any) -> Any:
    return field(default=default, metadata={"help": help, **bounds})


@dataclass(frozen=True)
class Settings:
    """The settings for all builds of a user.

    The metadata of each field has the help text (`help`), the allowed values (`choices`), the bounds (`min`, `max`),
    and whether the value is a path (`path`), which may begin with ``~``.
    """

    registry: str = _setting("", "Registry, and path in it, for names without a registry: registry.lab.org/team.")
    engine: str = _setting("layers", "How images are built: layers, or docker (a Dockerfile).", choices=ENGINES)
    base_image: str = _setting(
        DEFAULT_BASE,
        "The base image: a reference, oci-archive:FILE, docker-daemon:NAME, or debian-packages:bookworm, made here.",
    )
    debian_mirrors: tuple[str, ...] = _setting(
        DEBIAN_MIRRORS,
        "Mirrors of Debian and of its security updates, for --apt and the base debian-packages:bookworm.",
    )
    apt: tuple[str, ...] = _setting((), "Packages of Debian that each image gets on top of its base (--apt): libgl1.")
    installer: str = _setting(
        "micromamba", "The program that installs the packages in the docker engine.", choices=INSTALLERS
    )
    installer_image: str = _setting("", "The image that the installer runs in; default: the image of the installer.")
    platforms: tuple[str, ...] = _setting(
        (),
        "Platforms of the images of environments of macOS and Windows if nobody names one; several make one name for "
        "an image of each. Default: the platform of the base image.",
    )
    cache_from: tuple[str, ...] = _setting((), "Images to reuse layers from, in addition to images of the same name.")
    stack_updates: bool = _setting(False, "Whether new layers go on top of the image that the tag has (--stack).")
    bytecode: bool = _setting(True, "Whether Python modules of noarch packages are compiled (--bytecode).")
    layer_pool: str = _setting("", "Repository of layers that all users share: registry.lab.org/team/layers.")
    store_dir: str = _setting("", "Folder of the local layer store; default: one in the user's caches.", path=True)
    store_max_bytes: int = _setting(
        20 << 30, "Maximum size of the local store in bytes after 'jupyter condabuild prune'.", min=0
    )
    insecure_registries: tuple[str, ...] = _setting(
        (), "Registries that may use plain HTTP, or a certificate that cannot be verified."
    )
    allowed_registries: tuple[str, ...] = _setting(
        (),
        "Registries that clients of the server may name: registry.lab.org, *.lab.org:5000; default: all. Redirects and "
        "token servers count, too. Addresses of this machine must be listed by name.",
    )
    trusted_repositories: tuple[str, ...] = _setting(
        (), "Repositories whose layers are used without a check: registry.lab.org/team/*."
    )
    trusted_signers: str = _setting(
        "", "File of the signers whose receipts are trusted, as ssh-keygen's allowed signers file.", path=True
    )
    signing_key: str = _setting(
        "", "SSH key that signs the receipt of each pushed image; a file, private or public.", path=True
    )
    docker_host: str = _setting(
        "", "Address of the Docker or Podman Engine; default: DOCKER_HOST, or else the usual socket."
    )
    layer_budget: int = _setting(96, "Maximum number of package layers in an image.", min=1, max=120)
    compression_level: int = _setting(
        1, "Compression level of layers, from 0 (fastest) to 3 (smallest); the levels of isal.", min=0, max=3
    )
    overlay_max_bytes: int = _setting(
        1 << 30, "Maximum size in bytes of the files in an image that belong to no package.", min=0
    )
    allow_prefixes: tuple[str, ...] = _setting(
        (),
        "Folders whose environments the server may build, subfolders included; default: all that the user can read.",
    )
    max_concurrent_builds: int = _setting(2, "Maximum number of builds that run at once; other builds wait.", min=1)
    max_queued_builds: int = _setting(20, "Maximum number of builds that wait; the server refuses more.", min=0)
    max_build_seconds: int = _setting(
        4 * 3600, "Time in seconds after which the server stops a build; 0: no limit.", min=0
    )
    max_build_memory: int = _setting(0, "Memory in bytes above which the server stops a build; 0: no limit.", min=0)
    history_max_builds: int = _setting(200, "Maximum number of ended builds in the history of the server.", min=1)
    history_max_bytes: int = _setting(
        1 << 30, "Maximum size in bytes of the logs of ended builds that the server keeps.", min=0
    )
    state_dir: str = _setting(
        "",
        "Folder for the history and the running builds of the server; default: in Jupyter's data folder.",
        path=True,
    )

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Returns the settings of the configuration files and the environment. Raises UsageError for wrong values."""
        values = {name: _converted(name, value, f"c.CondaBuild.{name}") for name, value in _configured(environ).items()}
        return cls(**values).with_environment(environ)

    def with_environment(self, environ: Mapping[str, str] = os.environ) -> Settings:
        """Returns these settings, overridden by ``CONDABUILD_…`` variables. Raises UsageError for wrong values."""
        values: dict[str, Any] = {"store_dir": self.store_dir or default_store()}
        for name in _FIELDS:
            variable = f"CONDABUILD_{name.upper()}"
            if environ.get(variable):
                values[name] = _converted(name, environ[variable], variable)
        for name in _PATHS:
            values[name] = os.path.expanduser(values.get(name, getattr(self, name)))
        return replace(self, **values)


_FIELDS = {item.name: item for item in fields(Settings)}
_PATHS = [name for name, item in _FIELDS.items() if item.metadata.get("path")]
_CORRECT = "Correct this setting in the configuration file or in the environment."


class Setting(NamedTuple):
    """The default of a setting, its help text, and the allowed values (empty: any value)."""

    default: Any
    help: str
    choices: tuple[str, ...]


def setting_of(name: str) -> Setting:
    """Returns the setting with this name. Raises KeyError if there is none."""
    item = _FIELDS[name]
    return Setting(item.default, item.metadata["help"], item.metadata.get("choices", ()))


def _converted(name: str, value: Any, where: str) -> Any:
    """Returns a configured value in the type of its setting.

    Args:
        where: the place of the value, for an error message: a variable or ``c.CondaBuild.NAME``.

    Raises UsageError if the value has a wrong type or is out of bounds.
    """
    kind, bounds = str(_FIELDS[name].type), _FIELDS[name].metadata
    try:
        if kind == "bool":
            return _truth(value)
        if kind == "int":
            number = int(value)
            if not bounds.get("min", number) <= number <= bounds.get("max", number):
                expected = f"from {bounds['min']} to {bounds['max']}" if "max" in bounds else f"{bounds['min']} or more"
                raise UsageError(f"{where} is {number}; it must be {expected}.", _CORRECT)
            return number
        if kind.startswith("tuple"):
            texts = value.split(",") if isinstance(value, str) else list(value)
            return tuple(str(text).strip() for text in texts if str(text).strip())
    except (TypeError, ValueError):
        expected = {"int": "a whole number", "bool": "true or false"}.get(kind, "a list")
        raise UsageError(f"{where} is {value!r}; it must be {expected}.", _CORRECT) from None
    if not isinstance(value, str):
        raise UsageError(f"{where} is {value!r}; it must be text.", _CORRECT)
    return value


def _truth(value: Any) -> bool:
    """Returns the boolean that a value stands for. Raises ValueError if it is neither true nor false."""
    truths = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in truths:
        raise ValueError(value)
    return truths[str(value).lower()]


def _configured(environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns the values of the configuration files, as they are written there. Raises UsageError."""
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
                raise UsageError(f"{folder / CONFIG} cannot be read: {error}", "Correct the file.") from None
            values |= {name: value for name, value in section.items() if name in _FIELDS}
    return values


def _folders(environ: Mapping[str, str]) -> list[Path]:
    """Returns the folders of Jupyter's configuration path for a user, the folder with the highest priority first.

    Source: jupyter_core.paths.jupyter_config_path. The function is copied, because jupyter_core takes long to import.
    """
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
