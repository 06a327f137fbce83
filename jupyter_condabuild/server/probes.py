"""Probes of the store, the registry, the engine and the base image: whether each works, and why not."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_condabuild.debian.mirror import Mirror
from jupyter_condabuild.errors import BaseUnavailable, CondaBuildError, DiskFull, StoreUnwritable
from jupyter_condabuild.image.nearby_bases import nearby
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.oci.logins import credentials
from jupyter_condabuild.oci.registry import open_registry
from jupyter_condabuild.oci.retry import Patience
from jupyter_condabuild.server.single_flight import SingleFlight
from jupyter_condabuild.settings import Settings
from jupyter_condabuild.text import seconds_text, size_text

LIMIT_SECONDS = 8.0
_ENGINE_SECONDS = 4.0
_ONCE = Patience(attempts=1, answer=LIMIT_SECONDS)
_MIN_FREE_BYTES = 10 << 20

Probe = Callable[[Settings], str]
"""Returns a detail of what works, such as "Docker 20.10.24". Raises CondaBuildError if the subject does not work."""


class Probes:
    """Runs all probes at the same time. A probe that hangs is not started again before it ends.

    Args:
        limit: seconds that each probe may take.
        root: the server's root folder, whose archives may have the base.
    """

    def __init__(self, settings: Settings, limit: float = LIMIT_SECONDS, root: Path | None = None) -> None:
        self._settings = settings
        self._root = root
        self._limit = limit
        self._threads = ThreadPoolExecutor(4, "condabuild-probe")
        self._shared: SingleFlight[str] = SingleFlight()
        self._bases: SingleFlight[tuple[str, ...]] = SingleFlight()

    async def all(self) -> list[dict[str, Any]]:
        """Returns the objects `Probe` of openapi.yaml. There is none for the registry if no registry is set."""
        return list(await asyncio.gather(*(self._run(*probe) for probe in _probes(self._settings))))

    async def close(self) -> None:
        """Stops waiting for the probes that run."""
        await self._shared.close()
        await self._bases.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, subject: str, name: str, probe: Probe) -> dict[str, Any]:
        started = time.monotonic()
        loop = asyncio.get_running_loop()
        detail, fault = "", None
        try:
            async with asyncio.timeout(self._limit):
                detail = await self._shared.get(
                    subject, lambda: loop.run_in_executor(self._threads, probe, self._settings)
                )
        except TimeoutError:
            message = f"{name} did not answer within {seconds_text(self._limit)}."
            fault = {"code": "no_answer", "message": message, "hint": "Check the network, the proxy and the name."}
        except CondaBuildError as error:
            fault = {"code": error.code, "message": error.message, "hint": error.hint}
        instead: tuple[str, ...] = ()
        if subject == "base" and fault:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limit):
                    instead = await self._bases.get(
                        subject, lambda: loop.run_in_executor(self._threads, bases, self._settings, self._root)
                    )
        return {
            "subject": subject,
            "name": name,
            "works": fault is None,
            "detail": detail,
            "fault": fault,
            "instead": list(instead),
            "seconds": round(time.monotonic() - started, 3),
        }


def _probes(settings: Settings) -> Iterator[tuple[str, str, Probe]]:
    yield "store", settings.store_dir, store
    if settings.registry:
        yield "registry", settings.registry, registry
    yield "engine", settings.docker_host or os.environ.get("DOCKER_HOST", "") or "Docker or Podman", engine
    yield "base", settings.base_image, base


def store(settings: Settings) -> str:
    """Returns the used and the free bytes of the local store. Raises StoreError."""
    folder = Path(settings.store_dir)
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise StoreUnwritable(f"The store {folder} is not writable: you may not write to {existing}.")
    free = shutil.disk_usage(existing).free
    if free < _MIN_FREE_BYTES:
        raise DiskFull(f"Only {size_text(free)} are free on the disk of the store {folder}.")
    blobs = folder / "blobs" / "sha256"
    used = sum(entry.stat().st_size for entry in os.scandir(blobs)) if blobs.is_dir() else 0
    return f"{size_text(used)} used, {size_text(free)} free"


def registry(settings: Settings) -> str:
    """Returns the login that a build uses for the registry. Raises RegistryError and ImageError."""
    reference = Reference.parse(f"{settings.registry.rstrip('/')}/any")
    login = credentials.find(reference.registry, reference.repository)
    with open_registry(reference, settings.insecure_registries, patience=_ONCE) as opened:
        opened.check()
    if login.problem:
        return f"without a login: {login.problem}"
    if login.identity_token:
        return "logged in with a token"
    return f"logged in as {login.username}" if login else "without a login"


def engine(settings: Settings) -> str:
    """Returns the name and the address of the engine. Raises EngineUnavailable and EngineFault."""
    with Daemon.connect(settings.docker_host or None, _ENGINE_SECONDS) as daemon:
        return f"{daemon.name} at {daemon.where}"


def base(settings: Settings) -> str:
    """Returns the digest of the base image; empty for a base that is not in a registry. Raises BaseUnavailable."""
    try:
        location = ImageLocation.parse(settings.base_image)
        if location.kind != "registry":
            if location.is_file and not location.path.exists():
                raise BaseUnavailable(f"The base image {location} is not available: there is no such file.")
            if location.kind == "debian-packages" and not _has_suite(settings, location.name):
                mirror = next(iter(settings.debian_mirrors), "no mirror")
                raise BaseUnavailable(
                    f"The base image {location} cannot be made: {mirror} does not have its packages.",
                    "Check the network and the proxy, or set a mirror of Debian (debian_mirrors).",
                )
            return ""
        reference = location.reference
        with open_registry(reference, settings.insecure_registries, patience=_ONCE) as opened:
            descriptor = opened.repository(reference.repository).head(reference.target)
    except BaseUnavailable:
        raise
    except CondaBuildError as error:
        raise BaseUnavailable(f"The base image is not available: {error.message}", error.hint or None) from None
    if descriptor is None:
        raise BaseUnavailable(f"The base image is not available: there is no image {reference}.")
    return str(descriptor.digest)


def _has_suite(settings: Settings, suite: str) -> bool:
    return any(Mirror(url).answers(suite, LIMIT_SECONDS / 2) for url in settings.debian_mirrors[:1])


def bases(settings: Settings, root: Path | None = None) -> tuple[str, ...]:
    """Returns the bases that can be used in place of that of the settings, which is not available."""
    with suppress(CondaBuildError):
        location = ImageLocation.parse(settings.base_image)
        if location.kind == "registry":
            return nearby(
                location.reference,
                settings.registry,
                settings.insecure_registries,
                settings.allowed_registries,
                settings.docker_host,
                root,
                settings.debian_mirrors,
            )
    return ()
