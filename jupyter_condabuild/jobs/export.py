"""The job `export`: files for a repository: the Dockerfile and its companions, CI pipelines, ways to run the image."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from string import Template
from typing import Any

from jupyter_condabuild import __version__
from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.recipe import Wanted, recipe
from jupyter_condabuild.engines.layers.workspace import DOCKERIGNORE
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Report, Warning
from jupyter_condabuild.image.configuration import LABEL_IDENTITY, command
from jupyter_condabuild.image.paths import PREFIX, USER
from jupyter_condabuild.jobs.lock import lock_report
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.planning.inputs import read_lockfile
from jupyter_condabuild.requests.others import ExportRequest
from jupyter_condabuild.text import listed

FOLDER = "environment/"
"""Where the lock file and its companions lie in a repository."""

_PROGRAMS = {"jupyter": "JupyterLab", "python": "Python", "R": "R", "julia": "Julia"}


@dataclass(frozen=True)
class Exported:
    """Files by path, relative to the repository; `executable` names those that are programs; `next` says what to do."""

    files: Mapping[str, str] = field(hash=False)
    executable: frozenset[str] = frozenset()
    next: str = ""
    warnings: tuple[Warning, ...] = ()

    def summary(self) -> dict[str, Any]:
        """The files with their texts as a JSON object."""
        files = [
            {"path": path, "text": text, "executable": path in self.executable} for path, text in self.files.items()
        ]
        return {"files": files, "next": self.next, "warnings": [asdict(warning) for warning in self.warnings]}


@dataclass(frozen=True)
class Asked:
    """What is exported for: an environment, the image's name, and how CI builds it."""

    lockfile: Lockfile
    reference: Reference | None
    base: str
    installer: str
    installer_image: Reference | None = None
    engine: str = "layers"
    version: str = ""

    @property
    def image(self) -> Reference:
        """The image's name; raises UsageError where none was given."""
        if not self.reference:
            raise UsageError("The files need the image's name.", "Add -t registry.lab.org/team/env:latest.")
        return self.reference

    @property
    def command(self) -> Sequence[str]:
        """What the image runs."""
        return command(self.lockfile)

    @property
    def serves(self) -> bool:
        """Whether that is JupyterLab."""
        return self.command[0] == "jupyter"


def export(kind: str, asked: Asked) -> Exported:
    """The files of one kind. Raises UsageError, LockfileError."""
    return KINDS[kind](asked)


def run(request: ExportRequest, report: Report) -> Exported:
    """The files of a request; warnings are reported, and are in the result.

    Raises UsageError, LockfileError, PrefixError.
    """
    warnings: tuple[Warning, ...] = ()
    if request.prefix:
        found = lock_report(request.prefix, report)
        lockfile, warnings = found.lockfile, (*found.environment.warnings, *found.drift.warnings)
    else:
        lockfile = read_lockfile(request, report)
    lockfile, lost = left_out(lockfile)
    if lost:
        warning = Warning(
            "not-installable",
            f"Nobody else can install {listed(lost)}: they come from this machine.",
            "Publish them in a channel or index, or build from the environment itself.",
        )
        report(warning)
        warnings = (*warnings, warning)
    asked = Asked(
        lockfile,
        request.reference,
        str(request.base),
        request.installer,
        request.installer_image,
        request.engine,
        __version__,
    )
    return replace(export(request.kind, asked), warnings=warnings)


def left_out(lockfile: Lockfile) -> tuple[Lockfile, list[str]]:
    """The lock file without pip packages from this machine; their names, and those of conda packages from it."""
    kept = tuple(package for package in lockfile.pip if not (package.editable or package.url.startswith("file:")))
    lost = [package.name for package in lockfile.pip if package not in kept]
    lost += [package.name for package in lockfile.conda if package.url.startswith("file:")]
    return replace(lockfile, pip=kept), lost


def _dockerfile(asked: Asked) -> Exported:
    made = recipe(
        asked.lockfile,
        Wanted(
            base=str(Reference.parse(asked.base)),
            installer=installer(asked.installer),
            installer_image=str(asked.installer_image or ""),
            workspace=".",
            labels={
                "org.opencontainers.image.title": "conda environment",
                LABEL_IDENTITY: asked.lockfile.digest,
            },
            folder=FOLDER,
        ),
    )
    found = {"Dockerfile": made.dockerfile, ".dockerignore": DOCKERIGNORE}
    found |= {f"{FOLDER}{name}": data.decode() for name, data in made.files.items()}
    name = shlex.quote(str(asked.reference or "env"))
    return Exported(
        found,
        frozenset(f"{FOLDER}{file}" for file in made.executable),
        f"DOCKER_BUILDKIT=1 docker build --tag {name} --cache-from {name} --build-arg BUILDKIT_INLINE_CACHE=1 .",
    )


def _with_lock(asked: Asked, path: str, text: str, then: str) -> Exported:
    return Exported({path: text, f"{FOLDER}conda-lock.yml": dump(asked.lockfile)}, next=then)


def _ci_values(asked: Asked) -> dict[str, str]:
    image = asked.image
    # Only pip itself can install pip's packages from a lock file, and only the docker engine runs it.
    engine = "docker" if asked.lockfile.pip else asked.engine
    if engine == "docker":
        engine += f" --installer {asked.installer}"
        if asked.installer_image:
            engine += f" --installer-image {asked.installer_image}"
    return {
        "image": str(image),
        "repository": f"{image.registry}/{image.repository}",
        "registry": image.registry,
        "lockfile": f"{FOLDER}conda-lock.yml",
        "engine": engine,
        "version": asked.version,
    }


def _github_actions(asked: Asked) -> Exported:
    values = _ci_values(asked)
    own = values["registry"] == "ghcr.io"
    values["login"] = "github.actor" if own else "secrets.REGISTRY_USER"
    values["password"] = "secrets.GITHUB_TOKEN" if own else "secrets.REGISTRY_PASSWORD"
    then = "Commit the files." + ("" if own else " Set the secrets REGISTRY_USER and REGISTRY_PASSWORD.")
    return _with_lock(asked, ".github/workflows/environment-image.yml", _filled("github-actions.yml", values), then)


def _gitlab_ci(asked: Asked) -> Exported:
    values = _ci_values(asked)
    own = values["registry"] == "registry.gitlab.com"
    values["login"] = "$CI_REGISTRY_USER" if own else "$REGISTRY_USER"
    values["password"] = "$CI_REGISTRY_PASSWORD" if own else "$REGISTRY_PASSWORD"
    values["services"] = ""
    if values["engine"].startswith("docker"):
        values["services"] = (
            "  services:\n    - docker:27-dind\n  variables:\n    DOCKER_HOST: tcp://docker:2375\n"
            '    DOCKER_TLS_CERTDIR: ""\n'
        )
    then = "Commit the files, and make a pipeline schedule for the nightly base."
    if not own:
        then += " Set the masked variables REGISTRY_USER and REGISTRY_PASSWORD."
    return _with_lock(asked, ".gitlab-ci.yml", _filled("gitlab-ci.yml", values), then)


def _compose(asked: Asked) -> Exported:
    serving = "    stdin_open: true\n    tty: true\n"
    if asked.serves:
        serving = (
            "    environment:\n"
            "      # What JupyterLab asks for in the browser: put JUPYTER_TOKEN=… into .env, which git ignores.\n"
            '      JUPYTER_TOKEN: "${JUPYTER_TOKEN:?set it in .env}"\n'
            "    ports:\n"
            '      - "127.0.0.1:8888:8888"\n'
        )
    text = _filled("compose.yaml", {"image": str(asked.image), "program": _program(asked), "serving": serving})
    then = "JUPYTER_TOKEN=secret docker compose up" if asked.serves else "docker compose run --rm environment"
    return Exported({"compose.yaml": text}, next=then)


_PROBED = """\
          ports:
            - {name: http, containerPort: 8888}
          env:
            - name: JUPYTER_TOKEN
              valueFrom:
                secretKeyRef: {name: $name, key: token}
          readinessProbe:
            httpGet: {path: /api, port: http}
"""
_SERVICE = """\
---
apiVersion: v1
kind: Service
metadata:
  name: $name
spec:
  selector: {app: $name}
  ports:
    - {name: http, port: 8888, targetPort: http}
"""


def _kubernetes(asked: Asked) -> Exported:
    image = asked.image
    name = re.sub(r"[^a-z0-9]+", "-", image.repository.rpartition("/")[2]).strip("-")[:50].strip("-") or "environment"
    secret = f'kubectl create secret generic {name} --from-literal=token="$(openssl rand -hex 24)"'
    values = {
        "image": str(image),
        "name": name if name[0].isalpha() else f"env-{name}",
        "program": _program(asked),
        "before": f"# Before: {secret}\n" if asked.serves else "",
        "serving": "          stdin: true\n          tty: true\n",
        "after": "",
    }
    if asked.serves:
        values["serving"] = Template(_PROBED).substitute(values)
        values["after"] = Template(_SERVICE).substitute(values)
    text = _filled("kubernetes.yaml", values).rstrip() + "\n"
    port = f"; kubectl port-forward service/{values['name']} 8888" if asked.serves else ""
    return Exported({"kubernetes.yaml": text}, next=f"kubectl apply --filename kubernetes.yaml{port}")


def _apptainer(asked: Asked) -> Exported:
    image = asked.image
    name = image.repository.rpartition("/")[2]
    values = {
        "image": str(image),
        "name": name,
        "program": _program(asked),
        "command": shlex.join([part.replace("--ip=0.0.0.0", "--ip=127.0.0.1") for part in asked.command]),
    }
    text = _filled("apptainer.def", values)
    return Exported({"environment.def": text}, next=f"apptainer build {name}.sif environment.def")


def _devcontainer(asked: Asked) -> Exported:
    """For VS Code, Codespaces, DevPod or `devcontainer up`; the sshd feature is the way in by SSH."""
    value = {
        "name": asked.image.repository.rpartition("/")[2],
        "image": str(asked.image),
        # Editors want a user with a name; the image's own user is a number.
        "features": {
            "ghcr.io/devcontainers/features/common-utils:2": {
                "username": "user",
                "userUid": str(USER),
                "userGid": str(USER),
                "installZsh": False,
                "upgradePackages": False,
            },
            "ghcr.io/devcontainers/features/sshd:1": {},
        },
        "remoteUser": "user",
        "remoteEnv": {"CONDA_PREFIX": PREFIX, "PATH": f"{PREFIX}/bin:${{containerEnv:PATH}}"},
        "forwardPorts": [8888, 2222],
        "customizations": {
            "vscode": {
                "extensions": ["ms-python.python", "ms-toolsai.jupyter"],
                "settings": {"python.defaultInterpreterPath": f"{PREFIX}/bin/python"},
            }
        },
    }
    text = json.dumps(value, indent=2) + "\n"
    return Exported({".devcontainer/devcontainer.json": text}, next="devcontainer up --workspace-folder .")


def _program(asked: Asked) -> str:
    return _PROGRAMS.get(asked.command[0], "A shell")


def _filled(name: str, values: Mapping[str, str]) -> str:
    text = (files("jupyter_condabuild.jobs") / "templates" / name).read_text(encoding="utf-8")
    return Template(text).substitute(values)


KINDS: dict[str, Callable[[Asked], Exported]] = {
    "dockerfile": _dockerfile,
    "github-actions": _github_actions,
    "gitlab-ci": _gitlab_ci,
    "compose": _compose,
    "kubernetes": _kubernetes,
    "apptainer": _apptainer,
    "devcontainer": _devcontainer,
}
"""What can be exported, by name."""
