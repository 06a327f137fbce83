"""Errors of requests to the server and of the processes that it starts."""

from __future__ import annotations

from jupyter_condabuild.errors.root import CondaBuildError


class RequestError(CondaBuildError):
    """The server cannot serve a request."""

    code = "request_error"


class BadRequest(RequestError):
    """The request is not valid."""

    code = "bad_request"
    default_hint = "See condabuild/openapi.yaml on this server for the requests that it accepts."


class TooMuch(BadRequest):
    """The request has more bytes than the server accepts."""

    code = "too_much"


class NotThere(RequestError):
    """There is no such kernel, build or lock file."""

    code = "not_found"


class NotEnded(RequestError):
    """A build that still runs cannot be deleted from the history."""

    code = "not_ended"
    default_hint = "Cancel the build first, or wait until it has ended."


class FilesExist(RequestError):
    """Files with another content would be replaced."""

    code = "files_exist"
    default_hint = "Replace them, or choose another folder."


class QueueFull(RequestError):
    """Too many builds are waiting."""

    code = "queue_full"
    default_hint = "Try again when a build has ended, or cancel a build."


class Interrupted(CondaBuildError):
    """The process of a build ended and left no result."""

    code = "interrupted"
    default_hint = "Build again. The parts that were finished are kept."


class BuildLimit(CondaBuildError):
    """A build exceeded its limit of time or memory."""

    code = "build_limit"
