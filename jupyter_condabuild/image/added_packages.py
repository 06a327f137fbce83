"""A base image with more packages of Debian (--apt): one layer on top of the base, kept in the local store.

The label of `apt_label` has the names that the user gave, and the name, version, sha256 and path at a mirror of each
added package. So `verify` can make the layer again, and `rebase` can add the packages to another base.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jupyter_condabuild.debian.additions import Additions, find_additions
from jupyter_condabuild.debian.installed import OS_RELEASE, STATUS, STATUS_FOLDER, Installed
from jupyter_condabuild.debian.places import Place, Places
from jupyter_condabuild.errors import BadImage, DebianPackagesRefused, from_os_error
from jupyter_condabuild.events import Log, Warning, log_to
from jupyter_condabuild.image.apt_label import LABEL_APT, Added, AddedPackage
from jupyter_condabuild.image.base import Base
from jupyter_condabuild.image.debian_image import LEVEL, NOT_MADE, entry_of, kept_index
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest, Image, Manifest
from jupyter_condabuild.oci.layer import LayerBlob
from jupyter_condabuild.oci.tree.merged import merged
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import counted, listed, size_text

_MOST_STATUS, _MOST_RELEASE, _MOST_OTHERS = 64 << 20, 1 << 16, 4096
"""The largest sizes in bytes of a list of packages and of os-release, and the most files of `STATUS_FOLDER`."""

_FACTS = 1
"""Part of the name under which the store keeps the facts of a base."""


def with_packages(base: Base, names: Sequence[str], job: JobContext, *, makes: bool = True) -> Base:
    """Returns a base with one more layer, which adds packages of Debian and those that they need.

    If there are no names, or the base has all packages already, no layer is added. The base keeps its name and digest.

    Args:
        names: names of packages, as ``libgl1`` or ``libgl1=1.6.0-1``.
        makes: whether the layer is made. If not, it may be `debian_image.NOT_MADE`.

    Raises DebianPackagesRefused, BaseUnavailable, UnsafePackage, BadImage, StoreError, and the errors of reading a
    layer of the base.
    """
    if not names:
        return base
    if any(descriptor.digest == NOT_MADE for descriptor in base.layers):
        job.report(Log("The packages of --apt are not counted before the base is made."))
        return base
    names = sorted(set(names))
    system = _system(base, job)
    found = find_additions(
        system.installed, names, base.config.architecture, job.debian_mirrors, kept_index(job), log_to(job.report)
    )
    packages = tuple(AddedPackage(one.name, one.version, one.sha256, one.filename) for one in found.packages)
    return _extended(base, found, Added(system.installed.suite, tuple(names), packages), system, job, makes=makes)


def with_recorded(base: Base, added: Added, job: JobContext) -> Base:
    """Returns a base with the layer that a label names: with exactly these packages, if the mirrors have them now.

    Raises DebianPackagesRefused if the mirrors have other packages, and the errors of `with_packages`.
    """
    system = _system(base, job)
    names = [f"{package.name}={package.version}" for package in added.packages]
    found = find_additions(
        system.installed, names, base.config.architecture, job.debian_mirrors, kept_index(job), log_to(job.report)
    )
    packages = tuple(AddedPackage(one.name, one.version, one.sha256, one.filename) for one in found.packages)
    if packages != added.packages or system.installed.suite != added.suite:
        raise DebianPackagesRefused("The mirror of Debian has other packages now.")
    return _extended(base, found, added, system, job, makes=True)


def _extended(base: Base, found: Additions, added: Added, system: _System, job: JobContext, *, makes: bool) -> Base:
    config = base.config
    runtime = {**config.runtime, "Labels": {**(config.runtime.get("Labels") or {}), LABEL_APT: added.label}}
    value: dict[str, Any] = {**config.value, "config": runtime}
    if not found.packages:
        job.report(Log(f"The base has {listed(added.names)} already."))
        config = config.with_value(value, config.diff_ids)
        manifest = Manifest.make(config.descriptor, base.image.manifest.layers)
        return replace(base, image=Image(manifest, config.raw, base.image.sources))
    blob = _layer(base, found, system, job) if makes else _planned(base, found, job)
    line = f"packages of Debian {added.suite}: {' '.join(added.names)}"
    value["history"] = [*(config.value.get("history") or []), {"created_by": line}]
    config = config.with_value(value, [*config.diff_ids, blob.diff_id])
    manifest = Manifest.make(config.descriptor, [*base.image.manifest.layers, blob.descriptor])
    sources = {**base.image.sources, blob.descriptor.digest: job.store}
    return replace(base, image=Image(manifest, config.raw, sources))


def _key(base: Base, found: Additions) -> str:
    below = Digest.of("\n".join(map(str, base.config.diff_ids)).encode())
    return f"{found.key}-{below.hex}-{layer.WRITER_VERSION}-{LEVEL}"


def _planned(base: Base, found: Additions, job: JobContext) -> LayerBlob:
    stored = job.store.layer(_key(base, found))
    return stored.blob if stored else LayerBlob(Descriptor(OCI_LAYER_GZIP, NOT_MADE, found.size), NOT_MADE, 0)


def _layer(base: Base, found: Additions, system: _System, job: JobContext) -> LayerBlob:
    key = _key(base, found)
    stored = job.store.built(key)
    if stored:
        return stored.blob
    names = [f"{package.name}={package.version}" for package in found.packages]
    job.report(Log(f"Adding {counted(names, 'package')} of Debian, {size_text(found.size)}: {listed(names, 20)}."))
    try:
        contents = found.contents(job.folder(), system.places)
        with job.store.create() as (file, temporary):
            blob = layer.write(map(entry_of, contents.members), file, LEVEL)
            job.store.adopt(temporary, blob.descriptor.digest)
    except OSError as error:
        raise from_os_error(error, "adding packages of Debian", job.scratch) from None
    if contents.scripts:
        job.report(
            Warning(
                "debian-scripts-not-run",
                f"The scripts of {listed(contents.scripts)} for their installation are not run.",
                "Libraries work without them. If a program needs what they make, use a base that has the package.",
            )
        )
    if contents.privileged:
        paths = [f"/{path}" for path in contents.privileged]
        job.report(Log(f"Without the right to become another user (setuid, setgid): {listed(paths)}."))
    job.store.add_layer(key, blob, names)
    return blob


@dataclass(frozen=True)
class _System:
    """What a base has: its packages, and its paths."""

    installed: Installed
    places: Places


def _system(base: Base, job: JobContext) -> _System:
    """Reads what a base has from its layers, or from the store, which keeps it.

    Raises DebianPackagesRefused if the base is no Debian, and the errors of `merged`.
    """
    diff_ids = "\n".join(map(str, base.config.diff_ids))
    identity = Digest.of(f"facts {_FACTS}\n{diff_ids}".encode()).hex
    try:
        value = json.loads(gzip.decompress(job.store.memory(identity)))
        texts, places = value["texts"], {path: Place(*row) for path, row in value["places"].items()}
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        job.report(Log(f"Reading the packages of the base {base.name}."))
        texts, places = _read(base.image)
        value = {"texts": texts, "places": places}
        job.store.keep(identity, gzip.compress(json.dumps(value).encode(), 1, mtime=0))
    release = next((texts[path] for path in OS_RELEASE if path in texts), "")
    others = [text for path, text in sorted(texts.items()) if path.startswith(f"{STATUS_FOLDER}/")]
    return _System(Installed.parse(release, texts.get(STATUS), others), Places(places))


def _read(image: Image) -> tuple[dict[str, str], dict[str, Place]]:
    """Returns the texts of the files that describe the packages of an image, and all its paths.

    Raises BadImage if such a file is too large, and the errors of `merged`.
    """
    texts: dict[str, str] = {}
    places: dict[str, Place] = {}
    for member, content in merged(image, [], []):
        path = member.name
        places[path] = _place(member)
        folder, _, name = path.rpartition("/")
        is_one = folder == STATUS_FOLDER and not name.endswith(".md5sums") and len(texts) < _MOST_OTHERS
        if content and (path in (STATUS, *OS_RELEASE) or is_one):
            limit = _MOST_STATUS if path == STATUS else _MOST_RELEASE
            data = content.read(limit + 1)
            if len(data) > limit:
                raise BadImage(f"/{path} of the base has more than {size_text(limit)}.")
            texts[path] = data.decode("utf-8", "surrogateescape")
    return texts, places


def _place(member: tarfile.TarInfo) -> Place:
    if member.isdir():
        return Place("directory", member.mode & 0o7777, member.uid, member.gid)
    if member.issym():
        return Place("symlink", 0o777, member.uid, member.gid, member.linkname)
    return Place("file", member.mode & 0o7777, member.uid, member.gid)
