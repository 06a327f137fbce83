"""The simulated lab of `benchmarks.scale`: what a pull costs, how layers make an image, and that a seed is a lab."""

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
    """What each image costs a node that gets them one after another."""
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
    """By both rules."""
    assert pulls((A, B, C)) == [Pulled(chain=111, blob=111, layers=3)]


def test_an_image_that_is_there_costs_nothing() -> None:
    """Nor does one that is the lower part of it."""
    assert pulls((A, B, C), (A, B, C), (A, B))[1:] == [Pulled(0, 0, 0)] * 2


def test_a_changed_layer_costs_a_graphdriver_all_above_it_and_containerd_its_blob() -> None:
    """A chain id is of a layer and everything below it."""
    changed = Layer("b2", 20, ())
    assert pulls((A, B, C), (A, changed, C))[1] == Pulled(chain=21, blob=20, layers=2)
    assert pulls((A, B, C), (A, B, Layer("c2", 2, ())))[1] == Pulled(chain=2, blob=2, layers=1)


def test_another_order_is_downloaded_again_by_a_graphdriver_alone() -> None:
    """The blobs are the same."""
    assert pulls((A, B, C), (B, A, C))[1] == Pulled(chain=111, blob=0, layers=3)


def test_a_seed_is_a_lab() -> None:
    """The same each time, and another one than that of another seed."""
    assert make(1, SMALL_LAB) == make(1, SMALL_LAB)
    assert make(1, SMALL_LAB) != make(2, SMALL_LAB)


def test_a_lab_is_known_by_its_events() -> None:
    """Each environment is pushed before anybody pulls it; a push changes something; releases are never taken back."""
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


def test_our_policy_is_our_plan() -> None:
    """The planner's own layers, keys and order; its constants are its own again afterwards."""
    for push in make(1, SMALL_LAB).pushes:
        planned = planning.plan_layers(push.lockfile, budget=10)
        layers = Planned("ours", 10).image(push.lockfile, None).layers
        assert [(layer.key, layer.packages) for layer in layers] == [(one.key, one.packages) for one in planned.layers]
        other = Planned("coarse", 10, COARSE, bins=3).image(push.lockfile, None)
        assert sum(len(layer.packages) > 1 for layer in other.layers) <= 3
        assert planning.plan_layers(push.lockfile, budget=10) == planned


def test_an_order_moves_layers_of_one_package_alone() -> None:
    """What shares a layer stays on top."""
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


def test_some_packages_alone_and_one_layer_for_the_rest() -> None:
    """With none alone, it is the one layer of a Dockerfile."""
    lockfile = lock(*(package(name, size=size) for name, size in (("a", 1), ("b", 3), ("c", 2))))
    image = Alone("largest", 2, lambda item: -(item.size or 0)).image(lockfile, None)
    assert [[item.name for item in layer.packages] for layer in image.layers] == [["b"], ["c"], ["a"]]
    assert [layer.size for layer in Alone("one").image(lockfile, None).layers] == [6]


def test_a_stacked_update_adds_what_changed_and_takes_away_what_went() -> None:
    """The image below stays as it is; the old versions in it are stale."""
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
    """Nothing below it is in its way."""
    policy = Stacked("stacked", 0.5)
    image = policy.image(lock(package("a"), package("b")), policy.image(lock(package("a")), None))
    assert [layer.packages for layer in image.layers] == [(package("a"),), (package("b"),)]


def test_a_stacked_image_is_made_afresh_when_too_much_of_it_is_stale() -> None:
    """Then it is the canonical one, whatever was below."""
    policy = Stacked("stacked", 0.5)
    states = [lock(package("a", size=80_000), package("b", str(version), size=40_000)) for version in range(3)]
    image = policy.image(states[1], policy.image(states[0], None))
    assert not image.canonical
    assert policy.image(states[2], image) == policy.canonical.image(states[2], None)


def test_a_stacked_image_is_made_afresh_when_a_layer_comes_back() -> None:
    """It cannot be hidden and seen."""
    policy = Stacked("stacked", 0.9)
    one, two = (lock(package("a", size=80_000), package("b", version, size=10_000)) for version in "12")
    image = policy.image(two, policy.image(one, None))
    assert not image.canonical
    assert policy.image(one, image).canonical


def test_a_stacked_image_is_made_afresh_when_it_has_too_many_layers() -> None:
    """Engines cannot mount more."""
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
    """Two environments that share a package; one of them gets another version of its other one; who pulls has both."""
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


def test_a_year_adds_up(two_weeks: Lab) -> None:
    """Each repository is sent the shared package, but not with a pool, and not twice; a registry keeps it once."""
    year = simulation.run(two_weeks, Planned("ours"))
    assert year.pushed_alone == 110_000 + 101_000 + 10_000
    assert year.pushed == 110_000 + 1000 + 10_000
    assert year.chain == year.blob == 110_000 + 1000 + 10_000
    assert year.updates == [Pulled(10_000, 10_000, 1)]
    assert (year.layers, year.canonical) == ([2, 2, 2], 3)
    whole = simulation.run(two_weeks, Alone("one"))
    assert whole.pushed == whole.pushed_alone == whole.chain == 110_000 + 101_000 + 110_000


def test_every_policy_shows_every_package_and_has_a_row() -> None:
    """Whatever it does with layers, what a container sees is the lock file's, and layers keep to the engines' limit."""
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


def test_a_full_store_is_one_that_builds_have_left(tmp_path: Path) -> None:
    """It knows a layer for each of their changes, and its blobs are where it says."""
    growth.fill(tmp_path, range(3))
    keys = [path.stem for path in (tmp_path / "layers").iterdir()]
    assert len(keys) == 3 * growth.CHANGED
    with Store(tmp_path) as store:
        for layer in map(store.layer, keys):
            assert layer is not None
            assert b"".join(store.read(layer.blob.descriptor))


def test_growth_is_told_from_step_to_step() -> None:
    """How many times more there was, and how many times more of the processors it took."""
    steps = [
        growth.Step(10, {"plan": growth.Figure(0.6, 0.5), "open": growth.Figure(0.002, 0.001)}),
        growth.Step(100, {"plan": growth.Figure(9.0, 2.0), "open": growth.Figure(0.002, 0.001)}),
    ]
    assert growth.table("packages", steps).splitlines()[2:] == [
        "| 10 |  | 0.60 s (0.50 s) | 2.00 ms (1.00 ms) |",
        "| 100 | 10 | 9.00 s (2.00 s), 4.0 | 2.00 ms (1.00 ms), 1.0 |",
    ]
