"""Consent: shows an image that nobody vouches for, and asks the user whether it may run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from jupyter_condabuild.commands.output import print_text
from jupyter_condabuild.errors import UsageError

if TYPE_CHECKING:
    from jupyter_condabuild.receive.addition import Addition, AskPackages
    from jupyter_condabuild.receive.consent import SifFile
    from jupyter_condabuild.receive.inspection import Inspection


def consents(what: str, folders: str) -> Callable[[Inspection | SifFile], bool]:
    """Returns a function that shows an image and asks whether to run it. It raises UsageError if nobody can answer.

    Args:
        what: what of the image runs, in plural, as in "programs".
        folders: the folders that it can change, as in "the folder".
    """

    def ask(found: Inspection | SifFile) -> bool:
        print_text(found.text(), file=sys.stderr)
        if not sys.stdin.isatty():
            raise UsageError(
                "Nobody whom you trust vouches for this image, and there is no terminal for a question.",
                "Look at it (jupyter condabuild inspect). Then add --yes, or trust its builder: trusted_signers, "
                "trusted_repositories.",
            )
        return _answered(f"{what.capitalize()} of the image can read and change {folders}. Run it?")

    return ask


def adds() -> AskPackages | None:
    """Returns a function that shows packages and asks whether to add them to an image; None if nobody can answer."""

    def ask(addition: Addition) -> bool:
        print_text(f"The image has no Jupyter kernel. {addition.text()}", file=sys.stderr)
        return _answered("Add them on top of the image, on this machine?")

    return ask if sys.stdin.isatty() else None


def _answered(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
