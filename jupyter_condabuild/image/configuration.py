"""What makes files an image that works: the entrypoint, the user's folders, and the image configuration.

The runtime layer is the same for every image, so that it is pushed and pulled once.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.image.paths import ENTRYPOINT, HOME, LOCK, PREFIX, PREFIX_IN_LAYER, USER, WORK, in_layer
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import Descriptor, Digest, ImageConfig, Manifest
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.oci.layout import Store

LOCKFILE = "org.jupyter.condabuild.lockfile"
"""Member of the image configuration that holds the lock file in conda-lock's format, compressed by gzip, in base64.

Every push sends the configuration, and as plain text the lock file would be most of it.
"""

LABEL_IDENTITY = "org.jupyter.condabuild.environment"
LABEL_REQUESTED = "org.jupyter.condabuild.requested"
LABEL_VARIABLES = "org.jupyter.condabuild.variables"
LABEL_ENGINE = "org.jupyter.condabuild.engine"
LABEL_STALE = "org.jupyter.condabuild.stale"
"""Bytes of layers that later ones replace, in an image that was updated by stacking."""

LABEL_BASE_LAYERS = "org.jupyter.condabuild.base.layers"

_CREATED_BY = "jupyter condabuild: "
ENTRYPOINT_SCRIPT = """\
#!/bin/sh
# Runs the environment's activation scripts, as 'conda activate' would, then the command.
if [ -z "$CONDABUILD_ACTIVE" ] && [ -d /opt/env/etc/conda/activate.d ]; then
    export CONDABUILD_ACTIVE=1
    # activation scripts are written for bash; sh has to do where there is none
    if command -v bash >/dev/null 2>&1; then exec bash "$0" "$@"; fi
fi
unset CONDABUILD_ACTIVE
for script in /opt/env/etc/conda/activate.d/*.sh; do
    if [ -r "$script" ]; then . "$script"; fi
done
unset script
exec "$@"
"""

_LOCK_SCRIPT = """\
#!/bin/sh
# Prints the environment as an explicit lock file: conda create --name NAME --file FILE
case $(uname -m) in x86_64) machine=64 ;; *) machine=$(uname -m) ;; esac
echo "# platform: linux-$machine"
echo "@EXPLICIT"
for record in /opt/env/conda-meta/*.json; do
    sed -n 's/.*"sha256":"\\([0-9a-f]*\\)","subdir":.*"url":"\\([^"]*\\)".*/\\2#\\1/p' "$record"
done
"""


def runtime_layer(store: Store, level: int) -> ReadyLayer:
    """The layer with entrypoint, home and work folder, the same for every image; in the store afterwards."""
    entries = [
        Entry(in_layer(ENTRYPOINT), mode=0o755, data=ENTRYPOINT_SCRIPT.encode()),
        Entry(in_layer(LOCK), mode=0o755, data=_LOCK_SCRIPT.encode()),
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
    """The image configuration on top of the base's.

    Args:
        diff_ids: of all layers, the base's first.
        history: a line for each of our layers.
        variables: the environment's own, from conda-meta/state.
        stale: bytes of layers that later ones replace.

    Source: image-spec config.md and annotations.md. There is no time in it but the base's: same input, same digest.
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
        "org.opencontainers.image.base.name": base_reference,
        "org.opencontainers.image.base.digest": str(base_digest),
        LABEL_BASE_LAYERS: str(len(base.diff_ids)),
    }
    entries = [{"created_by": f"{_CREATED_BY}{line}"} for line in history]
    if variables:
        runtime["Labels"][LABEL_VARIABLES] = json.dumps(sorted(variables))
    if stale:
        runtime["Labels"][LABEL_STALE] = str(stale)
    value: dict[str, Any] = {
        "architecture": base.architecture,
        "os": base.value.get("os", "linux"),
        "config": runtime,
        "history": [*_base_history(base), *entries],
        LOCKFILE: _packed(lockfile),
    }
    for member in ("created", "variant"):
        if base.value.get(member):
            value[member] = base.value[member]
    return base.with_value(value, diff_ids)


def _packed(lockfile: Lockfile) -> str:
    from isal import isal_zlib  # the same bytes on every machine, as with layers

    compressor = isal_zlib.compressobj(3, isal_zlib.DEFLATED, 31)
    data = compressor.compress(dump(lockfile, "conda-lock").encode()) + compressor.flush()
    return base64.b64encode(data).decode()


def _unpacked(text: str) -> Lockfile:
    """Raises ValueError, TypeError, LockfileError."""
    try:
        return load(gzip.decompress(base64.b64decode(text, validate=True)).decode())
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(error) from None


def lockfile_in(config: ImageConfig) -> Lockfile:
    """The lock file in an image's configuration; raises BadImage, LockfileError."""
    try:
        return _unpacked(config.value[LOCKFILE])
    except (KeyError, TypeError, ValueError):
        raise BadImage("The image's configuration has no lock file that can be read.") from None


def _base_history(base: ImageConfig) -> list[Any]:
    """The base's history, or one entry a layer where it has none: entries and layers must agree in number."""
    history = list(base.value.get("history") or [])
    filled = sum(not entry.get("empty_layer") for entry in history)
    return history if filled == len(base.diff_ids) else [{"created_by": "base image"} for _ in base.diff_ids]


def environment(path: str, lockfile: Lockfile) -> dict[str, str]:
    """The variables that every image of ours has, before those of the base of which `path` is one."""
    names = {package.name for package in lockfile.conda}
    value = {
        "PATH": f"{PREFIX}/bin:{path or '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'}",
        "CONDA_PREFIX": PREFIX,
        "CONDA_DEFAULT_ENV": PREFIX,
        "CONDA_SHLVL": "1",
        "HOME": HOME,
        "USER": "user",
        "LOGNAME": "user",
        "LANG": "C.UTF-8",
    }
    if any(name == "cudatoolkit" or name.startswith(("cuda-cudart", "cuda-version")) for name in names):
        value |= {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
    return value


def command(lockfile: Lockfile) -> list[str]:
    """What the image runs by default: JupyterLab where the environment has it, else Python, R, or a shell."""
    names = {package.name for package in lockfile.conda} | {package.name for package in lockfile.pip}
    if "jupyterlab" in names:
        return ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]
    for name, program in (("python", "python"), ("r-base", "R"), ("julia", "julia")):
        if name in names:
            return [program]
    return ["sh"]


def image_labels(lockfile: Lockfile) -> dict[str, str]:
    """The labels that say what is in an image."""
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
    """A layer of an image of ours, and the line of the history that says what it holds."""

    descriptor: Descriptor
    diff_id: Digest
    title: str


@dataclass(frozen=True)
class Ours:
    """What an image of ours says of itself: enough to make its configuration again, on another base."""

    lockfile: Lockfile
    base_layers: int
    base_name: str
    history: tuple[str, ...]
    variables: Mapping[str, str]
    stale: int

    def layers(self, manifest: Manifest, config: ImageConfig) -> tuple[OwnLayer, ...]:
        """The layers above the base.

        Raises BadImage where manifest, configuration and history have different numbers of layers.
        """
        first = self.base_layers
        rows = (manifest.layers[first:], config.diff_ids[first:], self.history)
        if len(manifest.layers) != len(config.diff_ids) or len({len(row) for row in rows}) != 1:
            raise BadImage(
                "The image's manifest, configuration and history have different numbers of layers.",
                "Build it anew from the environment.",
            )
        return tuple(OwnLayer(*row) for row in zip(*rows, strict=True))

    @classmethod
    def read(cls, config: ImageConfig) -> Ours:
        """Raises BadImage for an image that is not ours."""
        runtime = config.runtime
        labels = runtime.get("Labels") or {}
        env = dict(item.partition("=")[::2] for item in runtime.get("Env") or [])
        try:
            names = json.loads(labels.get(LABEL_VARIABLES, "[]"))
            requested = tuple(json.loads(labels.get(LABEL_REQUESTED, "[]")))
            lines = [str(entry.get("created_by", "")) for entry in config.value["history"]]
            return cls(
                lockfile=replace(_unpacked(config.value[LOCKFILE]), requested=requested),
                base_layers=int(labels[LABEL_BASE_LAYERS]),
                base_name=labels.get("org.opencontainers.image.base.name", ""),
                history=tuple(line.removeprefix(_CREATED_BY) for line in lines if line.startswith(_CREATED_BY)),
                variables={name: env.get(name, "") for name in names},
                stale=int(labels.get(LABEL_STALE, "0")),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            if labels.get(LABEL_ENGINE) == "docker":
                raise BadImage(
                    "The image was made by the docker engine, whose layers cannot be put on another base.",
                    "Build it with --engine docker and the new --base: the environment comes from the cache.",
                ) from None
            raise BadImage(
                "The image was not made by 'jupyter condabuild', or by one that is too different.",
                "Build it anew from the environment.",
            ) from None
