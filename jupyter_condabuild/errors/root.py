"""The root of all errors, and the errors of any job."""

from __future__ import annotations

from typing import ClassVar


class CondaBuildError(Exception):
    """The root of all errors of the package.

    `code` is stable and for programs. `message` and `hint` are for users and contain no secrets.
    """

    code: ClassVar[str] = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint


class UsageError(CondaBuildError):
    """The request is not valid."""

    code = "usage"
    default_hint = "See 'jupyter condabuild --help'."


class Cancelled(CondaBuildError):
    """The user cancelled the build."""

    code = "cancelled"
