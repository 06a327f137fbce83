"""The simulated lab of `benchmarks.scale`: the bytes of a pull, the layers of an image, and the random events."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.scale import growth, simulation
from benchmarks.scale.lab import Lab, Pull, Push, Size, make
from benchmarks.scale.nodes import Chains, Node, Pulled
from benchmarks.scale.policies import COARSE, MOST_LAYERS, Alone, Layer, Planned, Stacked, policies
from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.oci.layout import Store
from jupyter_condabuild.planning import layer_plan as planning

SMALL_LAB = Size(people=4, environments=5, weeks=8, core=6, bundles=5, singles=20)
A, B, C = (Layer(name, size, ()) for name, size in (("a", 100), ("b", 10), ("c", 1)))


def pulls(*images: tuple[Layer, ...]) -> list[Pulled]:
    """Returns the bytes that a node downloads for each image, if it pulls the images one after another."""
    chains, node = Chains(), Node()
    return [node.pull(image, chains.of(image)) for image in images]


def package(name: str, version: str = "1", size: int = 1000) -> CondaPackage:
    dist = f"{name}-{version}-0"
    return CondaPackage(
        name=name,
        version=version,
        build="0",
        subdir="linux-64",
        url=f"https://conda.example.org/lab/linux-64/{dist}.conda",
        sha256=hashlib.sha256(dist.encode()).hexdigest(),
        size=size,
    )


def lock(*packages: CondaPackage) -> Lockfile:
    return of_packages("linux-64", packages, ())


def test_a_first_pull_gets_everything() -> None:
    """A first pull downloads all bytes, by both rules."""
    assert pulls((A, B, C)) == [Pulled(chain=111, blob=111, layers=3)]


def test_an_existing_image_needs_no_download() -> None:
    """An image that is the lower part of an existing image needs no download either."""
    assert pulls((A, B, C), (A, B, C), (A, B))[1:] == [Pulled(0, 0, 0)] * 2


def test_a_changed_layer_needs_all_layers_above_with_a_graphdriver_and_only_its_blob_with_containerd() -> None:
    """A chain id depends on a layer and on all layers below it."""
    changed = Layer("b2", 20, ())
    assert pulls((A, B, C), (A, changed, C))[1] == Pulled(chain=21, blob=20, layers=2)
    assert pulls((A, B, C), (A, B, Layer("c2", 2, ())))[1] == Pulled(chain=2, blob=2, layers=1)


def test_another_order_needs_a_download_only_with_a_graphdriver() -> None:
    """The blobs are the same."""
    assert pulls((A, B, C), (B, A, C))[1] == Pulled(chain=111, blob=0, layers=3)


def test_a_seed_gives_one_lab() -> None:
    """The same seed gives the same lab, and another seed gives another lab."""
    assert make(1, SMALL_LAB) == make(1, SMALL_LAB)
    assert make(1, SMALL_LAB) != make(2, SMALL_LAB)


def test_the_events_of_a_lab_are_consistent() -> None:
    """Each environment is pushed before a pull, each push has a change, and no release is removed."""
    pushed: dict[int, Lockfile] = {}
    for event in make(1, SMALL_LAB).events:
        if isinstance(event, Pull):
            assert event.environment in pushed
        else:
            assert pushed.get(event.environment) != event.lockfile
            before = {item.name: item for item in pushed.get(event.environment, lock()).conda}
            for item in event.lockfile.conda:
                old = before.get(item.name, item)
                assert [*map(int, old.version.split("."))] <= [*map(int, item.version.split("."))]
            pushed[event.environment] = event.lockfile
    assert len(pushed) == SMALL_LAB.environments


def test_our_policy_is_the_planners() -> None:
    """The policy has the planner's layers, keys and order. The planner's constants are restored afterwards."""
    for push in make(1, SMALL_LAB).pushes:
        planned = planning.plan_layers(push.lockfile, budget=10)
        layers = Planned("ours", 10).image(push.lockfile, None).layers
        assert [(layer.key, layer.packages) for layer in layers] == [(one.key, one.packages) for one in planned.layers]
        other = Planned("coarse", 10, COARSE, bins=3).image(push.lockfile, None)
        assert sum(len(layer.packages) > 1 for layer in other.layers) <= 3
        assert planning.plan_layers(push.lockfile, budget=10) == planned


def test_an_order_moves_only_layers_of_one_package() -> None:
    """Shared layers stay on top."""
    lockfile = lock(
        package("small-1", size=1),
        package("small-2", size=1),
        package("big", size=1 << 27),
        package("vast", size=1 << 28),
    )
    image = Planned("by name", 3, bins=1, order=lambda layer: (layer.packages[0].name,)).image(lockfile, None)
    assert [[item.name for item in layer.packages] for layer in image.layers] == [
        ["big"],
        ["vast"],
        ["small-1", "small-2"],
    ]


def test_some_packages_have_their_own_layer_and_the_others_share_one() -> None:
    """If no package has its own layer, the result is the layer of a Dockerfile."""
    lockfile = lock(*(package(name, size=size) for name, size in (("a", 1), ("b", 3), ("c", 2))))
    image = Alone("largest", 2, lambda item: -(item.size or 0)).image(lockfile, None)
    assert [[item.name for item in layer.packages] for layer in image.layers] == [["b"], ["c"], ["a"]]
    assert [layer.size for layer in Alone("one").image(lockfile, None).layers] == [6]


def test_a_stacked_update_adds_changed_layers_and_whiteouts() -> None:
    """The image below does not change. Its old versions are stale."""
    policy = Stacked("stacked", 0.5)
    first = lock(package("a", size=8000), package("b", size=2000), package("c", size=100))
    below = policy.image(first, None)
    assert below.canonical
    second = lock(package("a", size=8000), package("b", "2", size=2000))
    image = policy.image(second, below)
    assert not image.canonical
    assert image.layers[:3] == below.layers
    whiteouts, top = image.layers[3:]
    assert (whiteouts.packages, top.packages) == ((), (package("b", "2", size=2000),))
    assert image.stale == 2100 + whiteouts.size


def test_an_added_package_needs_no_whiteouts() -> None:
    """No file below conflicts with it."""
    policy = Stacked("stacked", 0.5)
    image = policy.image(lock(package("a"), package("b")), policy.image(lock(package("a")), None))
    assert [layer.packages for layer in image.layers] == [(package("a"),), (package("b"),)]


def test_a_stacked_image_with_too_many_stale_bytes_is_built_from_the_start() -> None:
    """The result is the canonical image, whatever the image below is."""
    policy = Stacked("stacked", 0.5)
    states = [lock(package("a", size=80_000), package("b", str(version), size=40_000)) for version in range(3)]
    image = policy.image(states[1], policy.image(states[0], None))
    assert not image.canonical
    assert policy.image(states[2], image) == policy.canonical.image(states[2], None)


def test_a_stacked_image_is_built_from_the_start_for_a_restored_layer() -> None:
    """A layer cannot be both hidden and visible."""
    policy = Stacked("stacked", 0.9)
    one, two = (lock(package("a", size=80_000), package("b", version, size=10_000)) for version in "12")
    image = policy.image(two, policy.image(one, None))
    assert not image.canonical
    assert policy.image(one, image).canonical


def test_a_stacked_image_with_too_many_layers_is_built_from_the_start() -> None:
    """Engines cannot mount more layers."""
    policy = Stacked("stacked", 0.9)
    packages = [package(f"p{number}", size=1 << 20) for number in range(policy.canonical.budget)]
    image = policy.image(lock(*packages), None)
    layers = []
    for number in range(20):
        packages[number] = package(f"p{number}", "2", size=1 << 20)
        image = policy.image(lock(*packages), image)
        layers.append(len(image.layers))
    full = layers.index(MOST_LAYERS)
    assert layers[full + 1] == policy.canonical.budget


@pytest.fixture
def two_weeks() -> Lab:
    """Two environments share a package. One of them gets another version of its other package. A user pulls both."""
    a, b, c = (package(name, size=size) for name, size in (("a", 100_000), ("b", 10_000), ("c", 1000)))
    return Lab(
        (),
        (
            Push(0, 0, lock(a, b)),
            Push(0, 1, lock(a, c)),
            Pull(0, 7, 0),
            Pull(0, 7, 1),
            Push(1, 0, lock(a, replace(b, version="2", sha256="f" * 64))),
            Pull(1, 7, 0),
        ),
    )


def test_the_bytes_of_a_year_are_correct(two_weeks: Lab) -> None:
    """Each repository gets the shared package once, or never with a pool. The registry stores it once."""
    year = simulation.run(two_weeks, Planned("ours"))
    assert year.pushed_alone == 110_000 + 101_000 + 10_000
    assert year.pushed == 110_000 + 1000 + 10_000
    assert year.chain == year.blob == 110_000 + 1000 + 10_000
    assert year.updates == [Pulled(10_000, 10_000, 1)]
    assert (year.layers, year.canonical) == ([2, 2, 2], 3)
    whole = simulation.run(two_weeks, Alone("one"))
    assert whole.pushed == whole.pushed_alone == whole.chain == 110_000 + 101_000 + 110_000


def test_every_policy_shows_every_package_and_has_a_row() -> None:
    """For each policy, a container shows the packages of the lock file, and the layers keep the engines' limit."""
    lab = make(3, SMALL_LAB)
    compared = policies(lab)
    for policy in compared:
        image = None
        for push in [push for push in lab.pushes if push.environment == 0]:
            image = policy.image(push.lockfile, image)
            visible = [item for layer in image.layers if layer.key not in image.hidden for item in layer.packages]
            assert sorted(visible) == sorted(push.lockfile.conda)
            assert len(image.layers) <= MOST_LAYERS
    rows = simulation.table(simulation.run(lab, policy) for policy in compared).splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [policy.name for policy in compared]


def test_a_full_store_has_the_layers_of_earlier_builds(tmp_path: Path) -> None:
    """The store has a layer for each change of the earlier builds, with the blobs."""
    growth.fill(tmp_path, range(3))
    keys = [path.stem for path in (tmp_path / "layers").iterdir()]
    assert len(keys) == 3 * growth.CHANGED
    with Store(tmp_path) as store:
        for layer in map(store.layer, keys):
            assert layer is not None
            assert b"".join(store.read(layer.blob.descriptor))


def test_growth_is_reported_from_step_to_step() -> None:
    """The report has the factor of the size, and the factor of the processor time."""
    steps = [
        growth.Step(10, {"plan": growth.Figure(0.6, 0.5), "open": growth.Figure(0.002, 0.001)}),
        growth.Step(100, {"plan": growth.Figure(9.0, 2.0), "open": growth.Figure(0.002, 0.001)}),
    ]
    assert growth.table("packages", steps).splitlines()[2:] == [
        "| 10 |  | 0.60 s (0.50 s) | 2.00 ms (1.00 ms) |",
        "| 100 | 10 | 9.00 s (2.00 s), 4.0 | 2.00 ms (1.00 ms), 1.0 |",
    ]
