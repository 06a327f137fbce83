"""The content of the layers above the packages, before they are made: which files they have, and a stamp of them.

The stamp changes when a file of the layer changes. A build keeps the record of such a layer under its stamp, too, so
that a plan knows the layer of unchanged files without reading them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_condabuild.conda.linking.bytecode import uncompiled
from jupyter_condabuild.conda.prefix.drift import Drift
from jupyter_condabuild.conda.prefix.environment import Environment
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.engines.layers.places import editable_sources
from jupyter_condabuild.engines.layers.sampling import BYTECODE, SampledFile, compressed_size
from jupyter_condabuild.image.layers import OVERLAY
from jupyter_condabuild.image.paths import PREFIX_IN_LAYER, WORK, in_layer
from jupyter_condabuild.oci.layer import WRITER_VERSION
from jupyter_condabuild.planning.inputs import Inputs
from jupyter_condabuild.planning.own_files.selection import OwnFiles
from jupyter_condabuild.requests.build import PlanRequest

if TYPE_CHECKING:
    from jupyter_condabuild.conda.cross.wheels import WheelBytes

_WITHOUT_BYTECODE, _WITH_BYTECODE = 1.12, (2.83, 1.49)
"""The size of a layer relative to the wheels in it; with bytecode: of wheels for all systems, and of wheels for one.

They are the medians of 14 wheels at level 1 of isal: without bytecode between 0.96 and 1.15, with bytecode between 1.94
and 3.45 (9 wheels for all systems) and between 1.26 and 2.11 (5 wheels for one).
"""

_SETTINGS = ("pinned", "frozen")
"""The files in conda-meta that the overlay has."""


@dataclass(frozen=True)
class OwnContent:
    """The files of one layer above the packages.

    `stamp` is a hexadecimal digest. `modules` is the total size in bytes of the modules that a build compiles, and
    `downloads` the estimated size in bytes of what the layer has from files that only the build fetches.
    """

    title: str
    stamp: str
    files: tuple[SampledFile, ...]
    modules: int = 0
    downloads: int = 0

    def estimate(self, level: int) -> int:
        """Returns the estimated size of the layer in bytes, compressed at a level of isal."""
        return compressed_size(self.files, level) + int(self.modules * BYTECODE) + self.downloads


def overlay_paths(
    environment: Environment, drift: Drift, taken: Iterable[PrefixRecord], own: OwnFiles, *, all_clobbered: bool = False
) -> set[str]:
    """Returns the paths of the prefix that the overlay has: all that no package layer brings.

    Args:
        taken: packages whose archives are not available.
        all_clobbered: see `overlay.collect`.
    """
    paths: set[str] = set()
    for distribution in environment.pip:
        paths |= {path for path in distribution.files if not path.endswith(".pyc")}
    for record in taken:
        paths |= {entry.path for entry in record.paths if entry.kind != "pyc_file"}
    paths |= untracked_paths(drift, own) | {file.path for file in drift.modified} | set(drift.empty)
    paths |= {item.path for item in (drift.clobbered if all_clobbered else drift.replaced)}
    below_taken = tuple(f"{item.place.link}/" for item in own.outside.taken if item.place.link)
    paths -= own.outside.replaced_links | own.built.hooks
    return {path for path in paths if not path.startswith(below_taken)}


def untracked_paths(drift: Drift, own: OwnFiles) -> set[str]:
    """Returns the paths of the prefix that belong to no package and go into the image."""
    return {file.path for file in drift.untracked} - own.withheld


def overlay_content(request: PlanRequest, inputs: Inputs, lost: Collection[str]) -> OwnContent | None:
    """Returns the content of the overlay; None if there is no overlay.

    Args:
        lost: the dists of packages whose archives are not available.
    """
    environment, drift, own = inputs.environment, inputs.drift, inputs.own
    downloads = 0
    if inputs.translated:
        environment, drift = inputs.translated.selection.environment, inputs.translated.selection.drift
        downloads = _layer_bytes(inputs.translated.other.wheel_bytes, bytecode=inputs.bytecode)
    if environment is None or drift is None:
        return None
    taken = [record for record in environment.records if record.dist in lost]
    paths = overlay_paths(environment, drift, taken, own)
    prefix = str(environment.prefix)
    places = [(f"{PREFIX_IN_LAYER}/{path}", f"{prefix}/{path}") for path in paths]
    for source, target in editable_sources(environment).items():
        places += [(f"{target}/{name}", f"{source}/{name}") for name in own.sources.get(source, ())]
    for item in (*own.outside.taken, *own.built.taken):
        places += [(in_layer(path), f"{item.root}/{name}") for name, path in item.files.items()]
    settings = [(f"{PREFIX_IN_LAYER}/conda-meta/{name}", f"{prefix}/conda-meta/{name}") for name in _SETTINGS]
    places += [place for place in settings if os.path.lexists(place[1])]
    if not (places or downloads or own.built.texts or any(file.path not in paths for file in drift.missing)):
        return None
    files, stamps = _files(places)
    also = [
        *(file.path for file in drift.missing),
        *(file.path for file in drift.replaced),
        *map(repr, sorted(own.outside.targets.items())),
        *map(repr, sorted(own.built.texts.items())),
        *map(str, inputs.lockfile.pip),
        *lost,
        f"{prefix} {inputs.bytecode} {request.compression_level} {environment.site_packages}",
        f"{inputs.lockfile.platform} {inputs.lockfile.site_packages}",
    ]
    sizes = {file.path.removeprefix(f"{PREFIX_IN_LAYER}/"): file.size for file in files}
    modules = sum(sizes[path] for path in uncompiled(sizes)) if inputs.bytecode else 0
    return OwnContent(OVERLAY, _stamp([*stamps, *also]), files, modules, downloads)


def _layer_bytes(wheels: WheelBytes, *, bytecode: bool) -> int:
    """Returns the estimated size in bytes of wheels in a layer, with or without the bytecode of their modules."""
    pure, native = _WITH_BYTECODE if bytecode else (_WITHOUT_BYTECODE, _WITHOUT_BYTECODE)
    return int(wheels.pure * pure + wheels.native * native)


def workspace_content(request: PlanRequest, inputs: Inputs) -> OwnContent | None:
    """Returns the content of the layer with the user's folder; None if the request includes no folder."""
    if not request.include:
        return None
    root, path = in_layer(WORK), request.include
    folder = str(path.resolve().parent if path.is_file() else path)
    files, stamps = _files((f"{root}/{name}", f"{folder}/{name}") for name in inputs.own.included)
    stamp = _stamp([*stamps, f"{request.compression_level}"])
    return OwnContent(f"files of {request.include.resolve().name}", stamp, files)


def _files(places: Iterable[tuple[str, str]]) -> tuple[tuple[SampledFile, ...], list[str]]:
    """Returns the files at these places, and a text for each that changes when the file changes.

    Args:
        places: pairs of a path in the layer and a file of this machine.
    """
    files: list[SampledFile] = []
    stamps: list[str] = []
    for path, source in sorted(places):
        try:
            status = os.lstat(source)
        except OSError:
            continue
        is_file = status.st_mode & 0o170000 == 0o100000
        files.append(SampledFile(path, source, status.st_size if is_file else 0))
        stamps.append(f"{path} {source} {status.st_mode} {status.st_size} {status.st_mtime_ns} {status.st_ino}")
    return tuple(files), stamps


def _stamp(texts: Iterable[str]) -> str:
    """Returns a digest of texts and of this program: another version may make another layer of the same files."""
    program = [f"{path.name} {path.stat().st_mtime_ns}" for path in sorted(Path(__file__).parent.glob("*.py"))]
    content = hashlib.sha256(repr((WRITER_VERSION, program)).encode())
    for text in texts:
        content.update(b"\0" + text.encode("utf-8", "surrogateescape"))
    return content.hexdigest()
