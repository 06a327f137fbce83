"""Scripts of packages in a lock file: nobody runs them unsaid, and --strict ends the build."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.errors import NotReproducible
from jupyter_condabuild.events import Event, Warning
from jupyter_condabuild.jobs import plan
from jupyter_condabuild.planning.link_scripts import report_link_scripts
from tests.parts.builds import Workshop, explicit, install, of_public, small_channel
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.engines import DockerWorkshop
from tests.parts.jobs import plan_request

SCRIPT = File("bin/.hooked-post-link.sh", b"#!/bin/sh\necho made >$PREFIX/made\n", 0o755)


@pytest.fixture
def hooked(tmp_path: Path) -> Channel:
    """A channel of a package with a post-link script, and of a package without one."""
    plain = (Metadata("plain", "1", noarch="generic"), [File("share/plain", b"1\n")])
    return small_channel(tmp_path / "channel", [(Metadata("hooked", "1"), [SCRIPT]), plain])


def test_a_script_that_the_layers_engine_does_not_run_is_said_in_every_build(
    workshop: Workshop, hooked: Channel, tmp_path: Path
) -> None:
    """A build that reuses the layer says it too. An environment has another warning: its script has run."""
    lockfile = explicit(hooked, tmp_path / "explicit.txt")
    for state in ("built", "reused-local"):
        workshop.image(lockfile)
        assert "hooked-1-0" in workshop.layers(state)
        message = workshop.warnings["post-link-script-not-run"]
        assert message.endswith("the layers engine does not run such scripts: hooked-1-0.")
    workshop.image(install(tmp_path / "env", hooked, "hooked", "plain"), "of-environment")
    assert "post-link-script-not-run" not in workshop.warnings
    assert "hooked" in workshop.warnings["post-link-script"]


@pytest.mark.parametrize(("engine", "said"), [("layers", "post-link-script-not-run"), ("docker", "post-link-script")])
def test_a_plan_names_the_scripts_that_a_build_names(
    workshop: Workshop, hooked: Channel, tmp_path: Path, engine: str, said: str
) -> None:
    """Before the build, the user knows of them. The docker engine's micromamba runs them."""
    events: list[Event] = []
    lockfile = explicit(hooked, tmp_path / "explicit.txt")
    plan.run(
        plan_request(lockfile=lockfile, engine=engine, store_dir=workshop.store, base=workshop.base), events.append
    )
    found = {event.code: event.message for event in events if isinstance(event, Warning)}
    assert "hooked-1-0" in found[said]


@pytest.mark.parametrize("built", [False, True])
def test_strict_ends_the_build_of_a_script(
    workshop: Workshop, hooked: Channel, tmp_path: Path, built: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No image is written, also if the layers exist already. Without the package, the build succeeds."""
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(tmp_path / "cache"))
    lockfile = of_public(explicit(hooked, tmp_path / "explicit.txt"), hooked, tmp_path / "cache")
    if built:
        workshop.image(lockfile, "first")
    with pytest.raises(NotReproducible, match="post-link script"):
        workshop.image(lockfile, "strict", strict=True)
    assert not (tmp_path / "strict.tar").exists()
    plain = of_public(explicit(hooked, tmp_path / "plain.txt", "plain"), hooked, tmp_path / "cache")
    workshop.image(plain, "strict", strict=True)
    assert (tmp_path / "strict.tar").exists()


def test_strict_ends_the_docker_engines_build(
    docker_workshop: DockerWorkshop, hooked: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """micromamba runs the script. What the script makes is in no package."""
    monkeypatch.setenv("CONDA_PKGS_DIRS", str(tmp_path / "cache"))
    lockfile = of_public(explicit(hooked, tmp_path / "explicit.txt"), hooked, tmp_path / "cache")
    with pytest.raises(NotReproducible, match="which micromamba runs in the build: hooked-1-0"):
        docker_workshop.build(
            lockfile, reference=docker_workshop.name(), load=True, strict=True, installer="micromamba"
        )


def test_each_installer_is_named() -> None:
    """py-rattler runs no script; conda and micromamba do."""
    paths = {"hooked-1-0": [SCRIPT.path], "plain-1-0": ["bin/plain-post-link.sh"]}
    events: list[Event] = []
    for installer in ("conda", "micromamba", "rattler", ""):
        report_link_scripts(paths, paths, events.append, installer=installer, strict=False)
    warnings = [event for event in events if isinstance(event, Warning)]
    assert [warning.code for warning in warnings] == [*["post-link-script"] * 2, *["post-link-script-not-run"] * 2]
    assert "rattler does not run such scripts: hooked-1-0." in warnings[2].message


def test_strict_refuses_a_package_whose_files_are_not_known() -> None:
    """It may have a script. Without --strict, the layers engine has a warning for it."""
    with pytest.raises(NotReproducible, match="the files of gone-1-0 are not known"):
        report_link_scripts({}, ["gone-1-0"], lambda event: None, strict=True)
    report_link_scripts({}, ["gone-1-0"], lambda event: None, strict=False)
