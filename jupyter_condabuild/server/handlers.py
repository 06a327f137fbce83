"""The routes of openapi.yaml: each verb parses, makes one call and serialises."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError

from jupyter_condabuild.errors import BadRequest, NotThere
from jupyter_condabuild.server import schemas
from jupyter_condabuild.server.lockfiles import FILE_NAMES
from jupyter_condabuild.server.resource import Resource, guarded
from jupyter_condabuild.server.service import Service
from jupyter_condabuild.server.stream import frames

CONTRACT = Path(__file__).with_name("openapi.yaml")


class StatusHandler(Resource):
    """What works here."""

    @guarded("read", "status")
    async def get(self) -> None:
        """All probes."""
        self.reply(await self.service.status())


class EnvironmentsHandler(Resource):
    """Kernels, kernelspecs and their environments."""

    @guarded("read", "environments")
    async def get(self) -> None:
        """All of them."""
        self.reply(await self.service.kernels.environments())


class SnapshotsHandler(Resource):
    """What an environment holds, and what its build would do."""

    @guarded("write", "snapshots")
    async def post(self) -> None:
        """Of one environment."""
        self.reply(await self.service.snapshot(schemas.snapshot(self.request.body)))


class DiffsHandler(Resource):
    """How two environments or images differ."""

    @guarded("write", "diffs")
    async def post(self) -> None:
        """Of any two."""
        self.reply(await self.service.diff(schemas.diff(self.request.body)))


class ExportsHandler(Resource):
    """Files that build or run an image elsewhere."""

    @guarded("write", "exports")
    async def post(self) -> None:
        """Of one kind."""
        self.reply(await self.service.export(schemas.export(self.request.body)))


class PruneHandler(Resource):
    """Room in the local store."""

    @guarded("write", "prune")
    async def post(self) -> None:
        """Removes the layers used longest ago."""
        self.reply(await self.service.prune(schemas.prune(self.request.body)))


class LockfileHandler(Resource):
    """A lock file in any format."""

    @guarded("read", "lockfiles")
    async def get(self, digest: str) -> None:
        """Its text."""
        format = self.get_query_argument("format", "conda-lock")
        text = await asyncio.to_thread(self.service.lockfiles.text, digest, format)
        self.set_header("Content-Disposition", f'inline; filename="{FILE_NAMES[format]}"')  # type: ignore[index]
        self.finish(text, set_content_type="text/plain; charset=utf-8")


class BuildsHandler(Resource):
    """All builds."""

    @guarded("read", "builds")
    async def get(self) -> None:
        """The newest first."""
        limit = self.get_query_argument("limit", "100")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:5]) <= 1000):
            raise BadRequest("limit should be a whole number from 1 to 1000.")
        records = await self.service.builds.recent(int(limit))
        self.reply({"builds": [self.service.builds.view(record) for record in records]})

    @guarded("write", "builds")
    async def post(self) -> None:
        """Starts or joins one."""
        record, new = await self.service.start(*schemas.job(self.request.body))
        if new:
            self.set_header("Location", f"{self.base_url}condabuild/builds/{record.id}")
        self.reply(self.service.builds.view(record), 201 if new else 200)


class BuildHandler(Resource):
    """One build."""

    @guarded("read", "builds")
    async def get(self, id: str) -> None:
        """How it is."""
        self.reply(self.service.builds.view(await self.service.builds.record(id)))

    @guarded("write", "builds")
    async def delete(self, id: str) -> None:
        """Cancels it, or forgets it."""
        forget = self.get_query_argument("forget", "false")
        if forget not in ("true", "false"):
            raise BadRequest("forget should be true or false.")
        if forget == "true":
            await self.service.builds.forget(id)
            self.set_status(204)
            self.finish()
            return
        record = await self.service.builds.cancel(id)
        self.reply(self.service.builds.view(record), 202 if record.state == "running" else 200)


class EventsHandler(Resource):
    """A build's events as a stream."""

    def initialize(self, service: Service) -> None:
        """Takes what the route needs."""
        super().initialize(service)
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_connection_close(self) -> None:
        """The reader has gone; the build goes on."""
        if not self._closed.done():
            self._closed.set_result(None)

    @guarded("read", "events")
    async def get(self, id: str) -> None:
        """From the event after Last-Event-ID on."""
        seq = _seq(self.request.headers.get("Last-Event-ID", ""))
        feed = self.service.builds.follow((await self.service.builds.record(id)).id, self._closed)
        ending = (await feed.view()).ending
        if ending and seq >= ending["seq"]:
            self.set_status(204)
            self.finish()
            return
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache, no-transform")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold the stream back
        try:
            async for frame in frames(feed, seq):
                self.write(frame)
                await self.flush()  # until the socket has taken it: nothing piles up for a slow reader
                if self._closed.done():
                    return
            self.finish(set_content_type="text/event-stream")
        except NotThere:  # forgotten meanwhile
            self.finish(set_content_type="text/event-stream")
        except StreamClosedError:
            pass


class ContractHandler(Resource):
    """The description of these routes."""

    @guarded("read", "openapi")
    async def get(self) -> None:
        """As it is in the package."""
        text = await asyncio.to_thread(CONTRACT.read_text, encoding="utf-8")
        self.finish(text, set_content_type="application/yaml")


class UnknownHandler(Resource):
    """Whatever else is asked for below condabuild/."""

    @guarded("read", "unknown")
    async def get(self) -> None:
        """Is not there."""
        raise NotThere("There is no such route.", "See condabuild/openapi.yaml for what there is.")

    post = put = patch = delete = get


def routes(service: Service) -> list[tuple[str, type[Resource], dict[str, Any]]]:
    """All of them, below the server's base URL."""
    given = {"service": service}
    return [
        ("condabuild/status", StatusHandler, given),
        ("condabuild/environments", EnvironmentsHandler, given),
        ("condabuild/snapshots", SnapshotsHandler, given),
        ("condabuild/lockfiles/([^/]+)", LockfileHandler, given),
        ("condabuild/diffs", DiffsHandler, given),
        ("condabuild/exports", ExportsHandler, given),
        ("condabuild/prune", PruneHandler, given),
        ("condabuild/builds", BuildsHandler, given),
        ("condabuild/builds/([^/]+)", BuildHandler, given),
        ("condabuild/builds/([^/]+)/events", EventsHandler, given),
        ("condabuild/openapi.yaml", ContractHandler, given),
        ("condabuild/.*", UnknownHandler, given),
    ]


def _seq(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
