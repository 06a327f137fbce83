"""Consent: nothing of an image runs before its user has seen whose it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.receive.inspection import Inspection
from jupyter_condabuild.requests.receive import CheckRequest, KernelInstallRequest, RecreateRequest, RunRequest
from jupyter_condabuild.text import size_text


@dataclass(frozen=True)
class SifFile:
    """A SIF on this machine. Nobody knows who built it: nothing in it says so that could be verified."""

    location: ImageLocation
    digest: str = ""
    voucher: str = ""

    def text(self) -> str:
        """Returns a few lines for a user."""
        size = size_text(self.location.path.stat().st_size)
        return f"{self.location.path}\n  A SIF of {size}. Nobody says who built it."


Ask = Callable[[Inspection | SifFile], bool]
"""A function that shows an image to the user, and returns whether the user wants to run it."""


def consents(
    request: RunRequest | KernelInstallRequest | RecreateRequest | CheckRequest, found: Inspection | SifFile, ask: Ask
) -> bool:
    """Whether the user wants to run an image: asks, unless the request says so or somebody trusted vouches for it.

    Raises UsageError if the request has the digest of another image, which the user has seen.
    """
    if request.seen and request.seen != found.digest:
        raise UsageError(
            f"{found.location} is not the image that you have seen: its digest is {found.digest} now.",
            "Look at the image again.",
        )
    return bool(request.seen or found.voucher or request.yes or ask(found))
