"""The routes of openapi.yaml about images in use: their kernels, runs, recreations and checks."""

from __future__ import annotations

from jupyter_condabuild.server import schemas
from jupyter_condabuild.server.resource import Resource, guarded


class KernelsHandler(Resource):
    """The kernels of images that are installed for this user."""

    @guarded("read", "kernels")
    async def get(self) -> None:
        """Lists them."""
        self.reply(await self.service.image_kernels.all())

    @guarded("write", "kernels")
    async def post(self) -> None:
        """Installs the kernels of an image, or says that the installation still runs."""
        installed = await self.service.install_kernels(schemas.kernel(self.request.body))
        self.reply(installed or {"kernels": []}, 200 if installed else 202)

    @guarded("write", "kernels")
    async def delete(self) -> None:
        """Removes a kernel."""
        self.reply(await self.service.image_kernels.remove(self.get_query_argument("name")))


class RunsHandler(Resource):
    """JupyterLab in containers of images."""

    @guarded("read", "runs")
    async def get(self) -> None:
        """Lists the runs."""
        self.reply(self.service.runs.all())

    @guarded("write", "runs")
    async def post(self) -> None:
        """Starts JupyterLab in a container."""
        self.reply(await self.service.run(schemas.image_run(self.request.body)), 201)


class RunHandler(Resource):
    """One run."""

    @guarded("write", "runs")
    async def delete(self, id: str) -> None:
        """Ends it, and removes its container."""
        self.reply(await self.service.runs.end(id))


class RecreationsHandler(Resource):
    """Conda environments that are made of images."""

    @guarded("read", "recreations")
    async def get(self) -> None:
        """Lists those of this server."""
        self.reply(self.service.recreations.all())

    @guarded("write", "recreations")
    async def post(self) -> None:
        """Starts to make one."""
        self.reply(await self.service.recreate(schemas.recreation(self.request.body)), 201)


class RecreationHandler(Resource):
    """One environment that is made of an image."""

    @guarded("write", "recreations")
    async def delete(self, id: str) -> None:
        """Cancels it, and removes what was made of it."""
        self.reply(await self.service.recreations.end(id))


class ChecksHandler(Resource):
    """Whether the modules of images can be imported."""

    @guarded("read", "checks")
    async def get(self) -> None:
        """Lists the checks of this server."""
        self.reply(self.service.checks.all())

    @guarded("write", "checks")
    async def post(self) -> None:
        """Starts to check the image of a build, or answers with the check that there is."""
        check, new = await self.service.check(schemas.check(self.request.body))
        self.reply(check, 201 if new else 200)


class CheckHandler(Resource):
    """The check of the image of one build."""

    @guarded("write", "checks")
    async def delete(self, id: str) -> None:
        """Cancels it, or removes its result."""
        self.reply(await self.service.checks.end(id))
