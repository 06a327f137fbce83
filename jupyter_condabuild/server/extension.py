"""The extension as Jupyter loads it: configuration, routes, start and stop. It does no work when the server starts."""

from __future__ import annotations

from dataclasses import Field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Enum, HasTraits, Int, List, TraitError, TraitType, Unicode

from jupyter_condabuild.server.handlers import routes
from jupyter_condabuild.server.service import Service
from jupyter_condabuild.settings import Settings


def _trait(item: Field[Any]) -> TraitType[Any, Any]:
    """Returns the configurable trait of a setting, with the default, bounds and help of the setting."""
    default: Any = item.default
    bounds, help = item.metadata, item.metadata["help"]
    trait: TraitType[Any, Any]
    if item.type == "int":
        trait = Int(default, min=bounds.get("min"), max=bounds.get("max"), help=help)
    elif item.type == "bool":
        trait = Bool(default, help=help)
    elif str(item.type).startswith("tuple"):
        trait = List(Unicode(), list(default), help=help)
    elif "choices" in bounds:
        trait = Enum(bounds["choices"], default, help=help)
    else:
        trait = Unicode(default, help=help)
    return trait.tag(config=True)


class _Traits(HasTraits):
    """The settings as traits. The command line reads the same names from the same configuration."""

    locals().update({item.name: _trait(item) for item in fields(Settings)})


class CondaBuild(_Traits, ExtensionApp):
    """The server extension of jupyter-condabuild."""

    name = "condabuild"
    description = "Turns the conda environment of a kernel into a container image."
    load_other_extensions = True
    _service: Service | None = None
    _configuration_error = ""

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        # After a TraitError, jupyter_server continues with the values that are valid. The invalid value may be a
        # restriction (allow_prefixes), so the extension must not run without it: `initialize` raises the error again.
        try:
            super()._link_jupyter_server_extension(serverapp)
        except TraitError as error:
            self._configuration_error = str(error)
            raise

    def initialize(self) -> None:  # type: ignore[override]
        """Initializes the extension. Raises TraitError, with the name of the trait, if the configuration is wrong."""
        if self._configuration_error:
            raise TraitError(self._configuration_error)
        super().initialize()  # type: ignore[no-untyped-call]

    def initialize_handlers(self) -> None:
        """Makes the service and adds the routes."""
        server = self.serverapp
        assert server
        self._service = Service(
            self._effective_settings(Path(server.data_dir)),
            Path(server.root_dir),
            server.kernel_manager,
            server.kernel_spec_manager,
            self.log,
            self._note_activity,
        )
        self.handlers.extend(routes(self._service))

    def _effective_settings(self, data: Path) -> Settings:
        """Returns the settings of the configuration and of ``CONDABUILD_…`` variables, which take precedence.

        Args:
            data: Jupyter's data folder.
        """
        values = {item.name: getattr(self, item.name) for item in fields(Settings)}
        values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        values["state_dir"] = values["state_dir"] or str(data / "condabuild")
        return Settings(**values).with_environment()

    def _note_activity(self) -> None:
        """Tells the server that it is in use, as a request does. A JupyterHub ends servers that are not in use.

        Source: jupyter_server's ``ServerWebApplication.last_activity`` counts each setting with such a name.
        """
        assert self.serverapp
        self.serverapp.web_app.settings["condabuild_last_activity"] = datetime.now(UTC)

    def current_activity(self) -> int:
        """Returns the number of builds that wait or run. Jupyter does not shut down an idle server while they do."""
        return self._service.builds.active_count if self._service else 0

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:  # noqa: ARG002
        assert self._service
        self._service.builds.resume()

    async def stop_extension(self) -> None:
        """Ends the commands and probes of the extension. The builds continue."""
        if self._service:
            await self._service.close()
