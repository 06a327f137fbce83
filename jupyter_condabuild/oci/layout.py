"""The local store: a folder in the form of an OCI image layout, with a layer cache that finds a blob by its layer key.

The folders of the store:

- ``blobs/`` has the blobs, as in every OCI image layout.
- ``layers/<key>.json`` is the record of a layer that was built or read on this machine.
- ``finished/`` has the records of finished builds.
- ``pushed/`` has the digest of the manifest that was last pushed to each repository.
- ``places/`` has the repositories of each registry to which blobs were pushed.
- ``tmp/`` has files that are being written. A finished file is renamed, so a crash never leaves a damaged store.

Source: OCI image-spec image-layout.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jupyter_condabuild.errors import BadDigest, ContentMismatch, ImageError, StoreBusy, from_os_error
from jupyter_condabuild.files import PRIVATE, private_folder
from jupyter_condabuild.oci.image import Descriptor, Digest
from jupyter_condabuild.oci.layer import LayerBlob
from jupyter_condabuild.system import locks, opening

CHUNK = 1 << 20
_FOLDERS = ("pushed", "places", "finished", "vouched", "distrusted")


def verified(chunks: Iterable[bytes], descriptor: Descriptor) -> Iterator[bytes]:
    """Yields the chunks and verifies them.

    Raises ContentMismatch as soon as the chunks have more bytes than the descriptor says, or after the last chunk if
    the size or the digest differs.
    """
    hasher = hashlib.new(descriptor.digest.algorithm)
    size = 0
    for chunk in chunks:
        hasher.update(chunk)
        size += len(chunk)
        if size > descriptor.size:
            break
        yield chunk
    if size != descriptor.size or hasher.hexdigest() != descriptor.digest.hex:
        raise ContentMismatch(f"The bytes received for {descriptor.digest} do not match its digest and size.")


@dataclass(frozen=True)
class StoredLayer:
    """The record of a layer. The blob of a layer that was only seen in a registry is not in the store."""

    key: str
    blob: LayerBlob
    packages: tuple[str, ...] = ()


class Store:
    """A folder of blobs and layer records. Several processes can use it at the same time.

    Each open store holds a shared lock on the folder. `prune` needs the exclusive lock, so it never removes a blob
    that a build in another process uses.
    """

    def __init__(self, root: Path) -> None:
        """Opens the store and creates its folders if they do not exist. Other users may not enter it.

        Removes the content of ``tmp/`` if no other process uses the store.

        Raises StoreUnwritable, DiskFull or another StoreError if the folder cannot be created or written.
        """
        self.root = root
        self._blobs = root / "blobs" / "sha256"
        self._layers = root / "layers"
        self.tmp = root / "tmp"
        private_folder(root, "opening the store")
        try:
            for folder in (self._blobs, self._layers, self.tmp, *(root / name for name in _FOLDERS)):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | opening.WRITE, PRIVATE)
            if locks.try_own(self._lock):
                self._clean()
            locks.share(self._lock)
            marker = root / "oci-layout"
            if not marker.exists():
                self._write(marker, b'{"imageLayoutVersion":"1.0.0"}')
        except OSError as error:
            raise from_os_error(error, "opening the store", root) from None

    def close(self) -> None:
        """Releases the lock."""
        os.close(self._lock)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _clean(self) -> None:
        for leftover in self.tmp.iterdir():
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def _write(self, path: Path, data: bytes) -> None:
        with self.create() as (file, temporary):
            file.write(data)
            file.flush()
            os.replace(temporary, path)

    @contextmanager
    def create(self) -> Iterator[tuple[BinaryIO, str]]:
        """Creates a file in ``tmp/`` and yields it with its path. Removes it at the end, unless it was renamed.

        The caller flushes the file before it renames it.
        """
        descriptor, name = tempfile.mkstemp(dir=self.tmp)
        try:
            with open(descriptor, "wb") as file:
                yield file, name
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Creates a folder in ``tmp/`` and removes it at the end."""
        try:
            path = Path(tempfile.mkdtemp(dir=self.tmp))
        except OSError as error:
            raise from_os_error(error, "creating a temporary folder", self.tmp) from None
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def path(self, digest: Digest) -> Path:
        """Returns the path of a blob, whether the blob is in the store or not."""
        if digest.algorithm != "sha256":
            folder = self.root / "blobs" / digest.algorithm
            folder.mkdir(exist_ok=True)
            return folder / digest.hex
        return self._blobs / digest.hex

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the store has a blob with this digest and size."""
        try:
            return self.path(descriptor.digest).stat().st_size == descriptor.size
        except FileNotFoundError:
            return False

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yields the bytes of a blob and verifies them.

        Raises:
            ContentMismatch: the blob is damaged. It is removed from the store.
            StoreError: the file cannot be read.
        """
        path = self.path(descriptor.digest)
        try:
            with open(path, "rb", buffering=0) as file:
                yield from verified(iter(lambda: file.read(CHUNK), b""), descriptor)
        except ContentMismatch:
            path.unlink(missing_ok=True)
            raise ContentMismatch(
                f"A layer in the local store was damaged ({descriptor.digest}); it has been removed.",
                "Try again. The layer will be built again.",
            ) from None
        except OSError as error:
            raise from_os_error(error, "reading the store", path) from None

    def adopt(self, temporary: str, digest: Digest) -> None:
        """Moves a finished file of ``tmp/`` to the blobs. The caller guarantees that `digest` is right."""
        os.replace(temporary, self.path(digest))

    def put(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
        """Stores a blob that comes from another place.

        Raises:
            ContentMismatch: the chunks do not match the descriptor. Nothing is stored.
            StoreError: the file cannot be written.
        """
        try:
            with self.create() as (file, temporary):
                for chunk in verified(chunks, descriptor):
                    file.write(chunk)
                file.flush()
                self.adopt(temporary, descriptor.digest)
        except OSError as error:
            raise from_os_error(error, "writing to the store", self.root) from None

    def layer(self, key: str) -> StoredLayer | None:
        """Returns the record of the layer with this key, or None. The blob of the layer may be missing."""
        path = self._layers / f"{key}.json"
        layer = self._parse(path)
        if layer:
            with suppress(OSError):
                os.utime(path)  # prune removes the least recently used layers first
        return layer

    def built(self, key: str) -> StoredLayer | None:
        """Returns the record of the layer with this key if the store has its blob, else None."""
        layer = self.layer(key)
        return layer if layer and self.has(layer.blob.descriptor) else None

    def _parse(self, path: Path) -> StoredLayer | None:
        try:
            value = json.loads(path.read_bytes())
            blob = LayerBlob(Descriptor.parse(value["descriptor"]), Digest.parse(value["diff_id"]), value["tar_size"])
            return StoredLayer(path.stem, blob, tuple(value["packages"]))
        except (OSError, ValueError, KeyError, TypeError, ImageError):
            return None

    def add_layer(self, key: str, blob: LayerBlob, packages: Sequence[str]) -> None:
        """Writes the record of the layer with this key."""
        value = {
            "descriptor": blob.descriptor.to_json(),
            "diff_id": str(blob.diff_id),
            "tar_size": blob.tar_size,
            "packages": list(packages),
        }
        self._write(self._layers / f"{key}.json", json.dumps(value).encode())

    def memory(self, identity: str) -> bytes:
        """Returns the bytes that `keep` stored under this identity, or empty bytes if there are none."""
        try:
            return self._memory(identity).read_bytes()
        except OSError:
            return b""

    def keep(self, identity: str, memory: bytes) -> None:
        """Stores the record of a finished build, and replaces an older record with the same identity.

        Args:
            identity: the name of a file in ``finished/``.
            memory: the record, in the form that the caller chooses.
        """
        self._write(self._memory(identity), memory)

    def _memory(self, identity: str) -> Path:
        return self.root / "finished" / identity

    def remember(self, repository: str, digest: Digest) -> None:
        """Stores the digest of the manifest that was last pushed to a repository (``registry/repository``)."""
        self._write(self._previous(repository), str(digest).encode())

    def places(self, registry: str) -> bytes:
        """Returns the bytes that `keep_places` stored for a registry, or empty bytes if there are none."""
        try:
            return self._places(registry).read_bytes()
        except OSError:
            return b""

    def keep_places(self, registry: str, places: bytes) -> None:
        """Stores which repositories of a registry have which blobs, in the form that the caller chooses."""
        self._write(self._places(registry), places)

    def _places(self, registry: str) -> Path:
        return self.root / "places" / Digest.of(registry.encode()).hex

    def vouch(self, manifest: Digest) -> None:
        """Stores that every layer of a manifest was made here, or that somebody whom the user trusts vouches for it."""
        self._write(self._vouched(manifest), b"")

    def vouches(self, manifest: Digest) -> bool:
        """Returns whether `vouch` was called for a manifest."""
        return self._vouched(manifest).exists()

    def _vouched(self, manifest: Digest) -> Path:
        return self.root / "vouched" / manifest.hex

    def distrust(self, layer: Digest, reason: str) -> None:
        """Stores that the blob of a layer is not what it claims to be. `reason` is one line for the user."""
        self._write(self._distrusted(layer), reason.encode())

    def distrusts(self, layer: Digest) -> str:
        """Returns the reason that `distrust` has stored for the blob of a layer, or an empty text."""
        try:
            return self._distrusted(layer).read_text()
        except OSError:
            return ""

    def _distrusted(self, layer: Digest) -> Path:
        return self.root / "distrusted" / layer.hex

    def previous(self, repository: str) -> Digest | None:
        """Returns the digest that `remember` last stored for a repository (``registry/repository``), or None."""
        try:
            return Digest.parse(self._previous(repository).read_text())
        except (OSError, ValueError, BadDigest):
            return None

    def _previous(self, repository: str) -> Path:
        return self.root / "pushed" / Digest.of(repository.encode()).hex

    @property
    def size(self) -> int:
        """The size of all blobs in bytes."""
        return sum(entry.stat().st_size for entry in os.scandir(self._blobs))

    def prune(self, keep_bytes: int = 0) -> int:
        """Removes the least recently used blobs until at most `keep_bytes` remain.

        Also removes the records of layers without a blob, the records of finished builds, and the content of ``tmp/``.

        Returns:
            The number of bytes that were freed.

        Raises:
            StoreBusy: a build or another command uses the store.
            StoreError: a file cannot be removed.
        """
        with self.alone():
            return self._prune(keep_bytes)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps the store for this object until the end of the context. Raises StoreBusy if somebody else uses it."""
        if not locks.try_own(self._lock):
            locks.share(self._lock)
            raise StoreBusy("A build is using the store.")
        try:
            yield
        finally:
            locks.share(self._lock)

    def _prune(self, keep_bytes: int) -> int:
        try:
            self._clean()
            used: dict[str, float] = {}
            for record in self._layers.iterdir():
                layer = self._parse(record)
                if layer:
                    digest = layer.blob.descriptor.digest.hex
                    used[digest] = max(used.get(digest, 0.0), record.stat().st_mtime)
            blobs = {blob: blob.stat() for blob in self._blobs.iterdir()}
            left = sum(stat.st_size for stat in blobs.values())
            freed = 0
            for blob in sorted(blobs, key=lambda blob: max(used.get(blob.name, 0.0), blobs[blob].st_mtime)):
                if left <= keep_bytes:
                    break
                blob.unlink()
                left -= blobs[blob].st_size
                freed += blobs[blob].st_size
            for memory in (self.root / "finished").iterdir():
                memory.unlink()
            for record in self._layers.iterdir():
                layer = self._parse(record)
                if layer is None or not self.has(layer.blob.descriptor):
                    record.unlink()
            return freed
        except OSError as error:
            raise from_os_error(error, "pruning the store", self.root) from None
