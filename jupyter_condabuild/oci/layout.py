"""OCI image layout on disk: the content store, and the layer cache that finds a blob by its layer key.

Beside the layout's ``blobs/`` lie ``layers/<key>.json``, what is known of a layer that was built or read here, and
``tmp/``. Everything is written under another name and renamed, so a crash at any point leaves a store that works.
Source: OCI image-spec image-layout.md.
"""

from __future__ import annotations

import fcntl
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
from jupyter_condabuild.oci.image import Descriptor, Digest
from jupyter_condabuild.oci.layer import LayerBlob

CHUNK = 1 << 20


def verified(chunks: Iterable[bytes], descriptor: Descriptor) -> Iterator[bytes]:
    """Passes chunks on; raises ContentMismatch as soon as they are too many, or when the digest is another one."""
    content = hashlib.new(descriptor.digest.algorithm)
    size = 0
    for chunk in chunks:
        content.update(chunk)
        size += len(chunk)
        if size > descriptor.size:
            break
        yield chunk
    if size != descriptor.size or content.hexdigest() != descriptor.digest.hex:
        raise ContentMismatch(f"The bytes received for {descriptor.digest} are not those of its digest and size.")


@dataclass(frozen=True)
class StoredLayer:
    """A layer known by its key. Its blob may lie in the store or, when it was only seen in a registry, not."""

    key: str
    blob: LayerBlob
    packages: tuple[str, ...] = ()


class Store:
    """A folder of blobs and layers; safe for several processes at once.

    A process that builds holds a shared lock, so that `prune` never takes a blob from under it.
    """

    def __init__(self, root: Path) -> None:
        """Raises StoreUnwritable or DiskFull when the folder cannot be made or written."""
        self.root = root
        self._blobs = root / "blobs" / "sha256"
        self._layers = root / "layers"
        self.tmp = root / "tmp"
        try:
            for folder in (self._blobs, self._layers, root / "pushed", root / "finished", self.tmp):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if self._exclusive():
                self._clean()
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            marker = root / "oci-layout"
            if not marker.exists():
                self._write(marker, b'{"imageLayoutVersion":"1.0.0"}')
        except OSError as error:
            raise from_os_error(error, "opening the store", root) from None

    def close(self) -> None:
        """Gives the lock back."""
        os.close(self._lock)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _exclusive(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

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
        """A new file in the store's tmp folder, removed at the end unless it was renamed; to be flushed before that."""
        descriptor, name = tempfile.mkstemp(dir=self.tmp)
        try:
            with open(descriptor, "wb") as file:
                yield file, name
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder in the store's tmp folder, removed at the end."""
        try:
            path = Path(tempfile.mkdtemp(dir=self.tmp))
        except OSError as error:
            raise from_os_error(error, "making a work folder", self.tmp) from None
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def path(self, digest: Digest) -> Path:
        """Where a blob lies, or would lie."""
        return self._blobs / digest.hex

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a blob of that digest and size is here."""
        try:
            return self.path(descriptor.digest).stat().st_size == descriptor.size
        except FileNotFoundError:
            return False

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The blob's bytes, verified; raises ContentMismatch and forgets the blob when it is damaged."""
        path = self.path(descriptor.digest)
        try:
            with open(path, "rb", buffering=0) as file:
                yield from verified(iter(lambda: file.read(CHUNK), b""), descriptor)
        except ContentMismatch:
            path.unlink(missing_ok=True)
            raise ContentMismatch(
                f"A layer in the local store was damaged ({descriptor.digest}); it has been removed.",
                "Try again: the layer will be built anew.",
            ) from None
        except OSError as error:
            raise from_os_error(error, "reading the store", path) from None

    def adopt(self, temporary: str, digest: Digest) -> None:
        """Takes a finished file of the tmp folder, which has that digest, as a blob."""
        os.replace(temporary, self.path(digest))

    def put(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
        """Stores a blob that comes from elsewhere; raises ContentMismatch and keeps nothing when it is not right."""
        try:
            with self.create() as (file, temporary):
                for chunk in verified(chunks, descriptor):
                    file.write(chunk)
                file.flush()
                self.adopt(temporary, descriptor.digest)
        except OSError as error:
            raise from_os_error(error, "writing to the store", self.root) from None

    def layer(self, key: str) -> StoredLayer | None:
        """What is known of the layer of a key, whether its blob is here or not; None where nothing is."""
        path = self._layers / f"{key}.json"
        layer = self._parse(path)
        if layer:
            with suppress(OSError):
                os.utime(path)  # what prune goes by
        return layer

    def built(self, key: str) -> StoredLayer | None:
        """The layer of a key, if its blob is here."""
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
        """Remembers which blob a key has."""
        value = {
            "descriptor": blob.descriptor.to_json(),
            "diff_id": str(blob.diff_id),
            "tar_size": blob.tar_size,
            "packages": list(packages),
        }
        self._write(self._layers / f"{key}.json", json.dumps(value).encode())

    def memory(self, identity: str) -> bytes:
        """What was kept of a finished build (`build.standing`); empty for nothing."""
        try:
            return self._memory(identity).read_bytes()
        except OSError:
            return b""

    def keep(self, identity: str, memory: bytes) -> None:
        """Keeps what is to be known of a finished build; replaces what was known."""
        self._write(self._memory(identity), memory)

    def _memory(self, identity: str) -> Path:
        return self.root / "finished" / identity

    def remember(self, repository: str, digest: Digest) -> None:
        """Notes the manifest that was pushed last to a repository (``registry/repository``)."""
        self._write(self._previous(repository), str(digest).encode())

    def previous(self, repository: str) -> Digest | None:
        """The manifest that was pushed last from here to a repository."""
        try:
            return Digest.parse(self._previous(repository).read_text())
        except (OSError, ValueError, BadDigest):
            return None

    def _previous(self, repository: str) -> Path:
        return self.root / "pushed" / Digest.of(repository.encode()).hex

    @property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(entry.stat().st_size for entry in os.scandir(self._blobs))

    def prune(self, keep_bytes: int = 0) -> int:
        """Removes the layers used longest ago until at most `keep_bytes` remain; returns the bytes freed.

        Raises StoreBusy while a build uses the store.
        """
        if not self._exclusive():
            fcntl.flock(self._lock, fcntl.LOCK_SH)  # which the vain request has given up
            raise StoreBusy("A build is using the store.")
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
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_SH)
