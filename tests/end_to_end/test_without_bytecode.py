"""An image without the bytecode of noarch packages: its files, its layers, its verification and its use."""

from __future__ import annotations

import json
import marshal
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.conda.locking import lock
from jupyter_condabuild.conda.prefix.records import PrefixRecord
from jupyter_condabuild.conda.prefix.snapshot import snapshot
from jupyter_condabuild.errors import NotVerified
from jupyter_condabuild.events import Event, Log, Warning
from jupyter_condabuild.jobs import plan, up_to_date
from jupyter_condabuild.jobs.proof import layers
from jupyter_condabuild.planning.layer_plan import plan_layers
from jupyter_condabuild.requests.build import BuildRequest
from jupyter_condabuild.server import schemas
from jupyter_condabuild.settings import Settings
from tests.parts.builds import Package, Workshop, install, small_channel
from tests.parts.channel.bytecode import SITE_PACKAGES
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.command_line import CommandLine
from tests.parts.image_tree import SavedImage
from tests.parts.jobs import build_request, exchange_layer, plan_request, verified

KEY = "org.jupyter.condabuild.layer.key"
PACKAGES = "org.jupyter.condabuild.layer.packages"


@pytest.fixture(scope="module")
def lean(session_workshop: Workshop, rattler_prefix: Path, rattler_image: SavedImage) -> SavedImage:
    """The image of `rattler_prefix` without bytecode, built after the image with bytecode."""
    return session_workshop.image(rattler_prefix, "lean", bytecode=False)


def keys(image: SavedImage) -> dict[str, str]:
    """Returns the packages of each package layer, and its key."""
    notes = [layer.get("annotations", {}) for layer in image.manifest["layers"]]
    return {note[PACKAGES]: note[KEY] for note in notes if PACKAGES in note}


def noarch(prefix: Path) -> set[str]:
    """Returns the layers of a prefix with noarch Python packages, by the names of all their packages."""
    python = {record.dist for record in snapshot(prefix).records if record.noarch == "python"}
    layers = plan_layers(lock(snapshot(prefix)), budget=96).layers
    return {" ".join(layer.names) for layer in layers if python.intersection(layer.names)}


def bytecode(tree: Any) -> set[str]:
    return {path for path in tree if path.endswith(".pyc")}


def test_only_the_bytecode_of_packages_is_there(lean: SavedImage, rattler_prefix: Path) -> None:
    """Every module and every other file is there. Records list the existing files."""
    brought = {
        entry.path for record in snapshot(rattler_prefix).records for entry in record.paths if entry.kind != "pyc_file"
    }
    assert bytecode(lean.tree()) == bytecode(brought)
    assert len(bytecode(lean.tree())) > 100
    for path in lean.tree():
        if path.startswith("conda-meta/") and path.endswith(".json"):
            record = PrefixRecord.parse(json.loads(lean.read(f"opt/env/{path}")), Path(path))
            assert bytecode(record.files) <= lean.tree().keys(), path


def test_only_bytecode_is_left_out(lean: SavedImage, rattler_image: SavedImage) -> None:
    """Except for bytecode and its entries in records, both images are the same."""
    one, other = (
        {path: node for path, node in image.tree().items() if "__pycache__" not in path and "conda-meta" not in path}
        for image in (lean, rattler_image)
    )
    assert one == other
    size, usual = (sum(layer["size"] for layer in image.manifest["layers"]) for image in (lean, rattler_image))
    assert size < usual


def test_layers_of_other_packages_are_the_same(
    lean: SavedImage, rattler_image: SavedImage, rattler_prefix: Path
) -> None:
    """Such layers have the same keys, so that a build of the other kind reuses them."""
    one, other = keys(lean), keys(rattler_image)
    assert {names for names in one if one[names] != other[names]} == noarch(rattler_prefix)
    same = {names for names in one if one[names] == other[names]}
    assert len(same) > 5
    assert all(lean.package_layers[names] == rattler_image.package_layers[names] for names in same)


def test_only_layers_of_noarch_packages_are_built_again(workshop: Workshop, rattler_prefix: Path) -> None:
    """A build of the other kind finds all other layers in the store.

    A build of the first kind then finds all layers.
    """
    workshop.image(rattler_prefix, bytecode=False)
    others = {dist for names in noarch(rattler_prefix) for dist in names.split()}
    for wanted, built in ((True, others), (False, set())):
        workshop.image(rattler_prefix, bytecode=wanted)
        assert workshop.layers("built") == built


@pytest.mark.parametrize("budget", [96, 3])
def test_the_image_is_always_the_same(
    rattler_prefix: Path, conda_prefix: Path, tmp_path: Path, small_base: str, budget: int
) -> None:
    """The image is the same from another prefix, in another store, and with own and shared layers."""
    made = []
    for name, prefix in {"rattler": rattler_prefix, "conda": conda_prefix}.items():
        (tmp_path / name).mkdir()
        image = Workshop(tmp_path / name, small_base).image(prefix, bytecode=False, layer_budget=budget)
        made.append(image.package_layers)
    assert made[0] == made[1]


def test_pip_packages_are_not_compiled(workshop: Workshop, rattler_prefix: Path, tmp_path: Path) -> None:
    """The overlay has no bytecode either. The store does not use the overlay of the other kind."""
    prefix = tmp_path / "env"
    shutil.copytree(rattler_prefix, prefix, symlinks=True)
    (prefix / SITE_PACKAGES / "mine.py").write_text("MINE = 1\n")
    for wanted in (True, False, True):
        tree = workshop.image(prefix, bytecode=wanted).tree()
        assert f"{SITE_PACKAGES}/mine.py" in tree
        assert any("__pycache__/mine." in path for path in tree) is wanted


def test_the_image_is_verified(lean: SavedImage, rattler_prefix: Path, tmp_path: Path) -> None:
    """Every package is the same. A changed package is named."""
    found = verified(lean.archive, tmp_path / "verifying")
    assert {dist for names in noarch(rattler_prefix) for dist in names.split()} <= set(found.proved)
    assert not found.differs
    exchange_layer(lean.archive, "tqdm-", tmp_path / "evil")
    with pytest.raises(NotVerified, match=r"\d differ\): .*tqdm-"):
        verified(tmp_path / "evil", tmp_path / "verifying")


def test_bytecode_for_another_processor_is_not_an_error(
    rattler_image: SavedImage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If the image's Python cannot run here, and the Python of this machine differs, the bytecode is not verified."""
    monkeypatch.setattr(layers, "runs_here", lambda platform: False)
    monkeypatch.setattr(layers, "is_like_ours", lambda python: False)
    found = verified(rattler_image.archive, tmp_path / "verifying")
    assert found.differs == ()
    assert any("the bytecode of" in reason for reason in found.unproved)


def module(name: str, text: bytes, *depends: str, native: bool = False) -> Package:
    """Returns a package with the module ``shared`` without bytecode."""
    folder = SITE_PACKAGES if native else "site-packages"
    needs = ("python", *depends)
    metadata = Metadata(name, "1.0", noarch=None if native else "python", depends=needs)
    return metadata, [File(f"{folder}/shared.py", text)]


@pytest.fixture(scope="module")
def mixed(channel: Channel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix in which a platform package and a noarch package have a module of the same size, without bytecode."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "channel/linux-64").mkdir(parents=True)
    for path in channel.archives:
        if path.parent.name == "linux-64":
            shutil.copy(path, folder / "channel/linux-64")
    packages = [module("a", b"FROM = 'a'\n", native=True), module("b", b"FROM = 'b'\n", "a")]
    return install(folder / "env", small_channel(folder / "channel", packages), "b")


def test_bytecode_belongs_to_the_module_of_its_package(mixed: Path, workshop: Workshop, tmp_path: Path) -> None:
    """If a module is compiled in one of two layers, the image has the bytecode of its own module."""
    image = workshop.image(mixed, bytecode=False)
    (pyc,) = (path for path in image.tree() if "/shared." in path and path.endswith(".pyc"))
    namespace: dict[str, str] = {}
    exec(marshal.loads(image.read(f"opt/env/{pyc}")[16:]), namespace)
    assert image.read(f"opt/env/{SITE_PACKAGES}/shared.py") == b"FROM = 'b'\n"
    assert namespace["FROM"] == "b"
    assert not verified(image.archive, tmp_path / "verifying").differs


@pytest.mark.parametrize("wanted", [True, False])
def test_the_image_is_stacked_on_an_image_with_bytecode(
    workshop: Workshop, conda_prefix: Path, registry: str, tmp_path: Path, wanted: bool
) -> None:
    """A container shows no bytecode of the image below."""
    tag = f"{registry}/stacked/{uuid.uuid4().hex}:latest"
    for bytecode in (not wanted, wanted):
        given: dict[str, Any] = {"reference": tag, "push": True, "stack": True, "bytecode": bytecode}
        stacked = workshop.image(conda_prefix, "stacked", **given)
    assert any("Stacked on" in event.text for event in workshop.events if isinstance(event, Log))
    canonical = workshop.image(conda_prefix, "canonical", bytecode=wanted)
    assert stacked.tree() == canonical.tree()
    assert not verified(tag, tmp_path / "verifying").differs


def test_the_stored_result_of_one_kind_is_not_used_for_the_other() -> None:
    """The stored result depends on the request."""
    given: dict[str, Any] = {"lockfile": "/none", "reference": "lab.org/x:1", "push": True}
    one, other = (up_to_date.identity(build_request(**given, bytecode=wanted)) for wanted in (True, False))
    assert one != other


@pytest.mark.parametrize(
    ("variable", "option", "wanted"), [("false", None, False), ("false", True, True), ("", None, True)]
)
def test_the_setting_is_the_default(variable: str, option: bool | None, wanted: bool) -> None:
    """The variable sets it, and an option has priority."""
    settings = Settings().with_environment({"CONDABUILD_BYTECODE": variable})
    assert BuildRequest.of(settings, prefix="/env", archive="x.tar", bytecode=option).bytecode is wanted


def test_the_plan_of_the_command_line(rattler_prefix: Path, tmp_path: Path) -> None:
    """With --no-bytecode or the variable, the plan has other layers only for noarch packages."""
    run = CommandLine(tmp_path)
    usual, by_option, by_variable = (
        {" ".join(layer["packages"]): layer["key"] for layer in run(*command, "--json", environ=environ).json["layers"]}
        for command, environ in (
            (("plan", rattler_prefix), {}),
            (("plan", rattler_prefix, "--no-bytecode"), {}),
            (("plan", rattler_prefix), {"CONDABUILD_BYTECODE": "0"}),
        )
    )
    assert by_option == by_variable
    assert {name for name in usual if usual[name] != by_option[name]} == noarch(rattler_prefix)


def test_the_server_accepts_the_option() -> None:
    """The option is a member of the body of a build and of a snapshot."""
    asked = b'{"prefix": "/env", "bytecode": false}'
    assert schemas.job(asked)[1]["bytecode"] is False
    assert schemas.snapshot(asked)["bytecode"] is False


@pytest.mark.parametrize("bytecode", [True, False])
def test_the_docker_engine_warns_that_the_installer_decides(
    rattler_prefix: Path, tmp_path: Path, bytecode: bool
) -> None:
    """Only the installer decides whether modules are compiled. A plan and a build without bytecode give a warning."""
    events: list[Event] = []
    asked = plan_request(prefix=rattler_prefix, store_dir=tmp_path, engine="docker", bytecode=bytecode)
    plan.run(asked, events.append)
    said = [event.message for event in events if isinstance(event, Warning) and event.code == "bytecode-of-installer"]
    assert [("micromamba" in text) for text in said] == ([] if bytecode else [True])


@pytest.fixture
def loaded(
    session_workshop: Workshop, rattler_prefix: Path, base_reference: str, docker_client: docker.DockerClient
) -> Iterator[str]:
    name = f"localhost/lean:{uuid.uuid4().hex}"
    session_workshop.build(rattler_prefix, reference=name, load=True, base=base_reference, bytecode=False)
    yield name
    docker_client.images.remove(name, force=True)


def test_a_container_compiles_imported_modules(loaded: str, docker_client: docker.DockerClient) -> None:
    """Noarch packages are compiled each time, because the container's user cannot write to their folders."""
    command = ["python", "-v", "-c", "import tqdm; print('it is', tqdm.tqdm.__name__)"]
    out = docker_client.containers.run(loaded, command, network_mode="none", remove=True, stderr=True)
    lines = [line for line in out.decode().splitlines() if "tqdm" in line]
    assert "it is tqdm" in lines
    assert any(line.startswith("# code object from") and line.endswith("tqdm/std.py") for line in lines)
    assert not [line for line in lines if " matches " in line or line.startswith("# wrote")]
