"""The base class of all routes: authentication, authorization, JSON responses, and the HTTP status of each error."""

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
from jupyter_condabuild.events import Failed
from jupyter_condabuild.server.service import Service

Verb = TypeVar("Verb", bound=Callable[..., Awaitable[None]])

STATUS: dict[type[CondaBuildError], int] = {
    errors.BadRequest: 400,
    errors.PrefixNotAllowed: 403,
    errors.RegistryNotAllowed: 403,
    errors.NotThere: 404,
    errors.NotAPrefix: 404,
    errors.NotEnded: 409,
    errors.FilesExist: 409,
    errors.StoreBusy: 409,
    errors.LoginNotKept: 409,
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
"""The HTTP status of each class of errors. A subclass without an entry has the status of its nearest base class.

An error without any entry is a fault of this package and has the status 500.
"""

_HINTS = {
    401: "Log in to this Jupyter server.",
    403: "Log in to this Jupyter server, or send its token; requests that write need the _xsrf cookie in X-XSRFToken."
    " On a JupyterHub, the token needs the scope access:servers for this server.",
    404: "condabuild/openapi.yaml lists the routes.",
    405: "condabuild/openapi.yaml lists the methods of this route.",
    500: "This is a fault of jupyter-condabuild. Report it with the lines of the server's log.",
}


class Refused(web.HTTPError):
    """The HTTP error for a CondaBuildError. `write_error` makes the response from it."""

    def __init__(self, error: CondaBuildError) -> None:
        status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
        super().__init__(status, "%s", error.message, reason=http.HTTPStatus(status).phrase)
        self.error = error


def guarded(action: Literal["read", "write"], resource: str) -> Callable[[Verb], Verb]:
    """Returns the decorator for a verb of a route.

    The verb runs only for a user who is authenticated and authorized for the action on the resource. A CondaBuildError
    becomes a response with its code, message and hint.
    """

    def decorate(verb: Verb) -> Verb:
        @functools.wraps(verb)
        async def with_errors(self: Resource, *arguments: str) -> None:
            try:
                await verb(self, *arguments)
            except CondaBuildError as error:
                raise Refused(error) from error

        # `action` and `resource` are both given: by default, `authorized` takes them from the first handler that runs,
        # and keeps them for every handler that shares the method.
        checked = web.authenticated(authorized(action=action, resource=f"condabuild:{resource}")(with_errors))
        checked.guard = action, f"condabuild:{resource}"  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate


class Resource(APIHandler):
    """A route. Each of its verbs is `guarded`."""

    def initialize(self, service: Service) -> None:
        """Keeps the service."""
        self.service = service

    def flag(self, name: str, *, default: bool) -> bool:
        """Returns a parameter of the query that is true or false. Raises BadRequest."""
        text = self.get_query_argument(name, "true" if default else "false")
        if text not in ("true", "false"):
            raise errors.BadRequest(f"{name} must be true or false.")
        return text == "true"

    def reply(self, value: Any, status: int = 200) -> None:
        """Answers with a JSON value."""
        self.set_status(status)
        self.finish(json.dumps(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answers with the object `Error` of openapi.yaml, for any error."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if status_code == 405:
            verbs = (verb for verb in self.SUPPORTED_METHODS if hasattr(getattr(self, verb.lower()), "guard"))
            self.set_header("Allow", ", ".join(verbs))
        if isinstance(error, Refused):
            body = Failed.of(error.error).to_json()
        else:
            phrase = http.HTTPStatus(status_code).phrase
            # The message of another part of Jupyter may hold secrets: it is only logged.
            body = {
                "code": phrase.lower().replace(" ", "_"),
                "message": f"{phrase}.",
                "hint": _HINTS.get(status_code, ""),
            }
        self.finish(json.dumps(body))
