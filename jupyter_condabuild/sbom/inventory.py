"""Makes the bill of an image: its packages, their licences, and the layers that hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from jupyter_condabuild import __version__
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.match_specs import split_depend
from jupyter_condabuild.conda.packages import PYPI, CondaPackage, License, PipPackage
from jupyter_condabuild.conda.secrets import scrub_url
from jupyter_condabuild.image.apt_label import packages_in
from jupyter_condabuild.image.configuration import LABEL_BASE_LAYERS
from jupyter_condabuild.image.layers import OVERLAY, hidden_in
from jupyter_condabuild.oci.image import LAYER_PACKAGES, Digest, ImageConfig, Manifest
from jupyter_condabuild.oci.layer import EPOCH
from jupyter_condabuild.sbom.bill import Bill, Component, Holder

_EARLIEST = datetime.fromtimestamp(EPOCH, UTC)
"""The date of an image without a date: that of all files in layers."""


def bill_of(
    manifest: Manifest,
    config: ImageConfig,
    lockfile: Lockfile,
    licenses: Mapping[str, License],
    titles: Mapping[Digest, str],
) -> Bill:
    """Returns the bill of an image.

    A pip package that has a licence and is not in the lock file is from outside of the environment
    (``--include-outside``).

    Args:
        licenses: the licence of each conda package by dist, and of each pip package by ``name==version``.
        titles: the titles of the layers above the base, by the digests of their blobs; empty if they are not known.
    """
    by_dist, overlay = _holders(manifest, config, titles)
    listed = {pip_dist(package) for package in lockfile.pip}
    names = (dist.split("==", 1) for dist in licenses.keys() - listed if "==" in dist)
    outside = [PipPackage(name, version, index=PYPI) for name, version in names]
    lockfile = replace(lockfile, pip=tuple(sorted([*lockfile.pip, *outside])))
    components = (*_components(lockfile, licenses, by_dist, overlay), *_added(manifest, config))
    return Bill(str(manifest.descriptor.digest), _created(config), __version__, components)


def _added(manifest: Manifest, config: ImageConfig) -> Iterator[Component]:
    """Yields the packages of Debian that were added to the base, which are in the highest layer of the base."""
    labels = config.runtime.get("Labels") or {}
    try:
        number = int(labels.get(LABEL_BASE_LAYERS, "0")) - 1
    except (TypeError, ValueError):
        number = -1
    holders: tuple[Holder, ...] = ()
    if 0 <= number < min(len(manifest.layers), len(config.diff_ids)):
        holders = (Holder(str(manifest.layers[number].digest), str(config.diff_ids[number])),)
    for package in packages_in(config):
        yield Component(
            "deb", package.name, package.version, subdir=package.architecture, sha256=package.sha256, layers=holders
        )


def bill_of_environment(lockfile: Lockfile, licenses: Mapping[str, License]) -> Bill:
    """Returns the bill of an environment that is not in an image. `licenses` are those of `bill_of`."""
    components = _components(lockfile, licenses, {}, ())
    return Bill(lockfile.digest, _EARLIEST.isoformat(), __version__, components, is_image=False)


def _components(
    lockfile: Lockfile,
    licenses: Mapping[str, License],
    by_dist: Mapping[str, tuple[Holder, ...]],
    overlay: tuple[Holder, ...],
) -> tuple[Component, ...]:
    names = {package.name for package in lockfile.conda}
    conda = [
        _conda(package, licenses.get(package.dist, License()), by_dist.get(package.dist, overlay), names)
        for package in lockfile.conda
    ]
    pip = [_pip(package, licenses.get(pip_dist(package), License()), overlay) for package in lockfile.pip]
    return (*conda, *pip)


def pip_dist(package: PipPackage) -> str:
    """Returns ``name==version``, by which the licences of pip packages are found."""
    return f"{package.name}=={package.version}"


def _holders(
    manifest: Manifest, config: ImageConfig, titles: Mapping[Digest, str]
) -> tuple[dict[str, tuple[Holder, ...]], tuple[Holder, ...]]:
    """Returns the layers of each conda package, by dist, and the layer of pip's packages and changed files."""
    hidden = hidden_in(manifest)
    by_dist: dict[str, tuple[Holder, ...]] = {}
    overlay: tuple[Holder, ...] = ()
    for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=False):
        if layer.digest in hidden:
            continue
        holder = Holder(str(layer.digest), str(diff_id))
        for dist in layer.annotations.get(LAYER_PACKAGES, "").split():
            by_dist[dist] = (*by_dist.get(dist, ()), holder)
        if titles.get(layer.digest) == OVERLAY:
            overlay = (holder,)
    return by_dist, overlay


def _conda(package: CondaPackage, license: License, layers: tuple[Holder, ...], names: set[str]) -> Component:
    public = _is_public(package.url)
    depends = {split_depend(spec)[0] for spec in package.depends} & names
    return Component(
        "conda",
        package.name,
        package.version,
        build=package.build,
        subdir=package.subdir,
        channel=scrub_url(package.channel) if public else "",
        url=scrub_url(package.url) if public else "",
        sha256=package.sha256,
        md5=package.md5,
        license=license,
        layers=layers,
        depends=tuple(sorted(depends - {package.name})),
    )


def _pip(package: PipPackage, license: License, layers: tuple[Holder, ...]) -> Component:
    return Component(
        "pip",
        package.name,
        package.version,
        channel=scrub_url(package.index) if package.index != PYPI and _is_public(package.index) else "",
        url=scrub_url(package.url) if _is_public(package.url) else "",
        sha256=package.sha256,
        license=license,
        layers=layers,
    )


def _is_public(url: str) -> bool:
    return re.match(r"(?:\w+\+)?(?:https?|ssh)://", url) is not None


def _created(config: ImageConfig) -> str:
    """Returns the date of an image, to the second; the date of all files in layers if the image has none."""
    match = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(config.value.get("created", "")))
    try:
        date = datetime.fromisoformat(match[0]).replace(tzinfo=UTC) if match else None
    except ValueError:
        date = None
    return (date or _EARLIEST).isoformat()
