"""Writes an image as a SIF: one file that Apptainer and Singularity run.

The layers stream through `merged.merged` into a squashfs program; nothing is unpacked. Every file of the SIF has the
time of the layers' own files, owners and modes are those of the image, and extended attributes are left out.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.oci.archive import Progress, naming_errors, replacing, silent
from jupyter_condabuild.oci.image import Descriptor, Image, ImageConfig, canonical_json
from jupyter_condabuild.oci.layer import EPOCH
from jupyter_condabuild.oci.sif.container import DEFINITION, JSON, Document, architecture, head
from jupyter_condabuild.oci.sif.scripts import FOLDER, documents, inspection, scripts
from jupyter_condabuild.oci.sif.squashfs import squash
from jupyter_condabuild.oci.tree.merged import Entry, merged

CHUNK = 1 << 20
_BLOCK = 512
_MOST_OWNER = (1 << 32) - 1

_MOUNTED = ("dev", "etc", "home", "proc", "root", "sys", "tmp", "var", "var/tmp")
"""Folders that Apptainer mounts something at."""
_FILES = ("etc/hosts", "etc/resolv.conf")
"""Files that Apptainer mounts files of the host at."""
_LINKS = {
    "singularity": f"{FOLDER}/runscript",
    "environment": f"{FOLDER}/env/90-environment.sh",
    **{f".{action}": f"{FOLDER}/actions/{action}" for action in ("run", "exec", "test", "shell")},
}


def write(image: Image, reference: str, out: Path, progress: Progress = silent) -> None:
    """Writes an image to a SIF. The same image and reference give the same bytes with the same squashfs program.

    The bytes go to temporary files in the same folder. If an error occurs, `out` is unchanged, and they are removed.

    Args:
        reference: the name of the image, for its definition. Empty for no name.
        out: the path of the SIF. An existing file is replaced.
        progress: called with the number of bytes of the layers read so far, and their total number.

    Raises:
        BadImage, ContentMismatch: as `merged.merged` raises them; also if the configuration is not valid, or if the
            image is not for Linux.
        SquashfsUnavailable, SquashfsFailed: as `squashfs.squash` raises them.
        StoreError: the file cannot be written (DiskFull, StoreUnwritable), or its folder does not exist.

    The sources of the layers may raise other errors.
    """
    config = ImageConfig.parse(image.config)
    if (system := config.value.get("os", "linux")) != "linux":
        raise BadImage(f"A SIF is for Linux, and the image is for {str(system)[:40]!r}.", "Write it to a .tar archive.")
    processor = architecture(config.architecture)
    digest = image.manifest.descriptor.digest
    definition = f"# {digest}\nBootstrap: docker\nFrom: {reference or 'scratch'}\n"
    objects = [
        Document(DEFINITION, "", definition.encode()),
        Document(JSON, "inspect-metadata.json", canonical_json(inspection(config, definition))),
        Document(JSON, "oci-config.json", canonical_json(config.runtime)),
    ]
    first = _files(scripts(config), 0o755) + _files(documents(config, definition), 0o644)
    first.append(_entry(f"{FOLDER}/libs", tarfile.DIRTYPE, 0o755))
    counted = _Counted(image, progress)
    source = replace(image, sources=dict.fromkeys(image.sources, counted))
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{digest} {reference}").bytes
    with replacing(out) as part:
        system_part = part.with_suffix(".squashfs")
        try:
            with naming_errors(out):
                system_part.open("xb").close()
            squash(tar(merged(source, first, _last())), system_part, EPOCH)
            with naming_errors(out), part.open("xb") as file, system_part.open("rb") as system_file:
                file.write(head(objects, system_part.stat().st_size, processor, identity, EPOCH))
                shutil.copyfileobj(system_file, file, CHUNK)
                part.chmod(part.stat().st_mode | (part.stat().st_mode & 0o444) >> 2)
        finally:
            with suppress(OSError):
                system_part.unlink()


def tar(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yields the bytes of a tar in chunks. Every entry has the same time. Raises BadImage for an owner's number."""
    for member, content in entries:
        if not (0 <= member.uid <= _MOST_OWNER and 0 <= member.gid <= _MOST_OWNER):
            raise BadImage(f"{member.name[:200]!r} has an owner whose number is too large.")
        header = tarfile.TarInfo(member.name)
        header.type = tarfile.REGTYPE if member.isreg() else member.type
        header.mode, header.uid, header.gid = member.mode & 0o7777, member.uid, member.gid
        header.linkname, header.mtime = member.linkname, EPOCH
        header.size = member.size if content else 0
        yield header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        if content:
            while chunk := content.read(CHUNK):
                yield chunk
            yield bytes(-member.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _files(texts: Mapping[str, str], mode: int) -> list[Entry]:
    return [_entry(f"{FOLDER}/{path}", tarfile.REGTYPE, mode, text.encode()) for path, text in texts.items()]


def _last() -> list[Entry]:
    """Returns what Apptainer needs and an image may lack: places for mounts, and links of older versions."""
    found = [_entry(path, tarfile.DIRTYPE, 0o1777 if path.endswith("tmp") else 0o755) for path in _MOUNTED]
    found += [_entry(path, tarfile.REGTYPE, 0o644) for path in _FILES]
    for path, target in _LINKS.items():
        link, _ = entry = _entry(path, tarfile.SYMTYPE, 0o777)
        link.linkname = target
        found.append(entry)
    return found


def _entry(path: str, kind: bytes, mode: int, data: bytes = b"") -> Entry:
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.size = kind, mode, len(data)
    return member, io.BytesIO(data) if kind == tarfile.REGTYPE else None


class _Counted:
    """The layers of an image. Reports how many of their bytes were read."""

    def __init__(self, image: Image, progress: Progress) -> None:
        self._image = image
        self._progress = progress
        self._total = sum(layer.size for layer in image.manifest.layers)
        self._read = 0

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        for chunk in self._image.read(descriptor):
            self._read += len(chunk)
            self._progress(min(self._read, self._total), self._total)  # a layer may be read a second time
            yield chunk
