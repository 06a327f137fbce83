"""The job `plan`: what a build would do with each blob of the image, how many bytes it would send, and how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from jupyter_condabuild.conda.contents import package_paths
from jupyter_condabuild.distribution.destinations import open_destination, replaced_platforms
from jupyter_condabuild.distribution.rates import Rates
from jupyter_condabuild.engines.docker.preview import DockerPreview, preview
from jupyter_condabuild.engines.layers.forecast import Forecast, Part, forecast
from jupyter_condabuild.engines.layers.stacking import forecast as stacking_forecast
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.events import Report
from jupyter_condabuild.image.added_packages import with_packages
from jupyter_condabuild.image.base import Base, resolve
from jupyter_condabuild.image.platforms import PLATFORMS, check_names
from jupyter_condabuild.planning.default_platforms import for_default_platforms
from jupyter_condabuild.planning.inputs import Inputs, read_inputs
from jupyter_condabuild.planning.link_scripts import report_link_scripts
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.text import counted, seconds_text, size_text
from jupyter_condabuild.trust.signature import Signature, signature_of, summary_of

BASE_SECONDS = 5.0
"""The longest time that a plan waits for the base image. The base decides some of the bytes, but nothing else."""

INDEX_SECONDS = 60.0
"""The longest time that a plan waits for the index of a mirror of Debian, about 10 MB, which the store keeps."""

_FOUND = ("there", "mounted", "copied")


@dataclass(frozen=True)
class LayersPreview:
    """A plan of the layers engine.

    `compared` says whether the plan is compared with a repository. `fetched` are the bytes of packages that the build
    fetches, by host. `seconds` is the estimated time of the build; None if it depends on hosts that were not used
    before, which `unmeasured` has.
    `stacking` says what --stack would do; empty without --stack. `signature` is the signature of the image that the
    tag has now; None if it has none.
    """

    inputs: Inputs
    forecast: Forecast
    compared: bool
    fetched: Mapping[str, int]
    seconds: float | None
    unmeasured: tuple[str, ...] = ()
    stacking: str = ""
    signature: Signature | None = None

    @property
    def _layers(self) -> tuple[Part, ...]:
        """The layers of packages."""
        return tuple(part for part in self.forecast.parts if part.key)

    @property
    def reused(self) -> int:
        """The number of package layers that the destination has, or that a registry gives it."""
        return sum(part.state in _FOUND for part in self._layers)

    @property
    def changed(self) -> int:
        """The number of packages whose layers no registry gives."""
        dists = {dist for part in self._layers if part.state not in _FOUND for dist in part.packages}
        return len(dists) if self.compared else len(self.inputs.lockfile.conda)

    @property
    def bytes_to_push(self) -> int:
        """The estimated number of bytes that a push would send; 0 if the plan is not compared with a repository."""
        return self.forecast.sent if self.compared else 0

    def summary(self) -> dict[str, Any]:
        """Returns the preview as a JSON object."""
        plan, lockfile = self.inputs.plan, self.inputs.lockfile
        return {
            "engine": "layers",
            "environment": lockfile.digest,
            "packages": len(lockfile.conda),
            "packages_changed": self.changed,
            "bytes_to_push": self.bytes_to_push,
            "bytes_total": self.forecast.size,
            "base_known": self.forecast.base_known,
            "bytes_to_fetch": sum(self.fetched.values()),
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "unmeasured": list(self.unmeasured),
            "threshold": plan.threshold,
            "stack": self.stacking,
            **summary_of(self.signature),
            "layers": [asdict(part) for part in self.forecast.parts],
            "warnings": [warning.to_json() for warning in self.inputs.warnings],
            **({"substitution": self.inputs.other.substitution.to_json()} if self.inputs.other else {}),
        }

    def text(self) -> str:
        """Returns the preview as a table and a sentence."""
        rows = [
            f"{number:4}  {size_text(part.size):>10}  {_state(part, short=True):18}  {_names(part)}"
            for number, part in enumerate(self.forecast.parts, 1)
        ]
        advice = "" if self.compared else " Add -t REFERENCE to compare the plan with a repository."
        lines = ["part        size  state               contents", *rows, "", self.sentence + advice]
        signed = f"The image that the tag has now: {self.signature.sentence}" if self.signature else ""
        other = [self.inputs.other.substitution.text(), ""] if self.inputs.other else []
        return "\n".join([*other, *lines, *filter(None, (self.stacking, signed))])

    @property
    def sentence(self) -> str:
        """A few sentences that say what a build would do."""
        packages = counted(self.inputs.lockfile.conda, "package")
        if not self.compared:
            built = size_text(self.forecast.built)
            text = f"{packages}; an image of about {size_text(self.forecast.size)}, of which {built} are built"
        else:
            text = (
                f"{self.changed} of {packages} are in layers that change; about {size_text(self.bytes_to_push)} to push"
            )
        if fetched := sum(self.fetched.values()):
            text += f"; {size_text(fetched)} of packages to download"
        if self.seconds is None:
            time = f"how long it takes is not known before the first use of {' and '.join(self.unmeasured)}"
        else:
            time = f"about {seconds_text(self.seconds)}"
        return " ".join([f"{text}; {time}.", *self._details()])

    def _details(self) -> Iterator[str]:
        """Yields a sentence for each state that parts of the image have."""
        groups: dict[str, list[Part]] = {}
        for part in self.forecast.parts:
            groups.setdefault(_state(part), []).append(part)
        if self.compared:
            for state, parts in sorted(groups.items(), key=lambda group: _ORDER.index(group[1][0].state)):
                count = counted(parts, "part")
                yield f"{count}, {size_text(sum(part.size for part in parts))}: {state}."
        if claimed := len(self.forecast.claimed):
            yield f"A registry claims to have {claimed} of the layers that are built here; they are compared."
        if not self.forecast.base_known:
            yield "The base image does not answer: its bytes are not counted."


_ORDER = ("there", "mounted", "copied", "uploaded", "built and uploaded", "built", "kept")


def _state(part: Part, *, short: bool = False) -> str:
    """Returns the state of a part in words."""
    if part.state == "mounted":
        return "mounted" if short else f"mounted from {part.source}"
    if part.state == "copied":
        return "copied" if short else f"copied from {part.source} through this machine"
    words = {"there": "there", "uploaded": "uploaded", "built": "built here", "kept": "on this machine"}
    return words.get(part.state, part.state if short else "built here and uploaded")


def _names(part: Part) -> str:
    names = part.packages or (part.title,)
    source = f" (from {part.source})" if part.source else ""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") + source


@dataclass(frozen=True)
class SeveralPreviews:
    """The plans of the images for several platforms, by platform."""

    images: Mapping[str, LayersPreview]

    @property
    def shared(self) -> int:
        """The estimated number of bytes that are made and sent once, but are in more than one image."""
        sizes: dict[str, list[int]] = {}
        for image in self.images.values():
            for part in image.forecast.parts:
                if part.key:
                    sizes.setdefault(part.key, []).append(part.size)
        return sum(sum(found[1:]) for found in sizes.values())

    @property
    def bytes_to_push(self) -> int:
        """The estimated number of bytes that a push would send. A part of several images is sent once."""
        seen: set[str] = set()
        twice = 0
        for image in self.images.values():
            for part in image.forecast.parts:
                twice += part.sent if part.key in seen else 0
            seen |= {part.key for part in image.forecast.parts if part.key}
        return sum(image.bytes_to_push for image in self.images.values()) - twice

    def summary(self) -> dict[str, Any]:
        """Returns the plans as a JSON object."""
        return {
            "engine": "layers",
            "bytes_to_push": self.bytes_to_push,
            "shared": self.shared,
            "images": {platform: image.summary() for platform, image in self.images.items()},
        }

    def text(self) -> str:
        """Returns the plan of each image, and a sentence about what they share."""
        plans = [f"{platform}\n\n{image.text()}\n" for platform, image in self.images.items()]
        return "\n".join([*plans, f"The images share layers of about {size_text(self.shared)}."])


def run(request: PlanRequest, report: Report) -> LayersPreview | DockerPreview | SeveralPreviews:
    """Plans a build. With the layers engine, looks up the layers in registries and the store.

    Asks the channels which packages of a lock file have a script, as a build does.

    Raises RegistryError, UsageError for one of several platforms that no image can have, and the errors of
    `read_inputs` except NotReproducible.
    """
    request = for_default_platforms(request)
    if len(request.parts) == 1:
        return _plan(request.parts[0], report)
    check_names(part.platform for part in request.parts)
    processors = [PLATFORMS[part.platform] for part in request.parts]
    found = {part.platform: _plan(part, report, processors) for part in request.parts}
    return SeveralPreviews({name: plan for name, plan in found.items() if isinstance(plan, LayersPreview)})


def _plan(request: PlanRequest, report: Report, of_several: Collection[str] = ()) -> LayersPreview | DockerPreview:
    with open_job(request, report) as job:
        inputs = read_inputs(replace(request, strict=False), job, of_base=True)
        if inputs.environment is None:
            packages, installer = inputs.lockfile.conda, request.installer if request.engine == "docker" else ""
            paths = package_paths(packages, inputs.sources, inputs.lockfile.site_packages)
            report_link_scripts(paths, (), report, installer=installer, strict=False)
        if request.engine == "docker":
            return preview_docker(inputs, request, job)
        return preview_layers(inputs, request, job, of_several)


def preview_docker(inputs: Inputs, request: PlanRequest, job: JobContext) -> DockerPreview:
    """Returns the steps and the estimated bytes of a build with the docker engine. Raises the errors of `preview`."""
    threads = ThreadPoolExecutor(1, thread_name_prefix="base")
    try:
        base = _in_time(threads.submit(_base, request, inputs, job), request)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    return preview(request, inputs, base, Rates.read(job.store).ratio, job)


def _in_time(asked: Future[Base | None], request: PlanRequest) -> Base | None:
    """Returns the base; None if it does not answer in time."""
    try:
        from_mirror = request.apt or request.base.kind == "debian-packages"
        return asked.result(INDEX_SECONDS if from_mirror else BASE_SECONDS)
    except TimeoutError:
        return None


def preview_layers(
    inputs: Inputs, request: PlanRequest, job: JobContext, of_several: Collection[str] = ()
) -> LayersPreview:
    """Looks up the blobs of an image in registries and the store. Raises RegistryError.

    Args:
        of_several: the processors of all images that get the name, if they are several.
    """
    threads = ThreadPoolExecutor(1, thread_name_prefix="base")
    try:
        asked = threads.submit(_base, request, inputs, job)
        destination = open_destination(request, job)
        base = _in_time(asked, request)
        rates = Rates.read(job.store)
        found = forecast(inputs, request, destination, base, rates.ratio, job)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    index, compared, stacking = destination.index, request.destination is not None, ""
    if request.destination:
        lost = replaced_platforms(index.named, request.destination, {*of_several, inputs.architecture})
        inputs = replace(inputs, warnings=(*inputs.warnings, *lost))
    if request.stack and compared:
        sizes = sum(part.size for part in found.parts if part.key)
        stacking = stacking_forecast(index.current, inputs.plan.layers, sizes)
    signature = None
    if destination.repository and index.current:
        signature = signature_of(destination.repository, index.current.descriptor, job)
    host = request.destination.registry if request.destination else ""
    sent, fetched = found.sent if compared else 0, _fetched(inputs, found)
    unmeasured = rates.unknown(sent, host, fetched)
    seconds = None if unmeasured else rates.seconds(found.built, sent, host, fetched)
    return LayersPreview(inputs, found, compared, fetched, seconds, unmeasured, stacking, signature)


def _fetched(inputs: Inputs, found: Forecast) -> Mapping[str, int]:
    """Returns the bytes of the packages that a build fetches for the layers that it makes, by host."""
    built = {dist for part in found.parts if part.state.startswith("built") for dist in part.packages}
    sources, fetched = inputs.sources, Counter[str]()
    for package in inputs.lockfile.conda:
        if package.dist in built and (host := sources.host(package)) and not sources.caches.seems_to_have(package):
            fetched[host] += package.size or 0
    return fetched


def _base(request: PlanRequest, inputs: Inputs, job: JobContext) -> Base | None:
    """Returns the base image; None if it is not available. The base in an engine is not read: it would be exported."""
    if request.base.kind == "docker-daemon":
        return None
    try:
        base = resolve(request.base, inputs.architecture, job, patient=False, makes=False)
    except CondaBuildError:
        return None
    return with_packages(base, request.apt, job, makes=False)
