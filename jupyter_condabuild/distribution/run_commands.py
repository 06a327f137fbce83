"""The commands that use an image with Docker, Podman, Apptainer, conda and JupyterHub.

Sources: docs.docker.com "docker run", podman-run(1), apptainer.org "Support for Docker and OCI", kubespawner's
``profile_list``.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jupyter_condabuild.events import Finished
from jupyter_condabuild.image.paths import ENTRYPOINT, LOCK, WORK
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.requests.build import BuildRequest

PORT = 8888
LINE = 26
"""The number of characters of a line of options that a narrow panel displays whole."""
_LOOPBACK = re.compile(r"localhost|127\.[\d.]+")

_JUPYTERLAB = "JupyterLab prints the address to open. Only this machine can connect to it."
_HOST_FOLDER = "The current folder has the same path in the container, as always with Apptainer."
_PODMAN_ROOT = "As root, leave out --userns=keep-id."
"""Podman 4.3 refuses this option for root."""
_FOLDER = f"The current folder is {WORK} in the container. You own the files that are made there."


@dataclass(frozen=True)
class ShareCommand:
    """Lines for a shell or, with the tool jupyterhub, for its configuration. `note` has advice for the user."""

    tool: Literal["docker", "podman", "apptainer", "conda", "jupyterhub"]
    title: str
    text: str
    note: str = ""


def share_commands(request: BuildRequest, finished: Finished, *, copied: bool = False) -> tuple[ShareCommand, ...]:
    """Returns the commands that use the image of a finished build at its destination, the most common command first.

    Args:
        copied: whether an archive was copied to the current folder of another machine. Otherwise the commands name its
            path on this machine.
    """
    if request.push:
        return (*_from_registry(request, finished), *_hub(finished))
    if request.load:
        name = str(request.reference)
        return (ShareCommand("docker", _title(finished, "Docker"), _docker(finished, name), _note(finished)),)
    return tuple(_from_archive(request, finished, copied=copied))


def _from_registry(request: BuildRequest, finished: Finished) -> Iterator[ShareCommand]:
    reference = request.reference
    assert reference
    image, name = shlex.quote(str(reference)), _name(reference)
    plain = _is_plain(reference, request)
    yield ShareCommand(
        "docker",
        _title(finished, "Docker"),
        f"docker pull {image}\n{_docker(finished, str(reference))}",
        _note(finished),
    )
    unverified = " --tls-verify=false" if plain else ""
    yield ShareCommand(
        "podman",
        _title(finished, "Podman"),
        f"podman pull{unverified} {image}\n{_podman(finished, image)}",
        f"{_note(finished)} {_PODMAN_ROOT}",
    )
    unverified = " --no-https" if plain else ""
    yield ShareCommand(
        "apptainer",
        _title(finished, "Apptainer"),
        f"apptainer pull{unverified} {name}.sif docker://{image}\n{_apptainer(finished, name)}",
        _HOST_FOLDER,
    )
    yield ShareCommand(
        "conda",
        "Make the environment without a container",
        f"docker run --rm {image} {LOCK} > {name}.lock\nconda create --name {name} --file {name}.lock",
        "The lock file has only conda packages. The image also has the packages that pip installed.",
    )


def _from_archive(request: BuildRequest, finished: Finished, *, copied: bool) -> Iterator[ShareCommand]:
    archive = request.archive
    assert archive
    path = shlex.quote(archive.path.name if copied else str(archive.path))
    if archive.kind == "sif":
        text = _on_lines(f"apptainer run {path}", *_jupyterlab(finished, on_host=True))
        yield ShareCommand("apptainer", _title(finished, "Apptainer"), text, _HOST_FOLDER)
        return
    name = _name(request.reference) if request.reference else "env"
    lines = [f"docker load --input {path}"]
    if finished.images:  # older engines load no index; skopeo gives the engine the image for its platform
        loaded = f"{request.reference or 'localhost/env:latest'}"
        lines = [f"skopeo copy oci-archive:{path} docker-daemon:{shlex.quote(loaded)}", _docker(finished, loaded)]
    elif request.reference:
        lines.append(_docker(finished, str(request.reference)))
    note = _note(finished) if request.reference else "Docker prints the image's id. Give this id to 'docker run'."
    yield ShareCommand("docker", _title(finished, "Docker"), "\n".join(lines), note)
    source = f"{archive.kind}:{path}"
    note = f"{_note(finished)} {_PODMAN_ROOT}"
    yield ShareCommand("podman", _title(finished, "Podman"), _podman(finished, source), note)
    yield ShareCommand(
        "apptainer",
        _title(finished, "Apptainer"),
        f"apptainer build {name}.sif {source}\n{_apptainer(finished, name)}",
        _HOST_FOLDER,
    )


def _hub(finished: Finished) -> Iterator[ShareCommand]:
    if not _runs_jupyterlab(finished):
        return
    reference = Reference.parse(finished.reference)
    pinned = f"{reference.registry}/{reference.repository}@{finished.digest}"
    yield ShareCommand(
        "jupyterhub",
        "Offer the image on a JupyterHub on Kubernetes",
        f"""\
c.KubeSpawner.profile_list = [
    {{
        "display_name": {_name(reference)!r},
        "kubespawner_override": {{
            "image": {pinned!r},
            "cmd": ["jupyterhub-singleuser"],
            # Zero to JupyterHub mounts the user's volume there: files elsewhere end with the pod.
            "working_dir": "/home/jovyan",
            "environment": {{"HOME": "/home/jovyan"}},
        }},
    }},
]""",
        "The environment needs the package jupyterhub in the version of the hub.",
    )


def _on_lines(*parts: str) -> str:
    """Returns a shell command on several lines, so that a narrow display does not break it inside of a word."""
    return " \\\n  ".join(parts)


def _docker(finished: Finished, reference: str) -> str:
    user = '-u "$(id -u):$(id -g)"'
    image = shlex.quote(reference)
    folder = f'-v "$PWD":{WORK}'
    return _on_lines("docker run --rm -it", *_ports(finished), folder, user, image, *_jupyterlab(finished))


def _podman(finished: Finished, image: str) -> str:
    # keep-id maps the user's id into the container, but the container still runs as the image's own user without -u.
    users = ("--userns=keep-id", '-u "$(id -u):$(id -g)"')
    folder = f'-v "$PWD":{WORK}'
    ports = _ports(finished)
    label = "--security-opt label=disable"
    return _on_lines("podman run --rm -it", *ports, label, folder, *users, image, *_jupyterlab(finished))


def _jupyterlab(finished: Finished, *, on_host: bool = False) -> tuple[str, ...]:
    """Returns the lines with the program of an image whose program is JupyterLab.

    JupyterLab refuses to run as root, who may paste the command, without a word that the image's own command lacks. For
    others, the word has no effect.

    Args:
        on_host: whether the container has the network of the host, in which 0.0.0.0 is every address of the host.
    """
    if not _runs_jupyterlab(finished):
        return ()
    command = [word.replace("--ip=0.0.0.0", "--ip=127.0.0.1") if on_host else word for word in finished.command]
    return tuple(
        textwrap.wrap(shlex.join([*command, "--allow-root"]), LINE, break_long_words=False, break_on_hyphens=False)
    )


def _ports(finished: Finished) -> tuple[str, ...]:
    return (f"-p 127.0.0.1:{PORT}:{PORT}",) if _runs_jupyterlab(finished) else ()


def _apptainer(finished: Finished, name: str) -> str:
    # Without the variable, Python would find packages in the user's ~/.local before the image's packages.
    variable = "--env PYTHONNOUSERSITE=1"
    if _runs_jupyterlab(finished):
        program, *words = _jupyterlab(finished, on_host=True)
        return _on_lines(f"apptainer exec {variable} {name}.sif", f"{ENTRYPOINT} {program}", *words)
    return _on_lines(f"apptainer exec {variable} {name}.sif", f"{ENTRYPOINT} {shlex.join(finished.command or ('sh',))}")


def _runs_jupyterlab(finished: Finished) -> bool:
    return finished.command[:1] == ("jupyter",)


def _title(finished: Finished, tool: str) -> str:
    program = {"jupyter": "JupyterLab", "python": "Python", "R": "R", "julia": "Julia"}.get((*finished.command, "")[0])
    return f"Run {program or 'the image'} with {tool}"


def _note(finished: Finished) -> str:
    return f"{_FOLDER} {_JUPYTERLAB}" if _runs_jupyterlab(finished) else _FOLDER


def _name(reference: Reference) -> str:
    """Returns a name for a file and an environment: the last part of the repository."""
    return reference.repository.rpartition("/")[2]


def _is_plain(reference: Reference, request: BuildRequest) -> bool:
    """Whether the registry may use plain HTTP: it is listed as insecure, or it is on a loopback address."""
    host = reference.registry.rpartition(":")[0] if re.search(r":\d+$", reference.registry) else reference.registry
    return bool({host, reference.registry} & set(request.insecure_registries) or _LOOPBACK.fullmatch(host))
