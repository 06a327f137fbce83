"""The entries of layers: everything that a layer says of a path, and the differences between two sets of paths."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.image.opener import members
from jupyter_condabuild.oci.image import BlobSource, Descriptor
from jupyter_condabuild.text import printable

_KINDS = {
    tarfile.REGTYPE: "a file",
    tarfile.AREGTYPE: "a file",
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.DIRTYPE: "a folder",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
_SIZE_AND_NAME = frozenset(("path", "linkpath", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname"))
SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True)
class Node:
    """A path in an image. `content` is the sha256 of a file, or the target of a link. `extra` are extended attributes.

    `times` is how often the layer has the path.
    """

    kind: str
    mode: int
    owner: tuple[int, int]
    content: str = ""
    mtime: float = 0
    extra: tuple[tuple[str, str], ...] = ()
    times: int = 1

    def differences(self, other: Node) -> list[str]:
        """Returns in words how another node differs from this node."""
        found = []
        if other.kind != self.kind:
            return [f"{other.kind} instead of {self.kind}"]
        if other.content != self.content:
            is_link = self.kind.endswith("link")
            found.append(f"a link to {printable(other.content)} instead of {self.content}" if is_link else "content")
        if other.mode != self.mode:
            found.append(f"mode {other.mode:04o} instead of {self.mode:04o}")
        if other.owner != self.owner:
            found.append("owner {}:{} instead of {}:{}".format(*other.owner, *self.owner))
        if other.extra != self.extra:
            found.append(f"extended attributes {printable(', '.join(name for name, _ in other.extra)) or 'missing'}")
        if other.times != self.times:
            found.append("the layer has the path several times")
        if other.mtime != self.mtime:
            found.append("time")
        return found


def entries(source: BlobSource, layer: Descriptor) -> dict[str, Node]:
    """Returns the entries of a layer by path. Raises BadImage or ContentMismatch."""
    found: dict[str, Node] = {}
    for path, node in nodes(source, layer):
        times = found[path].times + 1 if path in found else 1
        found[path] = Node(node.kind, node.mode, node.owner, node.content, node.mtime, node.extra, times)
    return found


def nodes(source: BlobSource, layer: Descriptor) -> Iterator[tuple[str, Node]]:
    """Yields the paths of a layer in order, with the content of each. Raises BadImage or ContentMismatch."""
    for member, content in members(source, layer):
        path = member.name.removeprefix("./").rstrip("/") or "."
        yield path, _node(member, content)


def _node(member: tarfile.TarInfo, content: io.BufferedIOBase | None) -> Node:
    text = member.linkname if member.issym() or member.islnk() else _hash(content) if content else ""
    extra = tuple(
        sorted((name, str(value)) for name, value in member.pax_headers.items() if name not in _SIZE_AND_NAME)
    )
    kind = _KINDS.get(member.type, "an entry of an unknown type")
    # some builders write the type of the path into the mode, too
    return Node(kind, member.mode & 0o7777, (member.uid, member.gid), text, member.mtime, extra)


def _hash(content: Any) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def differences(expected: Mapping[str, Node], actual: Mapping[str, Node]) -> Iterator[tuple[str, str]]:
    """Yields the paths at which two layers differ, and how."""
    for path in sorted({*expected, *actual}):
        if path not in actual:
            yield path, "is missing"
        elif path not in expected:
            yield path, f"{actual[path].kind} that no package brings"
        elif found := expected[path].differences(actual[path]):
            yield path, ", ".join(found)


def hazards(found: Mapping[str, Node], roots: Collection[str], owners: Collection[int]) -> Iterator[tuple[str, str]]:
    """Yields the paths of a layer that no build of ours makes, and why.

    Args:
        found: the entries of a layer that comes from no package.
        roots: the folders in which such a layer may have paths.
        owners: the owners that its paths may have.
    """
    for path, node in sorted(found.items()):
        folder, _, name = path.rpartition("/")
        shown = f"{folder}/{name.removeprefix('.wh.')}".removeprefix("/") if name.startswith(".wh.") else path
        reasons = []
        if node.kind not in ("a file", "a link", "a folder"):
            reasons.append(node.kind)
        if node.mode & SPECIAL and not (node.kind == "a folder" and node.mode == 0o1777):
            reasons.append(f"mode {node.mode:04o}")
        if node.extra:
            reasons.append(f"extended attributes {', '.join(name for name, _ in node.extra)}")
        if node.owner[0] != node.owner[1] or node.owner[0] not in owners:
            reasons.append("owner {}:{}".format(*node.owner))
        if not any(shown == root or shown.startswith(f"{root}/") for root in roots) and not (
            node.kind == "a folder" and any(root.startswith(f"{shown}/") for root in roots)
        ):
            reasons.append("a place in which no build puts files")
        if reasons:
            yield path, ", ".join(reasons)
