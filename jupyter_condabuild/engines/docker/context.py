"""The build context: the Dockerfile, the lock file, packages that the builder cannot download, and the user's files."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.package_cache import Cached
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.engines.docker.dockerfile import ADDED
from jupyter_condabuild.engines.docker.recipe import Recipe, Wanted, recipe, vendored_path
from jupyter_condabuild.engines.layers.overlay import Overlay
from jupyter_condabuild.engines.layers.upper_layers import overlay_of, workspace_of
from jupyter_condabuild.errors import from_os_error
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.image.paths import PREFIX_IN_LAYER, WORK, in_layer
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.requests.build import PlanRequest
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import counted, size_text

LARGE = 100_000_000
"""The size of a context in bytes above which a warning names its largest folders."""

_COMPRESSION = 1  # level 1: the context is sent to the engine once, so that speed matters more than size


@dataclass(frozen=True)
class Parts:
    """The parts of a build context that do not belong to the recipe.

    Args:
        archives: the archives of the vendored packages, by dist.
        vendored: the packages whose archives are in the context, because the builder cannot download them.
        lost: the packages whose archives are not available. The overlay has their files.
        overlay: the files of the environment that the installer does not install.
        removed: the paths that the environment no longer has, relative to the prefix.
        workspace: the user's files.
    """

    archives: Mapping[str, Cached]
    vendored: tuple[CondaPackage, ...]
    lost: tuple[CondaPackage, ...]
    overlay: tuple[Entry, ...]
    removed: tuple[str, ...]
    workspace: tuple[Entry, ...]


def collect(request: PlanRequest, inputs: Inputs, job: JobContext, *, shares_host: bool) -> Parts:
    """Collects the parts of the build context of a request.

    Args:
        shares_host: whether the builder can reach the loopback addresses of this machine.

    Raises:
        PackageError: neither the builder nor this machine can get a package.
        NotReproducible: the request is strict, and something cannot be reproduced.
        OverlayTooLarge: the files that belong to no package are too large.
    """
    lost = dict(inputs.unlockable)
    vendored = [
        package
        for package in inputs.lockfile.conda
        if package.dist not in lost and must_be_vendored(package, inputs.sources, shares_host=shares_host)
    ]
    # The context needs archives, so extracted folders of the package cache are not used.
    whole = inputs.sources.distrusting(package.dist for package in vendored)
    archives, failures = locate(vendored, whole, job.folder())
    lost |= failures
    if lost and inputs.environment is None:
        raise next(iter(lost.values()))
    overlay = overlay_of(request, inputs, lost, job) or Overlay()
    prefix = f"{PREFIX_IN_LAYER}/"
    return Parts(
        archives,
        tuple(package for package in vendored if package.dist in archives),
        tuple(package for package in inputs.lockfile.conda if package.dist in lost),
        tuple(entry for entry in overlay.entries if entry.kind != "whiteout"),
        tuple(entry.path.removeprefix(prefix) for entry in overlay.entries if entry.kind == "whiteout"),
        tuple(workspace_of(request.include, inputs, job.report)) if request.include else (),
    )


def must_be_vendored(package: CondaPackage, sources: PackageSources, *, shares_host: bool) -> bool:
    """Returns whether the builder cannot download a package, so that its archive must be in the build context.

    This is so for a local file, for a URL with a login, which the builder must not get, and for a loopback address that
    the builder cannot reach.

    Args:
        shares_host: whether the builder can reach the loopback addresses of this machine.
    """
    url = sources.url(package)
    host = urlsplit(package.url).hostname or ""
    if not package.url.startswith(("http://", "https://")) or url != package.url or sources.needs_login(package):
        return True
    return _is_loopback(host) and not shares_host


def is_plain(registry: str, insecure: Collection[str]) -> bool:
    """Returns whether the build may use plain HTTP for a registry: the registry is on this machine, or is listed.

    Args:
        registry: a host, with a port if it has one.
        insecure: the listed registries, with or without a port.
    """
    host = re.sub(r":\d+$", "", registry)
    return _is_loopback(host.strip("[]")) or registry in insecure or host in insecure


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def make_recipe(inputs: Inputs, parts: Parts, wanted: Wanted) -> Recipe:
    """Returns the recipe for the parts of a build context. Raises the errors of `recipe`."""
    return recipe(
        inputs.lockfile,
        replace(
            wanted,
            vendored=parts.vendored,
            skipped=parts.lost,
            pip=inputs.environment is None,
            removed=parts.removed,
            overlay=bool(parts.overlay),
            workspace="workspace/" if parts.workspace else "",
        ),
    )


def write(made: Recipe, parts: Parts, path: Path, report: Report, added: Path | None = None) -> None:
    """Writes the build context as a compressed tar file, and reports its size. Equal parts give equal bytes.

    Args:
        added: the layer with packages of Debian.

    Raises StoreError.
    """
    entries = [Entry("Dockerfile", data=made.dockerfile.encode())]
    entries += [
        Entry(name, mode=0o755 if name in made.executable else 0o644, data=data) for name, data in made.files.items()
    ]
    for package in parts.vendored:
        entries.append(layer.file_entry(vendored_path(package), str(parts.archives[package.dist].path)))
    if parts.workspace:
        entries += [_moved(entry) for entry in parts.workspace]
    try:
        if added:
            entries.append(layer.file_entry(ADDED, str(added)))
        if parts.overlay:
            overlay = path.with_name("overlay.tar.gz")
            with overlay.open("wb") as file:
                layer.write(parts.overlay, file, _COMPRESSION)
            entries.append(layer.file_entry("overlay.tar.gz", str(overlay)))
        with path.open("wb") as file:
            layer.write(entries, file, _COMPRESSION)
    except OSError as error:
        raise from_os_error(error, "writing the build context", path) from None
    size = path.stat().st_size
    report(Log(f"The context has {counted(entries, 'file')}, {size_text(size)} compressed."))
    if size > LARGE:
        report(
            Warning(
                "large-context",
                f"The context has {size_text(size)}. Its largest folders: {_largest(entries)}.",
                "List the files that the image does not need in a .dockerignore in your folder.",
            )
        )


def _moved(entry: Entry) -> Entry:
    return replace(entry, path=f"workspace{entry.path.removeprefix(in_layer(WORK))}")


def _largest(entries: Iterable[Entry], most: int = 5) -> str:
    """Returns the largest folders of a context with their sizes, as a text."""
    sizes: Counter[str] = Counter()
    for entry in entries:
        size = Path(entry.source).lstat().st_size if entry.source else len(entry.data)
        parts = entry.path.split("/")
        sizes["/".join(parts[:2])] += size
    return ", ".join(f"{name} {size_text(size)}" for name, size in sizes.most_common(most))
