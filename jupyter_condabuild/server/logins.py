"""The user's logins for registries over REST. A password is in the memory of the server for one request only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.oci.image import Reference, with_registry
from jupyter_condabuild.oci.logins import credentials
from jupyter_condabuild.oci.registry import open_registry
from jupyter_condabuild.oci.retry import Patience
from jupyter_condabuild.requests.image_names import refuse_bare
from jupyter_condabuild.requests.login import LoginRequest, LogoutRequest
from jupyter_condabuild.server import path_checks
from jupyter_condabuild.settings import Settings

if TYPE_CHECKING:
    from jupyter_condabuild.jobs.login import Kept, Removed

_ONCE = Patience(attempts=1, answer=8.0)


class Logins:
    """Lists, tests, keeps and removes logins, in threads: a registry or a key ring may answer late."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def all(self) -> dict[str, Any]:
        """Returns the object `Logins` of openapi.yaml: the registry of the settings first, then those with a login."""
        return {"logins": await asyncio.to_thread(self._all)}

    def _all(self) -> list[dict[str, str]]:
        registry = self._settings.registry
        first = [Reference.parse(with_registry("any/any", registry)).registry] if registry else []
        found = []
        for host in dict.fromkeys([*first, *credentials.hosts()]):
            login = credentials.find(host)
            found.append({"registry": host, "user": _user(login), "problem": login.problem})
        return found

    async def add(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Tests and keeps the login of a `LoginRequest` of openapi.yaml. Returns the object `Login`.

        Raises BadReference, RegistryNotAllowed, RegistryError, LoginNotKept.
        """

        def work() -> Kept:
            from jupyter_condabuild.jobs.login import login

            request = LoginRequest.of(
                self._settings,
                registry=body["registry"],
                user=body["user"],
                allowed_registries=list(self._settings.allowed_registries),
            )
            path_checks.check_registry(f"{request.registry}/any/any", self._settings)
            return login(request, body["password"])

        return (await asyncio.to_thread(work)).summary()

    async def permission(self, name: str) -> dict[str, Any]:
        """Returns the object `Permission` of openapi.yaml: whether the user may push an image of this name.

        The registry is asked: an upload is opened and cancelled. Raises BadReference, RegistryNotAllowed.
        """

        def work() -> dict[str, Any]:
            reference = path_checks.check_registry(with_registry(name, self._settings.registry), self._settings)
            login = credentials.find(reference.registry, reference.repository)
            fault = None
            try:
                self._check_push(reference)
            except CondaBuildError as error:
                fault = {"code": error.code, "message": error.message, "hint": error.hint}
            return {
                "registry": reference.registry,
                "repository": reference.repository,
                "user": _user(login),
                "problem": login.problem,
                "allowed": fault is None,
                "fault": fault,
            }

        return await asyncio.to_thread(work)

    def _check_push(self, reference: Reference) -> None:
        refuse_bare(reference)
        with open_registry(
            reference,
            self._settings.insecure_registries,
            patience=_ONCE,
            allowed=self._settings.allowed_registries,
        ) as opened:
            opened.repository(reference.repository).check_push()

    async def remove(self, registry: str) -> dict[str, Any]:
        """Removes the logins for a registry. Returns the object `Logout`. Raises BadReference, LoginNotKept."""

        def work() -> Removed:
            from jupyter_condabuild.jobs.login import logout

            return logout(LogoutRequest.of(self._settings, registry=registry))

        return (await asyncio.to_thread(work)).summary()


def _user(login: credentials.Credentials) -> str:
    return login.username or ("<token>" if login.identity_token else "")
