"""A build that leaves out what is not a package's own: the image is that of the environment without it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from jupyter_condabuild.errors import NotReproducible
from jupyter_condabuild.events import Log
from tests.parts.builds import Workshop, published
from tests.parts.channel import prefix as prefixes
from tests.parts.engines import DockerWorkshop, unexpected

OPTIONS = {"exclude": ["*.bin", "share/notes/", "/bin/pydoc3", "version.py"], "exclude_editable": ["mylib"]}


@pytest.fixture
def used(tmp_path: Path, channel_url: str, package_cache: Path) -> tuple[Path, Path]:
    """An environment as it was made, and the same with added, changed and removed files and an editable install."""
    clean = published(prefixes.create(tmp_path / "clean/env", ["python", "tqdm"], channel_url, package_cache))
    made = published(prefixes.create(tmp_path / "used/env", ["python", "tqdm"], channel_url, package_cache))
    (made / "data.bin").write_bytes(b"0" * 100_000)
    (made / "share/notes").mkdir(parents=True)
    (made / "share/notes/one.txt").write_text("mine")
    (site,) = made.glob("lib/python3.*/site-packages")
    changed = site / "tqdm/version.py"
    text = changed.read_text()
    changed.unlink()  # the file is a hard link into the package cache
    changed.write_text(f"{text}# changed\n")
    (made / "bin/pydoc3").unlink()
    source = tmp_path / "src/mylib"
    source.mkdir(parents=True)
    (source / "mylib.py").write_text("x = 1\n")
    info = site / "mylib-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylib\nVersion: 1.0\n")
    (info / "direct_url.json").write_text(json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}}))
    (info / "RECORD").write_text("mylib.pth,,\n" + "".join(f"{info.name}/{file.name},,\n" for file in info.iterdir()))
    (site / "mylib.pth").write_text(f"{source}\n")
    return clean, made


def test_the_image_is_that_of_the_clean_environment(workshop: Workshop, used: tuple[Path, Path]) -> None:
    """With --strict, too. Without the options, --strict ends the build, and the image is another one."""
    clean, made = used
    expected = workshop.build(clean, archive=str(workshop.folder / "clean.tar")).event
    found = workshop.build(made, archive=str(workshop.folder / "used.tar"), strict=True, **OPTIONS).event
    assert workshop.warnings.keys() >= {"excluded-files", "excluded-changes", "excluded-editable"}
    assert (found.digest, found.environment) == (expected.digest, expected.environment)
    with pytest.raises(NotReproducible):
        workshop.build(made, archive=str(workshop.folder / "strict.tar"), strict=True)
    everything = workshop.build(made, archive=str(workshop.folder / "all.tar")).event
    assert everything.digest != expected.digest


def test_another_choice_is_another_build(
    workshop: Workshop, used: tuple[Path, Path], registry: str, base_reference: str
) -> None:
    """A build that changed nothing is not repeated, but a choice is a change."""
    _, made = used
    name = f"{registry}/left-out-{uuid.uuid4().hex}/env:v1"
    asked = {"reference": name, "push": True, "base": base_reference, "insecure_registries": [registry]}
    one = workshop.build(made, **asked, **OPTIONS).event
    again = workshop.build(made, **asked, **OPTIONS).event
    assert again.digest == one.digest
    assert "excluded-files" in workshop.warnings
    assert any(isinstance(event, Log) and "Nothing has changed" in event.text for event in workshop.events)
    assert workshop.build(made, **asked).event.digest != one.digest


def test_the_docker_engine_leaves_out_the_same(docker_workshop: DockerWorkshop, used: tuple[Path, Path]) -> None:
    """Changed and removed files are as the installer makes them, and nothing of the editable install is there."""
    _, made = used
    ours = docker_workshop.image(made, "docker", strict=True, **OPTIONS)
    theirs = docker_workshop.image(made, "layers", engine="layers", strict=True, **OPTIONS)
    assert unexpected(ours, theirs) == {}
    tree = ours.tree()
    assert "bin/pydoc3" in tree
    assert not [path for path in tree if "mylib" in path or path.startswith("share/notes") or path == "data.bin"]
    assert b"# changed" not in ours.read(next(f"opt/env/{path}" for path in tree if path.endswith("tqdm/version.py")))
