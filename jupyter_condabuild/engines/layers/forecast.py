"""The forecast of a build: each blob of the image, its size, and what the build will do with it.

A blob counts as there only if the destination has it: its own manifests name it, or it says so when it is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from jupyter_condabuild.conda.linking.bytecode import uncompiled
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.distribution.destinations import Destination
from jupyter_condabuild.distribution.layer_index import LayerIndex
from jupyter_condabuild.distribution.push import MOST_MOUNTS
from jupyter_condabuild.engines.layers.assemble import image_configuration
from jupyter_condabuild.engines.layers.own_content import OwnContent, overlay_content, workspace_content
from jupyter_condabuild.engines.layers.reuse import Reuse, title
from jupyter_condabuild.engines.layers.sampling import BYTECODE, SampledFile, compressed_size
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.image.configuration import runtime_layer
from jupyter_condabuild.image.debian_image import NOT_MADE
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.image.paths import PREFIX_IN_LAYER
from jupyter_condabuild.oci.image import Digest, Reference
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.planning.shared_paths import contested_layer, paths_of
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext

Kind = Literal["base", "program", "package", "files", "configuration"]
State = Literal["there", "mounted", "copied", "uploaded", "built", "built and uploaded", "kept"]

SENT: frozenset[State] = frozenset(("copied", "uploaded", "built and uploaded"))
"""The states of blobs whose bytes go from this machine to the destination."""

AT_ONCE = 8
"""The number of questions to a registry at the same time."""

_UNKNOWN = NOT_MADE


@dataclass(frozen=True)
class Part:
    """One blob of a planned image.

    `size` is in bytes; it is an estimate for a layer that does not exist yet. `state` says what a build does:

    - there: the destination has the blob.
    - mounted: the registry has the blob in the repository `source`, and takes it from there. No byte is sent.
    - copied: the blob comes from the registry or the repository `source`, through this machine.
    - uploaded: the blob is on this machine, and is sent.
    - built: the layer is made here. Nothing of it is sent: the destination has such a layer, or there is none.
    - built and uploaded: the layer is made here and sent.
    - kept: the blob is on this machine. There is no destination.
    """

    kind: Kind
    title: str
    size: int
    state: State
    source: str = ""
    key: str = ""
    packages: tuple[str, ...] = ()

    @property
    def sent(self) -> int:
        """The number of bytes that are sent."""
        return self.size if self.state in SENT else 0

    @property
    def built(self) -> int:
        """The number of bytes that are built."""
        return self.size if self.state.startswith("built") else 0


@dataclass(frozen=True)
class Forecast:
    """All blobs of a planned image: the base's layers, our programs, the packages, the user's files, the configuration.

    `base_known` says whether the base's layers are among them. `claimed` are the keys of layers that a registry claims
    to have, but that nobody whom the user trusts vouches for.
    """

    parts: tuple[Part, ...]
    base_known: bool
    claimed: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """The size of the image in bytes."""
        return sum(part.size for part in self.parts)

    @property
    def sent(self) -> int:
        """The number of bytes that go to the destination."""
        return sum(part.sent for part in self.parts)

    @property
    def built(self) -> int:
        """The number of bytes that are built."""
        return sum(part.built for part in self.parts)


@dataclass(frozen=True)
class _Blob:
    """A blob before its state is known.

    `digest` is None for a blob that nobody has yet. `origin` is the repository that the blob comes from; None if it is
    on this machine, or will be. `candidates` are repositories that may have the blob. `built` says whether the layer
    must be made.
    """

    kind: Kind
    title: str
    size: int
    digest: Digest | None = None
    origin: Repository | None = None
    candidates: tuple[Repository, ...] = ()
    built: bool = False
    key: str = ""
    packages: tuple[str, ...] = ()


def forecast(
    inputs: Inputs, request: PlanRequest, destination: Destination, base: Base | None, ratio: float, job: JobContext
) -> Forecast:
    """Returns the forecast of a build.

    Args:
        base: the base image; None if it is not known.
        ratio: the usual size of a layer relative to the archives of its packages; used for a lock file.

    Raises RegistryError if the destination does not answer.
    """
    planned = [*inputs.plan.layers, *_contested(inputs)]
    index = destination.index_of(planned, job.store, hints=True)
    level = request.compression_level
    runtime = runtime_layer(job.store, level)
    above = [(_Blob("program", runtime.title, runtime.descriptor.size, runtime.descriptor.digest), runtime.diff_id)]
    reuse = Reuse(job.store, index, job.report, registry=destination.repository.host if destination.repository else "")
    claimed = set()
    for package_layer in planned:
        found, claims = reuse.find(package_layer), index.of(package_layer.key)
        if found:
            above.append((_found(package_layer, found, destination, index), found.diff_id))
            continue
        blob = _Blob(
            "package", title(package_layer), 0, key=package_layer.key, packages=package_layer.names, built=True
        )
        if claims:
            claimed.add(package_layer.key)
            digest = claims[0].descriptor.digest
            places = index.repositories_with(digest)
            blob = replace(blob, size=claims[0].descriptor.size, digest=digest, candidates=places)
        else:
            blob = replace(blob, size=package_bytes(package_layer, inputs.environment, level, ratio))
        above.append((blob, _UNKNOWN))
    own = (overlay_content(request, inputs, inputs.unlockable), workspace_content(request, inputs))
    above += [_own(content, level, job) for content in own if content]
    blobs = [blob for blob, _ in above]
    if base:
        numbered = enumerate(base.layers, 1)
        below = [
            _Blob("base", f"base layer {n}", layer.size, layer.digest, base.repository)
            if layer.digest != NOT_MADE
            else _Blob("base", base.name if n == 1 else "packages of Debian", layer.size, built=True)
            for n, layer in numbered
        ]
        diff_ids = [*base.config.diff_ids, *(diff_id for _, diff_id in above)]
        known = _UNKNOWN not in diff_ids and not request.stack
        config = image_configuration(base, [(diff_id, blob.title) for blob, diff_id in above], inputs, request)
        made = config.descriptor
        blobs = [*below, *blobs, _Blob("configuration", "configuration", made.size, made.digest if known else None)]
    return Forecast(tuple(_parts(blobs, destination, job)), base is not None, frozenset(claimed))


def _found(layer: PlannedLayer, found: ReadyLayer, destination: Destination, index: LayerIndex) -> _Blob:
    """Returns a package layer that a registry or the store has."""
    origin = found.source if isinstance(found.source, Repository) else None
    pool = (destination.pool.repository,) if destination.pool else ()
    places = (*index.repositories_with(found.descriptor.digest), *pool)
    size, digest = found.descriptor.size, found.descriptor.digest
    return _Blob("package", found.title, size, digest, origin, places, key=layer.key, packages=layer.names)


def _own(content: OwnContent, level: int, job: JobContext) -> tuple[_Blob, Digest]:
    """Returns the layer of the user's own files, and its diff_id."""
    stored = job.store.layer(content.stamp)
    if stored:
        descriptor = stored.blob.descriptor
        built = not job.store.has(descriptor)
        return _Blob("files", content.title, descriptor.size, descriptor.digest, built=built), stored.blob.diff_id
    return _Blob("files", content.title, content.estimate(level), built=True), _UNKNOWN


def _contested(inputs: Inputs) -> list[PlannedLayer]:
    """Returns the layer of the paths that several packages bring, in a list; empty without one.

    For a lock file it is left out, because the paths of the packages would have to be downloaded.
    """
    if inputs.environment is None:
        return []
    site = inputs.lockfile.site_packages
    paths = paths_of(inputs.plan, inputs.environment, inputs.sources, site)
    return contested_layer(inputs.plan, paths, site, lambda event: None, inputs.sources)


def _parts(blobs: Sequence[_Blob], destination: Destination, job: JobContext) -> Iterator[Part]:
    """Yields the parts of the image, and asks the destination for the blobs that its manifests do not name."""
    repository = destination.repository
    if repository is None:
        for blob in blobs:
            state: State = "built" if blob.built else "copied" if blob.origin else "kept"
            place = f"{blob.origin.host}/{blob.origin.name}" if blob.origin else ""
            yield Part(blob.kind, blob.title, blob.size, state, place, blob.key, blob.packages)
        return
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="forecast") as threads:
        yield from threads.map(lambda blob: _part(blob, repository, destination, job), blobs)


def has(repository: Repository, digest: Digest) -> bool:
    """Returns whether a repository has a blob. Some registries deny reading a repository that does not exist yet."""
    try:
        return repository.has(digest)
    except CondaBuildError:
        return False


def _part(blob: _Blob, repository: Repository, destination: Destination, job: JobContext) -> Part:
    state: State = "built" if blob.built else "there"
    made = Part(blob.kind, blob.title, blob.size, state, "", blob.key, blob.packages)
    if blob.digest and (blob.digest in destination.index.present or has(repository, blob.digest)):
        return made
    origins = (blob.origin,) if blob.origin else ()
    near = {place.name: place for place in (*origins, *blob.candidates) if place.host == repository.host}
    if blob.digest and destination.places:
        names = [name for name in destination.places.of(blob.digest) if name not in near]
        near |= {name: job.repository(Reference(repository.host, name)) for name in names}
    near.pop(repository.name, None)
    for name, place in list(near.items())[:MOST_MOUNTS]:
        if blob.digest and has(place, blob.digest):
            return made if blob.built else replace(made, state="mounted", source=name)
    if blob.built:
        return replace(made, state="built and uploaded")
    if blob.origin:
        is_near = blob.origin.host == repository.host
        return replace(made, state="copied", source=blob.origin.name if is_near else blob.origin.host)
    return replace(made, state="uploaded")


def package_bytes(layer: PlannedLayer, environment: Environment | None, level: int, ratio: float) -> int:
    """Returns the estimated size of a package layer in bytes, from the files that the environment has of its packages.

    Args:
        ratio: the usual size of a layer relative to its archives; used without an environment.
    """
    if environment is None:
        return int(sum(package.size or 0 for package in layer.packages) * ratio)
    only: dict[str, set[str]] = {}
    for path, dist in layer.only:
        only.setdefault(dist, set()).add(path)
    prefix, names = str(environment.prefix), set(layer.names)
    files: list[SampledFile] = []
    modules = 0
    for record in environment.records:
        if record.dist not in names:
            continue
        sizes = dict(_sizes(prefix, record, only.get(record.dist, set()) if layer.only else None))
        files += [SampledFile(f"{PREFIX_IN_LAYER}/{path}", f"{prefix}/{path}", size) for path, size in sizes.items()]
        if not layer.only:
            with suppress(OSError):
                meta = f"{PREFIX_IN_LAYER}/conda-meta/{record.dist}.json"
                files.append(SampledFile(meta, str(record.source), record.source.stat().st_size))
        if layer.compiled:
            modules += sum(sizes[path] for path in uncompiled(sizes))
    return compressed_size(files, level) + int(modules * BYTECODE)


def _sizes(prefix: str, record: PrefixRecord, only: set[str] | None) -> Iterator[tuple[str, int]]:
    """Yields the paths of a package that its layer has, each with the size of its file in bytes."""
    for entry in record.paths:
        if entry.kind == "pyc_file" or (only is not None and entry.path not in only):
            continue
        size = 0 if entry.kind == "softlink" else entry.size
        if size is None:
            with suppress(OSError):
                size = os.lstat(f"{prefix}/{entry.path}").st_size
        yield entry.path, size or 0
