"""The job `export`: writes files that a user commits: a Dockerfile, CI pipelines, and files that run the image."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from string import Template

from jupyter_condabuild import __version__
from jupyter_condabuild.conda.foreign.findings import findings
from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.locking import without_editable
from jupyter_condabuild.conda.packages import License
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.engines.docker.installers import installer
from jupyter_condabuild.engines.docker.recipe import Wanted, recipe
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Report, Warning
from jupyter_condabuild.image.configuration import LABEL_IDENTITY, command
from jupyter_condabuild.image.paths import PREFIX, USER
from jupyter_condabuild.jobs import jupyter_files
from jupyter_condabuild.jobs.exported_files import Exported
from jupyter_condabuild.jobs.exported_locks import for_platforms, without_local_packages
from jupyter_condabuild.jobs.lock import lock_report
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import has_prefix
from jupyter_condabuild.planning.inputs import read_lockfile
from jupyter_condabuild.planning.own_files.exclusion import editable_warnings
from jupyter_condabuild.planning.own_files.ignore_files import DOCKERIGNORE
from jupyter_condabuild.requests.others import ExportRequest
from jupyter_condabuild.sbom.bill import Bill
from jupyter_condabuild.sbom.inputs import licenses_in
from jupyter_condabuild.sbom.inventory import bill_of_environment
from jupyter_condabuild.text import listed

FOLDER = "environment/"
"""The folder of the lock file and of the Dockerfile's other files in the repository."""

SBOMS = ("spdx", "cyclonedx")
"""The kinds of files that are SBOMs."""

_PROGRAMS = {"jupyter": "JupyterLab", "python": "Python", "R": "R", "julia": "Julia"}


@dataclass(frozen=True)
class ExportInputs:
    """The environment, the image's name, and the options with which CI builds the image.

    `licenses` are those of the packages, for the kinds of SBOMs (see `sbom.inventory.bill_of_environment`). `others`
    are the lock files for the other platforms for which CI builds the image.
    """

    lockfile: Lockfile
    reference: Reference | None
    base: str
    installer: str
    installer_image: Reference | None = None
    engine: str = "layers"
    version: str = ""
    licenses: Mapping[str, License] = field(default_factory=dict, hash=False)
    others: tuple[Lockfile, ...] = ()

    @property
    def image(self) -> Reference:
        """The image's name. Raises UsageError if there is none."""
        return named(self.reference)

    @property
    def command(self) -> Sequence[str]:
        """The default command of the image."""
        return command(self.lockfile)

    @property
    def runs_jupyterlab(self) -> bool:
        """Whether the default command is JupyterLab."""
        return self.command[0] == "jupyter"


def named(reference: Reference | None) -> Reference:
    """Returns the name of the image. Raises UsageError if there is none."""
    if not reference:
        raise UsageError("The files need the name of the image.", "Add -t registry.lab.org/team/env:latest.")
    return reference


def export(kind: str, inputs: ExportInputs) -> Exported:
    """Returns the files of one kind. Raises UsageError, LockfileError, BadReference."""
    return KINDS[kind](inputs)


def run(request: ExportRequest, report: Report) -> Exported:
    """Returns the files of a request. Warnings are reported, and are part of the result.

    Raises UsageError, LockfileError, PrefixError, BadReference.
    """
    warnings: tuple[Warning, ...] = ()
    reference = request.reference
    if request.kind not in ("dockerfile", *SBOMS):
        reference = named(reference)  # before the environment is read, which may take long
    environment: Environment | None = None
    if request.prefix:
        locked = lock_report(request.prefix, report, request.exclude_editable)
        environment = locked.environment
        lockfile, warnings = locked.lockfile, locked.warnings
    elif not request.lockfile:
        lockfile = jupyter_files.lock_inside(named(reference), request, request.platform, report)
    else:
        read = read_lockfile(request.lockfile, request, report, other=True)
        lockfile = without_editable(read, request.exclude_editable)
        left_out = sorted(package.name for package in set(read.pip) - set(lockfile.pip))
        warnings = (*findings(lockfile), *editable_warnings(request.exclude_editable, left_out))
        for warning in warnings:
            report(warning)
    there = for_platforms(request, lockfile, environment, report)
    environment, warnings = there.environment, (*there.warnings, *warnings)
    if reference and request.kind in jupyter_files.KINDS:
        jupyter_files.check(request.kind, there.lockfile)
        reference = jupyter_files.pinned(reference, request, report)
    lockfile, local = without_local_packages(there.lockfile)
    if local:
        warning = Warning(
            "not-installable",
            f"These packages exist only on this machine, and others cannot install them: {listed(local)}.",
            "Publish them in a channel or an index, or build from the environment.",
        )
        report(warning)
        warnings = (*warnings, warning)
    inputs = ExportInputs(
        lockfile,
        reference,
        str(request.base),
        request.installer,
        request.installer_image,
        request.engine,
        __version__,
        licenses_in(lockfile, environment) if request.kind in SBOMS else {},
        tuple(without_local_packages(other)[0] for other in there.others),
    )
    return replace(export(request.kind, inputs), warnings=warnings)


def _dockerfile(inputs: ExportInputs) -> Exported:
    if has_prefix(inputs.base):
        raise UsageError(
            f"A Dockerfile needs a base image in a registry, and the base is {inputs.base}.",
            "Name a base in a registry, such as debian:12-slim.",
        )
    docker_recipe = recipe(
        inputs.lockfile,
        Wanted(
            base=str(Reference.parse(inputs.base)),
            installer=installer(inputs.installer),
            installer_image=str(inputs.installer_image or ""),
            workspace=".",
            labels={
                "org.opencontainers.image.title": "conda environment",
                LABEL_IDENTITY: inputs.lockfile.digest,
            },
            folder=FOLDER,
        ),
    )
    texts = {"Dockerfile": docker_recipe.dockerfile, ".dockerignore": DOCKERIGNORE}
    texts |= {f"{FOLDER}{name}": data.decode() for name, data in docker_recipe.files.items()}
    name = shlex.quote(str(inputs.reference or "env"))
    return Exported(
        texts,
        frozenset(f"{FOLDER}{file}" for file in docker_recipe.executable),
        f"DOCKER_BUILDKIT=1 docker build --tag {name} --cache-from {name} --build-arg BUILDKIT_INLINE_CACHE=1 .",
    )


def _with_lock(inputs: ExportInputs, path: str, text: str, next_step: str) -> Exported:
    return Exported(
        {path: text, f"{FOLDER}conda-lock.yml": dump(inputs.lockfile, others=inputs.others)}, next=next_step
    )


def _ci_values(inputs: ExportInputs) -> dict[str, str]:
    image = inputs.image
    # Only pip can install pip packages from a lock file, and only the docker engine runs pip.
    lockfiles = (inputs.lockfile, *inputs.others)
    engine = "docker" if any(one.pip for one in lockfiles) else inputs.engine
    if inputs.others:
        platforms = [one.platform for one in lockfiles]
        if engine == "docker":
            raise UsageError(
                f"The docker engine, which pip's packages need, builds for one platform, not for {listed(platforms)}.",
                f"Name one of them: --platform {platforms[0]}.",
            )
        engine += "".join(f" --platform {platform}" for platform in platforms)
    if engine == "docker":
        engine += f" --installer {inputs.installer}"
        if inputs.installer_image:
            engine += f" --installer-image {inputs.installer_image}"
    return {
        "image": str(image),
        "repository": f"{image.registry}/{image.repository}",
        "registry": image.registry,
        "lockfile": f"{FOLDER}conda-lock.yml",
        "engine": engine,
        "version": inputs.version,
    }


def _github_actions(inputs: ExportInputs) -> Exported:
    values = _ci_values(inputs)
    own = values["registry"] == "ghcr.io"
    values["login"] = "github.actor" if own else "secrets.REGISTRY_USER"
    values["password"] = "secrets.GITHUB_TOKEN" if own else "secrets.REGISTRY_PASSWORD"
    next_step = "Commit the files." + ("" if own else " Set the secrets REGISTRY_USER and REGISTRY_PASSWORD.")
    return _with_lock(inputs, ".github/workflows/environment-image.yml", _fill("github-actions.yml", values), next_step)


def _gitlab_ci(inputs: ExportInputs) -> Exported:
    values = _ci_values(inputs)
    own = values["registry"] == "registry.gitlab.com"
    values["login"] = "$CI_REGISTRY_USER" if own else "$REGISTRY_USER"
    values["password"] = "$CI_REGISTRY_PASSWORD" if own else "$REGISTRY_PASSWORD"
    values["services"] = ""
    if values["engine"].startswith("docker"):
        values["services"] = (
            "  services:\n    - docker:27-dind\n  variables:\n    DOCKER_HOST: tcp://docker:2375\n"
            '    DOCKER_TLS_CERTDIR: ""\n'
        )
    next_step = "Commit the files, and create a pipeline schedule for the nightly base."
    if not own:
        next_step += " Set the masked variables REGISTRY_USER and REGISTRY_PASSWORD."
    return _with_lock(inputs, ".gitlab-ci.yml", _fill("gitlab-ci.yml", values), next_step)


def _compose(inputs: ExportInputs) -> Exported:
    serving = "    stdin_open: true\n    tty: true\n"
    if inputs.runs_jupyterlab:
        serving = (
            "    environment:\n"
            "      # JupyterLab asks for this token in the browser.\n"
            "      # Put JUPYTER_TOKEN=… into the file .env, and do not commit this file.\n"
            '      JUPYTER_TOKEN: "${JUPYTER_TOKEN:?set it in .env}"\n'
            "    ports:\n"
            '      - "127.0.0.1:8888:8888"\n'
        )
    text = _fill("compose.yaml", {"image": str(inputs.image), "program": _program(inputs), "serving": serving})
    next_step = (
        "JUPYTER_TOKEN=secret docker compose up" if inputs.runs_jupyterlab else "docker compose run --rm environment"
    )
    return Exported({"compose.yaml": text}, next=next_step)


_JUPYTERLAB = """\
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


def _kubernetes(inputs: ExportInputs) -> Exported:
    image = inputs.image
    name = re.sub(r"[^a-z0-9]+", "-", image.repository.rpartition("/")[2]).strip("-")[:50].strip("-") or "environment"
    secret = f'kubectl create secret generic {name} --from-literal=token="$(openssl rand -hex 24)"'
    values = {
        "image": str(image),
        "name": name if name[0].isalpha() else f"env-{name}",
        "program": _program(inputs),
        "before": f"# First create the secret: {secret}\n" if inputs.runs_jupyterlab else "",
        "serving": "          stdin: true\n          tty: true\n",
        "after": "",
    }
    if inputs.runs_jupyterlab:
        values["serving"] = Template(_JUPYTERLAB).substitute(values)
        values["after"] = Template(_SERVICE).substitute(values)
    text = _fill("kubernetes.yaml", values).rstrip() + "\n"
    port = f"; kubectl port-forward service/{values['name']} 8888" if inputs.runs_jupyterlab else ""
    return Exported({"kubernetes.yaml": text}, next=f"kubectl apply --filename kubernetes.yaml{port}")


def _apptainer(inputs: ExportInputs) -> Exported:
    image = inputs.image
    name = image.repository.rpartition("/")[2]
    command = [part.replace("--ip=0.0.0.0", "--ip=127.0.0.1") for part in inputs.command]
    if inputs.runs_jupyterlab:
        command.append("--allow-root")  # JupyterLab refuses root without it
    values = {"image": str(image), "name": name, "program": _program(inputs), "command": shlex.join(command)}
    text = _fill("apptainer.def", values)
    return Exported({"environment.def": text}, next=f"apptainer build {name}.sif environment.def")


def _slurm(inputs: ExportInputs) -> Exported:
    name = inputs.image.repository.rpartition("/")[2]
    tunnel = ""
    if inputs.runs_jupyterlab:
        tunnel = (
            "# JupyterLab writes its address to the log. To open it, first forward its port from your own machine:\n"
            'echo "ssh -L 8888:127.0.0.1:8888 -J YOUR-LOGIN-NODE $(hostname)"\n'
        )
    values = {"image": str(inputs.image), "name": name, "program": _program(inputs), "tunnel": tunnel}
    return Exported({f"{name}.slurm": _fill("job.slurm", values)}, next=f"sbatch {name}.slurm")


def _devcontainer(inputs: ExportInputs) -> Exported:
    """Returns the file for VS Code, Codespaces, DevPod or `devcontainer up`. The sshd feature gives access by SSH."""
    value = {
        "name": inputs.image.repository.rpartition("/")[2],
        "image": str(inputs.image),
        # Editors need a user with a name. The image's user has only a numeric id.
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


def _spdx(inputs: ExportInputs) -> Exported:
    from jupyter_condabuild.sbom.spdx import spdx

    return _sbom("sbom.spdx.json", spdx, inputs)


def _cyclonedx(inputs: ExportInputs) -> Exported:
    from jupyter_condabuild.sbom.cyclonedx import cyclonedx

    return _sbom("sbom.cdx.json", cyclonedx, inputs)


def _sbom(name: str, write: Callable[[Bill], bytes], inputs: ExportInputs) -> Exported:
    path = f"{FOLDER}{name}"
    text = write(bill_of_environment(inputs.lockfile, inputs.licenses)).decode()
    return Exported({path: text}, next=f"trivy sbom {path}")


def _of_image(make: Callable[[Reference], Exported]) -> Callable[[ExportInputs], Exported]:
    return lambda inputs: make(inputs.image)


def _program(inputs: ExportInputs) -> str:
    return _PROGRAMS.get(inputs.command[0], "A shell")


def _fill(name: str, values: Mapping[str, str]) -> str:
    text = (files("jupyter_condabuild.jobs") / "templates" / name).read_text(encoding="utf-8")
    return Template(text).substitute(values)


KINDS: dict[str, Callable[[ExportInputs], Exported]] = {
    "dockerfile": _dockerfile,
    "github-actions": _github_actions,
    "gitlab-ci": _gitlab_ci,
    "compose": _compose,
    "kubernetes": _kubernetes,
    "apptainer": _apptainer,
    "slurm": _slurm,
    "devcontainer": _devcontainer,
    "spdx": _spdx,
    "cyclonedx": _cyclonedx,
    **{kind: _of_image(make) for kind, make in jupyter_files.KINDS.items()},
}
"""The function that makes the files, by the kind of files."""
