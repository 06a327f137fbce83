"""The tree of an image: what a container of the image shows at each path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jupyter_condabuild.jobs.proof.entries import Node, nodes
from jupyter_condabuild.oci.image import Descriptor, Image


def tree(image: Image, layers: Sequence[Descriptor]) -> dict[str, Node]:
    """Returns what a container of some layers of an image shows, by path. Source: image-spec layer.md.

    Raises BadImage or ContentMismatch.
    """
    shown: dict[str, Node] = {}
    for layer in layers:
        added: dict[str, Node] = {}
        for path, node in nodes(image, layer):
            folder, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _remove(shown, f"{folder}/") if folder else shown.clear()
            elif name.startswith(".wh."):
                _remove(shown, f"{folder}/{name.removeprefix('.wh.')}".removeprefix("/"))
            else:
                original = added.get(node.content) or shown.get(node.content)
                # A hard link shows the file that it leads to.
                added[path] = original if node.kind == "a hard link" and original else node
        for path, node in added.items():
            if node.kind != "a folder" and shown.get(path, node).kind == "a folder":
                _remove(shown, f"{path}/")
        shown |= added
    return {path: node if node.kind == "a file" else replace(node, mtime=0) for path, node in shown.items()}


def _remove(shown: dict[str, Node], path: str) -> None:
    """Removes a path and all below it; for a path that ends in ``/``, only what is below."""
    below = f"{path.rstrip('/')}/"
    for name in [name for name in shown if name == path or name.startswith(below)]:
        del shown[name]
