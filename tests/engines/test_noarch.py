"""The kind of a noarch package is that of its record and archive, whichever dependencies it has."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import rattler

from jupyter_condabuild.conda.formats import dump, load
from jupyter_condabuild.conda.lockfile import Format, Lockfile
from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import LinkFailed
from jupyter_condabuild.oci.engine.daemon import Daemon
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel import prefix
from tests.parts.channel.channel import Channel, serve
from tests.parts.channel.package import File, Metadata
from tests.parts.engines import DockerWorkshop
from tests.parts.hostile_python import HONEST
from tests.parts.jobs import verified

PYTHON = (Metadata("python", "3.12.1"), [File("bin/python", HONEST.encode(), 0o755)])
PACKAGES: list[Package] = [
    PYTHON,
    (Metadata("alone", "1.0", noarch="python", entry_points=("alone = alone:main",)),
     [File("site-packages/alone.py", b"x = 1\n")]),
    (Metadata("usual", "1.0", "pyhd_0", noarch="python", depends=("python",)), [File("site-packages/u.py", b"")]),
    (Metadata("stable", "1.0", "pyh_0", noarch="python", depends=("_python_abi3_support",), abi3=True),
     [File("site-packages/stable.abi3.so", b"\x7fELF")]),
    (Metadata("_python_abi3_support", "1.0", noarch="generic"), [File("share/abi3", b"abi3")]),
    (Metadata("meta", "1.0", "pyh_0", noarch="generic", depends=("python",)), [File("share/meta", b"meta")]),
    (Metadata("numpy-data", "1.0", "numpy_0", noarch="generic"), [File("share/data", b"data")]),
]  # fmt: skip
KINDS = {
    "python": "",
    "alone": "python",
    "usual": "python",
    "stable": "python",
    "_python_abi3_support": "generic",
    "meta": "generic",
    "numpy-data": "generic",
}
SITE = "lib/python3.12/site-packages"
FORMATS: list[Format] = ["conda-lock", "pixi", "explicit"]


@pytest.fixture
def made(tmp_path: Path) -> Channel:
    """A channel with each kind of package."""
    return small_channel(tmp_path / "channel", PACKAGES)


def foreign(text: str) -> str:
    """Returns the text of a lock file as other programs write it: without the values that only we write."""
    return re.sub(r"(?m)^  custom_metadata:\n(?:    .*\n)+|^ *noarch: .*\n|^ *size: .*\n|^# noarch: .*\n", "", text)


def test_a_python_package_that_needs_nothing_is_linked_alone(workshop: Workshop, made: Channel, tmp_path: Path) -> None:
    """Its layer is the only one that is missing: Python is a helper that gives the site-packages folder."""
    workshop.image(install(tmp_path / "env", made, "python"))
    image = workshop.image(install(tmp_path / "other", made, "python", "alone"))
    assert workshop.layers("built") == {"alone-1.0-0"}
    assert image.tree()[f"{SITE}/alone.py"].kind == "file"


@pytest.mark.parametrize("format", FORMATS)
def test_each_lock_file_gives_the_layers_of_the_environment(
    format: Format, workshop: Workshop, made: Channel, tmp_path: Path
) -> None:
    """No layer is built again, with our lock file and with that of another program. The files are in site-packages."""
    environment = install(tmp_path / "env", made, *KINDS)
    image = workshop.image(environment)
    assert {f"{SITE}/{name}" for name in ("alone.py", "u.py", "stable.abi3.so")} < image.tree().keys()
    text = dump(lock(snapshot(environment)), format)
    for number, written in enumerate((text, foreign(text))):
        (tmp_path / "file").write_text(written)
        again = workshop.image(tmp_path / "file", f"again-{number}")
        assert again.tree().keys() == image.tree().keys()
        if format != "explicit":  # which has one hash of each package, and the records in the image have two
            assert workshop.layers("built") == set()
            assert again.package_layers == image.package_layers


@pytest.mark.parametrize("format", FORMATS)
def test_kinds_are_asked_at_the_channel(format: Format, workshop: Workshop, made: Channel, tmp_path: Path) -> None:
    """If the package is in no package cache, a part of the archive at the channel names the kind."""
    with serve(made) as url:
        locked = lock(snapshot(prefix.create(tmp_path / "env", list(KINDS), url, tmp_path / "none")))
        original = workshop.image(tmp_path / "env", "original")
        (tmp_path / "ours").write_text(dump(locked, format))
        (tmp_path / "theirs").write_text(foreign(dump(locked, format)))
        shutil.rmtree(tmp_path / "none")
        image = workshop.image(tmp_path / "theirs")
        assert image.tree().keys() == original.tree().keys()
        assert image.package_layers == original.package_layers or format == "explicit"
        assert workshop.image(tmp_path / "ours", "ours").package_layers == image.package_layers


def test_a_lock_file_that_hides_a_python_package_is_refused(workshop: Workshop, made: Channel, tmp_path: Path) -> None:
    """A layer under a key without the site-packages folder would be used for another Python. No layer is stored."""
    locked = dump(lock(snapshot(install(tmp_path / "env", made, "python", "alone"))))
    (tmp_path / "lock.yml").write_text(re.sub(r"(?m)^ *noarch/.*\n", "", locked))
    with pytest.raises(LinkFailed, match=r"Cannot link alone-1.0-0: it is a noarch Python package, but the lock file"):
        workshop.image(tmp_path / "lock.yml")


def test_an_older_lock_file_with_a_python_package_without_files_is_built(workshop: Workshop, tmp_path: Path) -> None:
    """conda-forge's typing-extensions is such a package: it needs only typing_extensions."""
    empty = (Metadata("empty", "1.0", "pyh_0", noarch="python", depends=("data",)), [])
    channel = small_channel(tmp_path / "channel", [PYTHON, empty, (Metadata("data", "1.0", noarch="generic"), [])])
    made = dump(lock(snapshot(install(tmp_path / "env", channel, "python", "empty"))))
    (tmp_path / "lock.yml").write_text(re.sub(r"(?m)^ *noarch/.*\n", "", made))
    assert (tmp_path / "lock.yml").read_text() != made
    assert "conda-meta/empty-1.0-pyh_0.json" in workshop.image(tmp_path / "lock.yml").tree()


def test_a_python_package_without_python_is_refused_by_name(workshop: Workshop, made: Channel, tmp_path: Path) -> None:
    """No folder for its files is known."""
    locked = lock(snapshot(install(tmp_path / "env", made, "python", "alone")))
    alone = Lockfile(locked.platform, locked.channels, locked.conda[:1])
    (tmp_path / "lock.yml").write_text(dump(alone))
    with pytest.raises(LinkFailed, match=r"Cannot link alone-1.0-0: .* the environment has no Python"):
        workshop.image(tmp_path / "lock.yml")


def test_pixi_and_rattler_read_the_kind(made: Channel, tmp_path: Path) -> None:
    """py-rattler finds in our pixi.lock the kind of each archive. Our reader finds the same packages again."""
    locked = lock(snapshot(install(tmp_path / "env", made, *KINDS)))
    path = tmp_path / "pixi.lock"
    path.write_text(dump(locked, "pixi"))
    ((_, environment),) = rattler.LockFile.from_path(path).environments()
    (platform,) = environment.platforms()
    records = environment.conda_repodata_records_for_platform(platform) or []
    kinds = {record.name.normalized: "python" if record.noarch.python else "generic" if record.noarch.generic else ""
             for record in records}  # fmt: skip
    assert kinds == KINDS
    assert load(path) == load(dump(locked)) == locked
    assert {package.name: package.kind for package in locked.conda} == KINDS


def test_an_explicit_file_has_python_before_its_packages(made: Channel, tmp_path: Path) -> None:
    """conda before version 24 links packages in the order of the file."""
    lines = dump(lock(snapshot(install(tmp_path / "env", made, *KINDS))), "explicit").splitlines()
    urls = [line for line in lines if line.startswith("file:")]
    names = [re.sub(r"-1.0.*|-3.12.*", "", url.rpartition("/")[2]) for url in urls]
    assert all(names.index("python") < names.index(name) for name, kind in KINDS.items() if kind == "python")
    assert "# noarch: alone-1.0-0.conda python" in lines


def test_verify_proves_each_kind(workshop: Workshop, made: Channel, tmp_path: Path) -> None:
    """The packages of an image with each kind are made again from its lock file, and are the same."""
    workshop.image(install(tmp_path / "env", made, *KINDS))
    proof = verified(workshop.folder / "image.tar", workshop.store)
    assert proof.differs == ()
    assert {name for name in proof.proved if name.startswith(("alone-", "stable-", "usual-"))}


def test_the_docker_engine_installs_each_kind(docker_workshop: DockerWorkshop, made: Channel, tmp_path: Path) -> None:
    """py-rattler finds the kinds in the archives, and the folder of Python in our lock file."""
    name = docker_workshop.name(what="noarch")
    docker_workshop.build(install(tmp_path / "env", made, *KINDS), reference=name, load=True)
    with Daemon.connect() as engine:
        status, text = engine.run(name, ["ls", f"/opt/env/{SITE}"])
    assert (status, {"alone.py", "u.py", "stable.abi3.so"} <= set(text.split())) == (0, True), text
