"""The logins of a user's environment are not in the image, the events or the lock file."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.parts.channel import channel as channels
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.channel import Channel
from tests.parts.channel.special import SECRET_CHANNEL
from tests.parts.command_line import CommandLine, Done
from tests.parts.registry.faults import FakeRegistry

CANARIES = (
    "canary-user",
    "canary-password",
    "tk-canary-token",
    "canary-variable",
    "canary-condarc",
    "tk-123",
    "secret@",
)
LOGIN = "canary-user:canary-password@"
SPECS = ("credentialed", "plaindata", "changing=1.0", "greet", "clobber-a", "clobber-b")


@dataclass
class Trapped:
    """A prefix with many secrets, from a channel that needs some of them."""

    prefix: Path
    pkgs: Path
    url: str
    channel: Channel
    seen: list[str] = field(default_factory=list)


@pytest.fixture
def trapped(tmp_path: Path, channel: Channel) -> Iterator[Trapped]:
    root = tmp_path / "host"
    (root / "t").mkdir(parents=True)
    copy = Channel(Path(shutil.copytree(channel.folder, root / "t/tk-canary-token")))
    seen: list[str] = []
    with channels.serve(Channel(root), seen=seen) as url:
        with_login = f"{url.replace('//', f'//{LOGIN}')}/t/tk-canary-token"
        prefix = prefixes.create(tmp_path / "env", SPECS, with_login, tmp_path / "pkgs")
        for path in (prefix / "conda-meta").glob("*.json"):
            record = json.loads(path.read_bytes())
            name = f"{record['subdir']}/{record['fn']}"
            path.write_text(json.dumps(record | {"url": f"{with_login}/{name}", "channel": with_login}))
        meta = prefix / "conda-meta"
        history = [f"# cmd: conda create -c {with_login} credentialed", f"# update specs: ['{with_login}::greet']"]
        meta.joinpath("history").write_text("\n".join(["==> 2026-11-24 06:52:10 <==", *history, ""]))
        meta.joinpath("state").write_text('{"version": 1, "env_vars": {"TOKEN": "canary-variable"}}')
        meta.joinpath("pinned").write_text(f"{with_login}::greet\n")
        (prefix / ".condarc").write_text("channels:\n  - https://canary-condarc:x@lab.org/t/tk-canary-token/c\n")
        seen.clear()
        yield Trapped(prefix, tmp_path / "pkgs", with_login, copy, seen)


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    (tmp_path / "user").mkdir()
    return CommandLine(tmp_path / "user")


def leaks(*texts: bytes | str) -> set[str]:
    """Returns the canaries in some texts."""
    whole = b"\n".join(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape") for text in texts)
    return {canary for canary in CANARIES if canary.encode() in whole}


def unpacked(data: bytes) -> bytes:
    """Returns the data, and the compressed data in it, as bytes or in base64."""
    texts = [base64.b64decode(text + b"==") for text in re.findall(rb"H4sI[A-Za-z0-9+/]+", data)]
    found = [data]
    for part in (data, *texts):
        at = part.find(b"\x1f\x8b\x08")
        while at >= 0:
            with suppress(zlib.error):
                found.append(zlib.decompressobj(31).decompress(part[at:]))
            at = part.find(b"\x1f\x8b\x08", at + 1)
    return b"\0".join(found)


def said(done: Done) -> tuple[str, str]:
    return done.out, done.err


def test_the_canaries_are_found(trapped: Trapped) -> None:
    """The secrets are where the tools of a user store them. The search would find them."""
    assert SECRET_CHANNEL in (trapped.pkgs / "credentialed-1.0-0/info/about.json").read_text()
    record = next((trapped.prefix / "conda-meta").glob("greet-*.json")).read_bytes()
    assert leaks(record) == {"canary-user", "canary-password", "tk-canary-token"}
    assert leaks(unpacked(b"x" + gzip.compress(record) + b"y")) == leaks(record)
    assert leaks(unpacked(b'{"x":"' + base64.b64encode(gzip.compress(record)) + b'"}')) == leaks(record)


@pytest.mark.parametrize("cached", [True, False], ids=["from the cache", "from the channel"])
def test_an_image_contains_no_secret(trapped: Trapped, run: CommandLine, small_base: str, cached: bool) -> None:
    """Layers, configuration, manifest, events, messages and store contain none, although the channel got the login."""
    if not cached:
        shutil.rmtree(trapped.pkgs)
    options = ("--base", small_base, "--events", "jsonl")
    done = run("build", trapped.prefix, "-o", "image.tar", *options)
    assert done.status == 0, done.err
    assert bool([path for path in trapped.seen if path.endswith(".conda")]) is not cached
    files = [path.read_bytes() for path in run.folder.rglob("*") if path.is_file()]
    assert len(files) > len(SPECS)
    assert leaks(*(unpacked(data) for data in files), *said(done)) == set()


def test_a_registry_gets_no_secret(
    trapped: Trapped, run: CommandLine, fake_registry: FakeRegistry, small_base: str
) -> None:
    """No body, no path and no header contains a secret."""
    reference = f"{fake_registry.host}/team/env:v1"
    done = run("build", trapped.prefix, "-t", reference, "--push", "--base", small_base, "--json")
    assert done.status == 0, done.err
    assert leaks(*said(done)) == set()
    for seen in fake_registry.seen:
        assert leaks(unpacked(seen.body), seen.path, repr(seen.headers)) == set()


@pytest.mark.parametrize("format", ["conda-lock", "explicit", "pixi", "environment"])
def test_a_lock_file_contains_no_secret(trapped: Trapped, run: CommandLine, format: str) -> None:
    """Neither a lock file in any format nor a message of the command contains a secret."""
    assert leaks(*said(run("lock", trapped.prefix, "--format", format))) == set()
    assert leaks(*said(run("lock", trapped.prefix, "--format", format, "--json"))) == set()


def test_a_plan_contains_no_secret(trapped: Trapped, run: CommandLine) -> None:
    """Neither the text nor the JSON of a plan contains a secret."""
    for options in ((), ("--json",), ("--events", "jsonl")):
        done = run("plan", trapped.prefix, *options)
        assert done.status == 0, done.err
        assert leaks(*said(done)) == set()


@pytest.mark.parametrize("fault", ["gone", "replaced", "broken"])
def test_a_failure_contains_no_secret(trapped: Trapped, run: CommandLine, small_base: str, fault: str) -> None:
    """A package is missing, has another hash, or cannot be unpacked. The messages name only channel and package."""
    shutil.rmtree(trapped.pkgs)
    archive = next(trapped.channel.folder.rglob("plaindata-*.conda"))
    match fault:
        case "gone":
            archive.unlink()
        case "replaced":
            archive.write_bytes(archive.read_bytes() + b"x")
        case "broken":
            shutil.rmtree(trapped.channel.folder)
    options = ("--base", small_base)
    for more in ((), ("--events", "jsonl"), ("--strict",)):
        done = run("build", trapped.prefix, "-o", "image.tar", *options, *more)
        assert leaks(*said(done)) == set()
        assert done.status == (1 if more == ("--strict",) else 0), done.err
    files = [path.read_bytes() for path in run.folder.rglob("*") if path.is_file()]
    assert leaks(*(unpacked(data) for data in files)) == set()


def test_requested_variables_are_only_in_the_configuration(trapped: Trapped, run: CommandLine, small_base: str) -> None:
    """No event and no message contains their values."""
    options = ("--base", small_base, "--events", "jsonl", "--variables")
    done = run("build", trapped.prefix, "-o", "image.tar", *options)
    assert leaks((run.folder / "image.tar").read_bytes()) == {"canary-variable"}
    assert leaks(*said(done)) == set()
