"""Writes a Dockerfile as a person would write it. The lines that seldom change come first, so that caches are used."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jupyter_condabuild.engines.docker.installers import PACKAGES, Installer
from jupyter_condabuild.image.paths import ENTRYPOINT, HOME, PREFIX, TOOLS, USER, WORK
from jupyter_condabuild.image.programs import LINKS

ADDED = "debian-packages.tar.gz"
"""The name of the file with the packages of Debian in the context."""


@dataclass(frozen=True)
class DockerfileParts:
    """The values in a Dockerfile.

    They are names of our own files, references that have been validated, and values that are quoted.

    Args:
        base: the reference of the base image.
        installer_image: the reference of the image that has the installer.
        lockfile: the name of the lock file that the installer reads.
        packages: a text with the number of packages, for the first comment.
        vendored: whether the context has archives of packages.
        requirements: the requirements files, each with whether its packages have hashes.
        removed: whether the context has a list of files to delete.
        overlay: whether the context has an overlay.
        workspace: the folder of the user's files in the context; empty for none.
        added: the names of packages of Debian that the context has for the base; empty for none.
        mounts: whether the builder supports ``RUN --mount``.
        folder: the folder of our files in the context, with a slash at its end; empty for the context itself.
    """

    base: str
    installer: Installer
    installer_image: str
    lockfile: str
    packages: str
    vendored: bool
    requirements: Sequence[tuple[str, bool]]
    removed: bool
    overlay: bool
    workspace: str
    environment: Mapping[str, str] = field(hash=False)
    labels: Mapping[str, str] = field(hash=False)
    command: Sequence[str]
    mounts: bool
    folder: str = ""
    added: Sequence[str] = ()


def render(parts: DockerfileParts) -> str:
    """Returns the text of the Dockerfile. It depends on the parts alone, so that equal parts give equal bytes."""
    stages = [_header(parts), _environment_stage(parts), _final_stage(parts)]
    lines = [line for stage in stages for line in (*stage, "")]
    return "\n".join(lines).strip() + "\n"


def _header(parts: DockerfileParts) -> list[str]:
    return [
        f"# {parts.packages} from {parts.folder}{parts.lockfile}, installed by {parts.installer.name}.",
        "# Build this file with BuildKit: DOCKER_BUILDKIT=1 docker build . (Docker 18.09 or newer)",
    ]


def _environment_stage(parts: DockerfileParts) -> list[str]:
    """Returns the lines of the first stage. It runs again only if the lock file changes."""
    script = ["install.py"] if parts.installer.script else []
    inputs = [f"{parts.folder}{name}" for name in (parts.lockfile, *script)]
    lines = [
        "# The environment. This stage gets only the lock file: a change of code does not install the packages again.",
        f"FROM {parts.installer_image} AS environment",
        "USER root",
        "WORKDIR /build",
    ]
    if parts.installer.prepare:
        lines.append(f"RUN {parts.installer.prepare}")
    if parts.vendored:
        lines.append("# Packages of channels that the builder cannot reach.")
        lines.append("COPY packages/ packages/")
    lines.append(f"COPY {' '.join(inputs)} ./")
    install = f"CONDA_PKGS_DIRS={PACKAGES} {parts.installer.command.format(lockfile=parts.lockfile)}"
    lines += _run(parts, install, f"condabuild-{parts.installer.name}", PACKAGES)
    for file, hashed in parts.requirements:
        if not hashed:
            lines.append("# No hashes are known for these packages, so that pip cannot check their downloads.")
        lines.append(f"COPY {parts.folder}{file} ./")
        check = "--require-hashes " if hashed else ""
        # pip finds git and compilers among the packages of the environment
        pip = f"PATH={PREFIX}/bin:$PATH {PREFIX}/bin/python -m pip install --no-deps {check}--requirement {file}"
        lines += _run(parts, pip, "condabuild-pip", "/root/.cache/pip")
    if parts.removed:
        lines.append("# Delete the files of packages that the environment no longer has.")
        lines += [f"COPY {parts.folder}removed.list ./", f"RUN cd {PREFIX} && xargs -0 rm -rf -- </build/removed.list"]
    return lines


def _run(parts: DockerfileParts, command: str, cache: str, folder: str) -> list[str]:
    if parts.mounts:
        return [f"RUN --mount=type=cache,id={cache},target={folder},sharing=locked \\", f"    {command}"]
    return [f"RUN {command} && rm -rf {folder}"]


def _final_stage(parts: DockerfileParts) -> list[str]:
    """Returns the lines of the second stage. The parts that change least come first."""
    mode = "--chmod=0755 " if parts.mounts else ""
    links = [f"ln -sf {target} {link}" for link, target in LINKS.items()]
    lines = [
        "# The image: the environment on a small base, without the installer.",
        f"FROM {parts.base}",
        *_added(parts),
        f"RUN mkdir -p {HOME} {WORK} && chown {USER}:{USER} {HOME} {WORK} && chmod 1777 {HOME} {WORK} \\",
        " \\\n".join(f"    && {command}" for command in ("mkdir -p /etc/profile.d", *links)),
        f"COPY {mode}{' '.join(f'{parts.folder}{name}' for name in ('activate', 'entrypoint', 'lock'))} {TOOLS}/",
        f"COPY --from=environment {PREFIX} {PREFIX}",
    ]
    if parts.overlay:
        lines += ["# Files of the environment that belong to no conda package.", "ADD overlay.tar.gz /"]
    lines.append(f"COPY {parts.folder}conda-lock.yml {TOOLS}/")
    if parts.workspace:
        lines += [
            "# Your files come last, because they change most often.",
            f"COPY --chown={USER}:{USER} {parts.workspace} {WORK}/",
        ]
    variables = [f"PATH={PREFIX}/bin:$PATH", *(f"{name}={_quoted(value)}" for name, value in parts.environment.items())]
    lines.append("ENV " + " \\\n    ".join(variables))
    if parts.labels:
        lines.append("LABEL " + " \\\n      ".join(f"{name}={_quoted(value)}" for name, value in parts.labels.items()))
    if parts.command[0] == "jupyter":
        lines.append("EXPOSE 8888")
    return [
        *lines,
        f"USER {USER}:{USER}",
        f"WORKDIR {WORK}",
        f'ENTRYPOINT ["{ENTRYPOINT}"]',
        f"CMD {json.dumps(list(parts.command))}",
    ]


def _added(parts: DockerfileParts) -> list[str]:
    if not parts.added:
        return []
    return [f"# Packages of Debian, with those that they need: {' '.join(parts.added)}", f"ADD {ADDED} /"]


def _quoted(value: str) -> str:
    """Quotes a value for ENV and LABEL.

    Source: docs.docker.com/reference/dockerfile, "Environment replacement".
    """
    if re.fullmatch(r"[A-Za-z0-9_./:+-]+", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
