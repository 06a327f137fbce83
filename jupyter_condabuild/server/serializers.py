"""A build as clients see it: openapi.yaml's Build, from what the history knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict
from typing import Any

from jupyter_condabuild.distribution.run_commands import share_commands
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.events import Finished, from_json
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.requests.option import Option, json_type
from jupyter_condabuild.requests.others import JOBS
from jupyter_condabuild.server.history import Record


def _blank(item: Field[Any], option: Option) -> Any:
    """What stands for an option that a command does not have: an empty value, where there is one."""
    kind = json_type(item)
    if option.choices:
        return option.choices[0]
    return item.default if kind is bool else kind()


_OPTIONS = [found for kind in JOBS.values() for found in kind.options().items()]

_SHOWN: Mapping[str, Any] = {name: _blank(item, option) for name, (item, option) in _OPTIONS if option.shown}
"""The options that are shown, and the value that stands for an option that a command, or an older version, lacks."""

_ASKED = ("lockfile", *(name for name, (_, option) in _OPTIONS if option.below_root))
"""The options that are shown as the client gave them: the paths in the request are the server's own."""


def build(record: Record, waiting: Sequence[str], uptime: float) -> dict[str, Any]:
    """The JSON object of a build.

    Args:
        waiting: ids of the builds in the queue, in order.
        uptime: of the machine, now.
    """
    running = record.state == "running"
    seconds = record.seconds
    if running and record.began is not None:
        seconds = max(0.0, round(uptime - record.began, 3))
    result = _finished(record.ending) if record.state == "finished" else None
    return {
        "id": record.id,
        "command": record.command,
        "state": record.state,
        "cancelling": running and record.told is not None,
        "position": waiting.index(record.id) + 1 if record.id in waiting else None,
        "created": record.created,
        "started": record.started,
        "ended": record.ended,
        "seconds": seconds,
        "request": _asked(record),
        "kernel_id": record.asked.get("kernel_id", ""),
        "kernel_name": record.asked.get("kernel_name", ""),
        "result": asdict(result) if result else None,
        "error": _error(record.ending),
        "share": _share(record, result) if result else [],
    }


def _asked(record: Record) -> dict[str, Any]:
    shown = {name: record.request.get(name, blank) for name, blank in _SHOWN.items()}
    shown |= {name: record.asked.get(name, "") for name in _ASKED if name != "reference"}
    if record.command in ("rebase", "base"):
        shown["push"] = True
    return {**shown, "reference": record.asked.get("reference", shown["reference"])}


def _finished(ending: Mapping[str, Any] | None) -> Finished | None:
    found = from_json(ending or {})
    return found if isinstance(found, Finished) else None


def _error(ending: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not ending or ending["type"] != "failed":
        return None
    return {name: ending.get(name, "") for name in ("code", "message", "hint")}


def _share(record: Record, result: Finished) -> list[dict[str, str]]:
    if record.command == "verify":
        return []
    try:
        if record.command == "build":
            # The folder that went into the image may be gone by now.
            asked = BuildRequest.parse({**record.request, "include": ""})
        else:
            plain = record.request["insecure_registries"]
            asked = BuildRequest.parse(
                {"prefix": "/", "reference": result.reference, "push": True, "insecure_registries": plain}
            )
        return [asdict(command) for command in share_commands(asked, result)]
    except CondaBuildError:  # a request that another version wrote
        return []
