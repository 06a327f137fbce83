"""Docker and Podman Engines: finds the engine to use, loads, pulls and exports images, and runs containers.

`docker` (docker-py) is imported only when an engine is used.

Source: Engine API v1.41 (docs.docker.com/reference/api/engine), which Podman supports too.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from jupyter_condabuild.errors import CondaBuildError, EngineFault, EngineUnavailable, from_os_error
from jupyter_condabuild.oci.archive import Archive, Progress, silent, stream, stream_size
from jupyter_condabuild.oci.engine.endpoint import Endpoint, usual_sockets
from jupyter_condabuild.oci.engine.faults import downloaded, engine_errors, one_line, raise_failure, root_cause
from jupyter_condabuild.oci.engine.loading import Body, files_above, has_graphdriver, layers_there
from jupyter_condabuild.oci.image import Image, Reference
from jupyter_condabuild.oci.logins.credentials import for_engine

if TYPE_CHECKING:
    from docker import APIClient

CONNECT_SECONDS = 10.0
STALL_SECONDS = 600.0


class Daemon:
    """A connection to an engine.

    `name` is its kind and version, as in "Docker 20.10.24". `where` is its address. `is_desktop` is whether it is the
    engine of Docker Desktop, which runs in a virtual machine.
    """

    def __init__(self, client: APIClient, name: str, where: str, *, is_desktop: bool = False) -> None:
        self._client = client
        self.name = name
        self.where = where
        self.is_desktop = is_desktop

    @property
    def client(self) -> APIClient:
        """The low-level client of docker-py, for requests that this class does not make (`oci.builder`)."""
        return self._client

    @classmethod
    def connect(cls, docker_host: str | None = None, limit: float = CONNECT_SECONDS) -> Daemon:
        """Connects to the engine at `docker_host`, or DOCKER_HOST, or Docker's current context, or a default socket.

        The first of these that is set is used, and no other address is tried. If none is set, the default sockets are
        tried in order: Docker's sockets first, then Podman's.

        Args:
            docker_host: an address such as ``unix:///var/run/docker.sock``, ``tcp://host:2376`` or ``ssh://user@host``.
            limit: seconds to wait for the answer of each address.

        Raises:
            EngineUnavailable: no engine answers. The message has the reason, and the hint says what to do.
        """
        refusals = []
        for endpoint in candidates(docker_host):
            try:
                return cls._open(endpoint, limit)
            except EngineUnavailable as error:
                refusals.append((endpoint.exists, error))
        # The error of a socket that exists says more than the error of a socket that does not exist.
        raise max(refusals, key=lambda refusal: refusal[0])[1]

    @classmethod
    def _open(cls, endpoint: Endpoint, limit: float) -> Daemon:
        endpoint.probe(limit)
        import docker

        with engine_errors("connecting to the engine", endpoint.address):
            try:
                client = docker.APIClient(
                    base_url=endpoint.address,
                    version="auto",
                    timeout=limit,
                    tls=endpoint.tls or False,
                    use_ssh_client=endpoint.address.startswith("ssh://"),
                )
            except docker.errors.DockerException as error:
                if isinstance(cause := root_cause(error), TimeoutError):
                    raise endpoint.no_answer(limit) from None
                if isinstance(cause, NameError):  # without paramiko, docker-py has no class for SSH
                    raise EngineUnavailable(
                        f"The engine at {endpoint.address} cannot be reached by SSH: the package paramiko is missing.",
                        "Install it beside jupyter-condabuild: pip install 'docker[ssh]'.",
                    ) from None
                raise EngineUnavailable(f"No engine answers at {endpoint.address}: {one_line(cause)}.") from None
            except (AttributeError, TypeError):
                raise EngineUnavailable(
                    "Docker's config.json is not valid: its member proxies is no object of objects.",
                    "See https://docs.docker.com/engine/cli/proxy/ for its form.",
                ) from None
            # docker-py reads only Docker's own logins. Logins come from `credentials`, which reads Podman's too.
            client._auth_configs = docker.auth.AuthConfig({})
            version = client.version()
            parts = [part.get("Name", "") for part in version.get("Components") or []]
            platform = str((version.get("Platform") or {}).get("Name"))
        client.timeout = STALL_SECONDS
        kind = "Podman" if any("podman" in part.lower() for part in parts) else "Docker"
        name = f"{kind} {version.get('Version', '')}".strip()
        return cls(client, name, endpoint.address, is_desktop=platform.startswith("Docker Desktop"))

    def close(self) -> None:
        """Closes the connections. A later request opens them again."""
        self._client.close()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def image_id(self, name: str) -> str | None:
        """Returns the id (``sha256:…``) of an image of the engine, or None if the engine has no such image.

        Args:
            name: the name, digest or id of the image.

        Raises:
            EngineFault, EngineUnavailable
        """
        import docker

        with self._engine_errors(f"looking for {name}"):
            try:
                identity = str(self._client.inspect_image(name)["Id"])
            except docker.errors.NotFound:
                return None
        return identity if ":" in identity else f"sha256:{identity}"

    def keeps_layers(self) -> bool:
        """Whether a load may leave out layers, see `oci.engine.loading`. Raises EngineFault, EngineUnavailable."""
        with self._engine_errors("asking for its storage"):
            return self.name.startswith("Docker ") and has_graphdriver(self._client.info())

    def load(self, image: Image, reference: str, progress: Progress = silent) -> str:
        """Sends an image to the engine, checks its id there, and then gives it a name.

        The image is streamed: no file is written. Nothing is sent if the engine has the image already. Layers that the
        engine does not need are left out (see `oci.engine.loading`).

        Args:
            image: the image.
            reference: the name that the image gets in the engine. Empty for no name.
            progress: called with the number of bytes sent so far and the total number of bytes.

        Returns:
            The id of the image: the digest of its configuration, or the digest of its manifest if the engine stores
            images in containerd.

        Raises:
            EngineFault: the engine refuses the image, or the loaded image has another id.
            EngineUnavailable: the engine stopped answering.
            DiskFull: the engine has no space left.
            BadReference, BadDigest, BadImage, ContentMismatch: as `archive.entries` and `archive.stream` raise them.

        The sources of the layers may raise other errors.
        """
        name = Reference.parse(reference) if reference else None
        identity = self.image_id(str(image.manifest.config.digest))
        if identity is None:
            self._send(image, name, progress)
            identity = self._loaded_id(image)
        if name:
            with self._engine_errors(f"naming the image {name}"):
                self._client.tag(identity, f"{name.registry}/{name.repository}", name.tag or None)
        return identity

    def _send(self, image: Image, name: Reference | None, progress: Progress) -> None:
        lowest = 0
        with suppress(CondaBuildError), self._engine_errors("comparing the image with those of the engine"):
            if self.keeps_layers():
                lowest = layers_there(self._client, image, name)
        try:
            self._send_above(image, lowest, progress)
        except EngineFault:
            if not lowest:
                raise
            self._send_above(image, 0, progress)  # somebody has removed the image that has the layers

    def _send_above(self, image: Image, lowest: int, progress: Progress) -> None:
        # The archive has no name in it, so that an existing name never moves to an image that is damaged.
        files = files_above(image, lowest)
        body = Body(stream(files), stream_size(files), progress)
        try:
            with self._engine_errors("loading the image"):
                raise_failure(self._client.load_image(body, quiet=False), "load the image")
        finally:
            if body.error is not None:
                raise body.error

    def _loaded_id(self, image: Image) -> str:
        expected = [str(image.manifest.config.digest), str(image.manifest.descriptor.digest)]
        for digest in expected:
            identity = self.image_id(digest)
            if identity in expected:
                return identity
        raise EngineFault(f"{self.name} accepted the image, but it has no image with the id {expected[0]} afterwards.")

    def pull(self, reference: str, platform: str | None = None, progress: Callable[[int], None] | None = None) -> bool:
        """Lets the engine pull an image with the user's own credentials.

        Args:
            reference: the name of the image.
            platform: the platform, such as ``linux/arm64``. None for the engine's own platform.
            progress: called with the number of bytes that were downloaded so far.

        Returns:
            False if the registry has no image with this name.

        Raises:
            BadReference, BadDigest: `reference` is not an image reference.
            EngineFault: the registry refuses the pull, or the engine cannot reach the registry.
            EngineUnavailable: the engine stopped answering.
            DiskFull: the engine has no space left.
        """
        import docker

        name = Reference.parse(reference)
        with self._engine_errors(f"pulling {name}"):
            try:
                answers = self._client.pull(
                    f"{name.registry}/{name.repository}",
                    tag=name.target,
                    stream=True,
                    decode=True,
                    platform=platform,
                    auth_config=for_engine(name),
                )
                raise_failure(downloaded(answers, progress) if progress else answers, f"pull {name}")
            except docker.errors.NotFound:
                return False
            except EngineFault as error:
                if "not found" in error.message.lower() or "manifest unknown" in error.message.lower():
                    return False
                raise
        return True

    def export(self, name: str, folder: Path, progress: Progress = silent) -> Archive:
        """Copies an image of the engine into an archive and opens the archive.

        The archive is an unnamed temporary file: it disappears when the archive is closed.

        Args:
            name: the name, digest or id of the image.
            folder: a folder on a disk with enough space for the uncompressed image.
            progress: called with the number of bytes received so far, and 0, because the total number is unknown.

        Raises:
            EngineFault: the engine does not have the image, or fails.
            EngineUnavailable: the engine stopped answering.
            StoreError: the folder cannot be written, or its disk is full.
            BadImage: the engine sent something that is not an image.
        """
        complete = 0
        try:
            file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  the archive closes it
        except OSError as error:
            raise from_os_error(error, f"exporting {name} from the engine", folder) from None
        try:
            with self._engine_errors(f"reading {name}"):
                chunks = iter(self._client.get_image(name))
            while chunk := self._next(chunks, name):
                try:
                    file.write(chunk)
                except OSError as error:
                    raise from_os_error(error, f"exporting {name} from the engine", folder) from None
                complete += len(chunk)
                progress(complete, 0)
            return Archive(cast(BinaryIO, file))
        except BaseException:
            file.close()
            raise

    def _next(self, chunks: Iterator[bytes], name: str) -> bytes:
        with self._engine_errors(f"reading {name}"):
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
        """Runs a command in a new container and removes the container afterwards.

        Args:
            name: the name, digest or id of the image.
            command: the command and its arguments.
            user: the user as in ``docker run --user``. None for the user of the image.
            environment: environment variables that are added to those of the image.
            entrypoint: replaces the entrypoint of the image. Empty for no entrypoint.
            network: the network mode of the container.
            read_only: whether the file system of the container is read-only.
            limit: seconds that the command may take.

        Returns:
            The exit status, and the text that the command wrote to standard output and standard error.

        Raises:
            EngineFault: the container cannot be created or started, or the command took longer than `limit`.
            EngineUnavailable: the engine stopped answering.
        """
        import requests

        client = self._client
        with self._engine_errors(f"running {name}"):
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
    def _engine_errors(self, doing: str) -> Iterator[None]:
        with engine_errors(doing, self.where):
            yield


def candidates(docker_host: str | None = None) -> list[Endpoint]:
    """Returns the addresses of engines to try, in order.

    If `docker_host`, DOCKER_HOST or Docker's current context names an address, it is the only one.

    Raises:
        EngineUnavailable: Docker's current context or the certificates cannot be read.
    """
    if host := docker_host or os.environ.get("DOCKER_HOST"):
        return [_with_certificates(host)]
    context = _context()
    return usual_sockets() if context is None else [context]


def _with_certificates(host: str) -> Endpoint:
    """Returns the endpoint of a host. DOCKER_TLS_VERIFY and DOCKER_CERT_PATH decide whether TLS is used."""
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
            "Set DOCKER_CERT_PATH to the folder that contains ca.pem, cert.pem and key.pem.",
        ) from None
    return Endpoint(host, tls or None)


def _context() -> Endpoint | None:
    """Returns the endpoint of Docker's current context ('docker context ls'), or None for the default context."""
    from docker.context import ContextAPI
    from docker.errors import DockerException

    name = os.environ.get("DOCKER_CONTEXT") or None
    try:
        context = ContextAPI.get_context(name)
        if context is None:
            raise EngineUnavailable(
                f"Docker has no context {name!r}.",
                "Choose a context that 'docker context ls' lists, or unset DOCKER_CONTEXT.",
            )
        if context.Name == "default" or not context.Host:
            return None
        return Endpoint(context.Host, context.TLSConfig)
    except (DockerException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineUnavailable(
            f"Docker's current context cannot be read: {' '.join(str(error).split())[:300]}",
            "Check the contexts with 'docker context ls', or set DOCKER_HOST.",
        ) from None
