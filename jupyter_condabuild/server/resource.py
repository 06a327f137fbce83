"""What all routes share: who may use them, JSON answers, and the one place where an error gets its HTTP status."""

from __future__ import annotations

import functools
import http
import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from jupyter_condabuild import errors
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.server.service import Service

Verb = TypeVar("Verb", bound=Callable[..., Awaitable[None]])

STATUS: dict[type[CondaBuildError], int] = {
    errors.BadRequest: 400,
    errors.PrefixNotAllowed: 403,
    errors.NotThere: 404,
    errors.NotAPrefix: 404,
    errors.NotEnded: 409,
    errors.StoreBusy: 409,
    errors.TooMuch: 413,
    errors.QueueFull: 429,
    errors.UsageError: 422,
    errors.PrefixError: 422,
    errors.LockfileError: 422,
    errors.PackageError: 422,
    errors.NotReproducible: 422,
    errors.OverlayTooLarge: 422,
    errors.ImageError: 422,
    errors.RegistryError: 424,
    errors.EngineUnavailable: 424,
    errors.EngineFault: 424,
    errors.BuildLimit: 504,
    errors.StoreError: 507,
}
"""The HTTP status of an error; the nearest class of its own decides, and 500 is for faults of ours."""

_HINTS = {
    401: "Log in to this Jupyter server.",
    403: "Log in to this Jupyter server, or send its token; requests that write need the _xsrf cookie in X-XSRFToken.",
    404: "See condabuild/openapi.yaml for what there is.",
    405: "See condabuild/openapi.yaml for what this route can do.",
    500: "This is a fault of jupyter-condabuild; please report it with what the server's log says.",
}


class Refused(web.HTTPError):
    """An error of ours on its way to the client."""

    def __init__(self, error: CondaBuildError) -> None:
        status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
        super().__init__(status, "%s", error.message, reason=http.HTTPStatus(status).phrase)
        self.error = error


def guarded(action: Literal["read", "write"], resource: str) -> Callable[[Verb], Verb]:
    """For every verb of every route: who is logged in and authorized gets in, and errors of ours get out by name."""

    def decorate(verb: Verb) -> Verb:
        @functools.wraps(verb)
        async def named(self: Resource, *arguments: str) -> None:
            try:
                await verb(self, *arguments)
            except CondaBuildError as error:
                raise Refused(error) from error

        # Both by name: without, jupyter_server keeps the first handler's resource for all that share a verb.
        checked = web.authenticated(authorized(action=action, resource=f"condabuild:{resource}")(named))
        checked.guard = action, f"condabuild:{resource}"  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate


class Resource(APIHandler):
    """A route; each of its verbs is `guarded`."""

    def initialize(self, service: Service) -> None:
        """Takes what the route needs."""
        self.service = service

    def reply(self, value: Any, status: int = 200) -> None:
        """CommandRunner with JSON."""
        self.set_status(status)
        self.finish(json.dumps(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """CommandRunner with openapi.yaml's Error, whoever raised it."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if status_code == 405:
            verbs = (verb for verb in self.SUPPORTED_METHODS if hasattr(getattr(self, verb.lower()), "guard"))
            self.set_header("Allow", ", ".join(verbs))
        if isinstance(error, Refused):
            body = {"code": error.error.code, "message": error.error.message, "hint": error.error.hint}
        else:
            phrase = http.HTTPStatus(status_code).phrase
            # What other parts of Jupyter say of a request is for the log.
            body = {
                "code": phrase.lower().replace(" ", "_"),
                "message": f"{phrase}.",
                "hint": _HINTS.get(status_code, ""),
            }
        self.finish(json.dumps(body))
