"""The platforms of a request that names none, from the setting `platforms`."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from jupyter_condabuild.requests.build import ImageRequest

R = TypeVar("R", bound=ImageRequest)


def for_default_platforms(request: R) -> R:
    """Returns a request for all platforms of the setting `platforms`, if it has several and the request names none.

    The request stays as it is if the packages of its source are for Linux.

    Raises NotAPrefix, BrokenRecord, LockfileError, and UsageError if the request cannot be for several platforms.
    """
    if request.platform or request.platforms or len(set(request.default_platforms)) < 2:
        return request
    # Imported here: few requests need them, and a build imports its modules while it lists the environment.
    from jupyter_condabuild.conda.prefix.snapshot import platform_of
    from jupyter_condabuild.planning.inputs import read_lockfile

    if request.prefix:
        platform = platform_of(request.prefix)
    else:
        platform = read_lockfile(request.lockfile, request, lambda _: None, other=True).platform
    return request if platform.startswith("linux-") else replace(request, platforms=request.default_platforms)
