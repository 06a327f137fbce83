"""Unpacked images: folders of the store with the files of images, for programs that run without an engine.

The folders below the folder of the unpacked images:

- ``files/<digest>`` has the content of a file once, for all images. Nobody may write to it.
- ``images/<digest of the manifest>/root`` has the files of an image: folders, links, and hard links to ``files/``.
- ``images/<digest of the manifest>/config.json`` is the configuration of the image.

Owners, device files and extended attributes are left out: a user without root can make none of them.

Source: OCI image-spec layer.md, "Applying Changesets".
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from jupyter_condabuild.errors import BadImage, from_os_error
from jupyter_condabuild.files import open_private
from jupyter_condabuild.oci.archive import Progress, silent
from jupyter_condabuild.oci.image import Image, ImageConfig
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.oci.tree.merged import Entry, merged
from jupyter_condabuild.system import locks, opening
from jupyter_condabuild.system.beneath import BeneathFolder

MOUNTS = ("dev", "proc", "run", "tmp", "var/tmp", "home/user", "work")
"""Folders at which a sandbox puts something in place of what the image has."""
MOUNTED_FILES = ("etc/hosts", "etc/resolv.conf")

_CHUNK = 1 << 20
_DOING = "unpacking an image"


@dataclass(frozen=True)
class Unpacked:
    """An image whose files are in a folder of the store."""

    folder: Path

    @property
    def root(self) -> Path:
        """The folder that is the root of a container. A link in it may lead anywhere: follow none outside of one."""
        return self.folder / "root"

    @property
    def config(self) -> ImageConfig:
        """The configuration of the image. Raises StoreError if the image is gone."""
        try:
            return ImageConfig.parse((self.folder / "config.json").read_bytes())
        except OSError as error:
            raise from_os_error(error, "reading an unpacked image", self.folder) from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps the image from being removed, and takes note that it was used. Raises StoreError if it is gone."""
        lock = self.folder / "config.json"
        try:
            with lock.open("rb") as file:
                locks.share(file.fileno())
                os.utime(lock)  # fails if the image was removed while this process waited for the lock
                yield
        except FileNotFoundError as error:
            raise from_os_error(error, "opening an unpacked image", self.folder) from None


def folder_of(image: Image, store: Store) -> Path:
    """Returns the folder of an unpacked image, whether the image is there or not."""
    return store.root / "unpacked/images" / image.manifest.descriptor.digest.hex


def unpacked(image: Image, store: Store, progress: Progress = silent, *, keep_layers: bool = True) -> Unpacked:
    """Unpacks an image into the store, unless the store has it already.

    Args:
        keep_layers: whether the store keeps the layers, so that the next image that has one of them does not fetch it.
        progress: called with the number of bytes of the layers that are done, and their total number.

    Raises:
        BadImage, ContentMismatch: as `merged.merged` raises them; also if two names differ only in the case of letters
            and the disk cannot tell them apart.
        StoreError: the files cannot be written (DiskFull, StoreUnwritable).

    The sources of the layers may raise other errors. Nothing of the image is left in the store then but whole layers.
    """
    place, folder = store.root / "unpacked", folder_of(image, store)
    if folder.is_dir():
        return Unpacked(folder)
    if keep_layers:
        image = _fetched(image, store, progress)
    try:
        for name in ("files", "images"):
            (place / name).mkdir(parents=True, exist_ok=True)
        with store.folder() as part:
            _Writer(part / "root", place / "files").write(image)
            (part / "config.json").write_bytes(image.config)
            try:
                part.rename(folder)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another process has made it meanwhile
                    raise
    except OSError as error:
        error.filename = None
        raise from_os_error(error, _DOING, place) from None
    return Unpacked(folder)


def read_below(root: Path, path: str, most: int) -> dict[str, bytes]:
    """Returns the regular files in a folder of an unpacked image, by their paths below it. No link is followed.

    Args:
        root: the root folder of the image.
        path: the absolute path of the folder in the image. If there is no such folder, there are no files.
        most: the number of bytes that the files may have.

    Raises BadImage if the files are larger.
    """
    found: dict[str, bytes] = {}
    top = f"{root}{path}"
    left = most
    with BeneathFolder() as beneath:
        for folder, _, names in os.walk(top):
            for name in names:
                try:
                    descriptor, _ = beneath.open(f"{folder}/{name}", str(root))
                except OSError:  # a link, or a link on the way to the folder
                    continue
                with open(descriptor, "rb") as file:
                    data = file.read(left + 1)
                if (left := left - len(data)) < 0:
                    raise BadImage(f"The folder {path} of the image has more than {most} bytes.")
                found[os.path.relpath(f"{folder}/{name}", top)] = data
    return found


def remove_unused(store: Store, keep_bytes: int) -> int:
    """Removes the images that were not used for the longest time, until files of at most `keep_bytes` remain.

    An image that a program uses stays.

    Returns:
        The number of bytes that were freed.

    Raises StoreBusy if another command uses the store, and StoreError.
    """
    place = store.root / "unpacked"
    before = left = size(store)
    try:
        with store.alone():
            records = (place / "images").glob("*/config.json")
            for record in sorted(records, key=lambda one: one.stat().st_mtime):
                if left <= keep_bytes:
                    break
                with record.open("rb") as file:
                    if locks.try_own(file.fileno()):
                        shutil.rmtree(record.parent)
                left -= _sweep(place / "files")
    except OSError as error:
        raise from_os_error(error, "pruning the store", place) from None
    return before - left


def size(store: Store) -> int:
    """Returns the size in bytes of the files of all unpacked images. A file of several images counts once."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(store.root / "unpacked" / "files"))
    except FileNotFoundError:
        return 0


def _sweep(files: Path) -> int:
    """Removes the files that no image has, and returns their size in bytes."""
    freed = 0
    for entry in os.scandir(files):
        status = entry.stat(follow_symlinks=False)
        if status.st_nlink == 1:
            os.unlink(entry.path)
            freed += status.st_size
    return freed


def _fetched(image: Image, store: Store, progress: Progress) -> Image:
    """Returns the image with its layers in the store."""
    total, done = image.size, 0
    for layer in image.manifest.layers:
        if not store.has(layer):
            store.put(layer, image.read(layer))
        done += layer.size
        progress(done, total)
    return replace(image, sources=dict.fromkeys(image.sources, store))


class _Writer:
    """Writes the files of an image into a folder.

    No file is written through a link of the image: a folder is entered only if this object has made it.
    """

    def __init__(self, root: Path, files: Path) -> None:
        self._root = str(root)
        self._files = str(files)
        self._folders = {""}

    def write(self, image: Image) -> None:
        """Writes all files. Raises BadImage, ContentMismatch, OSError."""
        os.mkdir(self._root)
        for member, content in merged(image, [], _mount_points()):
            try:
                self._add(member, content)
            except FileExistsError:
                raise BadImage(
                    f"The image has two names that differ only in the case of letters, such as {member.name[:200]!r}. "
                    "The disk of the store cannot tell them apart.",
                    "Put the store on a disk of Linux (the setting store_dir), or run the image with an engine.",
                ) from None
            except ValueError:  # a target with a NUL
                raise BadImage(f"The link {member.name[:200]!r} of the image has no valid target.") from None

    def _add(self, member: tarfile.TarInfo, content: io.BufferedIOBase | None) -> None:
        path = f"{self._root}/{member.name}"
        if member.isdir():
            self._enter(member.name)
            return
        self._enter(member.name.rpartition("/")[0])
        if content:
            self._file(content, member.size, member.mode, path)
        elif member.issym():
            os.symlink(member.linkname, path)
        elif member.islnk():
            self._link(f"{self._root}/{member.linkname}", path)

    def _enter(self, folder: str) -> None:
        """Makes a folder and those above it, unless they were made before."""
        new = []
        while folder not in self._folders:
            new.append(folder)
            folder = folder.rpartition("/")[0]
        for folder in reversed(new):
            os.mkdir(f"{self._root}/{folder}")
            self._folders.add(folder)

    def _file(self, content: io.BufferedIOBase, size: int, mode: int, path: str) -> None:
        mode = 0o555 if mode & 0o111 else 0o444
        if not size:  # a file system has a limit for the hard links of one file, and many files are empty
            os.close(os.open(path, opening.NEW, mode))
            return
        hasher = hashlib.sha256()
        chunk = content.read(_CHUNK)
        hasher.update(chunk)
        if len(chunk) == size and self._known(f"{hasher.hexdigest()}-{mode:o}", path):
            return
        temporary = f"{self._files}/.{secrets.token_hex(8)}"
        try:
            with open(temporary, "xb", 0, opener=open_private) as file:
                while chunk:
                    file.write(chunk)
                    if chunk := content.read(_CHUNK):
                        hasher.update(chunk)
            os.chmod(temporary, mode)
            kept = f"{self._files}/{hasher.hexdigest()}-{mode:o}"
            if not os.path.exists(kept):
                self._keep(temporary, kept)
            self._link(kept, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def _keep(self, temporary: str, kept: str) -> None:
        """Gives a finished file its name, unless another process has done so: a link to a replaced file would fail."""
        try:
            os.link(temporary, kept)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno != errno.EPERM:  # a disk without hard links
                raise
            os.rename(temporary, kept)

    def _known(self, name: str, path: str) -> bool:
        kept = f"{self._files}/{name}"
        if not os.path.exists(kept):
            return False
        self._link(kept, path)
        return True

    def _link(self, kept: str, path: str) -> None:
        try:
            os.link(kept, path, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EMLINK, errno.EPERM):  # too many links, or a disk without hard links
                raise
            shutil.copy2(kept, path, follow_symlinks=False)


def _mount_points() -> list[Entry]:
    """Returns the folders and files at which a sandbox puts something, for images that lack them."""
    found: list[Entry] = []
    for path in MOUNTS:
        member = tarfile.TarInfo(path)
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        found.append((member, None))
    found += [(tarfile.TarInfo(path), io.BytesIO()) for path in MOUNTED_FILES]
    return found
