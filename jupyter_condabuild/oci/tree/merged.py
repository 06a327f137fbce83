"""Merges the layers of an image to the files of its container, as a stream: the newest layer first.

A file that a higher layer has, or has removed, is skipped when a lower layer is read. So each layer is read once and
nothing is unpacked. A layer is read a second time only if it has a hard link to a file that a higher layer hides.

Source: OCI image-spec layer.md, "Applying Changesets".
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from copy import copy

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.oci.image import Descriptor, Image
from jupyter_condabuild.oci.layer_reader import entries

Entry = tuple[tarfile.TarInfo, io.BufferedIOBase | None]
"""A file, folder or link, with its bytes if it is a regular file."""

MOST_PATHS = 4_000_000
"""The largest number of paths in an image. Their names are kept in memory."""
MOST_NAME = 255
"""The largest number of bytes in the name of a file, as in the file systems of Linux."""
MOST_PATH = 4095
"""The largest number of bytes in a path and in the target of a link: PATH_MAX of Linux, without the NUL."""
MOST_CHARACTERS = 1 << 29
"""The largest number of characters in all paths of an image together: one deep path implies thousands of folders."""

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_OF_AUFS = ".wh..wh."


def merged(image: Image, first: list[Entry], last: list[Entry]) -> Iterator[Entry]:
    """Yields the files of an image's container, each once. The bytes must be read before the next entry.

    A hard link comes after its target. The root folder is not among the entries. Device files are left out: a
    container of Apptainer has those of the host.

    Args:
        first: entries that hide those of the image, like a layer on top of the image.
        last: entries that appear only where the image has nothing, like a layer below it.

    Raises:
        BadImage: a layer is not valid, a path leads out of the image, a layer has a path twice, a hard link has no
            target, or a path is a folder for one layer and a file for a layer below.
        ContentMismatch: a layer differs from its descriptor.
    """
    tree = _Tree()
    yield from tree.add(first)
    # What the image has in the folders of the first entries would be run by Apptainer as if it were ours.
    tree.hide({member.name.partition("/")[0] for member, _ in first})
    for layer in reversed(image.manifest.layers):
        yield from tree.layer(image, layer)
    yield from tree.add(last)
    yield from tree.rest()


def path_of(name: str) -> str:
    """Returns the path of an entry without ``./``, ``//`` and a slash at its ends; empty for the root folder.

    Raises BadImage if the path leads out of the image, or if Linux could not have it.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise BadImage(f"The image contains the name {name[:200]!r}, which leads out of it.")
    if any(_bytes(part) > MOST_NAME for part in parts):
        raise BadImage(f"The image contains a name of more than {MOST_NAME} bytes: {name[:200]!r}.")
    path = "/".join(parts)
    if _bytes(path) > MOST_PATH:
        raise BadImage(f"The image contains a path of more than {MOST_PATH} bytes: {name[:200]!r}…")
    return path


class _Tree:
    """The paths that the layers read so far have: `files` and `folders`, each with the number of its layer.

    `implied` are folders that no entry describes yet. `hidden` are paths that a higher layer has removed, with all that
    is below them; `opaque` are folders of which only the content is removed. `sought` are links of higher layers, by
    the path of a target that is in a lower layer.
    """

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._folders: dict[str, int] = {}
        self._implied: set[str] = set()
        self._hidden: set[str] = set()
        self._opaque: set[str] = set()
        self._sought: dict[str, list[tarfile.TarInfo]] = {}
        self._number = self._characters = 0
        self._open: dict[str, bool] = {}

    def hide(self, paths: set[str]) -> None:
        """Removes paths, and all below them, from the layers that are read after this call."""
        self._hidden |= paths

    def add(self, given: list[Entry]) -> Iterator[Entry]:
        """Yields the entries at whose paths the tree has nothing yet, as from a layer of files and folders."""
        self._next()
        for member, content in given:
            if (member.isdir() or member.name not in self._implied) and self._place(member.name, folder=member.isdir()):
                yield member, content

    def rest(self) -> Iterator[Entry]:
        """Yields the folders that no layer describes. Raises BadImage if a hard link has no target."""
        if self._sought:
            raise _no_target(*next(iter(self._sought.items())))
        for path in sorted(self._implied):
            member = tarfile.TarInfo(path)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            yield member, None

    def layer(self, image: Image, layer: Descriptor) -> Iterator[Entry]:
        """Yields the entries of a layer that nothing hides."""
        self._next()
        removed: set[str] = set()
        emptied: set[str] = set()
        links: dict[str, str] = {}
        shown: dict[str, tarfile.TarInfo] = {}
        behind: set[str] = set()
        devices: set[str] = set()
        for member, content in entries(image, layer):
            path = path_of(member.name)
            folder, _, name = path.rpartition("/")
            if name == _OPAQUE:
                emptied.add(folder)
            elif not path or any(part.startswith(_OF_AUFS) for part in path.split("/")):
                continue
            elif name.startswith(_WHITEOUT):
                removed.add(_below(folder, name.removeprefix(_WHITEOUT)))
            elif member.islnk():
                links[path] = path_of(member.linkname)
                if self._place(path):
                    shown[path] = _renamed(member, path)
            else:
                if member.issym() and not 0 < _bytes(member.linkname) <= MOST_PATH:
                    raise BadImage(f"The link {path[:200]!r} of the image has no valid target.")
                visible = self._place(path, folder=member.isdir())
                if member.ischr() or member.isblk():
                    devices.add(path)
                    continue
                if visible:
                    yield _renamed(member, path), content
                elif not member.isdir():
                    behind.add(path)
                if path in self._sought and not member.isdir():
                    yield from _linked(member, content, self._sought.pop(path), path if visible else "")
        yield from self._links(image, layer, links, shown, behind, devices)
        self._hidden |= removed
        self._opaque |= emptied

    def _links(
        self,
        image: Image,
        layer: Descriptor,
        links: dict[str, str],
        shown: dict[str, tarfile.TarInfo],
        behind: set[str],
        devices: set[str],
    ) -> Iterator[Entry]:
        """Yields the hard links of a layer, after its files.

        Args:
            links: the target of every link of the layer.
            shown: the links that nothing hides.
            behind: the files of the layer that a higher layer hides.
            devices: the device files of the layer, which are left out with their links.
        """
        wanted: dict[str, list[tarfile.TarInfo]] = {}
        for target in [target for target in self._sought if target in links]:
            wanted.setdefault(_end(target, links), []).extend(self._sought.pop(target))
        for path, member in shown.items():
            wanted.setdefault(_end(path, links), []).append(member)
        again: dict[str, list[tarfile.TarInfo]] = {}
        for target, found in wanted.items():
            if target in devices:
                continue
            if target in self._folders:
                raise _no_target(target, found)
            if target in behind:
                again[target] = found
            elif self._files.get(target) == self._number:
                yield from _linked(found[0], None, found, target)
            else:
                self._sought.setdefault(target, []).extend(found)
        if again:
            for member, content in entries(image, layer):
                if found := again.pop(path_of(member.name), []):
                    yield from _linked(member, content, found, "")

    def _next(self) -> None:
        self._number += 1
        self._open = {}

    def _place(self, path: str, *, folder: bool = False) -> bool:
        """Returns whether nothing hides a path of the current layer, and takes note of the path then."""
        above = path.rpartition("/")[0]
        if path in self._hidden or not self._is_open(above):
            return False
        mine, others = (self._folders, self._files) if folder else (self._files, self._folders)
        if self._number in (others.get(path), None if folder else mine.get(path)):
            raise BadImage(f"A layer contains {path[:200]!r} twice.")
        if path in self._files or path in self._folders:
            return False
        if not folder and self._open.get(path):
            raise _not_a_folder(path)
        if path in self._implied:
            if not folder:
                raise BadImage(
                    f"{path[:200]!r} is a file or a link in one layer, and a higher layer has files below it.",
                    "Build the image with a layer that says what the path is.",
                )
            self._implied.remove(path)
        mine[path] = self._number
        self._characters += len(path)
        while above and above not in self._folders and above not in self._implied:
            self._implied.add(above)
            self._characters += len(above)
            above = above.rpartition("/")[0]
        if self._characters > MOST_CHARACTERS:
            raise BadImage(f"The paths of the image have more than {MOST_CHARACTERS} characters together.")
        if len(self._files) + len(self._folders) + len(self._implied) > MOST_PATHS:
            raise BadImage(f"The image has more than {MOST_PATHS} paths.")
        return True

    def _is_open(self, folder: str) -> bool:
        """Whether the current layer's files in a folder are visible."""
        unknown = []
        while (known := self._open.get(folder)) is None:
            unknown.append(folder)
            known = folder not in self._hidden and folder not in self._opaque
            if not folder or not known:
                break
            if (number := self._files.get(folder)) is not None:
                if number == self._number:
                    raise _not_a_folder(folder)
                known = False
                break
            folder = folder.rpartition("/")[0]
        self._open |= dict.fromkeys(unknown, known)
        return known


def _not_a_folder(path: str) -> BadImage:
    return BadImage(f"A layer has files below {path[:200]!r}, which is no folder in this layer.")


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _end(path: str, links: dict[str, str]) -> str:
    """Returns the file that a chain of hard links ends at. Raises BadImage if it does not end."""
    seen = set()
    while path in links:
        seen.add(path)
        path = links[path]
        if path in seen:
            raise BadImage(f"The hard link {path[:200]!r} leads to itself.")
    return path


def _linked(
    member: tarfile.TarInfo, content: io.BufferedIOBase | None, links: list[tarfile.TarInfo], target: str
) -> Iterator[Entry]:
    """Yields hard links to a file.

    Args:
        member: the file, with its content.
        target: the path at which the file is among the entries; empty if the first link takes the file's place.
    """
    if not target:
        target, *_ = (link.name for link in links)
        yield _renamed(member, target), content
        links = links[1:]
    for link in links:
        made = _renamed(link, link.name)
        made.type, made.linkname, made.size = tarfile.LNKTYPE, target, 0
        yield made, None


def _renamed(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    made = copy(member)
    made.name = path
    return made


def _no_target(target: str, links: list[tarfile.TarInfo]) -> BadImage:
    return BadImage(f"The hard link {links[0].name[:200]!r} leads to {target[:200]!r}, which is no file of the image.")
