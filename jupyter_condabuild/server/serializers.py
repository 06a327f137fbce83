"""Makes the object `Build` of openapi.yaml from a record of the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict
from typing import Any

from jupyter_condabuild.distribution.run_commands import share_commands
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.events import Failed, Finished, from_json
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.requests.option import Option, json_type
from jupyter_condabuild.requests.others import JOBS
from jupyter_condabuild.server.history import Record


def _blank(item: Field[Any], option: Option) -> Any:
    """Returns the value that is shown for an option that a command does not have.

    An empty value, or the default of an option with choices or of a boolean option.
    """
    kind = json_type(item)
    return item.default if option.choices or kind is bool else kind()


_OPTIONS = [named for kind in JOBS.values() for named in kind.options().items()]

_SHOWN: Mapping[str, Any] = {name: _blank(item, option) for name, (item, option) in _OPTIONS if option.shown}
"""The options that are shown, with the value for a request that lacks the option.

A request lacks an option if its command does not have it, or if an older version wrote it.
"""

_AS_CLIENT_WROTE = ("lockfile", *(name for name, (_, option) in _OPTIONS if option.below_root))
"""The options that are shown as the client wrote them. In the request they are paths of the server."""


def build(record: Record, waiting: Sequence[str], uptime: float) -> dict[str, Any]:
    """Returns the JSON object of a build.

    Args:
        waiting: the ids of the builds that wait, in the order of the queue.
        uptime: the uptime of the machine, in seconds.
    """
    running = record.state == "running"
    seconds = record.seconds
    if running and record.started_uptime is not None:
        seconds = max(0.0, round(uptime - record.started_uptime, 3))
    result = _finished(record.ending) if record.state == "finished" else None
    return {
        "id": record.id,
        "command": record.command,
        "state": record.state,
        "cancelling": running and record.stop_uptime is not None,
        "position": waiting.index(record.id) + 1 if record.id in waiting else None,
        "created": record.created,
        "started": record.started,
        "ended": record.ended,
        "seconds": seconds,
        "request": _request(record),
        "kernel_id": record.client_members.get("kernel_id", ""),
        "kernel_name": record.client_members.get("kernel_name", ""),
        "result": asdict(result) if result else None,
        "error": _error(record.ending),
        "share": _share(record, result) if result else [],
    }


def _request(record: Record) -> dict[str, Any]:
    shown = {name: record.request.get(name, blank) for name, blank in _SHOWN.items()}
    # The settings have a base, too; `verify` shows the reference that the client wrote.
    own = [name for name in _AS_CLIENT_WROTE if name not in ("base", "reference")]
    shown |= {name: record.client_members.get(name, "") for name in own}
    shown["base"] = record.client_members.get("base", shown["base"])
    if record.command in ("rebase", "base"):
        shown["push"] = True
    return {**shown, "reference": record.client_members.get("reference", shown["reference"])}


def _finished(ending: Mapping[str, Any] | None) -> Finished | None:
    event = from_json(ending or {})
    return event if isinstance(event, Finished) else None


def _error(ending: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not ending or ending["type"] != "failed":
        return None
    return Failed(*(ending.get(name, "") for name in ("code", "message", "hint", "platform"))).to_json()


def _share(record: Record, result: Finished) -> list[dict[str, str]]:
    if record.command == "verify":
        return []
    try:
        if record.command == "build":
            # Without `include`: the request is not valid if the folder does not exist any more.
            request = BuildRequest.parse({**record.request, "include": ""})
        else:
            insecure = record.request["insecure_registries"]
            request = BuildRequest.parse(
                {"prefix": "/", "reference": result.reference, "push": True, "insecure_registries": insecure}
            )
        return [asdict(command) for command in share_commands(request, result, copied=True)]
    except CondaBuildError:  # another version wrote the request
        return []
