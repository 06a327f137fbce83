"""Stacked updates: new layers go on top of the current image of a tag, so that a user who pulls again gets only them.

The canonical image is the image of a build without stacking. An engine identifies a layer by the whole stack below it:
if a layer in the middle of the canonical order changes, everybody who pulls gets all layers above it again. A stacked
update keeps the layers of the current image. A layer of whiteouts removes the files that the new image does not have,
and the new layers come above it. The costs are a digest that depends on the current image, and stale layers: layers
whose files are all replaced, but which a new user still downloads. If the content could differ from the canonical
image, the canonical image is built. Source: OCI image-spec v1.1, layer.md.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jupyter_condabuild.engines.layers.assemble import MOST_LAYERS
from jupyter_condabuild.engines.layers.current_image import Current, NotStacked
from jupyter_condabuild.errors import EngineFault, EngineUnavailable, ImageError, RegistryError
from jupyter_condabuild.events import Log
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.image.layers import LayerStack, ReadyLayer, hidden_in
from jupyter_condabuild.image.opener import members
from jupyter_condabuild.image.paths import PREFIX_IN_LAYER, USER, WORK, in_layer
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import LAYER_KEY, BlobSource, Digest, Manifest
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.planning.shared_paths import paths_of
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import counted, size_text

STALE_SHARE = 0.25
"""The largest share of stale bytes in a stacked image, relative to the canonical image."""


def stacked(
    current: Callable[[], Current],
    base: Base,
    new: Sequence[ReadyLayer],
    contents: Callable[[], Mapping[Digest, Paths]],
    job: JobContext,
) -> LayerStack:
    """Returns the new layers stacked on the current image, or alone if that is not possible.

    The log of the build says which of the two was done, and why.

    Args:
        current: returns the current image, see `current_image`.
        new: the layers of the canonical image above its base.
        contents: returns the paths of layers that need not be read for them.
    """
    try:
        below = current()
        stack = update(below, base, new, contents(), job.store)
    except (NotStacked, ImageError, RegistryError, EngineUnavailable, EngineFault) as error:
        reason = str(error).rstrip(".")
        job.report(Log(f"Not stacked on the current image: {reason}. The canonical image is built."))
        return LayerStack(tuple(new))
    stale = f"; {size_text(stack.stale)} below are stale" if stack.stale else ""
    job.report(
        Log(f"Stacked on the current image: {counted(len(stack.layers) - len(below.layers), 'new layer')}{stale}.")
    )
    return stack


def contents(inputs: Inputs, layers: Sequence[ReadyLayer]) -> dict[Digest, Paths]:
    """Returns the paths of planned package layers, with the records in conda-meta, without reading the layers.

    Raises NotStacked if the files of a package are not known.
    """
    paths = paths_of(inputs.plan, inputs.environment, inputs.sources, inputs.lockfile.site_packages)
    records = {record.dist: record for record in inputs.environment.records} if inputs.environment else {}
    planned_by_key = {planned.key: planned for planned in inputs.plan.layers}
    by_digest: dict[Digest, Paths] = {}
    for ready in layers:
        planned = planned_by_key.get(ready.descriptor.annotations.get(LAYER_KEY, ""))
        if planned is None:
            continue
        files: set[str] = set()
        for name in planned.names:
            if name not in paths:
                raise NotStacked(f"the files of {name} are not known")
            own = {*paths[name], f"conda-meta/{name}.json"}
            if not planned.compiled and name in records:  # bytecode that the installer compiled is not in the layer
                own -= {entry.path for entry in records[name].paths if entry.kind == "pyc_file"}
            files |= own
        by_digest[ready.descriptor.digest] = Paths.of_files(files, compiled=planned.compiled)
    return by_digest


def forecast(current: Manifest | None, planned: Sequence[PlannedLayer], size: int) -> str:
    """Returns a sentence that says whether a build would stack, judged by the package layers alone.

    Args:
        current: the current image of the tag.
        size: the size in bytes of the package layers of the canonical image. `update` also counts all other layers.
    """
    if current is None:
        return "The tag has no image to stack on."
    keys = {layer.key for layer in planned}
    hidden = hidden_in(current)
    visible = {
        layer.annotations[LAYER_KEY]: layer
        for layer in current.layers
        if LAYER_KEY in layer.annotations and layer.digest not in hidden
    }
    stale = sum(layer.size for key, layer in visible.items() if key not in keys)
    stale += sum(layer.size for layer in current.layers if layer.digest in hidden)
    added = len(keys - visible.keys())
    if stale > STALE_SHARE * size:
        return f"Not stacked on the current image: {size_text(stale)} of it would be stale."
    return f"Stacked on the current image: {added} new package layers; {size_text(stale)} below would be stale."


def update(
    current: Current, base: Base, new: Sequence[ReadyLayer], contents: Mapping[Digest, Paths], store: Store
) -> LayerStack:
    """Returns the layers above the base that turn the current image into the new image.

    Args:
        new: the layers of the canonical image above its base.
        contents: the paths of layers that need not be read for them.

    Raises NotStacked if the update is not possible or has too many stale bytes, RegistryError or ContentMismatch.
    """
    bases = [descriptor.digest for descriptor in current.manifest.layers[: current.ours.base_layers]]
    if bases != [descriptor.digest for descriptor in base.layers]:
        raise NotStacked("it has another base")
    lower, already_hidden = current.layers, hidden_in(current.manifest)
    rank = {ready.descriptor.digest: number for number, ready in enumerate(new)}
    visible = [ready for ready in lower if ready.descriptor.digest not in already_hidden]
    replaced = [ready for ready in visible if ready.descriptor.digest not in rank]
    visible_digests = {ready.descriptor.digest for ready in visible}
    added = [ready for ready in new if ready.descriptor.digest not in visible_digests]
    if len(replaced) == len(visible):
        raise NotStacked("none of its layers would remain in use")
    if not already_hidden.isdisjoint(ready.descriptor.digest for ready in added):
        raise NotStacked("the new image needs a layer that an earlier update replaced")
    if len(base.layers) + len(lower) + 1 + len(added) > MOST_LAYERS:
        raise NotStacked(f"the new image would have more than {MOST_LAYERS} layers")
    hidden = already_hidden | {ready.descriptor.digest for ready in replaced}
    stack = LayerStack((*lower, *added), hidden)
    size = sum(descriptor.size for descriptor in base.layers) + sum(ready.descriptor.size for ready in new)
    if stack.stale > STALE_SHARE * size:
        raise NotStacked(f"{size_text(stack.stale)} of it would be stale")
    paths = {ready.descriptor.digest: _paths(ready, contents, store) for ready in (*visible, *added)}
    if any(path.rpartition("/")[2].startswith(".wh.") for digest in visible_digests for path in paths[digest].files):
        # A whiteout does not hide files of the new layers above it, and it hides files below even in a stale layer.
        raise NotStacked("it has whiteouts of files of packages")
    removed = _removed([ready.descriptor.digest for ready in (*visible, *added)], visible_digests, rank, paths)
    if not removed:
        return stack
    whiteouts = _whiteouts(removed, store)
    return LayerStack((*lower, whiteouts, *added), hidden | {whiteouts.descriptor.digest})


@dataclass(frozen=True)
class Paths:
    """The paths in a layer, relative to the root of the image. `possible` are folders that the layer may have."""

    files: frozenset[str]
    folders: frozenset[str]
    possible: frozenset[str] = frozenset()

    @classmethod
    def of_files(cls, paths: Iterable[str], *, compiled: bool) -> Paths:
        """Returns the paths of a layer from its files.

        Args:
            paths: files relative to the prefix; bytecode may be missing among them if the layer is compiled.
            compiled: whether the layer has bytecode for its modules.
        """
        files = frozenset(f"{PREFIX_IN_LAYER}/{path}" for path in paths)
        folders = frozenset(parent for path in files for parent in _parents(path))
        modules = (path for path in files if compiled and path.endswith(".py"))
        return cls(files, folders, frozenset(f"{path.rpartition('/')[0]}/__pycache__" for path in modules))


def _paths(ready: ReadyLayer, contents: Mapping[Digest, Paths], store: Store) -> Paths:
    """Returns the paths of a layer; reads the layer only if `contents` does not have them."""
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
    order: Sequence[Digest], visible: Collection[Digest], rank: Mapping[Digest, int], paths: Mapping[Digest, Paths]
) -> list[str]:
    """Returns the files and folders of the current image that the new image does not have.

    Args:
        order: the layers of the stack, lowest first.
        visible: the layers of the current image that are not stale. Layers that are not in `rank` become stale.
        rank: the position of each layer of the new image in the canonical order.

    Raises NotStacked if a path would show another file than in the canonical image.
    """
    owners: dict[str, list[Digest]] = {}
    for digest in order:
        for path in paths[digest].files:
            owners.setdefault(path, []).append(digest)
    new_folders = {path for digest in rank for path in paths[digest].folders | paths[digest].possible}
    kept_folders = {path for digest in rank if digest in visible for path in paths[digest].folders}
    removed: set[str] = set()
    for path, digests in owners.items():
        new_digests = [digest for digest in digests if digest in rank]
        canonical = max(new_digests, key=lambda digest: rank[digest], default=None)
        if (canonical is not None and (digests[-1] != canonical or path in new_folders)) or path in kept_folders:
            raise NotStacked(f"/{path} comes from several layers")
        if canonical is None:
            removed.add(_highest(path, new_folders))
    for digest in order:
        for path in paths[digest].folders - new_folders if digest not in rank else ():
            if any(owner in rank and owner in visible for owner in owners.get(path, ())):
                raise NotStacked(f"/{path} comes from several layers")
            removed.add(_highest(path, new_folders))
    return sorted(removed)


def _highest(path: str, new_folders: Collection[str]) -> str:
    """Returns the path, or the highest folder above it that the new image does not have."""
    for parent in _parents(path):
        if parent in new_folders:
            break
        path = parent
    return path


def _whiteouts(paths: Sequence[str], store: Store) -> ReadyLayer:
    """Returns a layer that removes paths. The owner of the user's folder stays the user."""
    root = in_layer(WORK)
    entries = [Entry(path, "whiteout") for path in paths]
    if any(path.startswith(f"{root}/") for path in paths):
        entries.append(Entry(root, "directory", 0o1777, owner=USER))
    out = io.BytesIO()
    blob = layer.write(entries, out)
    store.put(blob.descriptor, [out.getvalue()])
    return ReadyLayer(blob.descriptor, blob.diff_id, store, "whiteouts of an update", "built")
