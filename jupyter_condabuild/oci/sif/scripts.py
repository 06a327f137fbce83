"""The files below ``/.singularity.d``, with which Apptainer and Singularity start a container of an image.

Source: apptainer.org, "Build Environment" and "Environment and Metadata"; the names of the files are those that
Apptainer's own images have (github.com/apptainer/apptainer).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from jupyter_condabuild.oci.image import ImageConfig

FOLDER = ".singularity.d"

_SHELL = "#!/bin/sh\n"
_VARIABLES = """\
for file in /.singularity.d/env/*.sh; do
    if [ -f "$file" ]; then . "$file"; fi
done
"""
_ACTIONS = {
    "exec": f'{_SHELL}{_VARIABLES}exec "$@"\n',
    "run": f'{_SHELL}{_VARIABLES}exec /.singularity.d/runscript "$@"\n',
    "shell": f'{_SHELL}{_VARIABLES}exec "${{SINGULARITY_SHELL:-/bin/sh}}" "$@"\n',
    # The first process of an instance waits for this signal before it reports that the instance runs.
    "start": f"{_SHELL}kill -CONT 1\n{_VARIABLES}exec /.singularity.d/startscript\n",
    "test": f"{_SHELL}{_VARIABLES}exit 0\n",
}
"""Singularity 3 and older run these files. Newer programs have their own."""

_USER = """\
#!/bin/sh
# The home folder of the user is in the container. Without this variable, Python would find packages in ~/.local before
# those of the image.
export PYTHONNOUSERSITE="${PYTHONNOUSERSITE-1}"
"""
_LIBRARIES = """\
#!/bin/sh
# The libraries of the GPU's driver are in this folder.
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs"
export PS1="${PS1:-Apptainer> }"
"""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def scripts(config: ImageConfig) -> Mapping[str, str]:
    """Returns the texts of the programs by their paths below `FOLDER`."""
    return {
        **{f"actions/{name}": text for name, text in _ACTIONS.items()},
        "env/10-docker2singularity.sh": _environment(config),
        "env/90-environment.sh": _USER,
        "env/99-base.sh": _LIBRARIES,
        "runscript": _runscript(config),
        "startscript": _SHELL,
    }


def documents(config: ImageConfig, definition: str) -> Mapping[str, str]:
    """Returns the texts of the other files by their paths below `FOLDER`."""
    return {"Singularity": definition, "labels.json": json.dumps(labels(config), indent=1, sort_keys=True) + "\n"}


def labels(config: ImageConfig) -> dict[str, str]:
    """Returns the labels of the image."""
    return dict(config.runtime.get("Labels") or {})


def inspection(config: ImageConfig, definition: str) -> dict[str, Any]:
    """Returns what ``apptainer inspect`` shows."""
    programs = scripts(config)
    attributes = {
        "environment": {f"/{FOLDER}/{path}": text for path, text in programs.items() if path.startswith("env/")},
        "labels": labels(config),
        "runscript": programs["runscript"],
        "startscript": programs["startscript"],
        "deffile": definition,
    }
    return {"type": "container", "data": {"attributes": attributes}}


def _environment(config: ImageConfig) -> str:
    """Returns the script that sets the variables of the image. Except for PATH, a value that is set already stays.

    A variable whose name a shell cannot have is left out.
    """
    lines = [_SHELL]
    for item in _texts(config, "Env"):
        name, equals, value = item.partition("=")
        if not equals or not _NAME.fullmatch(name):
            continue
        given = f"{name}={shlex.quote(value)}"
        lines.append(f"{given}\n" if name == "PATH" else f'[ -n "${{{name}:-}}" ] || {given}\n')
        lines.append(f"export {name}\n")
    return "".join(lines)


def _runscript(config: ImageConfig) -> str:
    """Returns the script that starts the image's entrypoint with the given words, or with the image's command."""
    # A container of Apptainer has the network of the host: 0.0.0.0 would be every address of the host.
    default = [word.replace("--ip=0.0.0.0", "--ip=127.0.0.1") for word in _texts(config, "Cmd")]
    first = _texts(config, "Entrypoint")
    if not first and not default:
        default = ["/bin/sh"]
    lines = [_SHELL]
    if default:
        lines.append(f"if [ $# -eq 0 ]; then set -- {shlex.join(default)}; fi\n")
    lines.append(" ".join(("exec", *map(shlex.quote, first), '"$@"\n')))
    return "".join(lines)


def _texts(config: ImageConfig, name: str) -> list[str]:
    return list(config.runtime.get(name) or [])
