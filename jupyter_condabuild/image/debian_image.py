"""A base image that is made of Debian's packages: one layer, kept in the local store, and a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jupyter_condabuild.debian.archive import Member
from jupyter_condabuild.debian.base import DebianBase, find_base
from jupyter_condabuild.debian.mirror import Release
from jupyter_condabuild.errors import from_os_error
from jupyter_condabuild.events import log_to
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest, Image, ImageConfig, Manifest
from jupyter_condabuild.oci.layer import Entry, LayerBlob
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import size_text

NOT_MADE = Digest("0" * 64)
"""The digest of a layer that is not made yet, in the image of `preview`."""

LEVEL = 3
"""The same for everybody, so that the same packages give the same digest."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find(suite: str, architecture: str, job: JobContext) -> DebianBase:
    """Finds the newest packages of the base of a release of Debian, for a GOARCH name. Raises BaseUnavailable.

    The store keeps the indexes of the mirror, so only the Release is read again.
    """

    return find_base(suite, architecture, job.debian_mirrors, kept_index(job), log_to(job.report))


def kept_index(job: JobContext) -> Callable[[str, int, Iterator[bytes]], bytes]:
    """Returns the function by which the store keeps the indexes of mirrors, see `Mirror.index`."""

    def kept(sha256: str, size: int, chunks: Iterator[bytes]) -> bytes:
        descriptor = Descriptor("application/x-xz", Digest(sha256), size)
        if not job.store.has(descriptor):
            job.store.put(descriptor, chunks)
        return b"".join(job.store.read(descriptor))

    return kept


def make(base: DebianBase, job: JobContext) -> Image:
    """Returns the image of a base. If the store has its layer, nothing is made.

    Raises BaseUnavailable, UnsafePackage, BadImage or StoreError.
    """
    stored = job.store.built(_key(base))
    if not stored:
        say = log_to(job.report)
        say(f"Making the base of {len(base.packages)} packages of Debian, {size_text(base.size)}.")
        try:
            entries = map(entry_of, base.members(job.folder()))
            with job.store.create() as (file, temporary):
                blob = layer.write(entries, file, LEVEL)
                job.store.adopt(temporary, blob.descriptor.digest)
        except OSError as error:
            raise from_os_error(error, "making the base", job.scratch) from None
        job.store.add_layer(_key(base), blob, [f"{package.name}={package.version}" for package in base.packages])
        return _image(base, blob, job)
    return _image(base, stored.blob, job)


def preview(base: DebianBase, job: JobContext) -> Image:
    """Returns the image that `make` would return.

    If it is not made yet, its layer is `NOT_MADE`, and has the size of the packages.

    Raises BaseUnavailable.
    """
    stored = job.store.layer(_key(base))
    planned = LayerBlob(Descriptor(OCI_LAYER_GZIP, NOT_MADE, base.size), NOT_MADE, 0)
    return _image(base, stored.blob if stored else planned, job)


def _key(base: DebianBase) -> str:
    return f"{base.key}-{layer.WRITER_VERSION}-{LEVEL}"


def entry_of(member: Member) -> Entry:
    """Returns the entry of a layer for a path of packages."""
    return Entry(
        member.path,
        member.kind,
        member.mode,
        source=member.source,
        data=member.data,
        target=member.target,
        owner=member.owner,
    )


def _image(base: DebianBase, blob: LayerBlob, job: JobContext) -> Image:
    value = {
        "architecture": base.architecture,
        "os": "linux",
        "config": {
            "Env": [f"PATH={_PATH}"],
            "Cmd": ["bash"],
            "Labels": {"org.jupyter.condabuild.debian": _title(base.release)},
        },
        "created": base.release.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "history": [{"created_by": f"packages of Debian {base.release.suite}"}],
    }
    config = ImageConfig({}, ()).with_value(value, [blob.diff_id])
    manifest = Manifest.make(config.descriptor, [blob.descriptor])
    return Image(manifest, config.raw, {blob.descriptor.digest: job.store})


def _title(release: Release) -> str:
    """Returns the suite and the time of the Release that all point releases have, which no security update changes."""
    return f"{release.suite} {release.version} of {release.time:%Y-%m-%d}"
