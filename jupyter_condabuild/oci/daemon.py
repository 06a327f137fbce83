"""Docker and Podman Engines: finds the one to use, loads images into it, takes images out of it, runs them.

`docker` is imported only when an engine is asked for.
Source: Engine API v1.41 (docs.docker.com/reference/api/engine), which Podman serves too.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_condabuild.errors import EngineFault, EngineUnavailable, from_os_error
from jupyter_condabuild.oci.archive import Archive, Progress, entries, silent, stream, stream_size
from jupyter_condabuild.oci.credentials import for_engine
from jupyter_condabuild.oci.endpoint import Endpoint, usual_sockets
from jupyter_condabuild.oci.engine_faults import innermost, named, raise_failure, said
from jupyter_condabuild.oci.image import Image, Reference

if TYPE_CHECKING:
    from docker import APIClient

CONNECT_SECONDS = 10.0
STALL_SECONDS = 600.0


class Daemon:
    """An engine that answered. `name` is what it calls itself, as in "Docker 20.10.24"; `where` its address."""

    def __init__(self, client: APIClient, name: str, where: str) -> None:
        self._client = client
        self.name = name
        self.where = where

    @property
    def client(self) -> APIClient:
        """docker-py's low-level client, for what else is asked of an engine (`oci.builder`)."""
        return self._client

    @classmethod
    def connect(cls, docker_host: str | None = None, limit: float = CONNECT_SECONDS) -> Daemon:
        """The engine to use: `docker_host`, else DOCKER_HOST, else Docker's context, else the usual sockets.

        A named address is the only one tried; without one Podman's sockets come after Docker's.

        Args:
            docker_host: such as ``unix:///var/run/docker.sock``, ``tcp://host:2376`` or ``ssh://user@host``.
            limit: seconds to wait for an answer, for each address.

        Raises:
            EngineUnavailable: none answers; says why, and what to do.
        """
        refusals = []
        for endpoint in candidates(docker_host):
            try:
                return cls._open(endpoint, limit)
            except EngineUnavailable as error:
                refusals.append((endpoint.exists, error))
        # A socket that is there and refuses says more than one that is missing.
        raise max(refusals, key=lambda refusal: refusal[0])[1]

    @classmethod
    def _open(cls, endpoint: Endpoint, limit: float) -> Daemon:
        endpoint.probe(limit)
        import docker

        with named("connecting to the engine", endpoint.address):
            try:
                client = docker.APIClient(
                    base_url=endpoint.address,
                    version="auto",
                    timeout=limit,
                    tls=endpoint.tls or False,
                    use_ssh_client=endpoint.address.startswith("ssh://"),
                )
            except docker.errors.DockerException as error:
                if isinstance(cause := innermost(error), TimeoutError):
                    raise endpoint.mute(limit) from None
                raise EngineUnavailable(f"No engine answers at {endpoint.address}: {said(cause)}.") from None
            # docker-py would read Docker's configuration alone, and read it in its own way: see `credentials`.
            client._auth_configs = docker.auth.AuthConfig({})
            version = client.version()
            parts = [part.get("Name", "") for part in version.get("Components") or []]
        client.timeout = STALL_SECONDS
        kind = "Podman" if any("podman" in part.lower() for part in parts) else "Docker"
        return cls(client, f"{kind} {version.get('Version', '')}".strip(), endpoint.address)

    def close(self) -> None:
        """Closes the connections; the engine can be used again after that."""
        self._client.close()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def image_id(self, name: str) -> str | None:
        """The id (``sha256:…``) of an image that the engine has under this name, digest or id; None if it has none.

        Raises:
            EngineFault, EngineUnavailable
        """
        import docker

        with self._named(f"looking for {name}"):
            try:
                found = str(self._client.inspect_image(name)["Id"])
            except docker.errors.NotFound:
                return None
        return found if ":" in found else f"sha256:{found}"

    def load(self, image: Image, reference: str, progress: Progress = silent) -> str:
        """Gives an image to the engine, without a file between, and names it once its id proved right.

        An engine that has the image already is sent nothing.

        Args:
            reference: the name and tag it gets; may be empty.
            progress: called with the bytes sent and the bytes in all.

        Returns:
            The image's id: its config digest, or its manifest digest where the engine keeps images in containerd.

        Raises:
            EngineFault: the engine refuses the image, or made another one of it.
            EngineUnavailable: the engine went away.
            DiskFull: the engine has no space left.
            BadReference, BadImage, ContentMismatch: as `archive.entries` and `archive.stream`.
        """
        name = Reference.parse(reference) if reference else None
        found = self.image_id(str(image.manifest.config.digest))
        if found is None:
            # Without a name: a name must not move to an image that turns out to be damaged.
            files = entries(image, "", "oci-archive")
            body = _Body(stream(files), stream_size(files), progress)
            try:
                with self._named("loading the image"):
                    raise_failure(self._client.load_image(body, quiet=False), "load the image")
            finally:
                if body.error is not None:
                    raise body.error
            found = self._loaded_id(image)
        if name:
            with self._named(f"naming the image {name}"):
                self._client.tag(found, f"{name.registry}/{name.repository}", name.tag or None)
        return found

    def _loaded_id(self, image: Image) -> str:
        expected = [str(image.manifest.config.digest), str(image.manifest.descriptor.digest)]
        for digest in expected:
            found = self.image_id(digest)
            if found in expected:
                return found
        raise EngineFault(f"{self.name} took the image, but has none with the id {expected[0]} now.")

    def pull(self, reference: str, platform: str | None = None) -> bool:
        """Has the engine pull an image with the user's own credentials. False when the registry has none of that name.

        Args:
            platform: such as ``linux/arm64``; the engine's own when not given.

        Raises:
            EngineFault: the registry refuses or cannot be reached from the engine.
            EngineUnavailable: the engine went away.
            DiskFull: the engine has no space left.
        """
        import docker

        name = Reference.parse(reference)
        with self._named(f"pulling {name}"):
            try:
                answers = self._client.pull(
                    f"{name.registry}/{name.repository}",
                    tag=name.target,
                    stream=True,
                    decode=True,
                    platform=platform,
                    auth_config=for_engine(name),
                )
                raise_failure(answers, f"pull {name}")
            except docker.errors.NotFound:
                return False
            except EngineFault as error:
                if "not found" in error.message.lower() or "manifest unknown" in error.message.lower():
                    return False
                raise
        return True

    def export(self, name: str, folder: Path, progress: Progress = silent) -> Archive:
        """An image that only the engine has, as an archive in `folder` that has no name and goes when it is closed.

        Args:
            name: the image's name, digest or id.
            folder: where there is room for the image, uncompressed.
            progress: called with the bytes received and 0, as the engine does not say how many will come.

        Raises:
            EngineFault: the engine has no such image, or fails.
            EngineUnavailable: the engine went away.
            StoreError: the folder cannot be written, or is full.
            BadImage: what the engine sent is not an image.
        """
        complete = 0
        try:
            file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  the archive closes it
        except OSError as error:
            raise from_os_error(error, f"taking {name} out of the engine", folder) from None
        try:
            with self._named(f"reading {name}"):
                chunks = iter(self._client.get_image(name))
            while chunk := self._next(chunks, name):
                try:
                    file.write(chunk)
                except OSError as error:
                    raise from_os_error(error, f"taking {name} out of the engine", folder) from None
                complete += len(chunk)
                progress(complete, 0)
            return Archive(file)
        except BaseException:
            file.close()
            raise

    def _next(self, chunks: Iterator[bytes], name: str) -> bytes:
        with self._named(f"reading {name}"):
            return next(chunks, b"")

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        entrypoint: Sequence[str] | None = None,
        network: str = "none",
        read_only: bool = False,
        limit: float = 300.0,
    ) -> tuple[int, str]:
        """Runs a command in a new container, which is removed afterwards.

        Args:
            user: as in ``docker run --user``; the image's own when not given.
            entrypoint: in place of the image's own; empty for none at all.
            network: the container's network mode.
            read_only: whether the container's file system is.
            limit: seconds it may take.

        Returns:
            The exit status, and what it wrote to standard output and standard error.

        Raises:
            EngineFault: the container cannot be made or started, or took longer than `limit`.
            EngineUnavailable: the engine went away.
        """
        import requests

        client = self._client
        with self._named(f"running {name}"):
            container = client.create_container(
                name,
                list(command),
                user=user,
                environment=dict(environment or {}),
                entrypoint=None if entrypoint is None else list(entrypoint) or "",
                host_config=client.create_host_config(network_mode=network, read_only=read_only),
            )["Id"]
            try:
                client.start(container)
                try:
                    status = int(client.wait(container, timeout=limit)["StatusCode"])
                except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError) as error:
                    if "timed out" not in str(error).lower():
                        raise
                    raise EngineFault(f"{command[0]} ran for more than {limit:g} seconds in {name}.") from None
                return status, client.logs(container).decode(errors="replace")
            finally:
                client.remove_container(container, force=True)

    @contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        with named(doing, self.where):
            yield


def candidates(docker_host: str | None = None) -> list[Endpoint]:
    """The engines to try, in order. A host that was named, in whatever way, is the only one.

    Raises:
        EngineUnavailable: Docker's current context, or the certificates, cannot be read.
    """
    if host := docker_host or os.environ.get("DOCKER_HOST"):
        return [_with_certificates(host)]
    context = _context()
    return usual_sockets() if context is None else [context]


def _with_certificates(host: str) -> Endpoint:
    """Docker's own environment variables say whether a named host is spoken to over TLS."""
    folder = os.environ.get("DOCKER_CERT_PATH", "")
    if not host.startswith(("tcp://", "https://")) or not (os.environ.get("DOCKER_TLS_VERIFY") or folder):
        return Endpoint(host)
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    try:
        tls = kwargs_from_env({**os.environ, "DOCKER_HOST": host}).get("tls")
    except DockerException as error:
        raise EngineUnavailable(
            f"The certificates for {host} cannot be used: {' '.join(str(error).split())[:300]}",
            "DOCKER_CERT_PATH names the folder with ca.pem, cert.pem and key.pem.",
        ) from None
    return Endpoint(host, tls or None)


def _context() -> Endpoint | None:
    """The engine of Docker's current context ('docker context ls'), unless that is the default one."""
    from docker.context import ContextAPI
    from docker.errors import DockerException

    name = os.environ.get("DOCKER_CONTEXT") or None
    try:
        context = ContextAPI.get_context(name)
        if context is None:
            raise EngineUnavailable(
                f"Docker has no context {name!r}.", "Choose one of 'docker context ls', or unset DOCKER_CONTEXT."
            )
        if context.Name == "default" or not context.Host:
            return None
        return Endpoint(context.Host, context.TLSConfig)
    except (DockerException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineUnavailable(
            f"Docker's current context cannot be read: {' '.join(str(error).split())[:300]}",
            "Look at 'docker context ls', or set DOCKER_HOST.",
        ) from None


class _Body:
    """Chunks on their way to the engine. An exception of their source is kept, to be told from the engine's own."""

    def __init__(self, chunks: Iterator[bytes], total: int, progress: Progress) -> None:
        self._chunks = chunks
        self._complete = 0
        self._total = total
        self._progress = progress
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                if chunk:  # an empty chunk would end the HTTP body
                    yield chunk
                self._complete += len(chunk)
                self._progress(self._complete, self._total)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise
