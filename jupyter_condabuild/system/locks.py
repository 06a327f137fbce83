"""Locks on open files, which end with the process that holds them.

POSIX systems have flock(2); a process that inherits the open file inherits the lock. On Windows a lock covers bytes and
keeps other processes from reading them, so one byte far behind the end of any file is locked; a lock is not inherited.
"""

from __future__ import annotations

import sys
from contextlib import suppress

if sys.platform == "win32":
    import msvcrt

    import pywintypes
    import win32con
    import win32file

    _FAR = 0x7FFF_0000  # the upper half of the position of the locked byte

    def _locked(descriptor: int, flags: int) -> bool:
        where = pywintypes.OVERLAPPED()
        where.OffsetHigh = _FAR
        try:
            win32file.LockFileEx(msvcrt.get_osfhandle(descriptor), flags, 1, 0, where)
        except pywintypes.error:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        where = pywintypes.OVERLAPPED()
        where.OffsetHigh = _FAR
        with suppress(pywintypes.error):  # there is no lock
            win32file.UnlockFileEx(msvcrt.get_osfhandle(descriptor), 1, 0, where)

    def share(descriptor: int) -> None:
        """Takes a lock that others may share, in place of any lock of this file. Waits for it."""
        _unlock(descriptor)
        _locked(descriptor, 0)

    def try_share(descriptor: int) -> bool:
        """Takes a lock that others may share, if nobody has the file for itself; returns whether this is so."""
        _unlock(descriptor)
        return _locked(descriptor, win32con.LOCKFILE_FAIL_IMMEDIATELY)

    def try_own(descriptor: int) -> bool:
        """Takes the only lock of a file, if nobody else has one; returns whether this is so. May lose a shared lock."""
        _unlock(descriptor)
        return _locked(descriptor, win32con.LOCKFILE_FAIL_IMMEDIATELY | win32con.LOCKFILE_EXCLUSIVE_LOCK)

    def own_output() -> None:
        """Takes the only lock of the file that is the standard output of this process, which cannot inherit one."""
        with suppress(OSError):
            try_own(1)

else:
    import fcntl

    def share(descriptor: int) -> None:
        """Takes a lock that others may share, in place of any lock of this file. Waits for it."""
        fcntl.flock(descriptor, fcntl.LOCK_SH)

    def try_share(descriptor: int) -> bool:
        """Takes a lock that others may share, if nobody has the file for itself; returns whether this is so."""
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        return False

    def try_own(descriptor: int) -> bool:
        """Takes the only lock of a file, if nobody else has one; returns whether this is so. May lose a shared lock."""
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def own_output() -> None:
        """Does nothing: this process inherits the lock of the file that is its standard output."""
