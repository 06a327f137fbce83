"""The files of an image as in a container: the layers of an OCI archive are applied in order, with whiteouts.

This module uses only the standard library, so that the tested code does not check itself.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Node:
    """The file at a path: its kind, whether it is executable, the sha256 of its content, and a link's target.

    `mode`, `owner` and `mtime` are the layer's values. They do not count when two nodes are compared.
    """

    kind: str
    executable: bool = False
    sha256: str = ""
    target: str = ""

    def __str__(self) -> str:
        return f"{self.kind}{'*' if self.executable else ''} {self.target or self.sha256[:12]}"


@dataclass(frozen=True)
class Header:
    """The metadata of an entry in a layer. `mtime` is in seconds since the epoch."""

    path: str
    type: bytes
    mode: int
    owner: tuple[int, int]
    mtime: int
    size: int


class SavedImage:
    """An OCI archive with one image."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        with self._open() as tar:
            index = json.loads(_member(tar, "index.json"))
            self.digest: str = index["manifests"][0]["digest"]
            self.manifest: dict[str, Any] = json.loads(_member(tar, _blob(self.digest)))
            self.config: dict[str, Any] = json.loads(_member(tar, _blob(self.manifest["config"]["digest"])))

    @property
    def layers(self) -> list[str]:
        """The digests of the layers, with the base first."""
        return [layer["digest"] for layer in self.manifest["layers"]]

    @property
    def base_layers(self) -> int:
        """The number of the base's layers."""
        return int(self.config["config"]["Labels"]["org.jupyter.condabuild.base.layers"])

    @property
    def package_layers(self) -> dict[str, str]:
        """The digests of the layers, by their packages.

        If two layers have the same packages, the lower layer counts.
        """
        annotation = "org.jupyter.condabuild.layer.packages"
        layers = [layer for layer in self.manifest["layers"] if layer.get("annotations", {}).get(annotation)]
        return {layer["annotations"][annotation]: layer["digest"] for layer in reversed(layers)}

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the configuration."""
        return dict(item.split("=", 1) for item in self.config["config"]["Env"])

    @property
    def diff_ids(self) -> list[str]:
        """The digests of the layers' tars, from the configuration."""
        found: list[str] = self.config["rootfs"]["diff_ids"]
        return found

    @contextmanager
    def layer(self, digest: str) -> Iterator[tarfile.TarFile]:
        """Opens the tar of a layer as a stream."""
        with (
            self._open() as tar,
            _file(tar, _blob(digest)) as blob,
            # engines save uncompressed layers
            gzip.open(blob) if blob.peek(2)[:2] == b"\x1f\x8b" else blob as content,
            tarfile.open(fileobj=content, mode="r|", encoding="utf-8", errors="surrogateescape") as layer,
        ):
            yield layer

    def headers(self, digest: str) -> list[Header]:
        """Returns the entries of a layer in order."""
        with self.layer(digest) as layer:
            return [
                Header(member.name, member.type, member.mode, (member.uid, member.gid), int(member.mtime), member.size)
                for member in layer
            ]

    def read(self, path: str) -> bytes:
        """Returns the bytes of a file in the highest layer with this file."""
        for digest in reversed(self.layers):
            with self.layer(digest) as layer:
                for member in layer:
                    if member.name == path:
                        file = layer.extractfile(member)
                        assert file
                        return file.read()
        raise FileNotFoundError(path)

    @functools.cache  # noqa: B019  an image lives as long as its tests
    def tree(self, below: str = "opt/env") -> dict[str, Node]:
        """Returns the nodes in a folder by path, with directories. The base's layers are not read.

        Source: OCI image-spec layer.md, "Applying Changesets".
        """
        found: dict[str, Node] = {}
        for digest in self.layers[self.base_layers :]:
            added: dict[str, Node] = {}
            with self.layer(digest) as layer:
                for member in layer:
                    folder, _, name = member.name.rpartition("/")
                    if name == ".wh..wh..opq":
                        _remove(found, folder, itself=False)
                    elif name.startswith(".wh."):
                        _remove(found, f"{folder}/{name.removeprefix('.wh.')}")
                    else:
                        node = _node(layer, member)
                        if node.kind != "directory":
                            _remove(found, member.name)
                        added[member.name] = node
            found |= added
        root = f"{below}/"
        return {path.removeprefix(root): node for path, node in sorted(found.items()) if path.startswith(root)}

    @contextmanager
    def _open(self) -> Iterator[tarfile.TarFile]:
        with tarfile.open(self.archive) as tar:
            yield tar


def tree_of(folder: Path) -> dict[str, Node]:
    """Returns the nodes in a folder of this machine by path."""
    found: dict[str, Node] = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(parent, name)
            found[os.path.relpath(path, folder)] = node_at(path)
    return dict(sorted(found.items()))


def node_at(path: str | Path) -> Node:
    """Returns the node at a path of this machine."""
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return Node("symlink", target=os.readlink(path))
    if stat.S_ISDIR(mode):
        return Node("directory")
    with open(path, "rb") as file:
        return Node("file", bool(mode & 0o111), hashlib.file_digest(file, "sha256").hexdigest())


def differences(one: Mapping[str, Node], other: Mapping[str, Node]) -> dict[str, tuple[str, str]]:
    """Returns the paths at which two trees differ, without directories, with both descriptions."""
    paths = sorted({*one, *other})
    pairs = {path: (one.get(path), other.get(path)) for path in paths}
    return {
        path: (str(left or "nothing"), str(right or "nothing"))
        for path, (left, right) in pairs.items()
        if left != right and {node.kind for node in (left, right) if node} != {"directory"}
    }


def _node(layer: tarfile.TarFile, member: tarfile.TarInfo) -> Node:
    if member.isdir():
        return Node("directory")
    if member.issym():
        return Node("symlink", target=member.linkname)
    assert member.isreg(), f"{member.name} has the type {member.type!r}"
    file = layer.extractfile(member)
    assert file
    content = hashlib.sha256()
    while chunk := file.read(1 << 20):
        content.update(chunk)
    return Node("file", bool(member.mode & 0o111), content.hexdigest())


def _remove(found: dict[str, Node], path: str, *, itself: bool = True) -> None:
    if itself and found.pop(path, Node("directory")).kind != "directory":
        return
    for below in [name for name in found if name.startswith(f"{path}/")]:
        del found[below]


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _file(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    assert file, name
    return file


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    content: bytes = _file(tar, name).read()
    return content
