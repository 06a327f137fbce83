"""Hostile images in archives and folders: bombs, documents of other forms, layers that are none."""

from __future__ import annotations

import base64
import gzip
import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jupyter_condabuild.image.configuration import LABEL_ENGINE, LOCKFILE
from jupyter_condabuild.oci.image import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Digest
from tests.parts.small_image import tar
from tests.torture.case import Case, Command, Place
from tests.torture.lockfiles import conda_lock, entry

Files = Mapping[str, bytes]


def packed(text: str) -> str:
    """A lock file as our images have it."""
    return base64.b64encode(gzip.compress(text.encode(), 1)).decode()


def descriptor(media_type: str, data: bytes, **more: object) -> dict[str, object]:
    """A descriptor."""
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data), **more}


def config(**changed: object) -> dict[str, Any]:
    """The configuration of an image of ours, without layers."""
    value = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    return {**value, "history": [], LOCKFILE: packed(conda_lock(entry())), **changed}


def layout(
    configuration: dict[str, Any] | bytes,
    layers: Sequence[bytes] = (),
    *,
    manifest: Mapping[str, object] | None = None,
    index: Mapping[str, object] | bytes | None = None,
    blobs: Files | None = None,
) -> Files:
    """The files of an OCI layout; `manifest` and `index` change members of the honest documents."""
    raw = configuration if isinstance(configuration, bytes) else json.dumps(configuration).encode()
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, raw),
        "layers": [descriptor(OCI_LAYER_GZIP, layer) for layer in layers],
        **(manifest or {}),
    }
    top = json.dumps(document).encode()
    listing = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, top)]}
    found = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    found["index.json"] = index if isinstance(index, bytes) else json.dumps({**listing, **(index or {})}).encode()
    for blob in (raw, top, *layers):
        found[f"blobs/sha256/{Digest.of(blob).hex}"] = blob
    return found | dict(blobs or {})


def with_layer(layer: bytes) -> Files:
    """An image of the docker engine with one layer, in which the lock file is looked for."""
    plain = {"config": {"Labels": {LABEL_ENGINE: "docker"}}, "architecture": "amd64", "os": "linux"}
    return layout({**plain, "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(b"x"))]}}, [layer])


def header(name: str, kind: bytes, size: int) -> bytes:
    """The header of an entry, whatever comes after it."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def _extended(count: int, size: int) -> bytes:
    record = b"%d comment=%s\n" % (size + 16, b"c" * size)
    record += bytes(-len(record) % 512)
    return (header("x", tarfile.XHDTYPE, len(record)) + record) * count


def _twice(name: str) -> bytes:
    return header(name, tarfile.REGTYPE, 0) * 2 + bytes(1024)


def _labels(**labels: object) -> dict[str, Any]:
    return config(config={"Labels": labels})


LOCK = "opt/condabuild/conda-lock.yml"
DIFF_ID = str(Digest.of(b"x"))

FILES: dict[str, Callable[[], Files]] = {
    "a lock file that unpacks to 2 GB": lambda: layout(
        config(**{LOCKFILE: base64.b64encode(gzip.compress(bytes(1 << 25), 9) * 64).decode()})
    ),
    "a lock file with aliases": lambda: layout(config(**{LOCKFILE: packed("a: &a [1]\nb: *a\n")})),
    "a lock file that is cut off": lambda: layout(config(**{LOCKFILE: packed("@EXPLICIT\n")[:-16]})),
    "a lock file that is no base64": lambda: layout(config(**{LOCKFILE: "\x1b[2J" * 1000})),
    "a lock file that is a list": lambda: layout(config(**{LOCKFILE: [1]})),
    "a configuration of 5 MB": lambda: layout(config(padding="x" * 5_000_000)),
    "a manifest of 5 MB": lambda: layout(config(), manifest={"annotations": {"a": "x" * 5_000_000}}),
    "an index of 5 MB": lambda: layout(config(), index={"annotations": {"a": "x" * 5_000_000}}),
    "a configuration that is deep": lambda: layout(b"[" * 200_000),
    "an index that is deep": lambda: layout(config(), index=b'{"manifests":' + b"[" * 200_000),
    "a configuration that is a list": lambda: layout(b"[]"),
    "a configuration of wrong bytes": lambda: layout(b"\xff\xfe" * 100),
    "a size that is true": lambda: layout(config(), manifest={"config": {**descriptor(OCI_CONFIG, b""), "size": True}}),
    "a size of 2^80": lambda: layout(config(), manifest={"config": {**descriptor(OCI_CONFIG, b""), "size": 1 << 80}}),
    "a size that is wrong": lambda: layout(
        config(), manifest={"config": {**descriptor(OCI_CONFIG, json.dumps(config()).encode()), "size": 5}}
    ),
    "a digest of 1 MB": lambda: layout(
        config(), manifest={"config": {**descriptor(OCI_CONFIG, b""), "digest": "sha256:" + "\x9d" * 1_000_000}}
    ),
    "a digest that leads up": lambda: layout(
        config(), manifest={"config": {**descriptor(OCI_CONFIG, b""), "digest": "sha256:../../../etc/passwd"}}
    ),
    "a media type with control characters": lambda: layout(config(), manifest={"mediaType": "\x1b[2J" * 10_000}),
    "annotations that are a list": lambda: layout(config(), manifest={"annotations": ["a"]}),
    "layers that are missing": lambda: layout(config(), manifest={"layers": [descriptor(OCI_LAYER_GZIP, b"x")]}),
    "another architecture with control characters": lambda: layout(config(architecture="\x1b[2Jz80")),
    "diff_ids that are a mapping": lambda: layout(config(rootfs={"diff_ids": {"a": 1}})),
    "no rootfs": lambda: layout(config(rootfs=None)),
    "a layer with an extended header of 1.2 GB": lambda: with_layer(
        gzip.compress(header("x", tarfile.XHDTYPE, 1_200_000_000) + bytes(1 << 20), 1)
    ),
    "a layer with a name of 1 TB": lambda: with_layer(gzip.compress(header("x", tarfile.GNUTYPE_LONGNAME, 1 << 40))),
    "a layer with many extended headers": lambda: with_layer(gzip.compress(_extended(40, 100_000), 1)),
    "a layer with an extended header of digits": lambda: with_layer(
        gzip.compress(header("x", tarfile.XHDTYPE, 1 << 20) + b"1" * (1 << 20), 1)
    ),
    "a layer that unpacks to 2 GB": lambda: with_layer(gzip.compress(bytes(1 << 25), 9) * 64),
    "a layer with a lock file of 1 TB": lambda: with_layer(gzip.compress(header(LOCK, tarfile.REGTYPE, 1 << 40))),
    "a layer with a sparse file": lambda: with_layer(
        gzip.compress(header(LOCK, tarfile.GNUTYPE_SPARSE, 512) + bytes(1024))
    ),
    "a layer with a link as the lock file": lambda: with_layer(gzip.compress(header(LOCK, tarfile.SYMTYPE, 0))),
    "a layer with a pipe as the lock file": lambda: with_layer(gzip.compress(header(LOCK, tarfile.FIFOTYPE, 0))),
    "a layer with a lock file with aliases": lambda: with_layer(gzip.compress(tar({LOCK: b"a: &a [1]\nb: *a\n"}))),
    "a layer with a lock file of wrong bytes": lambda: with_layer(gzip.compress(tar({LOCK: b"\xff\xfe\xfd"}))),
    "a layer in zstd": lambda: with_layer(b"\x28\xb5\x2f\xfd" + bytes(100)),
    "a layer that is no tar": lambda: with_layer(b"no tar" * 1000),
    "a layer that is empty": lambda: with_layer(b""),
    "nothing of ours": lambda: layout({**config(), LOCKFILE: None}),
}
"""OCI layouts that are refused by `diff`."""

VERIFIED: dict[str, Callable[[], Files]] = {
    "labels that are a list": lambda: layout(config(config={"Labels": ["a"]})),
    "variables that are a text": lambda: layout(config(config={"Env": "PATH"})),
    "variables that are numbers": lambda: layout(config(config={"Env": [1, 2]})),
    "a base of -1 layers": lambda: layout(_labels(**{"org.jupyter.condabuild.base.layers": "-1"})),
    "a base of 10^5000 layers": lambda: layout(_labels(**{"org.jupyter.condabuild.base.layers": "9" * 5000})),
    "a base whose layers are a list": lambda: layout(_labels(**{"org.jupyter.condabuild.base.layers": [1]})),
    "requested specs that are deep": lambda: layout(_labels(**{"org.jupyter.condabuild.requested": "[" * 100_000})),
    "a history of numbers": lambda: layout(config(history=[1, 2])),
}
"""OCI layouts that are refused by `verify`, which reads more of the configuration."""

ARCHIVES: dict[str, Callable[[], bytes]] = {
    "a tar that is cut off": lambda: tar(layout(config()))[:2000],
    "a tar with a name that leads up": lambda: tar({**layout(config()), "../../x": b"x"}),
    "a tar with an absolute name": lambda: tar({**layout(config()), "/etc/x": b"x"}),
    "a tar with a file twice": lambda: _twice("index.json"),
    "a tar in gzip": lambda: gzip.compress(tar(layout(config()))),
    "a tar with a header of 1.2 GB": lambda: header("x", tarfile.XHDTYPE, 1_200_000_000) + bytes(5000),
    "a tar with 200,000 files": lambda: (
        header("x/", tarfile.SYMTYPE, 0) * 1000
        + b"".join(header(f"f{number}", tarfile.REGTYPE, 0) for number in range(110_000))
    ),
    "a tar of links": lambda: header("index.json", tarfile.SYMTYPE, 0) + bytes(1024),
    "a docker-archive whose configuration leads up": lambda: tar(
        {"manifest.json": json.dumps([{"Config": "../../etc/passwd", "Layers": []}]).encode()}
    ),
    "a docker-archive that is a mapping": lambda: tar({"manifest.json": b'{"Config": 1}'}),
    "a docker-archive with names with control characters": lambda: tar(
        {
            "manifest.json": json.dumps(
                [{"Config": f"{n}.json", "RepoTags": ["\x1b[2J:1"], "Layers": []} for n in range(2)]
            ).encode()
        }
    ),
}
"""Files that are refused as archives."""


def _archive(make: Callable[[], bytes], command: str = "diff") -> Callable[[Place], Sequence[Command]]:
    def prepare(place: Place) -> Sequence[Command]:
        path, empty = place.work / "image.tar", place.work / "empty.txt"
        path.write_bytes(make())
        empty.write_text("# platform: linux-64\n@EXPLICIT\n")
        location = f"oci-archive:{path}"
        return [["diff", location, empty]] if command == "diff" else [["verify", location]]

    return prepare


def _folder(change: Callable[[Place, str], None]) -> Callable[[Place], Sequence[Command]]:
    """A layout folder, in which something is changed; the function gets the path of the manifest's blob."""

    def prepare(place: Place) -> Sequence[Command]:
        files = layout(config())
        for name, data in files.items():
            path = place.out / "layout" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        digest = json.loads(files["index.json"])["manifests"][0]["digest"].partition(":")[2]
        blob = str(place.out / "layout/blobs/sha256" / digest)
        os.unlink(blob)
        change(place, blob)
        return [["verify", f"oci:{place.out / 'layout'}"]]

    return prepare


def _tar_of(make: Callable[[], Files]) -> Callable[[], bytes]:
    return lambda: tar(make())


def _large(place: Place, blob: str) -> None:
    with open(blob, "wb") as file:
        file.truncate(1 << 40)


CASES = [
    *(Case("image", name, _archive(_tar_of(make)), refused=True) for name, make in FILES.items()),
    *(Case("image", name, _archive(_tar_of(make), "verify"), refused=True) for name, make in VERIFIED.items()),
    *(Case("archive", name, _archive(make), refused=True) for name, make in ARCHIVES.items()),
    Case(
        "archive",
        "a folder with a link to a user's file",
        _folder(lambda place, blob: os.symlink(place.home / "notes.txt", blob)),
        refused=True,
    ),
    Case("archive", "a folder with a pipe", _folder(lambda place, blob: os.mkfifo(blob)), refused=True),
    Case("archive", "a folder with a blob of 1 TB", _folder(_large), refused=True),
    Case("archive", "a folder with a folder", _folder(lambda place, blob: os.mkdir(blob)), refused=True),
    Case("archive", "a folder without a blob", _folder(lambda place, blob: None), refused=True),
]
