"""A verification says in figures what it proved and what not: there is never a bare "verified"."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.events import Finished
from jupyter_condabuild.jobs.proof.verdict import Verdict, pip_files
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest
from tests.parts.builds import Workshop
from tests.parts.channel import prefix as prefixes
from tests.parts.command_line import CommandLine
from tests.parts.engines import DockerWorkshop
from tests.parts.image_tree import SavedImage
from tests.parts.jobs import verified
from tests.parts.small_image import Memory, tar

SPECS = ("python", "tqdm", "changing=1.0", "greet")


def pip_install(prefix: Path, name: str) -> None:
    """Puts a package of one module into a prefix as pip does."""
    site = next(iter(prefix.glob("lib/python3*/site-packages")))
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (site / f"{name}.py").write_text("X = 1\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "INSTALLER").write_text("pip\n")
    names = [f"{name}.py", *(f"{info.name}/{member}" for member in ("METADATA", "INSTALLER", "RECORD"))]
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in names))


@pytest.fixture
def prefix(tmp_path: Path, channel_url: str, package_cache: Path) -> Path:
    return prefixes.create(tmp_path / "env", SPECS, channel_url, package_cache)


def replaced(path: Path, text: str) -> None:
    """Writes a file without changing the package cache, to which it has a hard link."""
    path.unlink()
    path.write_text(text)


def test_the_verdict_of_a_plain_image_says_that_all_is_proved(workshop: Workshop, prefix: Path, tmp_path: Path) -> None:
    """The number of packages is that of the lock file."""
    saved = workshop.image(prefix)
    found = verified(saved.archive, tmp_path / "verifying", base=workshop.base)
    count = len(list((prefix / "conda-meta").glob("*.json")))
    assert found.is_verified
    assert found.verdict == Verdict(count)
    assert str(found.verdict) == f"{count} packages proved, and everything else in the image, too"


def test_the_verdict_names_what_nothing_proves(workshop: Workshop, prefix: Path, tmp_path: Path) -> None:
    """A patched package, a deleted file, foreign files and pip packages are named, on the command line and in JSON."""
    pip_install(prefix, "mine")
    replaced(prefix / "share/changing/version.txt", "patched\n")
    (prefix / "share/greet/message.txt").unlink()
    (prefix / "data.bin").write_bytes(b"x" * 1000)
    (prefix / "share/notes").write_text("y")
    saved = workshop.image(prefix)
    found = verified(saved.archive, tmp_path / "verifying", base=workshop.base)
    count = len(list((prefix / "conda-meta").glob("*.json")))
    assert found.verdict == Verdict(count, ("changing", "greet"), ("mine",), 2)
    words = f"{count} packages proved; changing, greet patched, 2 foreign files, 1 pip package not provable"
    assert str(found.verdict) == words
    run = CommandLine(tmp_path)
    assert words in run("verify", saved.archive, "--base", workshop.base).out
    proof = {
        "text": words,
        "packages": count,
        "patched": ["changing", "greet"],
        "pip": ["mine"],
        "files": 2,
        "other": 0,
    }
    assert run("verify", saved.archive, "--base", workshop.base, "--json").json["proof"] == proof
    events = run("verify", saved.archive, "--base", workshop.base, "--events", "jsonl").events
    assert events[-1]["proof"] == proof


def test_files_of_the_users_folder_are_foreign(workshop: Workshop, prefix: Path, tmp_path: Path) -> None:
    """Each file of --include counts; a base that is gone is another part."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (folder / name).write_text(name)
    saved = workshop.image(prefix, include=str(folder))
    found = verified(saved.archive, tmp_path / "verifying")
    assert found.verdict.files == 3
    assert found.verdict.other > 0
    assert not found.is_verified


def test_the_docker_engine_has_a_verdict_too(docker_workshop: DockerWorkshop, prefix: Path, tmp_path: Path) -> None:
    """All packages are proved, and foreign files are counted."""
    (prefix / "data.bin").write_bytes(b"x" * 1000)
    saved: SavedImage = docker_workshop.image(prefix)
    found = verified(saved.archive, tmp_path / "verifying")
    assert found.verdict.packages == len(list((prefix / "conda-meta").glob("*.json")))
    assert found.verdict.files >= 1
    assert "foreign file" in str(found.verdict)


def test_a_verdict_is_part_of_the_last_event() -> None:
    """An event of a build has none."""
    assert Finished("", "", 0, 0, 0, 0, 0.0).proof is None


def test_a_list_of_pip_that_is_no_list_counts_for_nothing() -> None:
    """A RECORD comes from another person: it cannot end the verification."""
    records = [b'"', b"\0\0", b"../../etc/passwd,,\n", b"x" * 200_000, b"\xff\xfe,,\n", b""]
    files = {f"opt/env/lib/python3.11/site-packages/p{n}-1.dist-info/RECORD": data for n, data in enumerate(records)}
    data = tar(files)
    layer = Descriptor(OCI_LAYER_GZIP, Digest.of(data), len(data))
    assert set(pip_files(Memory({layer.digest: data}), layer).values()) == {f"p{n}" for n in range(len(records))}
