"""Inspection: what is in an image, who built it, and how much of it this machine lacks; read without a pull."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import BadImage, CondaBuildError, EngineFault, EngineUnavailable
from jupyter_condabuild.events import Report
from jupyter_condabuild.image.configuration import BASE_DIGEST, BASE_NAME, LABEL_REQUESTED, Ours
from jupyter_condabuild.image.opener import images_at, lock_in, made_by, open_image
from jupyter_condabuild.image.platforms import architecture_of, name_of
from jupyter_condabuild.oci.engine.containers import present_layers
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.image import LAYER_KEY, Image, ImageConfig
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.receive.local_engine import ways
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.receive import InspectRequest
from jupyter_condabuild.text import clean, counted, listed, printable, size_text
from jupyter_condabuild.trust.signature import UNSIGNED, Signature, signature_of, summary_of
from jupyter_condabuild.trust.vouchers import OWN, Vouchers


@dataclass(frozen=True)
class Inspection:
    """The description of an image.

    `missing` is the size in bytes of the layers that the engine of this machine lacks; None if no engine answers.
    `lockfile` is the lock file inside the image; None if jupyter-condabuild did not make the image. `voucher` names the
    reason why this user trusts the image: this machine has pushed it, or the user trusts its repository or its signer;
    empty if there is none. `unproved` are the titles of the layers that are not made of packages alone. `images` has
    the digest of each image by platform, if the name has images for several. `ways` is how this machine can run an
    image (`local_engine.ways`); empty if nobody has looked. `starts` is the program that the user wants
    instead of the image's own.
    """

    location: ImageLocation
    image: Image
    config: ImageConfig
    missing: int | None
    lockfile: Lockfile | None
    signature: Signature
    voucher: str = ""
    unproved: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    ways: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return str(self.image.manifest.descriptor.digest)

    @property
    def size(self) -> int:
        """The size in bytes of the layers, as they are transferred."""
        return sum(layer.size for layer in self.image.manifest.layers)

    @property
    def command(self) -> tuple[str, ...]:
        """The program that the image starts, with its arguments."""
        return tuple(self.config.runtime.get("Cmd") or ())

    @property
    def wants_gpu(self) -> bool:
        """Whether the image asks for NVIDIA GPUs."""
        names = (item.partition("=")[0] for item in self.config.runtime.get("Env") or ())
        return "NVIDIA_VISIBLE_DEVICES" in names

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the image."""
        return self.config.runtime.get("Labels") or {}

    @property
    def platform(self) -> str:
        """The platform, such as ``linux/amd64``."""
        return f"{self.config.value.get('os', 'linux')}/{self.config.architecture}"

    @property
    def requested(self) -> tuple[str, ...]:
        """The specs that the builder of the image asked for. The image says so itself: they decide nothing."""
        try:
            return tuple(map(str, json.loads(self.labels.get(LABEL_REQUESTED, "[]"))))
        except (ValueError, TypeError, RecursionError):
            return ()

    @property
    def packages(self) -> list[dict[str, str]]:
        """The name, the version and the manager of each package, by name; empty if they are not known."""
        if self.lockfile is None:
            return []
        named = [("conda", one.name, one.version) for one in self.lockfile.conda]
        named += [("pip", one.name, one.version) for one in self.lockfile.pip]
        return [
            {"manager": manager, "name": name, "version": version}
            for manager, name, version in sorted(named, key=lambda one: one[1:])
        ]

    def summary(self) -> dict[str, Any]:
        """Returns the description as a JSON object."""
        lockfile = self.lockfile
        python = lockfile.python if lockfile else None
        return {
            "reference": str(self.location),
            "digest": self.digest,
            "platform": self.platform,
            "images": dict(self.images),
            "size": self.size,
            "missing": self.missing,
            "environment": lockfile.digest if lockfile else "",
            "python": python.version if python else "",
            "conda_packages": len(lockfile.conda) if lockfile else 0,
            "pip_packages": len(lockfile.pip) if lockfile else 0,
            "packages": self.packages,
            "requested": list(self.requested),
            "command": list(self.command),
            "base": self.labels.get(BASE_NAME, ""),
            "base_digest": self.labels.get(BASE_DIGEST, ""),
            "wants_gpu": self.wants_gpu,
            "unproved": list(self.unproved),
            "voucher": self.voucher,
            "ways": list(self.ways),
            **summary_of(self.signature),
        }

    def text(self) -> str:
        """Returns a few lines for a user. No text of the image adds a line: a line says whom the user trusts."""
        return "\n".join((str(self.location), *(f"  {clean(line)}" for line in self._lines())))

    def _lines(self) -> list[str]:
        lines = [f"Digest {self.digest}.", self._builder(), self._contents()]
        if self.images:
            lines.append(f"The name has images for {listed(list(self.images))}.")
        if self.requested:
            lines.append(f"Asked for: {listed(self.requested, 12)}.")
        here = "" if self.missing is None else f", of which this machine lacks {size_text(self.missing)}"
        lines.append(f"{self.platform}, {size_text(self.size)}{here}.")
        if base := self.labels.get(BASE_NAME, ""):
            lines.append(f"Base image: {printable(base)}.")
        lines.append(f"Starts: {printable(' '.join(self.starts or self.command)) or 'nothing by itself'}.")
        if self.wants_gpu:
            lines.append("Uses NVIDIA GPUs.")
        if self.unproved:
            lines.append(f"Not made of packages alone: {listed(self.unproved)}.")
        return lines

    def _builder(self) -> str:
        if self.signature.state == "verified":
            return self.signature.sentence
        if self.voucher == OWN:
            return "Pushed by this machine."
        trusted = f" You trust the repository {self.voucher}." if self.voucher else ""
        return f"{self.signature.sentence}{trusted}"

    def _contents(self) -> str:
        lockfile = self.lockfile
        if lockfile is None:
            return "Not made by 'jupyter condabuild': the packages inside are not known."
        python = lockfile.python
        pip = f" and {counted(lockfile.pip, 'pip package')}" if lockfile.pip else ""
        return f"{counted(lockfile.conda, 'conda package')}{pip}{f', Python {python.version}' if python else ''}."


def run(request: InspectRequest, report: Report) -> Inspection:
    """Describes the image of a request. Raises BadReference, BadImage, RegistryError, EngineFault."""
    with open_job(request, report) as job:
        return replace(inspect(request, job), ways=ways(request))


def inspect(request: InspectRequest, job: JobContext) -> Inspection:
    """Describes an image with the resources of a job; see `run`."""
    location = request.reference
    assert location
    image = open_image(location, job, architecture_of(request.platform))
    config = ImageConfig.parse(image.config)
    signature, voucher = UNSIGNED, None
    if location.kind == "registry":
        repository = job.repository(location.reference)
        signature = signature_of(repository, image.manifest.descriptor, job)
        voucher = Vouchers(job).of_image(repository, image.manifest)
    return Inspection(
        location,
        image,
        config,
        missing=_missing(image, config, job),
        lockfile=_lockfile(image),
        signature=signature,
        voucher=voucher.name if voucher else "",
        unproved=_unproved(image, config),
        images={name_of(one): str(one.digest) for one in images_at(location, job)},
    )


def _lockfile(image: Image) -> Lockfile | None:
    try:
        made_by(image)
    except BadImage:
        return None
    return lock_in(image)


def _unproved(image: Image, config: ImageConfig) -> tuple[str, ...]:
    """Returns the titles of the layers above the base without a key; the first one has the programs of the image."""
    try:
        layers = Ours.read(config).layers(image.manifest, config)
    except CondaBuildError:
        return ()
    return tuple(layer.title for layer in layers[1:] if LAYER_KEY not in layer.descriptor.annotations)


def _missing(image: Image, config: ImageConfig, job: JobContext) -> int | None:
    try:
        daemon = job.keep(Daemon.connect(job.docker_host or None, limit=2))
        present = present_layers(daemon, config.diff_ids)
    except (EngineUnavailable, EngineFault):
        return None
    return sum(layer.size for layer in image.manifest.layers[present:])
