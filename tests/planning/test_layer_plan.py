"""Each package is in one layer, within the budget. The choice of the layer does not depend on other packages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.errors import LockfileError
from jupyter_condabuild.planning.layer_plan import BINS, THRESHOLDS, LayerPlan, layer_key, plan_layers

SITE = "lib/python3.11/site-packages"
KEY = "63cf9c56ed069f1c5a4934adabce766e72f7675f8f6917c7f70a27ee3b217f48"


def package(name: str, size: int = 1000, *, noarch: bool = False, depends: tuple[str, ...] = ()) -> CondaPackage:
    subdir = "noarch" if noarch else "linux-64"
    return CondaPackage(
        name=name,
        version="1.0",
        build="0",
        subdir=subdir,
        url=f"https://conda.example.org/lab/{subdir}/{name}-1.0-0.conda",
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        md5="0" * 32,
        size=size,
        depends=("python >=3.8",) if noarch else depends,
        noarch="python" if noarch else "",
    )


def lock(*packages: CondaPackage) -> Lockfile:
    return of_packages("linux-64", packages, ())


SIZES = st.one_of(st.integers(0, 1 << 30), st.sampled_from([size + by for size in THRESHOLDS[:-1] for by in (0, 1)]))
PACKAGES = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True), SIZES, max_size=70).map(
    lambda sizes: tuple(package(name, size) for name, size in sizes.items())
)
BUDGETS = st.integers(1, 120)


def places(planned: LayerPlan) -> dict[str, tuple[str, ...]]:
    """Returns, for each package, the packages in the same layer."""
    return {item.name: layer.names for layer in planned.layers for item in layer.packages}


@given(PACKAGES, BUDGETS)
def test_every_package_is_in_exactly_one_layer(packages: tuple[CondaPackage, ...], budget: int) -> None:
    """No package is lost, no package comes twice, and no layer is empty."""
    planned = plan_layers(lock(*packages), budget=budget)
    assert sorted(item for layer in planned.layers for item in layer.packages) == sorted(packages)
    assert all(layer.packages for layer in planned.layers)


@given(PACKAGES, BUDGETS)
def test_the_budget_is_kept(packages: tuple[CondaPackage, ...], budget: int) -> None:
    """The budget is kept for any number of packages. Below it, all packages except small ones have their own layer."""
    planned = plan_layers(lock(*packages), budget=budget)
    assert len(planned.layers) <= budget
    if len(packages) <= budget:
        assert planned.threshold == THRESHOLDS[0]
    shared = [item.size or 0 for layer in planned.layers for item in layer.packages if len(layer.packages) > 1]
    assert all(size < planned.threshold for size in shared)


@given(PACKAGES, BUDGETS, st.randoms())
def test_the_order_of_the_packages_does_not_matter(
    packages: tuple[CondaPackage, ...], budget: int, chance: object
) -> None:
    """The plan depends on the set of packages."""
    shuffled = list(packages)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_layers(lock(*packages), budget=budget) == plan_layers(lock(*shuffled), budget=budget)


@given(PACKAGES, st.integers(BINS, 120), SIZES)
def test_an_added_or_removed_package_moves_no_other(packages: tuple[CondaPackage, ...], budget: int, size: int) -> None:
    """As long as the threshold is the same, the other packages keep their layers and their order."""
    before, after = (
        plan_layers(lock(*packages), budget=budget),
        plan_layers(lock(*packages, package("New", size)), budget=budget),
    )
    if before.threshold == after.threshold:
        kept = [tuple(name for name in layer.names if name != "New-1.0-0") for layer in after.layers]
        assert [names for names in kept if names] == [layer.names for layer in before.layers]


@given(PACKAGES.filter(bool), BUDGETS, st.data())
def test_a_changed_package_changes_one_key(
    packages: tuple[CondaPackage, ...], budget: int, data: st.DataObject
) -> None:
    """A rebuild of about the same size changes only the key of its layer."""
    chosen = data.draw(st.sampled_from(packages))
    others = [item for item in packages if item != chosen]
    rebuilt = replace(chosen, build="1", url=chosen.url.replace("-0.conda", "-1.conda"), sha256="f" * 64)
    before, after = (plan_layers(lock(*others, item), budget=budget) for item in (chosen, rebuilt))
    keys = [[layer.key for layer in planned.layers] for planned in (before, after)]
    assert len(keys[0]) == len(keys[1])
    changed = [number for number, pair in enumerate(zip(*keys, strict=True)) if pair[0] != pair[1]]
    assert [chosen in before.layers[number].packages for number in changed] == [True]


def test_large_packages_are_below_small_ones() -> None:
    """Large packages seldom change, and the layers above need no new pull. Then the name counts; bins come last."""
    sizes = {"a": 10, "b": 100 << 20, "c": 5 << 20, "d": 200 << 20, "e": 6 << 20, "f": 20}
    planned = plan_layers(lock(*(package(name, size) for name, size in sizes.items())), budget=96)
    *large, one, other = [layer.packages[0].name for layer in planned.layers]
    assert (large, {one, other}) == (["b", "d", "c", "e"], {"a", "f"})
    small = [package(f"s{number}", 10) for number in range(200)]
    planned = plan_layers(lock(package("big", 1 << 30), *small), budget=30)
    assert planned.layers[0].names == ("big-1.0-0",)
    assert all(len(layer.packages) > 1 for layer in planned.layers[1:])


def test_a_small_change_of_the_size_does_not_matter() -> None:
    """A rebuild that is some bytes larger keeps its place."""
    others = [package(f"p{number}", 5 << 20) for number in range(20)]
    one, two = (plan_layers(lock(*others, package("p7x", size)), budget=96) for size in (5 << 20, 15 << 20))
    assert list(places(one)) == list(places(two))


KEY_FIELDS: list[tuple[str, Callable[[CondaPackage], CondaPackage], bool]] = [
    ("url", lambda item: replace(item, url=item.url.replace("lab", "forge")), True),
    ("sha256", lambda item: replace(item, sha256="f" * 64), True),
    ("md5", lambda item: replace(item, md5="f" * 32), True),
    ("size", lambda item: replace(item, size=5), False),
    ("depends", lambda item: replace(item, depends=(*item.depends, "zlib")), False),
    ("build_number", lambda item: replace(item, build_number=3), False),
    ("constrains", lambda item: replace(item, constrains=("numpy <2",)), False),
]


@pytest.mark.parametrize(("field", "change", "shows"), KEY_FIELDS, ids=[name for name, _, _ in KEY_FIELDS])
@pytest.mark.parametrize("noarch", [False, True])
def test_a_key_depends_on_the_bytes_of_the_layer(
    field: str, change: Callable[[CondaPackage], CondaPackage], shows: bool, noarch: bool
) -> None:
    """The key depends on URL and hashes, which conda-meta in the image contains, but not on later repodata patches."""
    item = package("numpy", noarch=noarch)
    assert (layer_key([item], SITE, True) != layer_key([change(item)], SITE, True)) is shows


def test_site_packages_changes_only_the_keys_of_noarch_python_packages() -> None:
    """Environments with different Python versions share the other layers."""
    other = "lib/python3.12/site-packages"
    for noarch in (False, True):
        item = package("numpy", noarch=noarch)
        assert (layer_key([item], SITE, True) != layer_key([item], other, True)) is noarch


def test_without_bytecode_only_layers_with_noarch_packages_differ() -> None:
    """The other layers keep their keys. A layer that also contains a noarch package has another key."""
    locked = lock(package("numpy"), package("tqdm", noarch=True), package("zlib"))
    usual, lean = plan_layers(locked, budget=96), plan_layers(locked, budget=96, bytecode=False, native=True)
    assert {layer.names for layer in lean.layers if layer not in usual.layers} == {("tqdm-1.0-0",)}
    assert [layer.compiled for layer in plan_layers(locked, budget=1, bytecode=False, native=True).layers] == [False]


def test_nothing_is_compiled_if_the_environments_python_cannot_run() -> None:
    """A plan for another platform has no key of a plan that compiles."""
    locked = lock(package("numpy"), package("tqdm", noarch=True))
    usual, foreign = plan_layers(locked, budget=96), plan_layers(locked, budget=96, bytecode=False)
    assert not any(layer.compiled for layer in foreign.layers)
    assert not {layer.key for layer in usual.layers} & {layer.key for layer in foreign.layers}


@pytest.mark.parametrize("false", [{"name": "numpy2"}, {"version": "9"}, {"build": "9"}])
def test_a_name_that_is_not_the_archives_is_part_of_the_key(false: dict[str, str]) -> None:
    """A layer that was made for one name is not reused for another name, which nobody has compared with the archive."""
    item = package("numpy")
    assert layer_key([item], SITE, True) != layer_key([replace(item, **false)], SITE, True)  # type: ignore[arg-type]


def test_a_key_depends_on_bytecode() -> None:
    """A layer without bytecode is another layer."""
    assert layer_key([package("numpy")], SITE, True) != layer_key([package("numpy")], SITE, False)


def test_a_fixed_package_has_a_fixed_key() -> None:
    """Labs find their layers in the registry by these keys.

    A change of this key means that they build everything again.
    """
    assert layer_key([package("numpy", noarch=True)], SITE, True) == KEY


@pytest.mark.parametrize("lacking", [{"sha256": ""}, {"size": None}])
def test_a_package_without_hash_or_size_is_an_error(lacking: dict[str, None]) -> None:
    """The error names the package."""
    with pytest.raises(LockfileError, match=r"numpy-1\.0-0"):
        plan_layers(lock(replace(package("numpy"), **lacking)), budget=10)
