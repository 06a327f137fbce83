"""The job `verify`: makes the layers or the files of an image again from its lock file, and compares them."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jupyter_condabuild.conda.complete import complete
from jupyter_condabuild.conda.fetch import locate
from jupyter_condabuild.conda.linking.link import link, linked_package
from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.package_cache import PackageCaches, default_folders
from jupyter_condabuild.conda.package_sources import PackageSources
from jupyter_condabuild.distribution.layer_index import LayerIndex
from jupyter_condabuild.engines.layers.engine import LayersEngine
from jupyter_condabuild.errors import LinkFailed, LockfileError, NotVerified
from jupyter_condabuild.events import Finished, Log, Report
from jupyter_condabuild.image.configuration import Ours, command, runtime_layer
from jupyter_condabuild.image.layers import hidden_in
from jupyter_condabuild.image.opener import lock_in, made_by, members, open_image
from jupyter_condabuild.image.paths import PREFIX, PREFIX_IN_LAYER
from jupyter_condabuild.image.platforms import PLATFORMS, host_architecture
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import LAYER_DIFF_ID, LAYER_KEY, LAYER_PACKAGES, Digest, Image, ImageConfig, Manifest
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning.layer_plan import LayerPlan, PlannedLayer, layer_key, plan_layers
from jupyter_condabuild.planning.shared_paths import contested_layer, paths_of
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.others import VerifyRequest
from jupyter_condabuild.text import listed

MAY_DIFFER = re.compile(r".*\.pyc|(?:.*/)?__pycache__|conda-meta/[^/]*\.json|conda-meta/history")
"""Paths below /opt/env that differ between installers: bytecode, records, history. They are not compared."""


@dataclass(frozen=True)
class Verification:
    """The result of a verification: of packages for an image of the layers engine, of files for the docker engine.

    `proved` has the packages or paths with the same content, `wrong` those with other content. `unproved` has the
    layers or paths that come from no package, so that no lock file can make them again.
    """

    reference: str
    digest: str
    engine: str
    proved: tuple[str, ...]
    wrong: tuple[str, ...]
    unproved: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Returns the verification as a JSON object."""
        return {**asdict(self), "verified": not self.wrong}

    def text(self) -> str:
        """Returns the verification in a few lines."""
        proved = "rebuilt packages" if self.engine == "layers" else "reinstalled files"
        lines = [f"{self.reference} {self.digest}", f"  {len(self.proved)} {proved} have the same content"]
        unproved = "come from no package and cannot be proved"
        for title, names in (("differ", self.wrong), (unproved, self.unproved)):
            if names:
                lines.append(f"  {len(names)} {title}: {listed(names)}")
        return "\n".join(lines)


def run(request: VerifyRequest, report: Report) -> Verification:
    """Makes an image again from its own lock file, in an empty store, and compares the content.

    Raises NotVerified if content differs, BadImage if neither engine made the image, PackageError, and the errors of
    `open_image`.
    """
    started = time.monotonic()
    assert request.reference
    with open_job(request, report) as job:
        with job.phase("lock"):
            image = open_image(request.reference, job)
            engine, lockfile = made_by(image), lock_in(image)
            sources = PackageSources(PackageCaches(default_folders()))
            lockfile, unlockable = complete(lockfile, sources, job.folder())
            if unlockable:
                raise next(iter(unlockable.values()))
        with job.phase("layers"):
            if engine == "layers":
                proved, wrong, unproved = _layers(image, lockfile, sources, request.compression_level, job)
            else:
                proved, wrong, unproved = _files(image, lockfile, sources, job)
    name, digest = str(request.reference), str(image.manifest.descriptor.digest)
    verification = Verification(name, digest, engine, tuple(proved), tuple(wrong), tuple(unproved))
    if wrong:
        raise NotVerified(f"The image does not match its lock file. {verification.text()}")
    for title in unproved:
        report(Log(f"Not proved, because it comes from no package: {title}"))
    report(
        Finished(
            reference=name,
            digest=digest,
            size=image.size,
            bytes_pushed=0,
            layers=len(image.manifest.layers),
            layers_reused=0,
            seconds=round(time.monotonic() - started, 3),
            environment=lockfile.digest,
            command=tuple(command(lockfile)),
            proved=len(proved),
            unproved=len(unproved),
        )
    )
    return verification


_Lists = tuple[list[str], list[str], list[str]]


def _layers(image: Image, lockfile: Lockfile, sources: PackageSources, level: int, job: JobContext) -> _Lists:
    """Makes each package layer again. Equal diff_ids prove equal content, independent of the compression."""
    config = ImageConfig.parse(image.config)
    ours = Ours.read(config)
    by_dist = {package.dist: package for package in lockfile.conda}
    proved: list[str] = []
    wrong: list[str] = []
    unproved: list[str] = []
    planned: dict[str, PlannedLayer] = {}
    actual: dict[str, str] = {}
    contested: list[str] = []
    with Store(job.folder()) as store:
        runtime = runtime_layer(store, level)
        hidden = hidden_in(image.manifest)
        for number, (descriptor, diff_id, title) in enumerate(ours.layers(image.manifest, config)):
            if descriptor.digest in hidden:
                continue
            key, names = descriptor.annotations.get(LAYER_KEY), descriptor.annotations.get(LAYER_PACKAGES, "").split()
            if number == 0 and diff_id == runtime.diff_id:
                proved.append(title)
            elif not key:
                unproved.append(title)
            elif any(name not in by_dist for name in names):
                wrong.append(title)
            else:
                packages = tuple(by_dist[name] for name in names)
                actual[key] = str(diff_id)
                compiled = [flag for flag in (True, False) if key == layer_key(packages, lockfile.site_packages, flag)]
                if descriptor.annotations.get(LAYER_DIFF_ID) != str(diff_id):
                    wrong.append(title)
                elif compiled:
                    planned[key] = PlannedLayer(key, packages, compiled=compiled[0])
                else:
                    contested.append(key)
        plan = LayerPlan(tuple(planned.values()), 0)
        compiling = lockfile.python is not None and any(item.compiled for item in plan.layers)
        if compiling and PLATFORMS.get(lockfile.platform) != host_architecture():
            raise LinkFailed(
                f"The image has bytecode of a Python for {lockfile.platform}, which does not run on this machine.",
                "Verify the image on a machine of that platform.",
            )
        missing = by_dist.keys() - {package.dist for item in plan.layers for package in item.packages}
        wrong += [f"{dist} is in no layer" for dist in sorted(missing)] if not contested or missing else []
        contested_again: list[PlannedLayer] = []
        if contested:
            paths = paths_of(plan, None, sources, lockfile.site_packages)
            contested_again = contested_layer(plan, paths, lockfile.site_packages, job.report)
        wrong += ["paths of several packages"] if sorted(contested) != [item.key for item in contested_again] else []
        layers_engine = LayersEngine(
            replace(job, store=store),
            LayerIndex(),
            sources,
            level,
            lambda ready: None,
            live=False,
            registry_first=False,
        )
        built = layers_engine.make([*plan.layers, *contested_again], lockfile)
        if hidden:
            keys = {item.packages: item.key for item in plan.layers}
            canonical = plan_layers(lockfile, budget=len(planned) or 1).layers
            order = [keys[item.packages] for item in canonical if item.packages in keys]
            wrong += _differing_paths(image, ours.base_layers, hidden, [*order, *contested])
        if built.unavailable:
            raise built.unavailable[0][1]
        for item, ready in zip([*plan.layers, *contested_again], built.layers, strict=True):
            same = str(ready.diff_id) == actual.get(item.key)
            (proved if same else wrong).extend(item.names if not item.only else ["paths of several packages"])
    return proved, wrong, unproved


def _differing_paths(image: Image, base_layers: int, hidden: Collection[Digest], order: Sequence[str]) -> list[str]:
    """Returns the paths at which a stacked image shows other content than the same layers in canonical order.

    Args:
        base_layers: the number of the base's layers.
        hidden: the digests of layers that later layers replace, and of the whiteouts.
        order: the keys of the package layers in canonical order.
    """
    rank = {key: number for number, key in enumerate(order)}
    base = image.manifest.layers[:base_layers]
    runtime, *above = (item for item in image.manifest.layers[base_layers:] if item.digest not in hidden)
    # The layers without a key are the overlay and the user's folder. Every image has them in this order.
    above.sort(key=lambda item: rank.get(item.annotations.get(LAYER_KEY, ""), len(rank)))
    canonical = Manifest.make(image.manifest.config, [*base, runtime, *above])
    shown, expected = tree(image), tree(replace(image, manifest=canonical))
    return [f"/{path}" for path in sorted({*shown, *expected}) if shown.get(path) != expected.get(path)]


def _files(image: Image, lockfile: Lockfile, sources: PackageSources, job: JobContext) -> _Lists:
    """Links the files of the packages again, and compares their content with the image's."""
    root = f"{PREFIX_IN_LAYER}/"
    actual = {path.removeprefix(root): content for path, content in tree(image).items() if path.startswith(root)}
    cached, failures = locate(lockfile.conda, sources, job.folder())
    if failures:
        raise next(iter(failures.values()))
    if not lockfile.conda:
        raise LockfileError("The lock file in the image has no conda packages.")
    job.report(Log(f"Linking {len(lockfile.conda)} packages."))
    staged = link(list(lockfile.conda), cached, job.folder() / "link", PREFIX)
    expected: dict[str, set[str]] = {}
    for package in staged.values():
        for file in linked_package(package, None, layer.EPOCH, "").files:
            expected.setdefault(file.path, set()).add(_content(Path(file.source)))
    proved: list[str] = []
    wrong: list[str] = []
    for path in sorted(expected):
        if not MAY_DIFFER.fullmatch(path):
            (proved if actual.get(path) in expected[path] else wrong).append(path)
    extra = actual.keys() - expected.keys()
    return proved, wrong, sorted(path for path in extra if not MAY_DIFFER.fullmatch(path))


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"link {os.readlink(path)}"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree(image: Image) -> Mapping[str, str]:
    """Returns the files and links that a container of the image shows, by path.

    The value of a file is its sha256, the value of a link is ``link`` and the link's target. Source: image-spec
    layer.md.
    """
    shown: dict[str, str] = {}
    for descriptor in image.manifest.layers:
        added: dict[str, str] = {}
        for member, content in members(image, descriptor):
            path = member.name.removeprefix("./").rstrip("/")
            folder, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _remove(shown, folder)
            elif name.startswith(".wh."):
                _remove(shown, f"{folder}/{name.removeprefix('.wh.')}".removeprefix("/"))
            elif member.issym():
                added[path] = f"link {member.linkname}"
            elif member.islnk():
                added[path] = added.get(member.linkname, shown.get(member.linkname, ""))
            elif content is not None:
                added[path] = _hash(content)
        shown |= added
    return shown


def _hash(content: Any) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _remove(shown: dict[str, str], path: str) -> None:
    for name in [name for name in shown if name == path or name.startswith(f"{path}/")]:
        del shown[name]
