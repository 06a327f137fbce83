"""The job `rebase --replace`: other versions of packages in an image. It makes only the layers of these packages."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from jupyter_condabuild.conda.linking.interpreter import for_foreign_packages
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.login_stores import read_logins
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.solving import changed, with_versions
from jupyter_condabuild.distribution.blob_places import BlobPlaces
from jupyter_condabuild.distribution.layer_index import current_digest, look_up
from jupyter_condabuild.distribution.push import Push
from jupyter_condabuild.distribution.sbom_search import licenses_of_image
from jupyter_condabuild.distribution.sboms import Sboms
from jupyter_condabuild.engines.layers.engine import LayersEngine
from jupyter_condabuild.errors import BadImage, UsageError
from jupyter_condabuild.events import Finished, Log, Report, Warning
from jupyter_condabuild.image.configuration import repackaged
from jupyter_condabuild.image.layers import CONTESTED, ReadyLayer, hidden_in
from jupyter_condabuild.image.own_image import OwnImage
from jupyter_condabuild.jobs.successor import Successor
from jupyter_condabuild.jobs.successors import succeed
from jupyter_condabuild.oci.image import LAYER_KEY, LAYER_PACKAGES, Image, Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.planning.layer_plan import LayerPlan, PlannedLayer, layer_key
from jupyter_condabuild.planning.link_scripts import report_link_scripts
from jupyter_condabuild.planning.shared_paths import contested_layer, paths_of
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.others import RebaseRequest
from jupyter_condabuild.sbom.inputs import licenses_in
from jupyter_condabuild.sbom.inventory import bill_of
from jupyter_condabuild.text import listed
from jupyter_condabuild.trust.vouchers import Vouchers


def run(request: RebaseRequest, report: Report) -> Finished:
    """Puts other versions of packages into the image of a request, and pushes the result. The base stays.

    The layers of all other packages, and the layers above the packages, are those of the image: the user has named it.
    If the name has an index, each of its images gets these versions, and the result is an index again.

    Raises UsageError, NotCompatible with the solver's reason, BadImage if the layers engine did not make the image,
    PackageError, RegistryError.
    """
    started = time.monotonic()
    source, target = request.reference, request.result
    assert source
    with open_job(request, report) as job:
        origin = job.repository(source)
        before = current_digest(target, job)
        document = origin.manifest(source.target)
        if isinstance(document, Index):
            finished = succeed(document, origin, request, before, job, started, _Replacing(request, document, started))
        else:
            finished, _ = _replaced(OwnImage.of(document, origin), request, before, job, started)
    report(finished)
    return finished


@dataclass
class _Replacing:
    """Replaces packages in the images of an index, one after the other. At least one of them must change."""

    request: RebaseRequest
    document: Index
    started: float
    _same: int = 0

    def __call__(self, image: OwnImage[Repository], job: JobContext) -> tuple[Finished, Image]:
        event, made = _replaced(image, self.request, None, job, self.started, of_several=True)
        self._same += made.manifest.raw == image.manifest.raw
        if self._same == len(self.document.images):
            raise _has_already(self.request)
        return event, made


def _replaced(
    old: OwnImage[Repository],
    request: RebaseRequest,
    before: str | None,
    job: JobContext,
    started: float,
    *,
    of_several: bool = False,
) -> tuple[Finished, Image]:
    """Puts other versions of packages into one image, and pushes it; without the tag if it is one of several."""
    source, target = request.reference, request.result
    assert source
    origin, destination = old.source, job.repository(target).for_pushing()
    manifest, ours, own = old.manifest, old.ours, old.layers
    if hidden_in(manifest):
        raise BadImage("The image has updates on top of it (--stack).", "Build it again without --stack.")
    lockfile = _solved(ours.lockfile, request, job.report, of_several=of_several)
    sources = PackageSources(PackageCaches(default_folders()), logins=read_logins())
    planned = _planned(own, ours.lockfile, lockfile)
    paths = paths_of(LayerPlan(tuple(planned), 0), None, sources, lockfile.site_packages)
    report_link_scripts(paths, paths, job.report, strict=False)
    planned += contested_layer(LayerPlan(tuple(planned), 0), paths, lockfile.site_packages, job.report, sources)
    trusting = replace(job, trusted_repositories=(*job.trusted_repositories, f"{origin.host}/{origin.name}"))
    index = look_up([(origin, source.target), (destination, target.tag)], destination, target.tag, Vouchers(trusting))
    pushed = BlobPlaces(job.store, destination.host)
    with (
        Push(destination, index, job.report, job.progress, places=pushed) as push,
        Sboms(destination, job.report, pushed) as sboms,
    ):

        def ready(layer: ReadyLayer) -> None:
            push.add(layer.descriptor, layer.source)

        with job.phase("layers"):
            engine = LayersEngine(
                trusting,
                index,
                sources,
                request.compression_level,
                ready,
                live=False,
                registry=destination.host,
                compiling=for_foreign_packages(),
            )
            made = engine.make(planned, lockfile)
        if made.unavailable:
            raise made.unavailable[0][1]
        layers = [*own[:1], *made.layers, *_upper(own)]
        config = repackaged(old.config, ours, lockfile, [(layer.diff_id, layer.title) for layer in layers])
        descriptors = [*manifest.layers[: ours.base_layers], *(layer.descriptor for layer in layers)]
        result = Manifest.make(config.descriptor, descriptors, manifest.annotations)
        places = {layer.digest: origin for layer in manifest.layers}
        image = Image(result, config.raw, {**places, **{one.descriptor.digest: one.source for one in layers}})
        licenses = licenses_of_image(origin, manifest.descriptor.digest) or {}
        licenses |= licenses_in(_only_new(ours.lockfile, lockfile), None)
        bill = bill_of(result, config, lockfile, licenses, {one.descriptor.digest: one.title for one in layers})
        sboms.write(result.descriptor.digest, lambda: bill)
        successor = Successor(old, image, tuple(layers), lockfile, ours.base_name, ours.base_digest, before)
        with job.phase("push"):
            successor.push(request, push, sboms, job, of_several=of_several)
    return successor.finished(request, push, time.monotonic() - started), image


def _has_already(request: RebaseRequest) -> UsageError:
    return UsageError(f"The image has {listed(request.replace)} already.", "Name another version.")


def _solved(before: Lockfile, request: RebaseRequest, report: Report, *, of_several: bool) -> Lockfile:
    """Returns the lock file with the versions of a request. Says what changes, and what is not checked.

    Args:
        of_several: whether the image is one of several: it may have these versions already.
    """
    after = with_versions(before, request.replace)
    if after.digest == before.digest:
        if not of_several:
            raise _has_already(request)
        report(Log(f"The image has {listed(request.replace)} already."))
        return before
    if after.site_packages != before.site_packages:
        raise UsageError(
            f"{listed(request.replace)} moves all Python packages to {after.site_packages}.",
            "Build the image again from an environment with this Python.",
        )
    old = {package.name: package for package in before.conda}
    for name, package in sorted(changed(before, after).items()):
        was = f"{old[name].version}-{old[name].build}" if name in old else "new"
        report(Log(f"{name}: {was} -> {package.version}-{package.build}"))
    if before.pip:
        names = listed([package.name for package in before.pip], 5)
        report(Warning("pip-not-checked", f"Whether the pip packages ({names}) fit the new versions is not checked."))
    return after


def _planned(own: tuple[ReadyLayer, ...], before: Lockfile, after: Lockfile) -> list[PlannedLayer]:
    """Returns the package layers of the new image: those of the old one, with the other versions in their places.

    Raises BadImage if a layer with a package to replace was not made by this version of the program.
    """
    old = {package.dist: package for package in before.conda}
    new = {package.name: package for package in after.conda}
    site = after.site_packages
    planned: list[PlannedLayer] = []
    for layer in own:
        dists = layer.descriptor.annotations.get(LAYER_PACKAGES, "").split()
        key = layer.descriptor.annotations.get(LAYER_KEY, "")
        if not key or layer.title == CONTESTED:
            continue
        if unknown := [dist for dist in dists if dist not in old]:
            raise BadImage(f"The lock file of the image does not have {listed(unknown)}.")
        packages = [old[dist] for dist in dists]
        compiled = next((one for one in (True, False) if layer_key(packages, site, one) == key), None)
        replaced = tuple(new[package.name] for package in packages)
        if list(replaced) == packages:
            planned.append(PlannedLayer(key, replaced, compiled=bool(compiled)))
            continue
        if compiled is None:
            raise BadImage(
                f"The layer of {listed(dists, 3)} was made by another version of jupyter-condabuild.",
                "Build the image again from the environment.",
            )
        planned.append(PlannedLayer(layer_key(replaced, site, compiled), replaced, compiled=compiled))
    names = {package.name for layer in planned for package in layer.packages}
    compiled = any(layer.compiled for layer in planned)
    for package in after.conda:
        if package.name not in names:
            planned.append(PlannedLayer(layer_key([package], site, compiled), (package,), compiled=compiled))
    return planned


def _upper(own: tuple[ReadyLayer, ...]) -> tuple[ReadyLayer, ...]:
    """Returns the layers above the packages. The first layer is that of the entrypoint."""
    return tuple(layer for layer in own[1:] if not layer.descriptor.annotations.get(LAYER_KEY))


def _only_new(before: Lockfile, after: Lockfile) -> Lockfile:
    return replace(after, conda=tuple(changed(before, after).values()), pip=())
