"""Builds with an engine: a context becomes an image by BuildKit, the classic builder or Podman, and can be pushed.

BuildKit is spoken to without a session, so it cannot ask for credentials: what needs them is pulled beforehand.
Source: Engine API v1.41, "Build an image" and "Push an image"; moby's api/server/backend/build for ``version=2``.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_condabuild.errors import CondaBuildError, EngineFault, RegistryFault, RegistryUnauthorized
from jupyter_condabuild.oci.archive import Progress, silent
from jupyter_condabuild.oci.credentials import for_engine
from jupyter_condabuild.oci.daemon import Daemon
from jupyter_condabuild.oci.engine_faults import fault, named
from jupyter_condabuild.oci.image import Digest, Reference
from jupyter_condabuild.oci.trace import Trace

Kind = Literal["buildkit", "classic", "podman"]
Answer = Trace | str
"""What a builder says: BuildKit's trace, or text."""
Pushing = Callable[[str, int, int], None]
"""Called with a layer's id, the bytes sent of it, and its size."""

_CHUNK = 1 << 20
_BUILDKIT_API = (1, 39)  # Docker 18.09
_NO_BUILDKIT = re.compile(r"buildkit (?:is )?not (?:supported|enabled)|unsupported.*buildkit", re.IGNORECASE)


class NoBuildKit(EngineFault):
    """The engine has no BuildKit."""


@dataclass(frozen=True)
class BuildOptions:
    """What goes to the engine beside the context. `labels` pass through no Dockerfile, so they may hold anything.

    `plain` says that all registries named may speak plain HTTP; only Podman must be told.
    """

    name: str
    labels: Mapping[str, str]
    cache_from: Sequence[str] = ()
    network: str = ""
    platform: str = ""
    plain: bool = False


def builder_of(daemon: Daemon) -> Kind:
    """Which builder an engine has."""
    if daemon.name.startswith("Podman"):
        return "podman"
    version = tuple(int(part) for part in re.findall(r"\d+", str(daemon.client.api_version))[:2])
    return "buildkit" if version >= _BUILDKIT_API else "classic"


def build(
    daemon: Daemon,
    context: Path,
    options: BuildOptions,
    kind: Kind,
    report: Callable[[Answer], None],
    sent: Progress = silent,
) -> str:
    """Sends a context (a tar file, compressed or not, with a Dockerfile in it) and returns the id of the image made.

    Ending the connection ends the build.

    Raises:
        NoBuildKit: the engine has none after all.
        EngineFault: a step failed; the message has the engine's own words.
        EngineUnavailable: the engine went away.
        DiskFull: the engine has no space left.
    """
    client = daemon.client
    with named("building the image", daemon.where):
        response = client._post(
            client._url("/build"),
            data=_Context(context, sent),
            params=_parameters(options, kind),
            headers={"Content-Type": "application/x-tar"},
            stream=True,
        )
        try:
            if kind != "podman" and response.status_code >= 400 and _NO_BUILDKIT.search(response.text):
                raise NoBuildKit(f"{daemon.name} has no BuildKit.")
            client._raise_for_status(response)
            identity = _follow(client._stream_helper(response, decode=True), report)
        finally:
            response.close()
    if not identity:
        raise EngineFault(f"{daemon.name} ended the build without an image.")
    return identity


def _parameters(options: BuildOptions, kind: Kind) -> dict[str, str]:
    parameters = {
        "version": "2" if kind == "buildkit" else "1",
        "t": options.name,
        "rm": "1",
        "forcerm": "1",  # of the classic builder: the container of a step that failed goes, too
        "labels": json.dumps(dict(options.labels)),
        "cachefrom": json.dumps(list(options.cache_from)),
    }
    if options.network:
        parameters["networkmode"] = options.network
    if options.platform:
        parameters["platform"] = options.platform
    if kind == "buildkit":
        # Puts the keys of all steps into the image, so that another engine can take it for its cache.
        parameters["buildargs"] = json.dumps({"BUILDKIT_INLINE_CACHE": "1"})
    if kind == "podman":
        # buildah wants repositories without tags there, and keeps intermediate layers only when told to.
        parameters |= {"layers": "1", "cachefrom": "[]", "tlsVerify": "0" if options.plain else "1"}
    return parameters


def _follow(answers: Iterator[Any], report: Callable[[Answer], None]) -> str:
    identity = ""
    for answer in answers:
        if not isinstance(answer, dict):
            continue
        if failure := answer.get("error") or answer.get("message"):
            if _NO_BUILDKIT.search(str(failure)):
                raise NoBuildKit(str(failure))
            raise fault("The build failed", _readable(str(failure)))
        aux = answer.get("aux")
        if answer.get("id") == "moby.buildkit.trace" and isinstance(aux, str):
            try:
                report(Trace.parse(base64.b64decode(aux, validate=True)))
            except binascii.Error:
                raise EngineFault("The engine's report on the build cannot be read.") from None
        elif isinstance(aux, dict) and aux.get("ID"):
            identity = str(aux["ID"])
        elif text := answer.get("stream") or answer.get("status"):
            report(str(text))
            if found := re.match(r"(?:Successfully built )?([0-9a-f]{12,64})\s*$", str(text)):
                identity = identity or found[1]
    return identity


def _readable(failure: str) -> str:
    """Without the arguments of the shell that ran the step: the log has them, and the reason stands behind them."""
    return re.sub(r"executor failed running \[.*\]: ", "a command ended with ", failure, flags=re.DOTALL)


class _Context:
    """The body of a build request, read in chunks."""

    def __init__(self, path: Path, sent: Progress) -> None:
        self._path = path
        self._sent = sent

    def __iter__(self) -> Iterator[bytes]:
        total, complete = self._path.stat().st_size, 0
        with self._path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
                complete += len(chunk)
                self._sent(complete, total)


def network(daemon: Daemon) -> str:
    """The network mode for builds: the engine's own, but the host's where the engine has no bridge network."""
    if daemon.name.startswith("Podman"):
        return ""
    with named("looking for its networks", daemon.where):
        names = {str(found.get("Name")) for found in daemon.client.networks()}
    return "" if "bridge" in names else "host"


def image_size(daemon: Daemon, name: str) -> int:
    """Bytes of an image's layers, uncompressed."""
    with named(f"looking for {name}", daemon.where):
        return int(daemon.client.inspect_image(name)["Size"])


def forget(daemon: Daemon, name: str) -> None:
    """Takes a name from an image, and the image with its last one; says nothing where that cannot be done."""
    with suppress(CondaBuildError), named(f"removing the name {name}", daemon.where):
        daemon.client.remove_image(name, noprune=True)


def push(daemon: Daemon, reference: Reference, report: Pushing) -> tuple[Digest, frozenset[str]]:
    """Has the engine push an image with the user's own credentials.

    Returns:
        The digest of the manifest, and of the layers that were sent the first 12 digits of their diff_ids.

    Raises:
        RegistryUnauthorized, RegistryFault, EngineFault, EngineUnavailable
    """
    digest, sent = "", set[str]()
    with named(f"pushing {reference}", daemon.where):
        answers = daemon.client.push(
            f"{reference.registry}/{reference.repository}",
            tag=reference.tag,
            stream=True,
            decode=True,
            auth_config=for_engine(reference),
        )
        for answer in answers:
            if failure := answer.get("error"):
                raise _refusal(reference, str(failure))
            detail, layer = answer.get("progressDetail") or {}, str(answer.get("id", ""))
            if detail.get("current") and layer:
                sent.add(layer)
                report(layer, int(detail["current"]), int(detail.get("total") or 0))
            if isinstance(answer.get("aux"), dict):
                digest = str(answer["aux"].get("Digest") or digest)
            elif found := re.search(r"digest: (sha256:[0-9a-f]{64})", str(answer.get("status", ""))):
                digest = found[1]
    if not digest:
        raise EngineFault(f"{daemon.name} pushed {reference}, and does not say as what.")
    return Digest.parse(digest), frozenset(sent)


def _refusal(reference: Reference, words: str) -> CondaBuildError:
    words = " ".join(words.split())[:500].rstrip(".")
    said = f"The engine could not push {reference}: {words}."
    if re.search(r"unauthorized|authentication required|no basic auth|denied", words, re.IGNORECASE):
        return RegistryUnauthorized(said)
    if "no space left" in words.lower():
        return fault(f"The engine could not push {reference}", words)
    return RegistryFault(said, "Look at the words of the registry above, and at the engine's own log.")
