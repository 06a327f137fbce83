"""BeneathFolder: opens the files of a folder, and never follows a link that leads out of the folder."""

from __future__ import annotations

import errno
import os
import sys
from itertools import takewhile

from jupyter_condabuild.system import opening


class FoldersByPath:
    """Opens regular files by their paths, on systems without descriptors of folders. A context manager.

    Below a given root, no folder may be a symbolic link. Each folder is examined once: a link that is put in its place
    later is not found.
    """

    def __init__(self) -> None:
        self._examined: set[str] = set()

    def __enter__(self) -> FoldersByPath:
        return self

    def __exit__(self, *_: object) -> None:
        self._examined.clear()

    def open(self, path: str, root: str = "") -> tuple[int, os.stat_result]:
        """Opens a file and returns its descriptor and its status.

        Args:
            path: the path of the file.
            root: a folder above `path` whose own path may contain links. If it is empty, the folder of the file.

        Raises OSError as `opening.open_file` does; ENOTDIR for a link in the place of a folder.
        """
        folder = _forward(path).rpartition("/")[0]
        top = _forward(root)
        while top and folder.startswith(f"{top}/") and folder not in self._examined:
            if not opening.is_plain_folder(folder):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            self._examined.add(folder)
            folder = folder.rpartition("/")[0]
        return opening.open_file(path)


def _forward(path: str) -> str:
    return path.replace(os.sep, "/")


if sys.platform == "win32":
    BeneathFolder = FoldersByPath

else:

    class FoldersByDescriptor:
        """Opens regular files by their paths, relative to the descriptor of their folder. A context manager.

        Below a given root, no folder may be a symbolic link. The folders of the last file stay open, so that the files
        of a tree that are opened in order cost one look-up for each folder.
        """

        def __init__(self) -> None:
            self._top = self._root = self._folder = ""
            self._names: list[str] = []  # of the open folders below the topmost one
            self._descriptors: list[int] = []  # of the topmost folder, and of these folders

        def __enter__(self) -> FoldersByDescriptor:
            return self

        def __exit__(self, *_: object) -> None:
            self._close(0)

        def open(self, path: str, root: str = "") -> tuple[int, os.stat_result]:
            """Opens a file and returns its descriptor and its status.

            Args:
                path: the path of the file.
                root: a folder above `path` whose own path may contain links. If it is empty, the folder of the file.

            Raises OSError as `opening.open_file` does; ENOTDIR for a link in the place of a folder.
            """
            folder, _, name = path.rpartition("/")
            if not self._descriptors or self._folder != folder or self._root != root:
                self._enter(folder, root)
            return opening.open_file(name, self._descriptors[-1])

        def _enter(self, folder: str, root: str) -> None:
            below = root and folder.startswith(f"{root}/")
            names = folder[len(root) + 1 :].split("/") if below else []
            top = root if below else folder or "/"
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(names, self._names, strict=False)))
            self._close(same + 1 if self._top == top else 0)
            self._top, self._root, self._folder = top, root, "\0"  # no folder, until all are open
            if not self._descriptors:
                self._descriptors.append(_folder(top, None))
            for name in names[len(self._names) :]:
                self._descriptors.append(_folder(name, self._descriptors[-1]))
                self._names.append(name)
            self._folder = folder

        def _close(self, keep: int) -> None:
            """Closes all folders but the first ones."""
            while len(self._descriptors) > keep:
                os.close(self._descriptors.pop())
            del self._names[max(0, keep - 1) :]

    def _folder(path: str, above: int | None) -> int:
        """Opens a folder and returns its descriptor. Below another folder, it may not be a symbolic link."""
        flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC  # macOS has no O_PATH
        return os.open(path, flags if above is None else flags | os.O_NOFOLLOW, dir_fd=above)

    BeneathFolder = FoldersByDescriptor
