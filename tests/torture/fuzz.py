"""Fuzzing of all that reads what strangers wrote: mutations of valid inputs, made by hypothesis.

``python -m tests.torture.fuzz --examples N [TARGET …]`` prints for each target the executions and the uncaught errors.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jupyter_condabuild import events
from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.prefix import pip_metadata
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.engines.docker.progress import Steps
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.image.configuration import Ours
from jupyter_condabuild.oci.engine.trace import Trace
from jupyter_condabuild.oci.files import TarFiles
from jupyter_condabuild.oci.http_errors import refusal
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest, ImageConfig, Manifest, Reference
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.layer_reader import entries
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.oci.tokens import Challenge
from jupyter_condabuild.server import schemas
from jupyter_condabuild.text import clean_lines
from jupyter_condabuild.trust import ssh
from jupyter_condabuild.trust.dsse import Envelope
from jupyter_condabuild.trust.receipt import Receipt
from tests.parts.small_image import Memory, tar
from tests.torture.images import config, layout
from tests.torture.mutation import HASH, LONGEST, Target

SAMPLES = Path(__file__).parents[1] / "samples"


def _tried(read: Callable[[Any], object], value: object) -> None:
    """Reads a value. An error of ours must not quote all of it."""
    message = ""
    try:
        str(read(value))
    except CondaBuildError as error:
        message = error.message
    assert len(message) < LONGEST


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _lockfile(data: bytes) -> None:
    lockfile = load(_text(data))
    for format in ("conda-lock", "explicit", "pixi", "environment"):
        dump(lockfile, format)  # type: ignore[arg-type]


def _reference(data: bytes) -> None:
    text = _text(data)
    for parse in (ImageLocation.parse, ImageLocation.parse_archive, Reference.parse, Digest.parse):
        _tried(parse, text)
    scrub(text)
    clean_lines(text)


_FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-")
_PLACE = Path(_FOLDER.name)


def _record(data: bytes) -> None:
    path = _PLACE / "record.json"
    path.write_bytes(data)
    record = PrefixRecord.read(path)
    assert record.dist
    list(record.files)
    list(record.paths)


def _pip(data: bytes) -> None:
    info = _PLACE / "lib/python3.12/site-packages/a-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    for name in ("METADATA", "RECORD", "direct_url.json", "__editable___a_finder.py"):
        (info / name).write_bytes(data)
    (_PLACE / "pip.conf").write_bytes(data)
    pip_metadata.name_and_version(info, "a-1")
    relative = "lib/python3.12/site-packages"
    for path in pip_metadata.listed_files(_PLACE, relative, f"{relative}/a-1.dist-info") or ():
        assert not path.startswith(("/", "../"))
    pip_metadata.origin(info)
    pip_metadata.editable_source(_PLACE, (f"{relative}/a-1.dist-info/__editable___a_finder.py",))
    pip_metadata.index_of(_PLACE)


def _tar(data: bytes) -> None:
    layer = Descriptor(OCI_LAYER_GZIP, Digest.of(data), len(data))
    for _, content in entries(Memory({layer.digest: data}), layer, 1 << 20):
        if content:
            content.read(1000)


def _archive(data: bytes) -> None:
    path = _PLACE / "archive.tar"
    path.write_bytes(data)
    with path.open("rb") as file:
        files = TarFiles(file, "here")
        for name in ("index.json", "manifest.json"):
            if files.size(name) is not None:
                b"".join(files.read(name))


def _event(data: bytes) -> None:
    events.from_json(dict(json.loads(data)))
    events.sequence_number(data)


def _trace(data: bytes) -> None:
    steps = Steps(lambda event: None)
    steps(Trace.parse(data))


def _image(data: bytes) -> None:
    for parse in (Manifest.parse, Index.parse):
        _tried(parse, data)
    Ours.read(ImageConfig.parse(data))


def _answer(data: bytes) -> None:
    text = data.decode("latin-1")
    Challenge.parse_all([text])
    refusal("lab.org", "read", 403, {"content-type": text, "retry-after": text, "date": text}, data)


def _body(data: bytes) -> None:
    for parse in (schemas.job, schemas.snapshot, schemas.export, schemas.diff, schemas.prune):
        _tried(parse, data)


def _long_names() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a/" * 80 + "é")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"bytes"))
    return out.getvalue()


def _corpus(*values: object) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


_RECORD = {
    "name": "a",
    "version": "1",
    "build": "0",
    "build_number": 0,
    "channel": "https://h/c/noarch",
    "subdir": "noarch",
    "fn": "a-1-0.conda",
    "url": "https://h/c/noarch/a-1-0.conda",
    "sha256": HASH,
    "size": 5,
    "depends": ["b >=1"],
    "noarch": "python",
    "files": ["lib/python3.12/site-packages/a.py", "bin/a"],
    "requested_specs": ["a"],
    "paths_data": {"paths_version": 1, "paths": [{"_path": "site-packages/a.py", "path_type": "hardlink"}]},
}
_STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "predicateType": "https://slsa.dev/provenance/v1",
    "subject": [{"name": "h/a", "digest": {"sha256": HASH}}],
    "predicate": {
        "buildDefinition": {
            "buildType": "https://pypi.org/project/jupyter-condabuild/#layers-v1",
            "externalParameters": {"lockfile": "sha256:1", "platform": "linux-64", "base": "debian"},
            "internalParameters": {"writer": 2, "unproved": []},
            "resolvedDependencies": [{"name": "debian", "digest": {"sha256": HASH}}],
        },
        "runDetails": {
            "builder": {"id": "x", "version": {"jupyter-condabuild": "0.1"}},
            "byproducts": [
                {
                    "name": "key",
                    "digest": {"sha256": HASH},
                    "annotations": {"diff_id": f"sha256:{HASH}", "packages": ["a"]},
                }
            ],
        },
    },
}
_ENVELOPE = {
    "payloadType": "application/vnd.in-toto+json",
    "payload": base64.b64encode(json.dumps(_STATEMENT).encode()).decode(),
    "signatures": [{"keyid": "a", "sig": "AAAA"}],
}
_EVENTS = _corpus(
    {"type": "phase", "seq": 1, "time": 1.0, "name": "base", "state": "done", "seconds": 1.0},
    {"type": "layer", "seq": 2, "time": 1.0, "key": "k", "packages": ["a"], "size": 1, "state": "built"},
    {"type": "failed", "seq": 3, "time": 1.0, "code": "x", "message": "m", "hint": ""},
)
_BODIES = _corpus(
    {"prefix": "/a", "push": True, "reference": "h.org/a:1", "cache_from": ["h.org/a:2"]},
    {"command": "rebase", "reference": "h.org/a:1", "base": "debian"},
    {"before": {"prefix": "/a"}, "after": {"reference": "h.org/a:1"}},
    {"keep_bytes": 5},
)
_VERTEX = b"\x0a\x47sha256:" + b"a" * 64 + b"\x1a\x05[1/2]\x2a\x04\x08\x05\x10\x06"
_TRACES = [
    b"\x0a" + bytes([len(_VERTEX)]) + _VERTEX,
    b"\x12\x0a\x0a\x02id\x12\x02ab\x20\x05",
    b"\x1a\x0c\x0a\x02ab\x18\x01\x22\x04text",
]
_MANIFEST = next(data for name, data in layout(config()).items() if name.startswith("blobs") and b"layers" in data)
_METADATA = [b"Name: a\nVersion: 1\n\nx", b"a.py,sha256=x,5\n", b"MAPPING = {'a': '/b'}\n"]
_SIGNATURE = f"{ssh._BEGIN}\n{base64.encodebytes(b'SSHSIG' * 40).decode()}{ssh._END}\n".encode()


def targets() -> list[Target]:
    """All targets, with nothing executed."""
    statement = json.dumps(_STATEMENT).encode()
    samples = [(SAMPLES / name).read_bytes() for name in ("conda-lock.yml", "pixi.lock")]
    explicit = [(SAMPLES / f"explicit-{kind}.txt").read_bytes() for kind in ("sha256", "md5")]
    return [
        Target("lock file, YAML", _lockfile, samples),
        Target("lock file, explicit", _lockfile, explicit),
        Target("lock file, values", _lockfile, _json_of(samples)),
        Target("reference", _reference, [b"registry.lab.org:5000/team/env:v1", b"debian", b"oci-archive:/a/b.tar"]),
        Target("conda-meta", _record, _corpus(_RECORD)),
        Target(
            "pip metadata, text", _pip, [b"Name: a\nVersion: 1\n\nx", b"a.py,sha256=x,5\n", b"MAPPING = {'a': '/b'}\n"]
        ),
        Target("pip metadata, JSON", _pip, _corpus({"url": "file:///a", "dir_info": {"editable": True}})),
        Target(
            "tar of a layer",
            _tar,
            [tar({"a": b"1", "b/c": b"2" * 600}), _long_names(), gzip.compress(tar({"a": b"1"}))],
        ),
        Target("tar of an archive", _archive, [tar(layout(config())), _long_names()]),
        Target("event", _event, _EVENTS, (ValueError, TypeError)),
        Target("BuildKit's trace", _trace, _TRACES),
        Target("image's documents", _image, [json.dumps(config()).encode(), _MANIFEST]),
        Target("receipt, envelope", lambda data: Receipt.parse(Envelope.parse(data)), _corpus(_ENVELOPE)),
        Target("receipt, statement", _of_statement, [statement]),
        Target("SSH signature", ssh._bare, [_SIGNATURE]),
        Target(
            "registry's answer", _answer, [b'Bearer realm="https://h/t",service="s",scope="a:b:pull"', b'{"errors":[]}']
        ),
        Target("REST body", _body, _BODIES),
    ]


def _of_statement(data: bytes) -> None:
    Receipt.parse(Envelope("application/vnd.in-toto+json", data))


def _json_of(samples: Sequence[bytes]) -> list[bytes]:
    """The same lock files as JSON, whose values can be exchanged."""
    from jupyter_condabuild.conda.formats import yaml

    return [json.dumps(yaml.load(sample.decode(), "here")).encode() for sample in samples]


def main() -> None:
    """Ends with status 1 if there was an uncaught error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("targets", nargs="*")
    arguments = parser.parse_args()
    chosen = [one for one in targets() if not arguments.targets or one.name in arguments.targets]
    print(f"{'target':<22} {'executions':>10} {'uncaught':>9}")
    for target in chosen:
        target.run(arguments.examples)
        print(f"{target.name:<22} {target.executions:>10} {len(target.uncaught):>9}", flush=True)
        for error, data in target.uncaught.items():
            print(f"FAULT  {error}\n       {data[:300]!r}")
    raise SystemExit(any(target.uncaught for target in chosen))


if __name__ == "__main__":
    main()
