"""Jobs in tests: requests from plain values, a job context, and the verification of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jupyter_condabuild.events import Event
from jupyter_condabuild.image.platforms import host_architecture
from jupyter_condabuild.jobs import verify
from jupyter_condabuild.oci import archive
from jupyter_condabuild.oci.archive import Archive
from jupyter_condabuild.oci.image import Image, ImageConfig, Manifest
from jupyter_condabuild.requests.build import BuildRequest, JobRequest, PlanRequest
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.option import Request
from jupyter_condabuild.requests.others import VerifyRequest
from tests.parts.small_image import image, tar

R = TypeVar("R", bound=Request)


def request(kind: type[R], **values: Any) -> R:
    """Returns a request from JSON values; paths become texts."""
    return kind.parse({name: str(value) if isinstance(value, Path) else value for name, value in values.items()})


def build_request(**values: Any) -> BuildRequest:
    """Returns a build request from JSON values."""
    return request(BuildRequest, **values)


def plan_request(**values: Any) -> PlanRequest:
    """Returns a plan request from JSON values."""
    return request(PlanRequest, **values)


def silent(event: Event) -> None:
    """Ignores an event."""


def verified(name: str | Path, store: Path, level: int = 1, **given: Any) -> verify.Verification:
    """Verifies an image by a job with this store. An archive is given by its path."""
    options = {"store_dir": store, "compression_level": level, **given}
    return verify.run(request(VerifyRequest, reference=str(name), **options), silent)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[JobContext]:
    """A job context with its own store."""
    with open_job(JobRequest(store_dir=tmp_path / "job-store"), silent) as opened:
        yield opened


def exchange_layer(source: Path, package: str, target: Path) -> None:
    """Writes the image of an archive with other content in a package's layer. Manifest and configuration agree."""
    with Archive(source) as opened:
        original = opened.image(host_architecture())
        archive.write(_with_exchanged_layer(original, package), "", target)


def _with_exchanged_layer(original: Image, package: str) -> Image:
    evil = image([tar({"opt/env/share/one": b"evil"})])
    number = next(i for i, layer in enumerate(original.manifest.layers) if package in str(layer.annotations))
    layers = list(original.manifest.layers)
    config = ImageConfig.parse(original.config)
    diff_ids = list(config.diff_ids)
    diff_ids[number] = ImageConfig.parse(evil.config).diff_ids[0]
    annotations = {**layers[number].annotations, "org.jupyter.condabuild.layer.diff_id": str(diff_ids[number])}
    layers[number] = replace(evil.manifest.layers[0], annotations=annotations)
    config = config.with_value(config.value, diff_ids)
    manifest = Manifest.make(config.descriptor, layers, original.manifest.annotations)
    return Image(manifest, config.raw, {**original.sources, **evil.sources})
