"""The load into an engine in steps: the engine unpacks the lowest layers while the upper layers are still made."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from jupyter_condabuild.distribution.destinations import loaded
from jupyter_condabuild.errors import Cancelled, CondaBuildError
from jupyter_condabuild.events import Log
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.image.layers import ReadyLayer
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.engine.step_images import Part, present, remove_steps, step_image
from jupyter_condabuild.oci.image import LAYER_KEY
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import counted

LEAST = 64 << 20
"""The bytes of archives of the layers that a build makes, from which steps save more time than they cost."""

PLATFORM = ("architecture", "os", "variant")
"""The members of a configuration that say for which platform an image is."""

STEPS = 5
"""The largest number of steps: each has at least this part of the image's bytes."""

GRACE_SECONDS = 5.0
"""The time that a build that ends early waits for the engine, which goes on with a layer that it has begun."""


class Steps:
    """The steps of one image. A context manager, which removes the step images after an error.

    The complete image does not depend on the steps. After a fault of a step, the engine gets all other layers at the
    end. The same is true if packages are not available, so that the image gets other layers than planned.
    """

    def __init__(self, job: JobContext) -> None:
        """Makes no connection."""
        self._job = job
        self._ready: dict[str, Part] = {}
        self._lowest: list[Part] = []
        self._keys: list[str] = []
        self._platform: dict[str, object] = {}
        self._least = 0
        self._changed = threading.Condition()
        self._complete = self._abandoned = False
        self._thread: threading.Thread | None = None

    def add(self, layer: ReadyLayer) -> None:
        """Takes note of a layer whose blob exists. Thread-safe."""
        if key := layer.descriptor.annotations.get(LAYER_KEY):
            with self._changed:
                self._ready[key] = _part(layer)
                self._changed.notify()

    def begin(
        self, base: Base, runtime: ReadyLayer, planned: Sequence[PlannedLayer], missing: Sequence[PlannedLayer]
    ) -> None:
        """Begins with the steps, if enough layers are missing.

        Args:
            planned: the layers above the runtime layer, lowest first.
            missing: those that the build makes.
        """
        if self._thread or sum(layer.size for layer in missing) < LEAST:
            return
        config = base.config
        for layer, diff_id in zip(base.layers, config.diff_ids, strict=True):
            self._lowest.append(Part(layer, diff_id, base.image.sources[layer.digest]))
        self._lowest.append(_part(runtime))
        self._keys = [layer.key for layer in planned]
        self._platform = {name: value for name, value in config.value.items() if name in PLATFORM}
        self._least = (_size(self._lowest) + sum(layer.size for layer in planned)) // STEPS
        self._thread = threading.Thread(target=self._run, name="steps", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Waits for the end of a step that has begun. No other step begins."""
        with self._changed:
            self._complete = True
            self._changed.notify()
        if self._thread:
            self._thread.join()

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._thread or kind is None:  # the complete image is loaded, which has removed them
            return
        with self._changed:
            self._complete = self._abandoned = True
            self._changed.notify()
        self._thread.join(GRACE_SECONDS)
        with suppress(CondaBuildError), self._connect() as engine:
            remove_steps(engine)

    def _connect(self) -> Daemon:
        return Daemon.connect(self._job.docker_host or None)

    def _run(self) -> None:
        try:
            with self._connect() as engine:
                if engine.keeps_layers():
                    self._load_steps(engine)
        except CondaBuildError as error:
            if not self._abandoned:
                self._job.report(Log(f"The engine gets the other layers at the end of the build: {error.message}"))

    def _load_steps(self, engine: Daemon) -> None:
        there = 0
        while parts := self._next(there):
            image = step_image(parts, self._platform)
            there = max(there, present(engine, image))
            above = parts[there:]
            if _size(above) >= self._least:
                self._job.report(Log(f"The engine gets {counted(above, 'layer')} while others are made."))
                engine.load(image, "", self._sent)
                there = len(parts)

    def _next(self, there: int) -> list[Part]:
        """Waits for enough layers above the lowest `there` layers, and returns all up to them.

        Returns an empty list if the image is complete.
        """
        with self._changed:
            while not self._complete:
                parts = list(self._lowest)
                for key in self._keys:
                    if key not in self._ready:
                        break
                    parts.append(self._ready[key])
                if _size(parts[there:]) >= self._least:
                    return parts
                self._changed.wait()
        return []

    def _sent(self, complete: int, total: int) -> None:  # noqa: ARG002  a `Progress`
        if self._abandoned:
            raise Cancelled("The build has ended.")


def in_steps(request: BuildRequest, job: JobContext) -> bool:
    """Whether the image of a request that is loaded can be loaded in steps.

    A stacked update of the image that the engine has gets few layers, and other ones.
    """
    name = request.reference
    return name is not None and not (request.stack and job.store.previous(loaded(name)))


def _part(layer: ReadyLayer) -> Part:
    return Part(layer.descriptor, layer.diff_id, layer.source)


def _size(parts: Sequence[Part]) -> int:
    return sum(part.descriptor.size for part in parts)
