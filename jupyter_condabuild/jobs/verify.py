"""The job `verify`: whether an image is what its lock file makes: layers, or files, are made again and compared."""

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
"""Paths below /opt/env that installers write in ways of their own: bytecode, records, history."""


@dataclass(frozen=True)
class Verification:
    """What was proved: of an image of the layers engine its layers, of one of the docker engine its files.

    `proved` are packages, or paths, that came out the same; `wrong` those that did not; `unproved` come from no
    package, so that no lock file can make them again.
    """

    reference: str
    digest: str
    engine: str
    proved: tuple[str, ...]
    wrong: tuple[str, ...]
    unproved: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """The verification as a JSON object."""
        return {**asdict(self), "verified": not self.wrong}

    def text(self) -> str:
        """A few lines."""
        what = "packages, rebuilt, have" if self.engine == "layers" else "files, installed again, have"
        lines = [f"{self.reference} {self.digest}", f"  {len(self.proved)} {what} the same content"]
        for title, names in (("differ", self.wrong), ("come from no package, and nothing proves them", self.unproved)):
            if names:
                lines.append(f"  {len(names)} {title}: {listed(names)}")
        return "\n".join(lines)


def run(request: VerifyRequest, report: Report) -> Verification:
    """Makes an image again from the lock file inside, in an empty store, and compares.

    Raises NotVerified where content differs, BadImage for an image that is not ours, and the errors of `open_image`.
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
    found = Verification(name, digest, engine, tuple(proved), tuple(wrong), tuple(unproved))
    if wrong:
        raise NotVerified(f"The image is not what its lock file makes. {found.text()}")
    for title in unproved:
        report(Log(f"Comes from no package, and nothing proves it: {title}"))
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
    return found


_Lists = tuple[list[str], list[str], list[str]]


def _layers(image: Image, lockfile: Lockfile, sources: PackageSources, level: int, job: JobContext) -> _Lists:
    """Each package layer is made anew; equal diff_ids prove equal content, whoever compressed it."""
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
        everything = LayerPlan(tuple(planned.values()), 0)
        compiling = lockfile.python is not None and any(one.compiled for one in everything.layers)
        if compiling and PLATFORMS.get(lockfile.platform) != host_architecture():
            raise LinkFailed(
                f"The image's bytecode is of its own Python, which is for {lockfile.platform} and does not run here.",
                "Verify it on a machine of that platform.",
            )
        missing = by_dist.keys() - {package.dist for one in everything.layers for package in one.packages}
        wrong += [f"{dist} is in no layer" for dist in sorted(missing)] if not contested or missing else []
        again: list[PlannedLayer] = []
        if contested:
            paths = paths_of(everything, None, sources, lockfile.site_packages)
            again = contested_layer(everything, paths, lockfile.site_packages, job.report)
        wrong += ["paths of several packages"] if sorted(contested) != [one.key for one in again] else []
        maker = LayersEngine(
            replace(job, store=store),
            LayerIndex({}, frozenset()),
            sources,
            level,
            lambda ready: None,
            live=False,
            registry_first=False,
        )
        made = maker.make([*everything.layers, *again], lockfile)
        if hidden:
            keys = {one.packages: one.key for one in everything.layers}
            canonical = plan_layers(lockfile, budget=len(planned) or 1).layers
            order = [keys[one.packages] for one in canonical if one.packages in keys]
            wrong += _otherwise(image, ours.base_layers, hidden, [*order, *contested])
        if made.unavailable:
            raise made.unavailable[0][1]
        for one, ready in zip([*everything.layers, *again], made.layers, strict=True):
            same = str(ready.diff_id) == actual.get(one.key)
            (proved if same else wrong).extend(one.names if not one.only else ["paths of several packages"])
    return proved, wrong, unproved


def _otherwise(image: Image, base_layers: int, hidden: Collection[Digest], order: Sequence[str]) -> list[str]:
    """The paths at which a stacked image shows something else than its layers do in canonical order.

    Args:
        hidden: the layers that count for nothing, and the whiteouts that see to it.
        order: the keys of package layers.
    """
    rank = {key: number for number, key in enumerate(order)}
    base = image.manifest.layers[:base_layers]
    runtime, *above = (one for one in image.manifest.layers[base_layers:] if one.digest not in hidden)
    # What has no key is the overlay and the user's folder, in this order in every image.
    above.sort(key=lambda one: rank.get(one.annotations.get(LAYER_KEY, ""), len(rank)))
    canonical = Manifest.make(image.manifest.config, [*base, runtime, *above])
    shown, should = tree(image), tree(replace(image, manifest=canonical))
    return [f"/{path}" for path in sorted({*shown, *should}) if shown.get(path) != should.get(path)]


def _files(image: Image, lockfile: Lockfile, sources: PackageSources, job: JobContext) -> _Lists:
    """The files that packages bring are linked anew and compared with the image's by content."""
    root = f"{PREFIX_IN_LAYER}/"
    actual = {path.removeprefix(root): what for path, what in tree(image).items() if path.startswith(root)}
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
    """Path to sha256 of a file, or to where a link leads, as a container sees them (image-spec layer.md)."""
    found: dict[str, str] = {}
    for descriptor in image.manifest.layers:
        added: dict[str, str] = {}
        for member, content in members(image, descriptor):
            path = member.name.removeprefix("./").rstrip("/")
            folder, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _remove(found, folder)
            elif name.startswith(".wh."):
                _remove(found, f"{folder}/{name.removeprefix('.wh.')}".removeprefix("/"))
            elif member.issym():
                added[path] = f"link {member.linkname}"
            elif member.islnk():
                added[path] = added.get(member.linkname, found.get(member.linkname, ""))
            elif content is not None:
                added[path] = _hash(content)
        found |= added
    return found


def _hash(content: Any) -> str:
    digest = hashlib.sha256()
    while chunk := content.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _remove(found: dict[str, str], path: str) -> None:
    for name in [name for name in found if name == path or name.startswith(f"{path}/")]:
        del found[name]
