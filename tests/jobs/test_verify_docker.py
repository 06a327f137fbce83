"""verify compares the files of an image of the docker engine with the packages, whichever installer wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.conda.linking.entry_points import forms
from jupyter_condabuild.conda.lockfile import of_packages
from jupyter_condabuild.errors import NotVerified
from jupyter_condabuild.image.apt_label import LABEL_APT
from jupyter_condabuild.jobs.proof import files
from jupyter_condabuild.jobs.proof.entries import Node
from jupyter_condabuild.jobs.proof.findings import Findings
from tests.parts.debian.mirror import SmallMirror, deb, members
from tests.parts.engines import DockerWorkshop
from tests.parts.forged_image import Forgery, Member, entry
from tests.parts.forgeries import added, with_content
from tests.parts.jobs import verified

SCRIPT = "opt/env/bin/templated"
LAYER = "COPY /opt/env /opt/env"


def by_conda(found: list[Member]) -> list[Member]:
    """Returns the layer of the environment as conda or micromamba writes it."""
    (script,) = (data for member, data in found if member.name == SCRIPT)
    with_tab, with_spaces = forms(script)
    assert script == with_tab != with_spaces
    created = entry("opt/env/conda-meta/created_at", b"1764500000.0")
    return added(created)(with_content(SCRIPT, with_spaces)(found))


def test_the_scripts_of_every_installer_are_proved_and_no_other(
    docker_workshop: DockerWorkshop, rattler_prefix: Path, tmp_path: Path
) -> None:
    """conda indents scripts with spaces and writes the time of the installation; no installer calls another module."""
    built = docker_workshop.image(rattler_prefix, "entry-points")
    forged = Forgery.of(built.archive)
    forged.change(LAYER, by_conda)
    found = verified(forged.write(tmp_path / "conda.tar"), tmp_path / "store")
    assert "bin/templated" in found.proved
    assert not [name for name in found.unproved if "created_at" in name]
    evil = built.read(SCRIPT).replace(b"from templated.program", b"from evil")
    forged.change(LAYER, with_content(SCRIPT, evil))
    with pytest.raises(NotVerified, match="bin/templated"):
        verified(forged.write(tmp_path / "evil.tar"), tmp_path / "store")


def test_added_packages_of_debian_are_those_of_the_layers_engine(
    docker_workshop: DockerWorkshop, rattler_prefix: Path, small_mirror: SmallMirror, tmp_path: Path
) -> None:
    """The builder gets the files, so that it needs no mirror. They are proved while the mirror has the packages."""
    library = "usr/lib/x86_64-linux-gnu/libSmall.so.1"
    small_mirror.add("libsmall1", deb("libsmall1", members({library.removeprefix("usr/"): b"small"})))
    small_mirror.publish()
    given = {"apt": ["libsmall1"], "debian_mirrors": [small_mirror.url]}
    made = docker_workshop.image(rattler_prefix, "docker", **given)
    assert made.read(library) == b"small"
    theirs = docker_workshop.image(rattler_prefix, "layers", engine="layers", **given)
    for path in ("var/lib/dpkg/status", "var/lib/dpkg/info/libsmall1.list"):
        assert made.read(path) == theirs.read(path)
    assert b"Package: libsmall1\n" in made.read("var/lib/dpkg/status")
    assert made.config["config"]["Labels"][LABEL_APT] == theirs.config["config"]["Labels"][LABEL_APT]
    store = docker_workshop.store
    found = verified(made.archive, store, debian_mirrors=[small_mirror.url])
    assert (found.differs, [line for line in found.unproved if "libSmall" in line or "Debian" in line]) == ((), [])
    small_mirror.add("libsmall1", deb("libsmall1", members({library: b"newer"})))
    small_mirror.publish()
    found = verified(made.archive, store, debian_mirrors=[small_mirror.url])
    assert "the packages of Debian (libsmall1): The mirror of Debian has other packages now" in found.unproved


def node(content: str, kind: str = "a file") -> Node:
    return Node(kind, 0o644, (0, 0), content)


@pytest.mark.parametrize(
    ("installed", "differs"),
    [
        ({"share/x": node("a")}, []),
        ({"share/x": node("", "a folder"), "share/x/y": node("b")}, []),
        ({"share/x": node("evil")}, ["/opt/env/share/x: content"]),
        ({"share/x": node("", "a folder"), "share/x/y": node("evil")}, ["/opt/env/share/x/y: content"]),
        ({}, ["/opt/env/share/x: is missing", "/opt/env/share/x/y: is missing"]),
    ],
)
def test_a_file_and_a_folder_at_the_same_path(installed: dict[str, Node], differs: list[str]) -> None:
    """An installer leaves one of the two. What it leaves must be that of a package."""
    findings = Findings()
    files._prove_prefix(
        installed, {"share/x": [node("a")], "share/x/y": [node("b")]}, of_packages("linux-64", [], []), findings
    )
    assert findings.differs == differs
