"""The routes of openapi.yaml. Each verb parses the request, makes one call and serialises the result."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError

from jupyter_condabuild.errors import BadRequest, NotThere
from jupyter_condabuild.server import archives, docs, schemas
from jupyter_condabuild.server.lockfiles import FILE_NAMES
from jupyter_condabuild.server.receive.handlers import (
    CheckHandler,
    ChecksHandler,
    KernelsHandler,
    RecreationHandler,
    RecreationsHandler,
    RunHandler,
    RunsHandler,
)
from jupyter_condabuild.server.resource import Resource, guarded
from jupyter_condabuild.server.service import Service
from jupyter_condabuild.server.stream import frames
from jupyter_condabuild.server.updates import after

CONTRACT = Path(__file__).with_name("openapi.yaml")


class StatusHandler(Resource):
    """The state of the store, the registry, the engine and the base image."""

    @guarded("read", "status")
    async def get(self) -> None:
        """Answers with the settings and, if they are asked for, the results of all probes."""
        self.reply(await self.service.status(probes=self.flag("probes", default=True)))


class EnvironmentsHandler(Resource):
    """The kernels and kernelspecs of this server, and the environment of each."""

    @guarded("read", "environments")
    async def get(self) -> None:
        """Answers with all of them."""
        self.reply(await self.service.kernels.environments())


class SnapshotsHandler(Resource):
    """The contents of an environment, and the plan of its build."""

    @guarded("write", "snapshots")
    async def post(self) -> None:
        """Takes a snapshot of one environment."""
        self.reply(await self.service.snapshot(schemas.snapshot(self.request.body)))


class StampsHandler(Resource):
    """The stamp of an environment: whether packages were installed or removed since its snapshot."""

    @guarded("write", "stamps")
    async def post(self) -> None:
        """Answers with the stamp."""
        self.reply(await self.service.stamp(schemas.environment(self.request.body)))


class DiffsHandler(Resource):
    """The differences between two environments, lock files or images."""

    @guarded("write", "diffs")
    async def post(self) -> None:
        """Compares them."""
        self.reply(await self.service.diff(schemas.diff(self.request.body)))


class LicensesHandler(Resource):
    """The licences of the packages of an environment, a lock file or an image."""

    @guarded("write", "licenses")
    async def post(self) -> None:
        """Lists them."""
        self.reply(await self.service.licenses(schemas.licenses(self.request.body)))


class InspectionsHandler(Resource):
    """The contents of an image, and who built it."""

    @guarded("write", "inspections")
    async def post(self) -> None:
        """Describes the image without a pull."""
        self.reply(await self.service.inspect(schemas.inspection(self.request.body)))


class ExportsHandler(Resource):
    """Files that build or run an image on other systems."""

    @guarded("write", "exports")
    async def post(self) -> None:
        """Answers with the files of one kind, and writes them if the request names a folder."""
        self.reply(await self.service.export(schemas.export(self.request.body)))


class PruneHandler(Resource):
    """The size of the local store."""

    @guarded("write", "prune")
    async def post(self) -> None:
        """Removes the least recently used layers."""
        self.reply(await self.service.prune(schemas.prune(self.request.body)))


class LoginsHandler(Resource):
    """The user's logins for registries."""

    @guarded("read", "logins")
    async def get(self) -> None:
        """Lists the registries, with the user of each login, without passwords."""
        self.reply(await self.service.logins.all())

    @guarded("write", "logins")
    async def post(self) -> None:
        """Tests a login and keeps it."""
        self.reply(await self.service.logins.add(schemas.login(self.request.body)))

    @guarded("write", "logins")
    async def delete(self) -> None:
        """Removes the login for a registry."""
        self.reply(await self.service.logins.remove(self.get_query_argument("registry")))


class PermissionsHandler(Resource):
    """Whether the user may push an image of a name."""

    @guarded("write", "permissions")
    async def post(self) -> None:
        """Asks the registry of the name."""
        self.reply(await self.service.logins.permission(schemas.permission(self.request.body)))


class LockfileHandler(Resource):
    """The lock file of a snapshot."""

    @guarded("read", "lockfiles")
    async def get(self, digest: str) -> None:
        """Answers with the text of the lock file in the given format."""
        format = self.get_query_argument("format", "conda-lock")
        text = await asyncio.to_thread(self.service.lockfiles.text, digest, format)
        self.set_header("Content-Disposition", f'inline; filename="{FILE_NAMES[format]}"')  # type: ignore[index]
        self.finish(text, set_content_type="text/plain; charset=utf-8")

    @guarded("write", "lockfiles")
    async def post(self, digest: str) -> None:
        """Writes the lock file into a folder below the server's root folder."""
        self.reply(await self.service.write_lockfile(digest, schemas.written_lockfile(self.request.body)))


class BuildsHandler(Resource):
    """The builds of this user."""

    @guarded("read", "builds")
    async def get(self) -> None:
        """Lists the builds, the newest first."""
        limit = self.get_query_argument("limit", "100")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:5]) <= 1000):
            raise BadRequest("limit must be a whole number from 1 to 1000.")
        self.reply(await self.service.builds.recent(int(limit)))

    @guarded("write", "builds")
    async def post(self) -> None:
        """Starts a build, or joins the same build."""
        record, new = await self.service.start(*schemas.job(self.request.body))
        if new:
            self.set_header("Location", f"{self.base_url}condabuild/builds/{record.id}")
        self.reply(self.service.builds.view(record), 201 if new else 200)


class BuildHandler(Resource):
    """One build."""

    @guarded("read", "builds")
    async def get(self, id: str) -> None:
        """Answers with the state of the build."""
        self.reply(self.service.builds.view(await self.service.builds.record(id)))

    @guarded("write", "builds")
    async def delete(self, id: str) -> None:
        """Cancels the build. With `forget`, removes an ended build from the history."""
        if self.flag("forget", default=False):
            await self.service.builds.forget(id)
            self.set_status(204)
            self.finish()
            return
        record = await self.service.builds.cancel(id)
        self.reply(self.service.builds.view(record), 202 if record.state == "running" else 200)


class EventsHandler(Resource):
    """The events of a build as a stream."""

    def initialize(self, service: Service) -> None:
        """Keeps the service, and makes the future that a closed connection sets."""
        super().initialize(service)
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_connection_close(self) -> None:
        """Ends the stream after the client closed the connection. The build continues."""
        if not self._closed.done():
            self._closed.set_result(None)

    @guarded("read", "events")
    async def get(self, id: str) -> None:
        """Streams the events after Last-Event-ID."""
        seq = _seq(self.request.headers.get("Last-Event-ID", ""))
        feed = self.service.builds.follow((await self.service.builds.record(id)).id, self._closed)
        ending = (await feed.view()).ending
        if ending and seq >= ending["seq"]:
            self.set_status(204)
            self.finish()
            return
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache, no-transform")
        self.set_header("X-Accel-Buffering", "no")  # without it, nginx buffers the stream
        try:
            async for frame in frames(feed, seq):
                self.write(frame)
                await self.flush()  # waits for the socket, so that frames for a slow reader do not fill the memory
                if self._closed.done():
                    return
            self.finish(set_content_type="text/event-stream")
        except NotThere:  # the build was removed from the history
            self.finish(set_content_type="text/event-stream")
        except StreamClosedError:
            pass


class ArchiveHandler(Resource):
    """The archive that a build wrote."""

    @guarded("read", "archives")
    async def get(self, id: str) -> None:
        """Sends the archive as a download."""
        record = await self.service.builds.record(id)
        archive = await asyncio.to_thread(archives.open_archive, record)
        with archive.file:
            self.set_header("Content-Disposition", archives.disposition(archive.name))
            self.set_header("Content-Length", str(archive.size))
            self.set_header("Cache-Control", "no-store")
            self.set_header("Content-Type", "application/x-tar")
            with suppress(StreamClosedError):  # the client has gone
                while chunk := await asyncio.to_thread(archive.read):
                    self.write(chunk)
                    await self.flush()  # waits for the socket, so that a slow reader does not fill the memory
                self.finish(set_content_type="application/x-tar")


class UpdatesHandler(Resource):
    """The state and the new events of several builds."""

    @guarded("read", "events")
    async def get(self) -> None:
        """Answers at once, also if there is no new event."""
        self.set_header("Cache-Control", "no-store")
        self.reply(await self.service.builds.updates(after(self.get_query_arguments("after"))))


class ContractHandler(Resource):
    """The description of these routes."""

    @guarded("read", "openapi")
    async def get(self) -> None:
        """Answers with the file openapi.yaml of the package."""
        text = await asyncio.to_thread(CONTRACT.read_text, encoding="utf-8")
        self.finish(text, set_content_type="application/yaml")


class DocsHandler(Resource):
    """The page of the documentation that explains the warnings."""

    @property
    def content_security_policy(self) -> str:
        """The page has its own style, and loads nothing."""
        return f"{super().content_security_policy}; style-src 'unsafe-inline'"

    @guarded("read", "docs")
    async def get(self) -> None:
        """Answers with the page."""
        self.finish(await asyncio.to_thread(docs.page), set_content_type="text/html")


class UnknownHandler(Resource):
    """Every other path below condabuild/."""

    @guarded("read", "unknown")
    async def get(self) -> None:
        """Raises NotThere."""
        raise NotThere("There is no such route.", "condabuild/openapi.yaml lists the routes.")

    post = put = patch = delete = get


def routes(service: Service) -> list[tuple[str, type[Resource], dict[str, Any]]]:
    """Returns all routes: pattern relative to the server's base URL, handler, and arguments of the handler."""
    arguments = {"service": service}
    return [
        ("condabuild/status", StatusHandler, arguments),
        ("condabuild/environments", EnvironmentsHandler, arguments),
        ("condabuild/snapshots", SnapshotsHandler, arguments),
        ("condabuild/lockfiles/([^/]+)", LockfileHandler, arguments),
        ("condabuild/stamps", StampsHandler, arguments),
        ("condabuild/diffs", DiffsHandler, arguments),
        ("condabuild/licenses", LicensesHandler, arguments),
        ("condabuild/inspections", InspectionsHandler, arguments),
        ("condabuild/kernels", KernelsHandler, arguments),
        ("condabuild/runs", RunsHandler, arguments),
        ("condabuild/runs/([^/]+)", RunHandler, arguments),
        ("condabuild/recreations", RecreationsHandler, arguments),
        ("condabuild/recreations/([^/]+)", RecreationHandler, arguments),
        ("condabuild/checks", ChecksHandler, arguments),
        ("condabuild/checks/([^/]+)", CheckHandler, arguments),
        ("condabuild/exports", ExportsHandler, arguments),
        ("condabuild/prune", PruneHandler, arguments),
        ("condabuild/logins", LoginsHandler, arguments),
        ("condabuild/permissions", PermissionsHandler, arguments),
        ("condabuild/updates", UpdatesHandler, arguments),
        ("condabuild/builds", BuildsHandler, arguments),
        ("condabuild/builds/([^/]+)", BuildHandler, arguments),
        ("condabuild/builds/([^/]+)/events", EventsHandler, arguments),
        ("condabuild/builds/([^/]+)/archive", ArchiveHandler, arguments),
        ("condabuild/docs/environments", DocsHandler, arguments),
        ("condabuild/openapi.yaml", ContractHandler, arguments),
        ("condabuild/.*", UnknownHandler, arguments),
    ]


def _seq(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
