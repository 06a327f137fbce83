"""What a labmate runs to use an image: exact commands for Docker, Podman, Apptainer, conda and JupyterHub.

Sources: docs.docker.com "docker run", podman-run(1), apptainer.org "Support for Docker and OCI", kubespawner's
``profile_list``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jupyter_condabuild.events import Finished
from jupyter_condabuild.image.paths import ENTRYPOINT, LOCK, WORK
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.requests.build import BuildRequest

PORT = 8888
_LOOPBACK = re.compile(r"localhost|127\.[\d.]+")

_SERVES = "JupyterLab prints the address to open; it listens on this machine alone."
_HERE = f"The current folder is {WORK} in the container, and files made there are yours."


@dataclass(frozen=True)
class ShareCommand:
    """Lines to copy: for a shell or, of JupyterHub, for its configuration. `note` says what to know before."""

    tool: Literal["docker", "podman", "apptainer", "conda", "jupyterhub"]
    title: str
    text: str
    note: str = ""


def share_commands(request: BuildRequest, done: Finished) -> tuple[ShareCommand, ...]:
    """How the image of a finished build is used, from wherever it went; the way that most people take comes first."""
    if request.push:
        return (*_from_registry(request, done), *_hub(done))
    if request.load:
        name = str(request.reference)
        return (ShareCommand("docker", _title(done, "Docker"), _docker(done, name), _note(done)),)
    return tuple(_from_archive(request, done))


def _from_registry(request: BuildRequest, done: Finished) -> Iterator[ShareCommand]:
    reference = request.reference
    assert reference
    image, name = shlex.quote(str(reference)), _name(reference)
    plain = _is_plain(reference, request)
    yield ShareCommand(
        "docker", _title(done, "Docker"), f"docker pull {image}\n{_docker(done, str(reference))}", _note(done)
    )
    unverified = " --tls-verify=false" if plain else ""
    yield ShareCommand(
        "podman", _title(done, "Podman"), f"podman pull{unverified} {image}\n{_podman(done, image)}", _note(done)
    )
    unverified = " --no-https" if plain else ""
    yield ShareCommand(
        "apptainer",
        _title(done, "Apptainer"),
        f"apptainer pull{unverified} {name}.sif docker://{image}\n{_apptainer(done, name)}",
        "The current folder is the same inside, as everywhere with Apptainer.",
    )
    yield ShareCommand(
        "conda",
        "Make the environment without containers",
        f"docker run --rm {image} {LOCK} > {name}.lock\nconda create --name {name} --file {name}.lock",
        "The lock file has conda's packages; what pip installed is in the image alone.",
    )


def _from_archive(request: BuildRequest, done: Finished) -> Iterator[ShareCommand]:
    archive = request.archive
    assert archive
    path = shlex.quote(str(archive.path))
    name = _name(request.reference) if request.reference else "env"
    lines = [f"docker load --input {path}"]
    if request.reference:
        lines.append(_docker(done, str(request.reference)))
    note = _note(done) if request.reference else "Docker prints the image's id, which 'docker run' takes."
    yield ShareCommand("docker", _title(done, "Docker"), "\n".join(lines), note)
    source = f"{archive.kind}:{path}"
    yield ShareCommand("podman", _title(done, "Podman"), _podman(done, source), _note(done))
    yield ShareCommand(
        "apptainer",
        _title(done, "Apptainer"),
        f"apptainer build {name}.sif {source}\n{_apptainer(done, name)}",
        "The current folder is the same inside, as everywhere with Apptainer.",
    )


def _hub(done: Finished) -> Iterator[ShareCommand]:
    if not _serves(done):
        return
    reference = Reference.parse(done.reference)
    pinned = f"{reference.registry}/{reference.repository}@{done.digest}"
    yield ShareCommand(
        "jupyterhub",
        "Offer it on a JupyterHub on Kubernetes",
        f"""\
c.KubeSpawner.profile_list = [
    {{
        "display_name": {_name(reference)!r},
        "kubespawner_override": {{
            "image": {pinned!r},
            "cmd": ["jupyterhub-singleuser"],
            "working_dir": {WORK!r},
        }},
    }},
]""",
        "The environment needs the package jupyterhub, in the hub's version.",
    )


def _docker(done: Finished, reference: str) -> str:
    ports = f" -p 127.0.0.1:{PORT}:{PORT}" if _serves(done) else ""
    return f'docker run --rm -it{ports} -v "$PWD":{WORK} -u "$(id -u):$(id -g)" {shlex.quote(reference)}'


def _podman(done: Finished, image: str) -> str:
    ports = f" -p 127.0.0.1:{PORT}:{PORT}" if _serves(done) else ""
    # keep-id alone makes the number known inside; the image's own user would still be somebody else's.
    who = '--userns=keep-id -u "$(id -u):$(id -g)"'
    return f'podman run --rm -it {who} --security-opt label=disable{ports} -v "$PWD":{WORK} {image}'


def _apptainer(done: Finished, name: str) -> str:
    # Packages in ~/.local of whoever runs it would come before the image's.
    alone = "--env PYTHONNOUSERSITE=1"
    if _serves(done):
        return f"apptainer run {alone} {name}.sif"
    return f"apptainer exec {alone} {name}.sif {ENTRYPOINT} {shlex.join(done.command or ('sh',))}"


def _serves(done: Finished) -> bool:
    return done.command[:1] == ("jupyter",)


def _title(done: Finished, tool: str) -> str:
    program = {"jupyter": "JupyterLab", "python": "Python", "R": "R", "julia": "Julia"}.get((*done.command, "")[0])
    return f"Run {program or 'it'} with {tool}"


def _note(done: Finished) -> str:
    return f"{_HERE} {_SERVES}" if _serves(done) else _HERE


def _name(reference: Reference) -> str:
    """A file name and an environment's name: the last part of the repository."""
    return reference.repository.rpartition("/")[2]


def _is_plain(reference: Reference, request: BuildRequest) -> bool:
    """Whether the registry speaks plain HTTP, as far as can be told."""
    host = reference.registry.rpartition(":")[0] if re.search(r":\d+$", reference.registry) else reference.registry
    return bool({host, reference.registry} & set(request.insecure_registries) or _LOOPBACK.fullmatch(host))
