"""Stacked updates: new layers on top of the image that a tag has, so that who pulls it again gets those alone.

Engines key a layer by all below it: one that changes in the middle of the canonical order costs its puller everything
above. Here the tag's layers stay as they are; what is new comes on top, above a layer of whiteouts for what went away.
The price is a digest that depends on the image below, and bytes below that nobody sees any more. Whatever could make
the contents differ from the canonical image's has it built canonically. Source: OCI image-spec v1.1 layer.md.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jupyter_condabuild.distribution.destinations import Destination
from jupyter_condabuild.engines.layers.assemble import MOST_LAYERS
from jupyter_condabuild.errors import ImageError, RegistryError
from jupyter_condabuild.events import Log
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.image.configuration import Ours
from jupyter_condabuild.image.layers import LayerStack, ReadyLayer, hidden_in
from jupyter_condabuild.image.opener import members
from jupyter_condabuild.image.paths import PREFIX_IN_LAYER, USER, WORK, in_layer
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import LAYER_KEY, BlobSource, Digest, ImageConfig, Manifest
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.registry import Repository
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.planning.shared_paths import paths_of
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import size_text

STALE_SHARE = 0.25
"""How much of an image may be stale before it is built afresh."""


class NotStacked(Exception):
    """Why an image is built canonically instead."""


@dataclass(frozen=True)
class Current:
    """The image that a tag has: its manifest, what it says of itself, and where its layers can be read."""

    manifest: Manifest
    config: ImageConfig
    ours: Ours
    repository: Repository

    @classmethod
    def read(cls, manifest: Manifest, repository: Repository) -> Current:
        """Raises BadImage for an image that is not ours, and RegistryError."""
        config = ImageConfig.parse(b"".join(repository.read(manifest.config)))
        return cls(manifest, config, Ours.read(config), repository)

    @property
    def layers(self) -> tuple[ReadyLayer, ...]:
        """The layers above the base, among them those that later layers replace. Raises BadImage."""
        own = self.ours.layers(self.manifest, self.config)
        return tuple(ReadyLayer(*row[:2], self.repository, row.title, "reused-remote") for row in own)


def stacked(
    destination: Destination,
    base: Base,
    new: Sequence[ReadyLayer],
    contents: Callable[[], Mapping[Digest, Paths]],
    job: JobContext,
) -> LayerStack:
    """The new layers on the image that the destination's tag has, or alone where that is not possible; says which."""
    try:
        if not (destination.repository and destination.index.current):
            raise NotStacked("there is none under this tag")
        current = Current.read(destination.index.current, destination.repository)
        found = update(current, base, new, contents(), job.store)
    except (NotStacked, ImageError, RegistryError) as why:
        job.report(Log(f"Not stacked on the current image, but built afresh: {str(why).rstrip('.')}."))
        return LayerStack(tuple(new))
    stale = f"; {size_text(found.stale)} below are stale" if found.stale else ""
    job.report(Log(f"Stacked on the current image: {len(found.layers) - len(current.layers)} layers more{stale}."))
    return found


def contents(inputs: Inputs, layers: Sequence[ReadyLayer]) -> dict[Digest, Paths]:
    """What planned package layers have, records included, without reading them. Raises NotStacked."""
    paths = paths_of(inputs.plan, inputs.environment, inputs.sources, inputs.lockfile.site_packages)
    records = {record.dist: record for record in inputs.environment.records} if inputs.environment else {}
    whole = {planned.key: planned for planned in inputs.plan.layers}
    found: dict[Digest, Paths] = {}
    for ready in layers:
        planned = whole.get(ready.descriptor.annotations.get(LAYER_KEY, ""))
        if planned is None:
            continue
        files: set[str] = set()
        for name in planned.names:
            if name not in paths:
                raise NotStacked(f"nothing tells the files of {name}")
            own = {*paths[name], f"conda-meta/{name}.json"}
            if not planned.compiled and name in records:  # what the installer compiled is not in the layer
                own -= {entry.path for entry in records[name].paths if entry.kind == "pyc_file"}
            files |= own
        found[ready.descriptor.digest] = Paths.listed(files, compiled=planned.compiled)
    return found


def forecast(current: Manifest | None, planned: Sequence[PlannedLayer], size: int) -> str:
    """What stacking would do, as far as package layers tell; `size` is that of the canonical image's."""
    if current is None:
        return "There is no image to stack on under this tag."
    keys = {layer.key for layer in planned}
    before = hidden_in(current)
    visible = {
        layer.annotations[LAYER_KEY]: layer
        for layer in current.layers
        if LAYER_KEY in layer.annotations and layer.digest not in before
    }
    stale = sum(layer.size for key, layer in visible.items() if key not in keys)
    stale += sum(layer.size for layer in current.layers if layer.digest in before)
    added = len(keys - visible.keys())
    if stale > STALE_SHARE * size:
        return f"Not stacked on the current image, but built afresh: {size_text(stale)} of it would be stale."
    return f"Stacked on the current image: {added} package layers more; {size_text(stale)} below would be stale."


def update(
    current: Current, base: Base, new: Sequence[ReadyLayer], contents: Mapping[Digest, Paths], store: Store
) -> LayerStack:
    """The layers that make the current image the new one; `new` are those of the canonical image above its base.

    Args:
        contents: of layers that need not be read to know it.

    Raises NotStacked where that cannot be done, or is not worth it; RegistryError and ContentMismatch.
    """
    bases = [one.digest for one in current.manifest.layers[: current.ours.base_layers]]
    if bases != [one.digest for one in base.layers]:
        raise NotStacked("it has another base")
    lower, before = current.layers, hidden_in(current.manifest)
    rank = {ready.descriptor.digest: number for number, ready in enumerate(new)}
    visible = [ready for ready in lower if ready.descriptor.digest not in before]
    gone = [ready for ready in visible if ready.descriptor.digest not in rank]
    there = {ready.descriptor.digest for ready in visible}
    added = [ready for ready in new if ready.descriptor.digest not in there]
    if len(gone) == len(visible):
        raise NotStacked("nothing of it would remain")
    if not before.isdisjoint(ready.descriptor.digest for ready in added):
        raise NotStacked("something comes back that an earlier update replaced")
    if len(base.layers) + len(lower) + 1 + len(added) > MOST_LAYERS:
        raise NotStacked(f"it would have more than {MOST_LAYERS} layers")
    hidden = before | {ready.descriptor.digest for ready in gone}
    stacked = LayerStack((*lower, *added), hidden)
    size = sum(one.size for one in base.layers) + sum(ready.descriptor.size for ready in new)
    if stacked.stale > STALE_SHARE * size:
        raise NotStacked(f"{size_text(stacked.stale)} of it would be stale")
    paths = {ready.descriptor.digest: _paths(ready, contents, store) for ready in (*visible, *added)}
    if any(path.rpartition("/")[2].startswith(".wh.") for digest in there for path in paths[digest].files):
        raise NotStacked("it takes away files of packages")  # for what comes above, too, and for ever
    removed = _removed([ready.descriptor.digest for ready in (*visible, *added)], there, rank, paths)
    if not removed:
        return stacked
    whiteouts = _whiteouts(removed, store)
    return LayerStack((*lower, whiteouts, *added), hidden | {whiteouts.descriptor.digest})


@dataclass(frozen=True)
class Paths:
    """What a layer has, relative to the image's root. `maybe` are folders that it may have."""

    files: frozenset[str]
    folders: frozenset[str]
    maybe: frozenset[str] = frozenset()

    @classmethod
    def listed(cls, paths: Iterable[str], *, compiled: bool) -> Paths:
        """Of files relative to the prefix; of a layer that is compiled, bytecode need not be listed."""
        files = frozenset(f"{PREFIX_IN_LAYER}/{path}" for path in paths)
        folders = frozenset(up for path in files for up in _parents(path))
        modules = (path for path in files if compiled and path.endswith(".py"))
        return cls(files, folders, frozenset(f"{path.rpartition('/')[0]}/__pycache__" for path in modules))


def _paths(ready: ReadyLayer, contents: Mapping[Digest, Paths], store: Store) -> Paths:
    descriptor = ready.descriptor
    if descriptor.digest in contents:
        return contents[descriptor.digest]
    source: BlobSource = store if store.has(descriptor) else ready.source
    entries = [(member.name.rstrip("/"), member.isdir()) for member, _ in members(source, descriptor)]
    return Paths(
        frozenset(name for name, is_folder in entries if not is_folder),
        frozenset(name for name, is_folder in entries if is_folder),
    )


def _parents(path: str) -> Iterator[str]:
    while (slash := path.rfind("/")) > 0:
        path = path[:slash]
        yield path


def _removed(
    order: Sequence[Digest], there: Collection[Digest], rank: Mapping[Digest, int], paths: Mapping[Digest, Paths]
) -> list[str]:
    """The files, and whole folders, that the new image has not; `order` is that of the stack, lowest first.

    Args:
        there: layers that the current image shows; those that are not in `rank` go.
        rank: the layers of the new image, by their place in the canonical order.

    Raises NotStacked where a path would show another file than in the canonical image.
    """
    owners: dict[str, list[Digest]] = {}
    for digest in order:
        for path in paths[digest].files:
            owners.setdefault(path, []).append(digest)
    folders = {path for digest in rank for path in paths[digest].folders | paths[digest].maybe}
    staying = {path for digest in rank if digest in there for path in paths[digest].folders}
    removed: set[str] = set()
    for path, those in owners.items():
        of_new = [digest for digest in those if digest in rank]
        canonical = max(of_new, key=lambda digest: rank[digest], default=None)
        if (canonical is not None and (those[-1] != canonical or path in folders)) or path in staying:
            raise NotStacked(f"/{path} comes from several of its layers")
        if canonical is None:
            removed.add(_highest(path, folders))
    for digest in order:
        for path in paths[digest].folders - folders if digest not in rank else ():
            if any(owner in rank and owner in there for owner in owners.get(path, ())):
                raise NotStacked(f"/{path} comes from several of its layers")
            removed.add(_highest(path, folders))
    return sorted(removed)


def _highest(path: str, folders: Collection[str]) -> str:
    """The path, or the highest folder around it that the new image has not."""
    for up in _parents(path):
        if up in folders:
            break
        path = up
    return path


def _whiteouts(paths: Sequence[str], store: Store) -> ReadyLayer:
    """The layer that takes paths away; the user's folder stays the user's."""
    root = in_layer(WORK)
    entries = [Entry(path, "whiteout") for path in paths]
    if any(path.startswith(f"{root}/") for path in paths):
        entries.append(Entry(root, "directory", 0o1777, owner=USER))
    out = io.BytesIO()
    blob = layer.write(entries, out)
    store.put(blob.descriptor, [out.getvalue()])
    return ReadyLayer(blob.descriptor, blob.diff_id, store, "whiteouts of an update", "built")
