"""The job `snapshot`: the contents of an environment, its lock file and its plan, as one JSON object.

The server runs this job in its own process (``jupyter condabuild snapshot``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from jupyter_condabuild.conda.formats import dump
from jupyter_condabuild.conda.prefix.fingerprint import installation_stamp
from jupyter_condabuild.distribution.layer_index import current_digest
from jupyter_condabuild.engines.docker.preview import DockerPreview
from jupyter_condabuild.errors import RegistryError
from jupyter_condabuild.events import Report
from jupyter_condabuild.image.platforms import check_names
from jupyter_condabuild.jobs.choices import choices
from jupyter_condabuild.jobs.plan import preview_docker, preview_layers
from jupyter_condabuild.planning.default_platforms import for_default_platforms
from jupyter_condabuild.planning.identity import identity
from jupyter_condabuild.planning.inputs import Inputs, read_inputs
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext, open_job


def run(request: PlanRequest, report: Report) -> dict[str, Any]:
    """Reads an environment and plans its build.

    Of a request for several platforms, it is the contents and the plan for the first one, and a table for each other.
    An error of a registry is part of the result. Raises UsageError for one of several platforms that no image can have,
    and the errors of `read_inputs` except NotReproducible.
    """
    request, *others = for_default_platforms(request).parts
    if others:
        check_names(part.platform for part in (request, *others))
    # Before the environment is read: a change while it is read counts as a later change.
    stamp = installation_stamp(request.prefix) if request.prefix else ""
    with open_job(request, report) as job:
        inputs = read_inputs(replace(request, strict=False), job)
        there = [read_inputs(replace(part, strict=False), job) for part in others]
        processors = {found.architecture for found in (inputs, *there)}
        if request.engine == "docker":
            plan = _steps(preview_docker(inputs, request, job))
        else:
            plan = _layers(inputs, request, job, processors)
        current = "" if plan["unavailable"] else current_digest(request.reference, job) or ""
        warnings = dict.fromkeys(warning for found in (inputs, *there) for warning in found.warnings)
        return {
            **_report(inputs, request),
            "other_substitutions": [found.other.substitution.to_json() for found in there if found.other],
            "warnings": [warning.to_json() for warning in warnings],
            "stamp": stamp,
            "plan": {**plan, "current": current},
            "lock": _lock(inputs),
        }


def _report(inputs: Inputs, request: PlanRequest) -> dict[str, Any]:
    (environment, drift), lockfile = inputs.described, inputs.lockfile
    channels = Counter(package.channel for package in lockfile.conda)
    return {
        "digest": lockfile.digest,
        "identity": identity(lockfile, environment, drift, inputs.own, request),
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
        **choices(inputs),
        "substitution": inputs.other.substitution.to_json() if inputs.other else None,
    }


def _layers(inputs: Inputs, request: PlanRequest, job: JobContext, processors: Collection[str]) -> dict[str, Any]:
    unavailable = None
    try:
        layers = preview_layers(inputs, request, job, processors)
    except RegistryError as error:
        unavailable = {"code": error.code, "message": error.message, "hint": error.hint}
        layers = preview_layers(inputs, replace(request, reference=None), job, processors)
    summary = layers.summary()
    return {
        "engine": "layers",
        "summary": layers.sentence,
        "packages": summary["packages"],
        "packages_changed": layers.changed,
        "bytes_total": layers.forecast.size,
        "bytes_to_push": layers.bytes_to_push,
        "base_known": layers.forecast.base_known,
        "bytes_to_fetch": summary["bytes_to_fetch"],
        "seconds": summary["seconds"],
        "unmeasured": summary["unmeasured"],
        "layers_reused": layers.reused,
        "compared": layers.compared,
        "unavailable": unavailable,
        "layers": summary["layers"],
        "steps": [],
        "caches": [],
        "signature": summary["signature"],
        "signer": summary["signer"],
    }


def _steps(steps: DockerPreview) -> dict[str, Any]:
    packages = len(steps.inputs.lockfile.conda)
    return {
        "engine": "docker",
        "summary": steps.sentence,
        "packages": packages,
        "packages_changed": packages,
        "bytes_total": steps.forecast.size,
        "bytes_to_push": steps.bytes_to_push,
        "base_known": steps.forecast.base_known,
        "bytes_to_fetch": 0,
        "seconds": None,
        "unmeasured": [],
        "layers_reused": 0,
        "compared": steps.compared,
        "unavailable": None,
        "layers": steps.summary()["layers"],
        "steps": list(steps.steps),
        "caches": list(steps.caches),
        "signature": "",
        "signer": "",
    }


def _lock(inputs: Inputs) -> dict[str, Any]:
    """Returns the lock file, and the values that some lock file formats contain in addition."""
    environment, _ = inputs.described
    return {
        "text": dump(inputs.lockfile, "conda-lock"),
        "name": environment.name if environment else "",
        "channels": list(environment.channels) if environment else [],
    }
