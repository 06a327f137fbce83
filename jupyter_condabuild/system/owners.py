"""To whom files belong, and who else can change them.

Windows has no owners and groups of this form. There, what lies in the user's profile is the user's alone, because the
profile has the rights that Windows gives it; any other place counts as a place that others can write.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
from pathlib import Path

if sys.platform == "win32":
    HAS_OWNERS = False

    def user() -> str:
        """Returns the name of the user of this process."""
        return os.environ.get("USERNAME", "")

    def account() -> str:
        """Returns the number of the user of this process as a text; on Windows the name."""
        return user()

    def container_user() -> str:
        """Returns ``USER:GROUP`` for a container that writes files of this user; empty on Windows."""
        return ""

    def group(number: int) -> str:
        """Returns the name of a group, or its number."""
        return str(number)

    def registered_home() -> Path | None:
        """Returns the home folder that the system has for the user, whatever HOME says; None without one."""
        return None

    def is_mine(status: os.stat_result) -> bool:  # noqa: ARG001
        """Whether a file with this status belongs to the user of this process. The status does not show it."""
        return True

    def is_superuser() -> bool:
        """Whether this process may read every file, whatever the file's mode says."""
        return False

    def is_for_system(status: os.stat_result) -> bool:  # noqa: ARG001
        """Whether only accounts of the system may read a file. The status of Windows does not show this."""
        return False

    def writable_by_others(status: os.stat_result, *, sticky: bool = False) -> bool:  # noqa: ARG001
        """Whether the status shows that another user can write a file. The status of Windows does not show this."""
        return False

    def others_can_write(folder: Path) -> bool:
        """Whether another user can change what lies in a folder: any folder that is not in the user's profile."""
        return not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(Path.home()))

else:
    import grp
    import pwd

    HAS_OWNERS = True
    """Whether files have the numbers of users and groups, and permissions for each."""

    def user() -> str:
        """Returns the name of the user of this process, or the number if the system has no name for it."""
        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            return account()

    def account() -> str:
        """Returns the number of the user of this process as a text; on Windows the name."""
        return str(os.geteuid())

    def container_user() -> str:
        """Returns ``USER:GROUP`` for a container that writes files of this user; empty on Windows."""
        return f"{os.getuid()}:{os.getgid()}"

    def group(number: int) -> str:
        """Returns the name of a group, or its number."""
        try:
            return grp.getgrgid(number).gr_name
        except KeyError:
            return str(number)

    def registered_home() -> Path | None:
        """Returns the home folder that the system has for the user, whatever HOME says; None without one."""
        try:
            return Path(pwd.getpwuid(os.getuid()).pw_dir)
        except KeyError:
            return None

    def is_mine(status: os.stat_result) -> bool:
        """Whether a file with this status belongs to the user of this process."""
        return status.st_uid == os.geteuid()

    def is_superuser() -> bool:
        """Whether this process may read every file, whatever the file's mode says."""
        return os.geteuid() == 0

    FIRST_GROUP = 1000
    """The groups of people have this number or a higher one (login.defs(5), GID_MIN)."""

    def is_for_system(status: os.stat_result) -> bool:
        """Whether only accounts of the system may read a file: not everybody, no group of people, and no person."""
        by_group = bool(status.st_mode & stat.S_IRGRP) and status.st_gid >= FIRST_GROUP
        by_owner = status.st_uid == os.geteuid() and not is_superuser()
        return not (status.st_mode & stat.S_IROTH or by_group or by_owner)

    def writable_by_others(status: os.stat_result, *, sticky: bool = False) -> bool:
        """Whether a user other than this one and root can write a file or a folder with this status.

        A group counts as this user if it is the user's own group, which many Linux systems make for each user.

        Args:
            sticky: whether to ignore rights that the sticky bit limits to new files.
        """
        if status.st_uid not in (0, os.geteuid()):
            return True
        if sticky and status.st_mode & stat.S_ISVTX:
            return False
        return bool(status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and _has_others(status.st_gid)))

    @functools.cache
    def _has_others(number: int) -> bool:
        try:
            own, members = pwd.getpwuid(os.geteuid()), grp.getgrgid(number)
        except KeyError:
            return True
        is_own = number in (0, own.pw_gid) and members.gr_name in (own.pw_name, "root")
        return not is_own or not {own.pw_name, "root"}.issuperset(members.gr_mem)

    def others_can_write(folder: Path) -> bool:
        """Whether a user other than this one and root can change a folder's content, or put another in its place."""
        places = {Path(os.path.abspath(folder)), Path(os.path.realpath(folder))}
        above = {parent for place in places for parent in place.parents} - places
        try:
            return any(writable_by_others(os.stat(place)) for place in places) or any(
                writable_by_others(os.stat(place), sticky=True) for place in above
            )
        except OSError:
            return True


def others_can_write_into(folder: Path) -> bool:
    """Whether `folder` is a link, or a folder that a user other than this one and root can write."""
    try:
        status = os.lstat(folder)
    except OSError:
        return True
    return not stat.S_ISDIR(status.st_mode) or (writable_by_others(status) if HAS_OWNERS else others_can_write(folder))
