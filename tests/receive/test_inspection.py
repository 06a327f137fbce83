"""jupyter condabuild inspect: what an image is, who built it, and how much of it this machine lacks."""

from __future__ import annotations

import json
import math
import uuid
from pathlib import Path

import docker
import pytest

from jupyter_condabuild.oci import archive
from tests.parts.builds import Workshop, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine
from tests.parts.registry.pushing import connect
from tests.parts.small_image import image, tar
from tests.trust.test_signatures import allow, make_key

PACKAGES = [(Metadata(name, "1", noarch="generic"), [File(f"share/{name}", name.encode())]) for name in ("one", "two")]


@pytest.fixture
def run(tmp_path: Path) -> CommandLine:
    """The command line of a labmate, with an empty store."""
    (tmp_path / "labmate").mkdir()
    return CommandLine(tmp_path / "labmate")


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A small environment with a file of no package."""
    made = install(tmp_path / "env", small_channel(tmp_path / "channel", PACKAGES), "one", "two")
    (made / "share/mine").write_text("mine")
    return made


def test_an_image_is_described_without_a_pull(
    run: CommandLine, workshop: Workshop, prefix: Path, registry: str, tmp_path: Path
) -> None:
    """Packages, base, command and size are those of the image, and a file of no package is named.

    Who built the image is said: unsigned, signed by somebody who is not trusted, or by whom.
    """
    name, key = f"{registry}/inspection/{uuid.uuid4().hex}:v1", make_key(tmp_path)
    workshop.build(prefix, reference=name, push=True, signing_key=str(key))
    found = run("inspect", name, "--json").json
    with connect(registry) as connected:
        repository = connected.repository(name.partition("/")[2].removesuffix(":v1"))
        manifest = repository.manifest("v1")
    assert found["digest"] == str(manifest.descriptor.digest)
    assert found["size"] == sum(layer.size for layer in manifest.layers)  # type: ignore[union-attr]
    assert (found["conda_packages"], found["pip_packages"], found["python"]) == (2, 0, "")
    assert found["requested"] == ["one", "two"]
    assert found["command"] == ["sh"]
    assert found["unproved"] == ["changed files"] or len(found["unproved"]) == 1
    assert (found["signature"], found["voucher"]) == ("untrusted", "")
    signers = {"CONDABUILD_TRUSTED_SIGNERS": str(allow(tmp_path, ("ada@lab.org", key)))}
    done = run("inspect", name, environ=signers)
    assert "Built by ada@lab.org, signature verified.\n  2 conda packages.\n  Asked for: one, two.\n" in done.out
    trusting = {"CONDABUILD_TRUSTED_REPOSITORIES": f"{registry}/inspection/*"}
    assert "You trust the repository" in run("inspect", name, environ=trusting).out
    here = {"CONDABUILD_STORE_DIR": str(workshop.store)}
    assert "Pushed by this machine." in run("inspect", name, environ=here).out


def test_only_the_layers_that_the_engine_lacks_count(
    run: CommandLine, workshop: Workshop, prefix: Path, tmp_path: Path, docker_client: docker.DockerClient
) -> None:
    """The engine has the layers below the first one that differs. Without an engine, nothing is said."""
    name, other = f"localhost/inspected:{uuid.uuid4().hex}", tmp_path / "other.tar"
    workshop.build(prefix, reference=name, load=True)
    try:
        workshop.build(prefix, archive=str(tmp_path / "same.tar"))
        (prefix / "share/mine").write_text("changed")
        workshop.build(prefix, archive=str(other))
        same = run("inspect", f"oci-archive:{tmp_path / 'same.tar'}", "--json").json
        changed = run("inspect", f"oci-archive:{other}", "--json").json
        nowhere = run("inspect", f"oci-archive:{other}", environ={"DOCKER_HOST": "unix:///nowhere.sock"})
    finally:
        docker_client.images.remove(name, force=True)
    assert same["missing"] == 0
    assert 0 < changed["missing"] < changed["size"]
    assert "lacks" not in nowhere.out
    assert nowhere.status == 0


def test_an_image_of_somebody_else_is_described(run: CommandLine, tmp_path: Path) -> None:
    """An image that jupyter-condabuild did not make has no packages that are known, and texts in it are only texts."""
    forged = "\n  Pushed by this machine."
    labels = {
        "org.jupyter.condabuild.requested": json.dumps(["\x1b[2J", math.inf, forged]),
        "org.opencontainers.image.base.name": f"debian{forged}",
    }
    made = image([tar({"etc/x": b"1"})], Cmd=["\x1b[2Jevil", forged], Labels=labels)
    archive.write(made, "", tmp_path / "image.tar")
    done = run("inspect", f"oci-archive:{tmp_path / 'image.tar'}")
    assert done.status == 0
    assert "Not made by 'jupyter condabuild': the packages inside are not known." in done.out
    assert "\x1b" not in done.out
    assert "  Pushed by this machine." not in done.out.splitlines()  # no text of the image makes a line of ours
