"""What a plan says before a build is what the build sends, in each situation that a user meets."""

from __future__ import annotations

import random
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from jupyter_condabuild.engines.layers import sampling
from jupyter_condabuild.engines.layers.sampling import SampledFile, compressed_size
from jupyter_condabuild.jobs import plan
from jupyter_condabuild.jobs.plan import LayersPreview
from jupyter_condabuild.oci import layer
from jupyter_condabuild.oci.layer import Entry
from tests.parts.builds import Workshop, explicit, install, small_channel
from tests.parts.channel import prefix as prefixes
from tests.parts.channel.channel import Channel
from tests.parts.channel.package import File, Metadata
from tests.parts.jobs import plan_request, silent
from tests.parts.registry.faults import FakeRegistry
from tests.parts.registry.pushing import connect, opener
from tests.parts.small_image import image, programs, tar

SPECS = ("python", "requests", "tqdm", "pip", "changing=1.0")
CHOICE = random.Random(7)
WORDS = [CHOICE.randbytes(4).hex() for _ in range(4000)]


def data(size: int) -> bytes:
    """Returns bytes of which a part can be compressed, like the tables of a laboratory."""
    text = " ".join(CHOICE.choices(WORDS, k=size // 18)).encode()
    return text + CHOICE.randbytes(size - len(text))


@dataclass
class World:
    """A user with an environment, a store and a repository, and the registry of somebody else."""

    workshop: Workshop
    prefix: Path
    registry: str
    other: FakeRegistry
    channel_url: str
    package_cache: Path
    tmp: Path
    name: str = field(default_factory=lambda: f"plan-bytes/{uuid.uuid4().hex}")

    @property
    def reference(self) -> str:
        return f"{self.registry}/{self.name}/env:v1"

    def push(self, **request: Any) -> None:
        """Pushes the image as it is before the change that a test plans."""
        self.workshop.build(self.prefix, push=True, **{"reference": self.reference, **request})

    def new_store(self) -> None:
        """Forgets everything that this machine has built."""
        shutil.rmtree(self.workshop.store)

    def plan(self, source: Path | None = None, **request: Any) -> LayersPreview:
        source = source or self.prefix
        what = {"lockfile" if source.is_file() else "prefix": source}
        known = {"base": self.workshop.base, "store_dir": self.workshop.store, "trusted_repositories": ("*",)}
        known["trusted_repositories"] = self.workshop.trusted
        made = plan.run(plan_request(**{**what, **known, **request}), silent)
        assert isinstance(made, LayersPreview)
        return made


@pytest.fixture
def world(
    workshop: Workshop,
    registry: str,
    fake_registry: FakeRegistry,
    channel_url: str,
    package_cache: Path,
    tmp_path: Path,
) -> World:
    prefix = prefixes.create(tmp_path / "env", SPECS, channel_url, package_cache)
    return World(workshop, prefix, registry, fake_registry, channel_url, package_cache, tmp_path)


Situation = Callable[[World], dict[str, Any]]


def plain(world: World) -> dict[str, Any]:
    return {}


def foreign_file(world: World) -> dict[str, Any]:
    (world.prefix / "data.bin").write_bytes(data(6_000_000))
    return {}


def new_files(world: World) -> dict[str, Any]:
    world.push()
    foreign_file(world)
    return {}


def unchanged(world: World) -> dict[str, Any]:
    (world.tmp / "project").mkdir()
    (world.tmp / "project/notes.txt").write_bytes(data(50_000))
    foreign_file(world)
    world.push(include=str(world.tmp / "project"))
    return {"include": str(world.tmp / "project")}


def changed_package(world: World) -> dict[str, Any]:
    foreign_file(world)
    world.push()
    shutil.rmtree(world.prefix)
    prefixes.create(world.prefix, (*SPECS[:-1], "changing=1.1"), world.channel_url, world.package_cache)
    return {}


def added_packages(world: World) -> dict[str, Any]:
    world.push()
    shutil.rmtree(world.prefix)
    prefixes.create(world.prefix, (*SPECS, "xyzkernel", "greet", "plaindata"), world.channel_url, world.package_cache)
    return {}


def known_elsewhere(world: World) -> dict[str, Any]:
    cache = f"{world.registry}/{world.name}/elsewhere:v1"
    world.push(reference=cache)
    world.new_store()
    return {"reference": f"{world.other.host}/team/env:v1", "cache_from": (cache,)}


def other_repository(world: World) -> dict[str, Any]:
    cache = f"{world.registry}/{world.name}/elsewhere:v1"
    world.push(reference=cache)
    return {"cache_from": (cache,)}


def pushed_elsewhere(world: World) -> dict[str, Any]:
    world.push(reference=f"{world.registry}/{world.name}/elsewhere:v1")
    world.push(reference=f"{world.other.host}/team/env:v1")
    return {}


def pushed_elsewhere_and_cached(world: World) -> dict[str, Any]:
    pushed_elsewhere(world)
    return {"cache_from": (f"{world.other.host}/team/env:v1",)}


def included(world: World) -> dict[str, Any]:
    folder = world.tmp / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "table.csv").write_bytes(data(2_000_000))
    (folder / "src/main.py").write_text("print(1)\n" * 1000)
    return {"include": str(folder)}


def included_file(world: World) -> dict[str, Any]:
    world.push()
    (world.tmp / "table.csv").write_bytes(data(2_000_000))
    return {"include": str(world.tmp / "table.csv")}


def editable(world: World) -> dict[str, Any]:
    world.push()
    source = world.tmp / "mylib"
    (source / "mylib").mkdir(parents=True)
    (source / "mylib/__init__.py").write_text("X = 1\n")
    (source / "mylib/table.bin").write_bytes(data(1_500_000))
    site = world.prefix / next(iter(world.prefix.glob("lib/python3*/site-packages"))).relative_to(world.prefix)
    info = site / "mylib-1.0.dist-info"
    info.mkdir()
    (site / "__editable__.mylib.pth").write_text(f"{source}\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylib\nVersion: 1.0\n")
    (info / "INSTALLER").write_text("pip\n")
    (info / "direct_url.json").write_text(f'{{"url": "file://{source}", "dir_info": {{"editable": true}}}}')
    (info / "RECORD").write_text(
        "__editable__.mylib.pth,,\nmylib-1.0.dist-info/METADATA,,\nmylib-1.0.dist-info/INSTALLER,,\n"
        "mylib-1.0.dist-info/direct_url.json,,\nmylib-1.0.dist-info/RECORD,,\n"
    )
    return {}


def pip_package(world: World) -> dict[str, Any]:
    world.push()
    site = next(iter(world.prefix.glob("lib/python3*/site-packages")))
    for folder in ("rich_copy", "rich_copy-1.0.dist-info"):
        (site / folder).mkdir()
    # The modules of a real package, under another name.
    modules = sorted((site / "pip/_vendor/rich").glob("*.py"))
    for module in modules:
        (site / "rich_copy" / module.name).write_bytes(module.read_bytes())
    (site / "rich_copy-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: rich_copy\nVersion: 1.0\n")
    (site / "rich_copy-1.0.dist-info/INSTALLER").write_text("pip\n")
    lines = [f"rich_copy/{module.name},," for module in modules]
    lines += [f"rich_copy-1.0.dist-info/{name},," for name in ("METADATA", "INSTALLER", "RECORD")]
    (site / "rich_copy-1.0.dist-info/RECORD").write_text("\n".join([*lines, ""]))
    return {}


def base_mounted(world: World) -> dict[str, Any]:
    return {"base": _base(world, "base")}


def base_there(world: World) -> dict[str, Any]:
    return {"base": _base(world, "env")}


def base_copied(world: World) -> dict[str, Any]:
    return {"base": _base(world, "base"), "reference": f"{world.other.host}/team/env:v1"}


def _base(world: World, name: str) -> str:
    made = image([programs(), tar({"etc/large": data(3_000_000)})])
    with connect(world.registry) as registry:
        repository = registry.repository(f"{world.name}/{name}")
        for blob in (made.manifest.config, *made.manifest.layers):
            repository.push(blob, opener(b"".join(made.read(blob))))
        repository.push_manifest(made.manifest, "base")
    return f"{world.registry}/{world.name}/{name}:base"


def pool(world: World) -> dict[str, Any]:
    pool = f"{world.registry}/{world.name}/layers"
    world.push(reference=f"{world.registry}/{world.name}/labmate:v1", layer_pool=pool)
    world.new_store()
    return {"layer_pool": pool}


def untrusted_pool(world: World) -> dict[str, Any]:
    given = pool(world)
    world.workshop.trusted = ()
    return given


SITUATIONS: dict[str, tuple[Situation, set[str]]] = {
    "a first build": (plain, {"built and uploaded"}),
    "a first build with a foreign file": (foreign_file, {"built and uploaded"}),
    "new files": (new_files, {"there"}),
    "nothing changed": (unchanged, {"there"}),
    "one package changed": (changed_package, {"there", "built and uploaded"}),
    "packages added": (added_packages, {"there", "built and uploaded"}),
    "an empty registry, and layers in another registry": (known_elsewhere, {"copied"}),
    "another repository of the registry": (other_repository, {"mounted"}),
    "a repository of the registry that only this machine remembers": (pushed_elsewhere, {"mounted"}),
    "a later push to another registry": (pushed_elsewhere_and_cached, {"mounted"}),
    "an included folder": (included, {"built and uploaded"}),
    "an included file": (included_file, {"there"}),
    "an editable install": (editable, {"there"}),
    "a package of pip": (pip_package, {"there"}),
    "a base that the registry mounts": (base_mounted, {"built and uploaded"}),
    "a base that the repository has": (base_there, {"built and uploaded"}),
    "a base in another registry": (base_copied, {"built and uploaded"}),
    "a layer pool": (pool, {"mounted"}),
    "a layer pool that nobody trusts": (untrusted_pool, {"built"}),
}
"""Each situation, and the states of its package layers."""


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_bytes_of_the_plan_are_sent(situation: str, world: World) -> None:
    """The plan says the bytes that the build sends, with an error of at most a tenth."""
    prepare, states = SITUATIONS[situation]
    given = {"reference": world.reference, **prepare(world)}
    said = world.plan(**given)
    finished = world.workshop.build(world.prefix, push=True, **given).event
    sent = finished.bytes_pushed
    assert said.bytes_to_push == pytest.approx(sent, rel=0.1, abs=500)
    assert {part.state for part in said.forecast.parts if part.kind == "package"} == states
    assert sum((finished.sent or {}).values()) == sent
    assert bool((finished.sent or {}).get("copied")) == (states == {"copied"})
    if sent:
        assert sent > 5_000, "the situation sends too little to prove something"
    else:
        assert said.bytes_to_push == 0


@pytest.mark.parametrize("situation", ["a base that the registry mounts", "a base that the repository has"])
def test_the_plan_says_where_the_base_comes_from(situation: str, world: World) -> None:
    """A base in the repository is there, a base in another repository is mounted from it by name."""
    given = {"reference": world.reference, **SITUATIONS[situation][0](world)}
    parts = [part for part in world.plan(**given).forecast.parts if part.kind == "base"]
    expected = {"there": ("there", ""), "mounted": ("mounted", f"{world.name}/base")}
    assert {(part.state, part.source) for part in parts} == {expected["mounted" if "mounts" in situation else "there"]}


def test_what_is_copied_names_its_registry(world: World) -> None:
    """The sentence says that the bytes come from another registry through this machine."""
    given = known_elsewhere(world)
    said = world.plan(**given)
    assert f"copied from {world.registry} through this machine" in said.sentence
    assert said.changed == 0


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_an_archive_has_the_size_that_the_plan_says(world: World, form: str) -> None:
    """For an archive, the plan says the size of the whole image, with the base."""
    foreign_file(world)
    said = world.plan()
    assert (said.compared, said.bytes_to_push) == (False, 0)
    path = world.tmp / "image.tar"
    world.workshop.build(
        world.prefix, archive=f"{'docker-archive:' if form == 'docker' else ''}{path}", reference="x/y:1"
    )
    assert said.forecast.size == pytest.approx(path.stat().st_size, rel=0.1)


def test_an_engine_gets_the_bytes_that_the_plan_says(
    world: World, docker_client: docker.DockerClient, base_reference: str
) -> None:
    """For an engine, the plan says the size of the image that is sent to the engine."""
    name = f"condabuild-test/{uuid.uuid4().hex}:1"
    said = world.plan(base=base_reference)
    result = world.workshop.build(world.prefix, load=True, reference=name, base=base_reference)
    docker_client.images.remove(name, force=True)
    assert said.forecast.size == pytest.approx(result.event.size, rel=0.1)


def test_a_lock_file_has_estimates_from_its_archives(
    workshop: Workshop, registry: str, tmp_path: Path, world: World
) -> None:
    """Without an environment the sizes come from the archives, with the ratio of earlier builds."""
    packages = [(Metadata(f"p{n}", "1", noarch="generic"), [File(f"share/p{n}", data(900_000))]) for n in range(4)]
    channel: Channel = small_channel(tmp_path / "channel", packages)
    prefix = install(tmp_path / "small", channel, *(f"p{n}" for n in range(4)))
    workshop.build(prefix, archive=str(tmp_path / "earlier.tar"))
    packages = [(Metadata(f"q{n}", "1", noarch="generic"), [File(f"share/q{n}", data(900_000))]) for n in range(4)]
    lockfile = explicit(small_channel(tmp_path / "more", packages), tmp_path / "explicit.txt")
    reference = f"{registry}/{world.name}/lock:v1"
    said = world.plan(lockfile, reference=reference)
    sent = workshop.build(lockfile, reference=reference, push=True).event.bytes_pushed
    assert said.bytes_to_push == pytest.approx(sent, rel=0.1)


def test_a_base_that_does_not_answer_is_said(world: World) -> None:
    """The plan counts what it knows, and says what is missing."""
    said = world.plan(base="localhost:1/no/base:1", reference=world.reference)
    assert not said.forecast.base_known
    assert "its bytes are not counted" in said.sentence
    assert said.bytes_to_push > 1_000_000


@pytest.mark.parametrize("level", [0, 1, 3])
def test_a_sample_estimates_a_layer(tmp_path: Path, level: int) -> None:
    """The sample of many files gives the size of the real layer; no more than a part of the bytes is read."""
    files = []
    for number in range(300):
        path = tmp_path / f"file{number:03}"
        path.write_bytes(data(CHOICE.randrange(200, 200_000)))
        files.append(SampledFile(f"opt/env/{path.name}", str(path), path.stat().st_size))
    with (tmp_path / "layer").open("wb") as out:
        written = layer.write([Entry(file.path, source=file.source, root=str(tmp_path)) for file in files], out, level)
    assert compressed_size(files, level) == pytest.approx(written.descriptor.size, rel=0.1)
    assert sum(file.size for file in files) / 4 > sampling.MOST * sampling.RUN


def test_a_sample_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that vanishes, a link and a pipe do not stop an estimate."""
    (tmp_path / "link").symlink_to("/dev/zero")
    files = [SampledFile(name, str(tmp_path / name), 1000) for name in ("gone", "link")]
    assert compressed_size(files, 1) > 0
    assert compressed_size([], 1) > 0
