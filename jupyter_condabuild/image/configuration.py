"""The image configuration, and the runtime layer with the entrypoint and the user's folders.

The runtime layer is the same for every image, so it is pushed and pulled only once.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from jupyter_condabuild.conda.formats import conda_lock, load
from jupyter_condabuild.conda.lockfile import MOST_BYTES, Lockfile
from jupyter_condabuild.errors import BadImage, LockfileError
from jupyter_condabuild.image.gpu import VARIABLES, uses_cuda
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.image.lock_program import LOCK_PROGRAM
from jupyter_condabuild.image.paths import (
    ACTIVATE,
    ENTRYPOINT,
    HOME,
    LOCK,
    PREFIX,
    PREFIX_IN_LAYER,
    USER,
    WORK,
    in_layer,
)
from jupyter_condabuild.image.programs import LINKS, PROGRAMS
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import Descriptor, Digest, ImageConfig, Manifest
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.text import size_text

LOCKFILE = "org.jupyter.condabuild.lockfile"
"""The member of the image configuration with the lock file: conda-lock's format, compressed with gzip, in base64.

Every push sends the configuration. As plain text, the lock file would be most of the configuration.
"""

LABEL_IDENTITY = "org.jupyter.condabuild.environment"
"""The label with the digest of the lock file."""

LABEL_REQUESTED = "org.jupyter.condabuild.requested"
"""The label with the requested specs of the environment, as a JSON list."""

LABEL_VARIABLES = "org.jupyter.condabuild.variables"
"""The label with the names of the environment's own variables, as a JSON list."""

LABEL_ENGINE = "org.jupyter.condabuild.engine"
"""The label with the value ``docker`` in images of the docker engine. The layers engine does not set it."""

LABEL_STALE = "org.jupyter.condabuild.stale"
"""The label with the size in bytes of the layers that later layers replace; set only by a stacked update."""

BASE_NAME = "org.opencontainers.image.base.name"
"""The label with the name of the base image. Source: image-spec annotations.md."""

BASE_DIGEST = "org.opencontainers.image.base.digest"
"""The label with the digest of the base image's manifest. Source: image-spec annotations.md."""

LABEL_BASE_LAYERS = "org.jupyter.condabuild.base.layers"
"""The label with the number of the base's layers."""

CREATED_BY = "jupyter condabuild: "
"""The words that begin the line of each layer of ours in the history of an image."""


def runtime_layer(store: Store, level: int) -> ReadyLayer:
    """Returns the layer with our programs, the home folder and the work folder, and puts its blob into the store.

    The layer is the same for every image with the same compression level.
    """
    entries = [
        *(Entry(in_layer(path), mode=0o755, data=data) for path, data in PROGRAMS.items()),
        *(Entry(in_layer(path), "symlink", 0o777, target=target) for path, target in LINKS.items()),
        Entry(in_layer(LOCK), mode=0o755, data=LOCK_PROGRAM.encode()),
        Entry(f"{PREFIX_IN_LAYER}/conda-meta/history", data=b""),
        Entry(in_layer(HOME), "directory", 0o1777, owner=USER),
        Entry(in_layer(WORK), "directory", 0o1777, owner=USER),
    ]
    out = io.BytesIO()
    blob = layer.write(entries, out, level)
    if not store.has(blob.descriptor):
        store.put(blob.descriptor, [out.getvalue()])
    return ReadyLayer(blob.descriptor, blob.diff_id, store, "entrypoint and home", "reused-local")


def configuration(
    base: ImageConfig,
    base_reference: str,
    base_digest: Digest,
    diff_ids: Sequence[Digest],
    history: Sequence[str],
    lockfile: Lockfile,
    *,
    variables: Mapping[str, str] | None = None,
    stale: int = 0,
) -> ImageConfig:
    """Returns the image configuration, made on top of the base's configuration.

    The only time in the configuration is the base's, so that the same input gives the same digest.

    Args:
        base_reference: the name of the base image.
        base_digest: the digest of the base image's manifest.
        diff_ids: the diff_ids of all layers, the base's first.
        history: one line for each layer above the base.
        variables: the environment's own variables, from conda-meta/state.
        stale: the size in bytes of the layers that later layers replace.

    Source: image-spec config.md and annotations.md.
    """
    runtime = dict(base.runtime)
    env = dict(item.partition("=")[::2] for item in runtime.get("Env") or [])
    env |= environment(env.get("PATH", ""), lockfile) | dict(variables or {})
    runtime["Env"] = [f"{name}={value}" for name, value in env.items()]
    runtime["Entrypoint"] = [ENTRYPOINT]
    runtime["Cmd"] = command(lockfile)
    runtime["User"] = f"{USER}:{USER}"
    runtime["WorkingDir"] = WORK
    if runtime["Cmd"][0] == "jupyter":
        runtime["ExposedPorts"] = {**(runtime.get("ExposedPorts") or {}), "8888/tcp": {}}
    runtime["Labels"] = {**(runtime.get("Labels") or {}), **image_labels(lockfile)} | {
        BASE_NAME: base_reference,
        BASE_DIGEST: str(base_digest),
        LABEL_BASE_LAYERS: str(len(base.diff_ids)),
    }
    entries = [{"created_by": f"{CREATED_BY}{line}"} for line in history]
    if variables:
        runtime["Labels"][LABEL_VARIABLES] = json.dumps(sorted(variables))
    if stale:
        runtime["Labels"][LABEL_STALE] = str(stale)
    value: dict[str, Any] = {
        "architecture": base.architecture,
        "os": base.value.get("os", "linux"),
        "config": runtime,
        "history": [*_base_history(base), *entries],
        LOCKFILE: _pack(lockfile),
    }
    for member in ("created", "variant"):
        if base.value.get(member):
            value[member] = base.value[member]
    return base.with_value(value, diff_ids)


def repackaged(
    config: ImageConfig, ours: Ours, lockfile: Lockfile, layers: Sequence[tuple[Digest, str]]
) -> ImageConfig:
    """Returns the configuration of an image with other packages, and with everything else as it was.

    Args:
        ours: the description in the configuration.
        layers: the diff_ids and the titles of the layers above the base.
    """
    runtime = dict(config.runtime)
    labels = {name: text for name, text in (runtime.get("Labels") or {}).items() if name != LABEL_REQUESTED}
    runtime["Labels"] = {**labels, **image_labels(lockfile)}
    history = [
        entry for entry in config.value["history"] if not str(entry.get("created_by", "")).startswith(CREATED_BY)
    ]
    history += [{"created_by": f"{CREATED_BY}{title}"} for _, title in layers]
    value = {**config.value, "config": runtime, "history": history, LOCKFILE: _pack(lockfile)}
    diff_ids = (*config.diff_ids[: ours.base_layers], *(diff_id for diff_id, _ in layers))
    return config.with_value(value, diff_ids)


def _pack(lockfile: Lockfile) -> str:
    from isal import isal_zlib  # isal gives the same bytes on every machine

    compressor = isal_zlib.compressobj(3, isal_zlib.DEFLATED, 31)
    data = compressor.compress(conda_lock.dump(lockfile, created_by="").encode()) + compressor.flush()
    return base64.b64encode(data).decode()


def _unpack(text: str) -> Lockfile:
    """Returns the lock file that `_pack` made `text` of. Raises ValueError, TypeError, LockfileError."""
    decompressor = zlib.decompressobj(31)
    try:
        data = decompressor.decompress(base64.b64decode(text, validate=True), MOST_BYTES + 1)
    except zlib.error as error:
        raise ValueError(error) from None
    if len(data) > MOST_BYTES:
        raise LockfileError(f"The lock file in the image has more than {size_text(MOST_BYTES)}.")
    if not decompressor.eof:
        raise ValueError("The lock file in the image is cut off.")
    return load(data.decode(), check=False)


def lockfile_in(config: ImageConfig) -> Lockfile:
    """Returns the lock file in an image's configuration. Raises BadImage, LockfileError."""
    try:
        return _unpack(config.value[LOCKFILE])
    except (KeyError, TypeError, ValueError):
        raise BadImage("The image's configuration has no readable lock file.") from None


def _base_history(base: ImageConfig) -> list[Any]:
    """Returns the base's history, or one entry for each layer if the history does not match the layers.

    A history must have as many entries with a layer as the image has layers.
    """
    history = list(base.value.get("history") or [])
    with_layer = sum(not entry.get("empty_layer") for entry in history)
    return history if with_layer == len(base.diff_ids) else [{"created_by": "base image"} for _ in base.diff_ids]


def environment(path: str, lockfile: Lockfile) -> dict[str, str]:
    """Returns the environment variables of an image. They override the base's; `path` is the base's PATH or empty."""
    value = {
        "PATH": f"{PREFIX}/bin:{path or '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'}",
        "CONDA_PREFIX": PREFIX,
        "CONDA_DEFAULT_ENV": PREFIX,
        "CONDA_SHLVL": "1",
        "BASH_ENV": ACTIVATE,
        "HOME": HOME,
        "USER": "user",
        "LOGNAME": "user",
        "LANG": "C.UTF-8",
    }
    return value | VARIABLES if uses_cuda(lockfile) else value


def command(lockfile: Lockfile) -> list[str]:
    """Returns an image's default command: JupyterLab if the environment has it, else Python, R, Julia or a shell."""
    names = {package.name for package in lockfile.conda} | {package.name for package in lockfile.pip}
    if "jupyterlab" in names:
        return ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]
    for name, program in (("python", "python"), ("r-base", "R"), ("julia", "julia")):
        if name in names:
            return [program]
    return ["sh"]


def image_labels(lockfile: Lockfile) -> dict[str, str]:
    """Returns the labels that describe the contents of an image."""
    python = lockfile.python
    labels = {
        "org.opencontainers.image.title": "conda environment",
        "org.opencontainers.image.description": f"{len(lockfile.conda)} conda packages"
        + (f", Python {python.version}" if python else "")
        + (f", {len(lockfile.pip)} pip packages" if lockfile.pip else ""),
        LABEL_IDENTITY: lockfile.digest,
    }
    if lockfile.requested:
        labels[LABEL_REQUESTED] = json.dumps(lockfile.requested)
    return labels


class OwnLayer(NamedTuple):
    """A layer above the base. `title` is its line in the history."""

    descriptor: Descriptor
    diff_id: Digest
    title: str


@dataclass(frozen=True)
class Ours:
    """The description of an image in its configuration. A configuration on another base can be made from it.

    `history` has one line for each layer above the base. `variables` are the environment's own variables. `stale` is
    the size in bytes of the layers that later layers replace.
    """

    lockfile: Lockfile
    base_layers: int
    base_name: str
    base_digest: str
    history: tuple[str, ...]
    variables: Mapping[str, str]
    stale: int

    def layers(self, manifest: Manifest, config: ImageConfig) -> tuple[OwnLayer, ...]:
        """Returns the layers above the base.

        Raises BadImage if the manifest, the configuration and the history have different numbers of layers.
        """
        first = self.base_layers
        rows = (manifest.layers[first:], config.diff_ids[first:], self.history)
        if len(manifest.layers) != len(config.diff_ids) or len({len(row) for row in rows}) != 1:
            raise BadImage(
                "The image's manifest, configuration and history have different numbers of layers.",
                "Build the image again from the environment.",
            )
        return tuple(OwnLayer(*row) for row in zip(*rows, strict=True))

    @classmethod
    def read(cls, config: ImageConfig) -> Ours:
        """Reads the description in an image's configuration.

        Raises BadImage if the layers engine did not make the image, LockfileError if its lock file is not valid.
        """
        runtime = config.runtime
        labels = runtime.get("Labels") or {}
        env = dict(item.partition("=")[::2] for item in runtime.get("Env") or [])
        try:
            names = json.loads(labels.get(LABEL_VARIABLES, "[]"))
            requested = tuple(json.loads(labels.get(LABEL_REQUESTED, "[]")))
            lines = [str(entry.get("created_by", "")) for entry in config.value["history"]]
            return cls(
                lockfile=replace(_unpack(config.value[LOCKFILE]), requested=requested),
                base_layers=int(labels[LABEL_BASE_LAYERS]),
                base_name=labels.get(BASE_NAME, ""),
                base_digest=labels.get(BASE_DIGEST, ""),
                history=tuple(line.removeprefix(CREATED_BY) for line in lines if line.startswith(CREATED_BY)),
                variables={name: env.get(name, "") for name in names},
                stale=int(labels.get(LABEL_STALE, "0")),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            if labels.get(LABEL_ENGINE) == "docker":
                raise BadImage(
                    "The docker engine made this image. Its layers cannot be put on another base.",
                    "Build it with --engine docker and the new --base. The environment comes from the cache.",
                ) from None
            raise BadImage(
                "The image was not made by 'jupyter condabuild', or was made by an incompatible version.",
                "Build the image again from the environment.",
            ) from None
