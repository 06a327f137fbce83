"""Where files are put on this disk, if its file system takes two names for one, or cannot give a name to a file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from jupyter_condabuild.system import names
from jupyter_condabuild.system.opening import is_plain_folder


class DiskPlaces:
    """The places of files below a folder. A file whose own place is taken, or is none here, is put beside the folder.

    `apart` are the files beside the folder: the file by its path in the folder.
    """

    def __init__(self, root: str, reserved: str = "") -> None:
        """`reserved` is a folder below `root` that no other name may take for its own."""
        self.apart: dict[str, str] = {}
        self._root = root
        self._reserved = reserved
        self._impossible = names.no_name()
        self._without_place: set[str] = set()  # the folders that another name has here

    def of(self, path: str) -> str:
        """Returns the place of a file that `new` has placed."""
        return self.apart.get(path) or f"{self._root}/{path}"

    def new(self, path: str) -> str:
        """Returns the place of a new file. The folders above it went through `make_folder`. Raises OSError."""
        place = f"{self._root}/{path}"
        folder = path.rpartition("/")[0]
        if folder in self._without_place or self._is_impossible(path) or os.path.lexists(place):
            if not self.apart:
                os.mkdir(f"{self._root}.apart")
            place = self.apart[path] = f"{self._root}.apart/{len(self.apart)}"
        return place

    def make_folder(self, path: str) -> None:
        """Makes a folder, if there is a place for it. The folders above it went through this function. Raises OSError.

        Two folders whose names are one here share the place. Their files may be put beside.
        """
        if path.rpartition("/")[0] in self._without_place or self._is_impossible(path) or not self._makes(path):
            self._without_place.add(path)

    def _makes(self, path: str) -> bool:
        place = f"{self._root}/{path}"
        try:
            os.mkdir(place)
        except FileExistsError:
            is_reserved = bool(self._reserved) and os.path.samefile(place, f"{self._root}/{self._reserved}")
            return path == self._reserved or (is_plain_folder(place) and not is_reserved)
        return True

    def _is_impossible(self, path: str) -> bool:
        return self._impossible is not None and self._impossible.search(path) is not None


class LaidOut:
    """Files that are laid out for a prefix, and what this disk may not keep of them: names, x bits and links.

    `files` are the places of the files on this disk, by their paths in the prefix. `executables` are the paths of those
    that are executable. `links` are the targets of symbolic links; no link is made on the disk.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is made, and must not exist."""
        folder.mkdir(parents=True)
        self.files: dict[str, str] = {}
        self.executables: set[str] = set()
        self.links: dict[str, str] = {}
        self._places = DiskPlaces(str(folder))
        self._folders: set[str] = set()

    def place(self, path: str, *, executable: bool) -> str:
        """Returns the place of a file, which the caller writes. A file of the same path is replaced.

        Raises OSError; FileExistsError if the path is that of a folder, or leads through a file.
        """
        parent = path.rpartition("/")[0]
        end = 0 if parent not in self._folders else len(path)
        while (end := path.find("/", end + 1)) > 0:
            self._folder(path[:end])
        if path in self._folders:
            raise FileExistsError(errno.EEXIST, f"{path[:200]!r} is a folder and a file", path)
        self.executables.discard(path)
        if executable:
            self.executables.add(path)
        if path not in self.files:
            self.files[path] = self._places.new(path)
        return self.files[path]

    def _folder(self, path: str) -> None:
        if path in self._folders:
            return
        if path in self.files:
            raise FileExistsError(errno.EEXIST, f"{path[:200]!r} is a file and a folder", path)
        self._places.make_folder(path)
        self._folders.add(path)

    def link(self, path: str, target: str) -> None:
        """Adds a symbolic link, after all files: a file or a folder of the same path counts."""
        if path not in self.files and path not in self._folders:
            self.links[path] = target
