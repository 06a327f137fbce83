"""A build writes a SIF whose files are those of the image, and which runs without an engine and without root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from jupyter_condabuild.errors import SquashfsUnavailable
from tests.conftest import missing
from tests.oci.sif.sif_file import objects, unpacked
from tests.parts.builds import Workshop
from tests.parts.image_tree import differences, tree_of


@pytest.fixture(scope="module")
def workshop_with_debian(tmp_path_factory: pytest.TempPathFactory, base_archive: Path) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("sif"), f"oci-archive:{base_archive}")


@pytest.fixture(scope="module")
def sif(workshop_with_debian: Workshop, rattler_prefix: Path) -> Path:
    """The SIF of `rattler_prefix` on Debian."""
    out = workshop_with_debian.folder / "env.sif"
    workshop_with_debian.build(rattler_prefix, archive=str(out))
    return out


@pytest.fixture(scope="module")
def root(sif: Path, workshop_with_debian: Workshop) -> Path:
    """The unpacked files of the SIF."""
    return unpacked(sif, workshop_with_debian.folder / "root")


def test_the_files_are_those_of_the_image(root: Path, workshop_with_debian: Workshop, rattler_prefix: Path) -> None:
    """Each file of the environment has the content, the mode and the target that it has in an archive of the image."""
    image = workshop_with_debian.image(rattler_prefix)
    tree = {path: node for path, node in image.tree().items() if node.kind != "directory"}
    assert len(tree) > 100
    assert differences(image.tree(), tree_of(root / "opt" / "env")) == {}


def test_two_builds_write_the_same_bytes(sif: Path, workshop_with_debian: Workshop, rattler_prefix: Path) -> None:
    """A second build, with its own store, writes the same SIF."""
    other = Workshop(workshop_with_debian.folder / "other", workshop_with_debian.base)
    other.folder.mkdir()
    other.build(rattler_prefix, archive=f"sif:{other.folder / 'again'}")
    assert (other.folder / "again").read_bytes() == sif.read_bytes()


def test_the_sif_is_for_the_platform_of_the_image(sif: Path) -> None:
    """The descriptor of the file system names the processor."""
    assert list(objects(sif))[-1] == "4 FS (Squashfs/*System/amd64)"


def inside(root: Path, *command: str) -> str:
    """Returns the output of a command with the files of the SIF, read-only, as a user whom the image does not know."""
    if not shutil.which("bwrap"):
        missing("bwrap is not installed")
    sandbox = ["bwrap", "--unshare-all", "--uid", "4321", "--gid", "4321", "--clearenv", "--setenv", "HOME", "/home"]
    places = ["--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    done = subprocess.run([*sandbox, *places, *command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_environment_runs(root: Path) -> None:
    """The runscript activates the environment and starts the given program, as any user."""
    code = "import sys, os; print(sys.prefix, os.environ['CONDA_PREFIX'], os.getuid(), sys.flags.no_user_site)"
    assert inside(root, "/.singularity.d/actions/run", "python", "-c", code).split() == [
        *("/opt/env", "/opt/env", "4321", "1")
    ]


def test_a_program_is_found_without_the_entrypoint(root: Path) -> None:
    """As with ``apptainer exec``, which reads only the variables."""
    assert inside(root, "/.singularity.d/actions/exec", "python", "-c", "print('found')") == "found\n"


def test_a_missing_program_is_named_before_the_build(
    session_workshop: Workshop, rattler_prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a build whose SIF could not be written."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SquashfsUnavailable):
        session_workshop.build(rattler_prefix, archive=str(tmp_path / "env.sif"))
    assert session_workshop.events == []
    assert list(tmp_path.iterdir()) == []


def test_an_archive_of_the_same_build_has_the_same_digest(
    workshop_with_debian: Workshop, rattler_prefix: Path, sif: Path
) -> None:
    """The definition in the SIF names the digest of the image."""
    image = workshop_with_debian.image(rattler_prefix)
    assert image.digest.encode() in sif.read_bytes()[:40_000]
