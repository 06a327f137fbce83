"""The jobs `login` and `logout`: the user's login for a registry is tested and kept, or removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_condabuild.errors import RegistryUnauthorized
from jupyter_condabuild.events import Report, log_to
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.logins import keeping
from jupyter_condabuild.oci.logins.credentials import Credentials
from jupyter_condabuild.oci.registry import open_registry
from jupyter_condabuild.oci.retry import Patience
from jupyter_condabuild.requests.login import LoginRequest, LogoutRequest
from jupyter_condabuild.text import listed


@dataclass(frozen=True)
class Kept:
    """A login that is kept: the registry, the user, and the place.

    `tested` is false if the registry answers everybody, so that it did not look at the login.
    """

    registry: str
    user: str
    place: str
    tested: bool

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        return {"registry": self.registry, "user": self.user, "place": self.place, "tested": self.tested}

    def text(self) -> str:
        """Returns the result in a few sentences."""
        done = f"{self.registry} accepts the login of {self.user}." if self.tested else ""
        done = done or f"{self.registry} did not ask for a login, so the login of {self.user} is not tested."
        return f"{done} It is kept in {self.place}, where Docker and Podman find it, too."


@dataclass(frozen=True)
class Removed:
    """The result of `logout`: the registry, and the places from which a login was removed."""

    registry: str
    places: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        return {"registry": self.registry, "places": list(self.places)}

    def text(self) -> str:
        """Returns the result in one sentence."""
        if not self.places:
            return f"There was no login for {self.registry}."
        return f"Removed the login for {self.registry} from {listed(self.places)}."


def login(request: LoginRequest, password: str, report: Report | None = None) -> Kept:
    """Tests a login at a registry, and keeps it if the registry does not refuse it.

    Raises RegistryError, LoginNotKept.
    """
    entered = Credentials(request.user, password)
    registry = request.registry
    place = Reference(registry, "any")
    with open_registry(
        place,
        request.insecure_registries,
        patience=Patience(attempts=1),
        allowed=request.allowed_registries,
        credentials=entered,
    ) as opened:
        try:
            tested = opened.check()
        except RegistryUnauthorized as error:
            raise RegistryUnauthorized(
                f"{registry} does not accept the user name {request.user} with this password. Nothing is kept.",
                "Many registries want an access token in place of the password: make one in your account there.",
                status=error.status,
            ) from None
    return Kept(registry, request.user, keeping.keep(registry, entered, say=report and log_to(report)), tested)


def logout(request: LogoutRequest, report: Report | None = None) -> Removed:
    """Removes the logins for a registry. Raises LoginNotKept."""
    return Removed(request.registry, tuple(keeping.remove(request.registry, say=report and log_to(report))))
