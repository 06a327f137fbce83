"""The Dockerfile: one that a person would write and commit, its stages ordered by what changes how often."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jupyter_condabuild.engines.docker.installers import PACKAGES, Installer
from jupyter_condabuild.image.paths import ENTRYPOINT, HOME, PREFIX, TOOLS, USER, WORK


@dataclass(frozen=True)
class Plan:
    """What the lines depend on: names of our own files, validated references, and values that are quoted."""

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


def render(plan: Plan) -> str:
    """The text. Nothing volatile is in it: the same plan gives the same bytes."""
    stages = [_header(plan), _environment_stage(plan), _final_stage(plan)]
    lines = [line for stage in stages for line in (*stage, "")]
    return "\n".join(lines).strip() + "\n"


def _header(plan: Plan) -> list[str]:
    return [
        f"# {plan.packages} from {plan.folder}{plan.lockfile}, installed by {plan.installer.name}.",
        "# Build it with BuildKit (DOCKER_BUILDKIT=1 docker build .), which docker has had since 18.09.",
    ]


def _environment_stage(plan: Plan) -> list[str]:
    """The lock file alone decides whether this stage runs again."""
    script = ["install.py"] if plan.installer.script else []
    inputs = [f"{plan.folder}{name}" for name in (plan.lockfile, *script)]
    lines = [
        "# The environment. Only the lock file is copied here, so that a change of code never installs it again.",
        f"FROM {plan.installer_image} AS environment",
        "USER root",
        "WORKDIR /build",
    ]
    if plan.installer.prepare:
        lines.append(f"RUN {plan.installer.prepare}")
    if plan.vendored:
        lines.append("# Packages of channels that this build cannot reach.")
        lines.append("COPY packages/ packages/")
    lines.append(f"COPY {' '.join(inputs)} ./")
    install = f"CONDA_PKGS_DIRS={PACKAGES} {plan.installer.command.format(lockfile=plan.lockfile)}"
    lines += _run(plan, install, f"condabuild-{plan.installer.name}", PACKAGES)
    for file, hashed in plan.requirements:
        if not hashed:
            lines.append("# No hashes are known for these: what the index serves is what you get.")
        lines.append(f"COPY {plan.folder}{file} ./")
        check = "--require-hashes " if hashed else ""
        pip = f"{PREFIX}/bin/python -m pip install --no-deps {check}--requirement {file}"
        lines += _run(plan, pip, "condabuild-pip", "/root/.cache/pip")
    if plan.removed:
        lines.append("# Files of packages that the environment no longer has.")
        lines += [f"COPY {plan.folder}removed.list ./", f"RUN cd {PREFIX} && xargs -0 rm -rf -- </build/removed.list"]
    return lines


def _run(plan: Plan, command: str, cache: str, folder: str) -> list[str]:
    if plan.mounts:
        return [f"RUN --mount=type=cache,id={cache},target={folder},sharing=locked \\", f"    {command}"]
    return [f"RUN {command} && rm -rf {folder}"]


def _final_stage(plan: Plan) -> list[str]:
    """From what changes least to what changes most."""
    mode = "--chmod=0755 " if plan.mounts else ""
    lines = [
        "# The image: the environment on a small base, without the installer.",
        f"FROM {plan.base}",
        f"RUN mkdir -p {HOME} {WORK} && chown {USER}:{USER} {HOME} {WORK} && chmod 1777 {HOME} {WORK}",
        f"COPY {mode}{plan.folder}entrypoint {plan.folder}lock {TOOLS}/",
        f"COPY --from=environment {PREFIX} {PREFIX}",
    ]
    if plan.overlay:
        lines += ["# What the environment has beside its packages.", "ADD overlay.tar.gz /"]
    lines.append(f"COPY {plan.folder}conda-lock.yml {TOOLS}/")
    if plan.workspace:
        lines += [
            "# Your own files last: they change most often.",
            f"COPY --chown={USER}:{USER} {plan.workspace} {WORK}/",
        ]
    variables = [f"PATH={PREFIX}/bin:$PATH", *(f"{name}={_quoted(value)}" for name, value in plan.environment.items())]
    lines.append("ENV " + " \\\n    ".join(variables))
    if plan.labels:
        lines.append("LABEL " + " \\\n      ".join(f"{name}={_quoted(value)}" for name, value in plan.labels.items()))
    if plan.command[0] == "jupyter":
        lines.append("EXPOSE 8888")
    return [
        *lines,
        f"USER {USER}:{USER}",
        f"WORKDIR {WORK}",
        f'ENTRYPOINT ["{ENTRYPOINT}"]',
        f"CMD {json.dumps(list(plan.command))}",
    ]


def _quoted(value: str) -> str:
    """A value as ENV and LABEL read it (docs.docker.com/reference/dockerfile, "Environment replacement")."""
    if re.fullmatch(r"[A-Za-z0-9_./:+-]+", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'
