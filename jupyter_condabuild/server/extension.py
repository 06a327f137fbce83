"""The extension as Jupyter loads it: its configuration, its routes, and its end. At the start it does no work."""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Enum, HasTraits, Int, List, TraitError, TraitType, Unicode

from jupyter_condabuild.server.handlers import routes
from jupyter_condabuild.server.service import Service
from jupyter_condabuild.settings import Settings


def _trait(item: Field[Any]) -> TraitType[Any, Any]:
    """A setting as a configurable trait, with its own default, bounds and help."""
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
    """The settings, under the names that the command line reads from the same configuration."""

    locals().update({item.name: _trait(item) for item in fields(Settings)})


class CondaBuild(_Traits, ExtensionApp):
    """jupyter-condabuild on a Jupyter server."""

    name = "condabuild"
    description = "Turns the conda environment of a kernel into a container image."
    load_other_extensions = True
    _service: Service | None = None
    _refusal = ""

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        # jupyter_server goes on with the values that it could set; one of those it could not may be a restriction.
        try:
            super()._link_jupyter_server_extension(serverapp)
        except TraitError as error:
            self._refusal = str(error)
            raise

    def initialize(self) -> None:  # type: ignore[override]
        """Fails, by the name of the trait, where the configuration is wrong."""
        if self._refusal:
            raise TraitError(self._refusal)
        super().initialize()  # type: ignore[no-untyped-call]

    def initialize_handlers(self) -> None:
        """Adds the routes."""
        server = self.serverapp
        assert server
        self._service = Service(
            self._chosen(Path(server.data_dir)),
            Path(server.root_dir),
            server.kernel_manager,
            server.kernel_spec_manager,
            self.log,
        )
        self.handlers.extend(routes(self._service))

    def _chosen(self, data: Path) -> Settings:
        """The configuration; the environment wins, as on the command line."""
        values = {item.name: getattr(self, item.name) for item in fields(Settings)}
        values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        values["state_dir"] = values["state_dir"] or str(data / "condabuild")
        return Settings(**values).with_environment()

    def current_activity(self) -> int:
        """Builds that live: a server that is idle otherwise is not shut down under them."""
        return self._service.builds.living if self._service else 0

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:  # noqa: ARG002
        assert self._service
        self._service.builds.resume()

    async def stop_extension(self) -> None:
        """Ends what the extension does; builds go on."""
        if self._service:
            await self._service.close()
