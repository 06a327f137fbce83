"""Everything to know before a build, as one JSON object: what an environment holds, its lock file, and the plan.

The server runs it as a process of its own (``jupyter condabuild snapshot``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.drift import Drift, DriftEntry
from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.engines.docker.preview import DockerPlan, docker_plan
from jupyter_condabuild.errors import RegistryError
from jupyter_condabuild.events import Report
from jupyter_condabuild.jobs.plan import compare
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.inputs import Prepared, prepare
from jupyter_condabuild.requests.build import BuildRequest

MOST_PATHS = 1000
"""Paths that are listed of each kind of drift; all are counted."""


def survey(request: BuildRequest, report: Report) -> dict[str, Any]:
    """Reads an environment and plans its build. Raises as `prepare`; a registry that fails is part of the answer."""
    with ExitStack() as stack:
        store = stack.enter_context(Store(Path(request.store_dir)))
        work = stack.enter_context(store.folder())
        prepared = prepare(replace(request, strict=False), work, report)
        if request.engine == "docker":
            plan = _steps(docker_plan(request, prepared, stack))
        else:
            plan = _layers(prepared, request, store, stack, report)
        return {**_report(prepared), "plan": plan, "lock": _lock(prepared)}


def _report(prepared: Prepared) -> dict[str, Any]:
    environment, lockfile = prepared.environment, prepared.lockfile
    channels = Counter(package.channel for package in lockfile.conda)
    return {
        "digest": lockfile.digest,
        "name": environment.name if environment else "",
        "prefix": str(environment.prefix) if environment else "",
        "platform": lockfile.platform,
        "python": lockfile.python.version if lockfile.python else "",
        "requested": list(lockfile.requested),
        "channels": [{"url": url, "packages": count} for url, count in channels.most_common()],
        "conda": [
            {
                "name": package.name,
                "version": package.version,
                "build": package.build,
                "channel": package.channel,
                "size": package.size or 0,
            }
            for package in lockfile.conda
        ],
        "pip": [
            {"name": package.name, "version": package.version, "editable": package.editable, "url": package.url}
            for package in lockfile.pip
        ],
        "drift": _drift(prepared.drift or Drift()),
        "warnings": [asdict(warning) for warning in prepared.warnings],
    }


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "modified": _paths(drift.modified),
        "missing": _paths(drift.missing),
        "untracked": _paths(drift.untracked),
    }


def _paths(entries: Sequence[DriftEntry]) -> dict[str, Any]:
    return {
        "count": len(entries),
        "bytes": sum(entry.size for entry in entries),
        "first": [
            {"path": _printable(entry.path), "size": entry.size, "package": entry.package}
            for entry in entries[:MOST_PATHS]
        ],
    }


def _printable(path: str) -> str:
    """A path of any bytes as text that any JSON reader takes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _layers(
    prepared: Prepared, request: BuildRequest, store: Store, stack: ExitStack, report: Report
) -> dict[str, Any]:
    unavailable = None
    try:
        found = compare(prepared, request, store, stack, report)
    except RegistryError as error:
        unavailable = {"code": error.code, "message": error.message, "hint": error.hint}
        found = compare(prepared, replace(request, push=False, archive="none.tar"), store, stack, report)
    summary = found.summary()
    return {
        "engine": "layers",
        "summary": found.sentence,
        "packages": summary["packages"],
        "packages_changed": found.changed,
        "bytes_total": sum(found.sizes.values()),
        "bytes_to_push": found.bytes_to_push,
        "layers_reused": found.reused,
        "compared": found.compared,
        "unavailable": unavailable,
        "layers": summary["layers"],
        "steps": [],
        "caches": [],
    }


def _steps(found: DockerPlan) -> dict[str, Any]:
    packages = len(found.prepared.lockfile.conda)
    return {
        "engine": "docker",
        "summary": found.sentence,
        "packages": packages,
        "packages_changed": packages,
        "bytes_total": 0,
        "bytes_to_push": 0,
        "layers_reused": 0,
        "compared": False,
        "unavailable": None,
        "layers": [],
        "steps": list(found.steps),
        "caches": list(found.caches),
    }


def _lock(prepared: Prepared) -> dict[str, Any]:
    """The lock file, and what some of its formats say besides."""
    environment = prepared.environment
    return {
        "text": dump(prepared.lockfile, "conda-lock"),
        "name": environment.name if environment else "",
        "channels": list(environment.channels) if environment else [],
    }
