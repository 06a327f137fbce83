"""Audit: a layer that was adopted without its bytes is downloaded, unpacked, and compared with what its packages give.

Only a layer that is a function of its packages can be checked in this way. One small layer of a build, chosen by
chance, is checked beside the push, so that a forged layer is found soon and at little cost.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from jupyter_condabuild.distribution.layer_index import Claim, LayerIndex
from jupyter_condabuild.engines.layers.engine import LayersEngine
from jupyter_condabuild.errors import CondaBuildError, ContentMismatch, LayerForged
from jupyter_condabuild.events import Event, Log
from jupyter_condabuild.oci.chunks import BadCompression, plain
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import listed

LARGEST = 2 << 20
"""The largest compressed size in bytes of a layer that is checked."""

LEAST_SECONDS = 1.0
SHARE = 0.05
"""An audit may delay a build by this share of its time, or by LEAST_SECONDS if that is more."""


class Audit:
    """The audit of one build: a context manager. `start` begins it, `finish` returns when the result is known."""

    def __init__(self, inputs: Inputs, level: int, job: JobContext) -> None:
        """`level` is the compression level of the build."""
        self._inputs = inputs
        self._level = level
        self._job = job
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._check: Future[None] | None = None
        self._stopped = threading.Event()
        self._names = ""

    def __enter__(self) -> Audit:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._executor.shutdown(cancel_futures=True)  # waits, because the check uses the folders of the job

    def start(self, adopted: Sequence[tuple[PlannedLayer, Claim]]) -> None:
        """Chooses one of the adopted layers by chance, and begins to check it."""
        small = [(planned, claim) for planned, claim in adopted if claim.descriptor.size <= LARGEST]
        if small:
            planned, claim = random.SystemRandom().choice(small)
            self._names = listed(planned.names, 3)
            self._check = self._executor.submit(
                check, planned, claim, self._inputs, self._level, self._job, self._stopped
            )

    def finish(self, elapsed: float) -> None:
        """Waits for the result, but not longer than an audit may delay the build.

        Args:
            elapsed: the seconds since the build began.

        Raises LayerForged.
        """
        if self._check is None:
            return
        try:
            self._check.result(max(LEAST_SECONDS, SHARE * elapsed))
            self._job.report(
                Log(f"Checked the layer of {self._names} from the registry: it is what its packages give.")
            )
        except TimeoutError:
            self._job.report(Log(f"The layer of {self._names} was not checked: the check took too long."))
        except LayerForged:
            raise
        except CondaBuildError as error:
            self._job.report(Log(f"The layer of {self._names} was not checked: {error.message}"))


def check(
    planned: PlannedLayer, claim: Claim, inputs: Inputs, level: int, job: JobContext, stopped: threading.Event
) -> None:
    """Makes an adopted layer from its packages and compares it with the blob in the registry.

    Ends soon and without a result when `stopped` is set.

    Raises LayerForged if they differ; the store then never uses the blob again. Raises PackageError, RegistryError or
    StoreError if the layer cannot be made or read.
    """
    with Store(job.folder()) as store:
        engine = LayersEngine(
            replace(job, store=store, report=_silent),
            LayerIndex(),
            inputs.sources,
            level,
            lambda layer: None,
            live=inputs.environment is not None,
            registry="",
            compiling=inputs.compiling,
        )
        made = engine.make([planned], inputs.lockfile)
        if made.unavailable:
            raise made.unavailable[0][1]
        stored = store.layer(planned.key)
        assert stored
        content = _content(claim, stored.blob.tar_size, stopped)
        if stopped.is_set() or stored.blob.diff_id == claim.diff_id == content:
            return
    place = f"{claim.repository.host}/{claim.repository.name}"
    by = f", and {claim.voucher.name} vouches for it" if claim.voucher else ""
    reason = (
        f"In {place}, the layer of {listed(planned.names, 3)} (key {planned.key[:16]}…) differs from its packages{by}."
    )
    job.store.distrust(claim.descriptor.digest, reason)
    raise LayerForged(reason)


def _content(claim: Claim, size: int, stopped: threading.Event) -> Digest | None:
    """Returns the diff_id of the blob of a claim, or None if its content is not exactly `size` bytes."""
    content, total = hashlib.sha256(), 0
    try:
        for part in plain(claim.repository.read(claim.descriptor)):
            content.update(part)
            total += len(part)
            if total > size or stopped.is_set():
                return None
    except (BadCompression, ContentMismatch):
        return None
    return Digest(content.hexdigest()) if total == size else None


def _silent(event: Event) -> None:
    """A report that discards its events."""
