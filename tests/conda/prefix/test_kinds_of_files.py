"""Folders, pipes and permissions: the image keeps what it can, and the report names the rest."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_condabuild.conda.prefix.drift import Drift, drift
from jupyter_condabuild.conda.prefix.fingerprint import stamp
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import NotReproducible
from tests.parts.builds import Workshop, explicit, install, published, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.overlays import Collected
from tests.parts.small_prefix import SITE, SmallPrefix


@pytest.fixture
def prefix(tmp_path: Path) -> SmallPrefix:
    """Python and a package."""
    made = SmallPrefix(tmp_path / "envs/demo")
    made.python()
    made.add("data", files={"share/data/a.txt": b"a", "share/data/b.txt": b"b"})
    return made


def said(prefix: SmallPrefix) -> dict[str, str]:
    """Returns the warnings of drift by code."""
    return {warning.code: warning.message for warning in found(prefix).warnings}


def found(prefix: SmallPrefix) -> Drift:
    return drift(snapshot(prefix.path))


def test_empty_folders_are_in_the_image(prefix: SmallPrefix, collected: Callable[..., Collected]) -> None:
    """Programs write into them, or fail without them. A folder that a package lost all files of is its own."""
    before = stamp(prefix.path)
    for folder in ("var/run/tool", "share/caf\udce9", f"{SITE}/mine/__pycache__", "__clobbers__/a/share"):
        (prefix.path / folder).mkdir(parents=True)
    assert stamp(prefix.path) != before
    assert found(prefix).empty == ("share/caf\udce9", "var/run/tool")
    assert "var/run/tool" in said(prefix)["empty-folders"]
    overlay = collected(prefix)
    assert {path: entry.kind for path, entry in overlay.entries.items()} == dict.fromkeys(
        ("share/caf\udce9", "var/run/tool"), "directory"
    )
    (prefix.path / "share/data/a.txt").unlink()
    (prefix.path / "share/data/b.txt").unlink()
    assert "share/data" not in found(prefix).empty


def test_an_empty_folder_is_not_in_a_lock_file(workshop: Workshop, tmp_path: Path) -> None:
    """The image has it, and a strict build ends."""
    channel = small_channel(tmp_path / "channel", [(Metadata("a", "1.0", noarch="generic"), [File("share/a", b"a")])])
    prefix = published(install(tmp_path / "env", channel, "a"))
    workshop.image(prefix, strict=True)
    (prefix / "var/spool").mkdir(parents=True)
    assert workshop.image(prefix).tree()["var/spool"].kind == "directory"
    with pytest.raises(NotReproducible, match="var/spool"):
        workshop.image(prefix, strict=True)


def test_pipes_and_sockets_are_said_not_to_be_in_the_image(
    prefix: SmallPrefix, collected: Callable[..., Collected]
) -> None:
    """The image does not have them, nor the file of a package in whose place one is."""
    os.mkfifo(prefix.path / "share/pipe")
    (prefix.path / "share/data/a.txt").unlink()
    os.mkfifo(prefix.path / "share/data/a.txt")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(prefix.path / "s"))
        warnings = said(prefix)
        overlay = collected(prefix)
    assert warnings.keys() == {"special-files", "missing-files"}
    assert all(name in warnings["special-files"] for name in ("share/pipe", "share/data/a.txt", "s"))
    assert {path: entry.kind for path, entry in overlay.entries.items()} == {"share/data/a.txt": "whiteout"}


def test_permissions_that_the_image_does_not_have_are_said(prefix: SmallPrefix) -> None:
    """Files of packages and of pip that only their owner may read, and setuid files, are others in the image."""
    assert said(prefix) == {}
    prefix.pip("mine", files={f"{SITE}/mine.py": b"", "bin/mine": b"#!/bin/sh\n"})
    (prefix.path / f"{SITE}/mine.py").chmod(0o600)
    (prefix.path / "bin/mine").chmod(0o4755)
    assert said(prefix)["file-modes"].startswith("The image gives other permissions to 2 files: ")
    assert f"bin/mine (4755), {SITE}/mine.py (0600)" in said(prefix)["file-modes"]


def test_a_private_environment_is_not_reported(prefix: SmallPrefix) -> None:
    """With a umask of 077, every file is private, and its folder too."""
    prefix.pip("mine", files={f"{SITE}/mine.py": b""})
    (prefix.path / f"{SITE}/mine.py").chmod(0o600)
    (prefix.path / SITE).chmod(0o700)
    assert "file-modes" not in said(prefix)


def test_permissions_of_packages_are_said_for_a_lock_file_too(workshop: Workshop, tmp_path: Path) -> None:
    """The warning has the same code as that of an environment: what an image does not keep is the same for both."""
    files = [File("bin/root", b"a", 0o4755), File("share/open", b"a", 0o666), File("share/own", b"a", 0o600)]
    channel = small_channel(
        tmp_path / "channel", [(Metadata("odd", "1.0", noarch="generic"), [*files, File("share/usual", b"a")])]
    )
    workshop.image(explicit(channel, tmp_path / "explicit.txt"))
    assert workshop.warnings["file-modes"] == (
        "The image gives other permissions to 3 files: bin/root (4755), share/open (0666), share/own (0600)."
    )
    prefix = SmallPrefix(tmp_path / "env")
    prefix.add("odd", files={entry.path: b"a" for entry in files})
    for entry in files:
        (prefix.path / entry.path).chmod(entry.mode)
    assert said(prefix)["file-modes"] == workshop.warnings["file-modes"]
