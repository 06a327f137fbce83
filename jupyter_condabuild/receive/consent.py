"""Consent: nothing of an image runs before its user has seen whose it is."""

from __future__ import annotations

from collections.abc import Callable

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.receive.inspection import Inspection
from jupyter_condabuild.requests.receive import KernelInstallRequest, RunRequest

Ask = Callable[[Inspection], bool]
"""A function that shows an image to the user, and returns whether the user wants to run it."""


def consents(request: RunRequest | KernelInstallRequest, found: Inspection, ask: Ask) -> bool:
    """Whether the user wants to run an image: asks, unless the request says so or somebody trusted vouches for it.

    Raises UsageError if the request has the digest of another image, which the user has seen.
    """
    if request.seen and request.seen != found.digest:
        raise UsageError(
            f"{found.location} is not the image that you have seen: its digest is {found.digest} now.",
            "Look at the image again.",
        )
    return bool(request.seen or found.voucher or request.yes or ask(found))
