"""More packages in an image that the layers engine made: layers on top of all others. No other layer is read."""

from __future__ import annotations

from jupyter_condabuild.conda import sandbox
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.login_stores import read_logins
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.solving import changed
from jupyter_condabuild.distribution.layer_index import LayerIndex
from jupyter_condabuild.engines.layers.assemble import MOST_LAYERS
from jupyter_condabuild.engines.layers.engine import LayersEngine
from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.image.configuration import repackaged
from jupyter_condabuild.image.own_image import OwnImage
from jupyter_condabuild.oci.image import Image, Manifest
from jupyter_condabuild.planning.layer_plan import LayerPlan, PlannedLayer, check_hashes, layer_key
from jupyter_condabuild.planning.link_scripts import report_link_scripts
from jupyter_condabuild.planning.shared_paths import contested_layer, paths_of
from jupyter_condabuild.requests.job_context import JobContext

_LEVEL = 1
"""The compression level of the layers."""


def with_packages(image: Image, lockfile: Lockfile, job: JobContext) -> Image:
    """Returns the image with the packages of a lock file that it lacks. The same input gives the same image.

    Modules are compiled only if there is a sandbox: somebody else has chosen the Python of the image.

    Args:
        lockfile: the packages of the image, and others.

    Raises BadImage if the layers engine did not make the image or if it would have too many layers, LockfileError,
    PackageError, LinkFailed, StoreError, and the errors of the place of the image.
    """
    own = OwnImage.of(image.manifest, image)
    packages = tuple(changed(own.ours.lockfile, lockfile).values())
    check_hashes(packages)
    site, compiled = lockfile.site_packages, sandbox.available()
    planned = [PlannedLayer(layer_key(packages, site, compiled), packages, compiled=compiled)]
    sources = PackageSources(PackageCaches(default_folders()), logins=read_logins())
    plan = LayerPlan(tuple(planned), 0)
    paths = paths_of(plan, None, sources, site)
    report_link_scripts(paths, paths, job.report, strict=False)
    planned += contested_layer(plan, paths, site, job.report, sources)
    engine = LayersEngine(
        job,
        LayerIndex(),
        sources,
        _LEVEL,
        lambda layer: None,
        live=False,
        registry="",
        compiling="sandbox" if compiled else "never",
    )
    made = engine.make(planned, lockfile)
    if made.unavailable:
        raise made.unavailable[0][1]
    if (count := len(image.manifest.layers) + len(made.layers)) > MOST_LAYERS:
        raise BadImage(
            f"The image would have {count} layers; container engines support {MOST_LAYERS}.",
            "Build it again from an environment with these packages.",
        )
    layers = [(layer.diff_id, layer.title) for layer in (*own.layers, *made.layers)]
    config = repackaged(own.config, own.ours, lockfile, layers)
    descriptors = [*image.manifest.layers, *(layer.descriptor for layer in made.layers)]
    manifest = Manifest.make(config.descriptor, descriptors, image.manifest.annotations)
    places = {layer.descriptor.digest: layer.source for layer in made.layers}
    return Image(manifest, config.raw, {**image.sources, **places})
