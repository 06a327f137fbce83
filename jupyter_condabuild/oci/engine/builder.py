"""Builds an image from a build context with BuildKit, the classic builder or Podman, and lets the engine push it.

BuildKit is used without a session, so it cannot ask for credentials. Images that need credentials must be pulled
before the build.

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
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.engine.faults import engine_error, engine_errors
from jupyter_condabuild.oci.engine.trace import Trace
from jupyter_condabuild.oci.image import Digest, Reference
from jupyter_condabuild.oci.logins.credentials import for_engine

Kind = Literal["buildkit", "classic", "podman"]
Answer = Trace | str
"""An answer of a builder during a build: a message of BuildKit's trace, or text."""
Pushing = Callable[[str, int, int], None]
"""The progress of a push: called with the id of a layer, the number of bytes sent of it, and its size in bytes."""

_CHUNK = 1 << 20
_BUILDKIT_API = (1, 39)  # Docker 18.09
_NO_BUILDKIT = re.compile(r"buildkit (?:is )?not (?:supported|enabled)|unsupported.*buildkit", re.IGNORECASE)


class NoBuildKit(EngineFault):
    """The engine has no BuildKit."""


@dataclass(frozen=True)
class BuildOptions:
    """The options of a build, without the build context.

    Args:
        name: the name of the image.
        labels: the labels of the image. They are not part of a Dockerfile, so they may contain any characters.
        cache_from: references of images that the builder uses as a cache.
        network: the network mode of the build. Empty for the engine's default.
        platform: the platform, such as ``linux/arm64``. Empty for the engine's default.
        plain: whether all registries of the build may use plain HTTP. Only Podman needs this option.
    """

    name: str
    labels: Mapping[str, str]
    cache_from: Sequence[str] = ()
    network: str = ""
    platform: str = ""
    plain: bool = False


def builder_of(daemon: Daemon) -> Kind:
    """Returns the builder of an engine."""
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
    """Builds an image. The engine stops the build if the connection is closed.

    Args:
        daemon: the engine.
        context: the build context: a tar file, compressed or not, that contains a Dockerfile.
        options: the options of the build.
        kind: the builder, as `builder_of` returns it.
        report: called with each answer of the builder.
        sent: called with the number of bytes of the context sent so far, and the size of the context in bytes.

    Returns:
        The id of the image.

    Raises:
        NoBuildKit: `kind` is ``buildkit``, and the engine has no BuildKit.
        EngineFault: a step of the build failed. The message has the engine's own text.
        EngineUnavailable: the engine stopped answering.
        DiskFull: the engine has no space left.
    """
    client = daemon.client
    with engine_errors("building the image", daemon.where):
        response = client._post(
            client._url("/build"),
            data=_Context(context, sent),
            params=_parameters(options, kind, client._proxy_configs.get_environment()),
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


def _parameters(options: BuildOptions, kind: Kind, proxies: Mapping[str, str]) -> dict[str, str]:
    """Returns the parameters of the request.

    Args:
        proxies: the proxies of Docker's config.json, as variables. Docker's command line passes them to a build, too.
            Builders know these variables: they are part neither of the image nor of a cache key.
    """
    arguments = dict(proxies)
    parameters = {
        "version": "2" if kind == "buildkit" else "1",
        "t": options.name,
        "rm": "1",
        "forcerm": "1",  # makes the classic builder remove the container of a failed step
        "labels": json.dumps(dict(options.labels)),
        "cachefrom": json.dumps(list(options.cache_from)),
    }
    if options.network:
        parameters["networkmode"] = options.network
    if options.platform:
        parameters["platform"] = options.platform
    if kind == "buildkit":
        # Stores the cache keys of all steps in the image, so that another engine can use the image as a cache.
        arguments["BUILDKIT_INLINE_CACHE"] = "1"
    if kind == "podman":
        # Buildah accepts only repositories without tags in cachefrom, and keeps intermediate layers only on request.
        parameters |= {"layers": "1", "cachefrom": "[]", "tlsVerify": "0" if options.plain else "1"}
    return parameters | ({"buildargs": json.dumps(arguments)} if arguments else {})


def _follow(answers: Iterator[Any], report: Callable[[Answer], None]) -> str:
    """Reads the answers of a build until its end and returns the id of the image, or empty text if none is named."""
    identity = ""
    for answer in answers:
        if not isinstance(answer, dict):
            continue
        if failure := answer.get("error") or answer.get("message"):
            if _NO_BUILDKIT.search(str(failure)):
                raise NoBuildKit(str(failure))
            raise engine_error("The build failed", _readable(str(failure)))
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
            if match := re.match(r"(?:Successfully built )?([0-9a-f]{12,64})\s*$", str(text)):
                identity = identity or match[1]
    return identity


def _readable(failure: str) -> str:
    """Returns the text of a failure without the arguments of the shell.

    The log shows the arguments. The reason of the failure comes after them.
    """
    before, found, rest = failure.partition("executor failed running [")
    _, end, reason = rest.rpartition("]: ")
    return f"{before}a command ended with {reason}" if found and end else failure


class _Context:
    """The body of a build request: the build context in chunks."""

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
    """Returns the network mode for builds: the engine's default, or ``host`` if the engine has no bridge network."""
    if daemon.name.startswith("Podman"):
        return ""
    with engine_errors("listing its networks", daemon.where):
        names = {str(entry.get("Name")) for entry in daemon.client.networks()}
    return "" if "bridge" in names else "host"


def image_size(daemon: Daemon, name: str) -> int:
    """Returns the size in bytes of all layers of an image of the engine, uncompressed."""
    with engine_errors(f"looking for {name}", daemon.where):
        return int(daemon.client.inspect_image(name)["Size"])


def forget(daemon: Daemon, name: str) -> None:
    """Removes a name from an image of the engine, and the image too if it has no other name. Ignores failures."""
    with suppress(CondaBuildError), engine_errors(f"removing the name {name}", daemon.where):
        daemon.client.remove_image(name, noprune=True)


def push(daemon: Daemon, reference: Reference, report: Pushing) -> tuple[Digest, frozenset[str]]:
    """Lets the engine push an image with the user's own credentials.

    Args:
        daemon: the engine.
        reference: the name of the image in the engine and in the registry.
        report: called for each progress of a layer.

    Returns:
        The digest of the manifest, and for each layer that was sent the first 12 hexadecimal digits of its diff_id.

    Raises:
        RegistryUnauthorized: the registry requires another login.
        RegistryFault: the push failed.
        EngineFault: the engine failed, or does not report the digest.
        EngineUnavailable: the engine stopped answering.
        DiskFull: the engine or the registry has no space left.
    """
    digest, sent = "", set[str]()
    with engine_errors(f"pushing {reference}", daemon.where):
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
            elif match := re.search(r"digest: (sha256:[0-9a-f]{64})", str(answer.get("status", ""))):
                digest = match[1]
    if not digest:
        raise EngineFault(f"{daemon.name} pushed {reference}, but did not report the digest of its manifest.")
    return Digest.parse(digest), frozenset(sent)


def _refusal(reference: Reference, text: str) -> CondaBuildError:
    text = " ".join(text.split())[:500].rstrip(".")
    summary = f"The engine could not push {reference}"
    message = f"{summary}: {text}."
    if re.search(r"unauthorized|authentication required|no basic auth|denied", text, re.IGNORECASE):
        return RegistryUnauthorized(message)
    # "no space left" is here a message of the registry about its own disk.
    return RegistryFault(message, "Read the registry's message above, and look at the engine's own log.")
