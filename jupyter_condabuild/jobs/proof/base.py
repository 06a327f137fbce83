"""The base of an image: it is fetched from its source by its digest, and its layers are compared with the image's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_condabuild.errors import BaseUnavailable, CondaBuildError
from jupyter_condabuild.image.added_packages import with_recorded
from jupyter_condabuild.image.apt_label import Added
from jupyter_condabuild.image.base import Base, resolve
from jupyter_condabuild.image.configuration import BASE_DIGEST, BASE_NAME
from jupyter_condabuild.jobs.proof.findings import Findings
from jupyter_condabuild.oci.image import Digest, Image, ImageConfig, Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import counted, listed, printable


@dataclass(frozen=True)
class ProvedBase:
    """The base that an image names, with the packages of Debian that were added to it (``--apt``).

    `base` is None if it is not at its source, or if the mirrors of Debian have other packages. `layers` is the number
    of its layers.
    """

    name: str
    base: Base | None
    layers: int

    @property
    def config(self) -> ImageConfig | None:
        """The configuration of the base, if it was found."""
        return self.base.config if self.base else None


def prove_base(
    image: Image,
    content: Sequence[Digest | None],
    first_own: int,
    given: ImageLocation | None,
    job: JobContext,
    findings: Findings,
) -> ProvedBase:
    """Compares the lowest layers of an image with the layers of its base.

    The number of the base's layers never comes from the image: it is that of the base at its source. If the base is not
    there, no layer below the first layer of ours is proved.

    Args:
        content: the digests of the layers' content.
        first_own: the number of layers below the first layer that we know.
        given: the place of the base, if the user knows it.
    """
    config = ImageConfig.parse(image.config)
    labels = config.runtime.get("Labels") or {}
    name, digest = str(labels.get(BASE_NAME, "")), str(labels.get(BASE_DIGEST, ""))
    title = printable(f"{name or 'without a name'}@{digest or 'without a digest'}")
    try:
        source = given or _source(name, digest)
        base = resolve(source, config.architecture, job)
        if source.kind == "debian-packages" and str(base.digest) != digest:
            raise BaseUnavailable("The mirror of Debian has other packages now")
    except CondaBuildError as error:
        reason = f"the base {title} is not available ({error.message.rstrip('.')})"
        for number in range(first_own):
            findings.has_no_proof(f"layer {number + 1}", reason)
        if not first_own:
            findings.has_no_proof("the base", reason)
        return ProvedBase(name, None, first_own)
    if str(base.digest) != digest:
        findings.is_another("the base", f"the image names {title}, but {given} has the digest {base.digest}")
    layers = image.manifest.layers
    wrong = [
        number
        for number, (layer, diff_id) in enumerate(zip(base.layers, base.config.diff_ids, strict=False))
        if number >= len(layers)
        # a layer that this program cannot decompress is proved by the digest of its bytes
        or (content[number] != diff_id and (content[number] is not None or layers[number].digest != layer.digest))
    ]
    for number in wrong:
        findings.is_another(f"layer {number + 1}", f"it is not the layer of the base {title}")
    if not wrong:
        findings.is_same(f"the base {title}, {counted(base.layers, 'layer')}")
    return ProvedBase(name, base, len(base.layers))


def prove_added(
    image: Image, content: Sequence[Digest | None], proved: ProvedBase, job: JobContext, findings: Findings
) -> ProvedBase:
    """Makes the layer with the packages of Debian again that an image names, and compares it with the image's.

    Args:
        content: the digests of the layers' content; empty if a builder has written the layer in its own way. Then the
            caller compares the files.
        proved: the base without these packages.
    """
    added = Added.of(ImageConfig.parse(image.config))
    if not added or proved.base is None:
        return proved
    number = proved.layers
    names = [package.name for package in added.packages] or added.names
    title = printable(f"the packages of Debian ({listed(names, 5)})")
    try:
        base = with_recorded(proved.base, added, job)
    except CondaBuildError as error:
        findings.has_no_proof(title, error.message.rstrip("."))
        return ProvedBase(proved.name, None, number + bool(added.packages))
    if content and added.packages:
        if number < len(content) and content[number] == base.config.diff_ids[number]:
            findings.is_same(title)
        else:
            findings.is_another(f"layer {number + 1}", f"it is not the layer of {title}")
    return ProvedBase(proved.name, base, len(base.layers))


def _source(name: str, digest: str) -> ImageLocation:
    """Returns the place of a base: its registry, or the packages of Debian.

    Raises BaseUnavailable, BadReference or BadDigest.
    """
    if name.startswith("debian-packages:"):
        return ImageLocation.parse(name)
    if "/" not in name:
        raise BaseUnavailable(
            "The base was an archive or an image of an engine. Name it with --base, and verify again."
        )
    reference = Reference.parse(name)
    pinned = Reference(reference.registry, reference.repository, digest=Digest.parse(digest))
    return ImageLocation("registry", str(pinned))
