"""Simulates a year of a lab from one seed: packages and their releases, environments, pushes and pulls."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from random import Random

from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.packages import CondaPackage

KILO = 1000
SIZES = {
    "library": (2238, 759, 738, 193, 156, 104, 92, 65, 62, 35, 21, 16),
    "extension": (57871, 53718, 40393, 21431, 18794, 16123, 12928, 12277, 8699, 7744, 7496, 5310, 4801, 4526, 1365,
                  1350, 1036, 906, 379, 375, 335, 295, 33),
    "noarch": (5991, 5763, 1866, 1343, 525, 397, 257, 204, 198, 151, 135, 132, 126, 123, 122, 122, 101, 96, 91, 83, 83,
               69, 68, 66, 64, 59, 57, 49, 34, 32, 29, 23, 17, 14, 13, 11, 9, 6),
}  # fmt: skip
"""The sizes of the archives in the benchmark environment, in kilobytes, by kind. The simulation draws from them."""

PYTHON_SIZE = 13660 * KILO
PYTHONS = {"3.11": 3, "3.12": 5, "3.13": 2}
"""The versions of Python, with the weight of each in the choice for an environment."""

WEEKS_BETWEEN_RELEASES = ((256 * KILO, 5), (4_000 * KILO, 8), (32_000 * KILO, 10), (1 << 62, 13))
"""The mean number of weeks for packages below a size in bytes. For libraries it is three times as long."""

ACTIVITY = {0.6: 15, 0.25: 35, 0.06: 50}
"""The probability that an environment changes in a week, with the percentage of environments that have it."""

CHANGES = {"update one": 50, "update a bundle": 15, "update all": 10, "add": 20, "remove": 5}
"""The kinds of changes, with the percentage of each."""

PULL_PROBABILITY = 0.7
"""The probability that a user of an environment pulls in a week in which its tag changed."""


@dataclass(frozen=True)
class Size:
    """The size of the lab.

    Args:
        people: the number of people.
        environments: the number of environments.
        weeks: the number of weeks.
        core: the number of projects that every environment has.
        bundles: the number of bundles: projects that are installed together.
        singles: the number of projects that are installed alone.
    """

    people: int = 100
    environments: int = 300
    weeks: int = 52
    core: int = 24
    bundles: int = 60
    singles: int = 500


@dataclass(frozen=True)
class Project:
    """A package with its releases.

    Args:
        kind: a key of `SIZES`.
        rank: the popularity; 0 is the most popular project.
        releases: the week of each release, and the size of its archive in bytes. The first one is in week 0.
    """

    name: str
    kind: str
    rank: int
    releases: tuple[tuple[int, int], ...]

    def newest(self, week: int) -> int:
        """Returns the index of the newest release in a week."""
        return sum(released <= week for released, _ in self.releases) - 1


@dataclass(frozen=True)
class Push:
    """The image of an environment is built and pushed to its tag."""

    week: int
    environment: int
    lockfile: Lockfile


@dataclass(frozen=True)
class Pull:
    """The node of a person pulls the tag of an environment."""

    week: int
    person: int
    environment: int


@dataclass(frozen=True)
class Lab:
    """The projects, and the events of the year in their order."""

    projects: tuple[Project, ...]
    events: tuple[Push | Pull, ...]

    @property
    def pushes(self) -> list[Push]:
        """The events that are pushes."""
        return [event for event in self.events if isinstance(event, Push)]


def make(seed: int, size: Size = Size()) -> Lab:
    """Simulates the lab of a seed. Equal seeds give equal labs."""
    world = _World(Random(f"packages {seed}"), size)
    chance = Random(f"people {seed}")
    environments = [_Environment(chance, world) for _ in range(size.environments)]
    users = _users(chance, size)
    events: list[Push | Pull] = []
    for week in range(size.weeks):
        for number, environment in enumerate(environments):
            changed = week == 0 or (chance.random() < environment.activity and environment.change(chance, world, week))
            if changed:
                events.append(Push(week, number, environment.lockfile(world)))
            events += [
                Pull(week, person, number)
                for person, since in users[number]
                if week == since or (changed and week > since and chance.random() < PULL_PROBABILITY)
            ]
    return Lab(tuple(world.projects), tuple(events))


def _users(chance: Random, size: Size) -> list[list[tuple[int, int]]]:
    """Returns the users of each environment, and the week from which on each user pulls it.

    An environment has one owner, from week 0. Each person also uses environments of others, popular ones more often.
    """
    users: list[dict[int, int]] = [{number % size.people: 0} for number in range(size.environments)]
    weights = _zipf(size.environments, 0.8)
    for person in range(size.people):
        for number in chance.choices(range(size.environments), cum_weights=weights, k=4):
            users[number].setdefault(person, chance.choice((0, chance.randrange(size.weeks))))
    return [sorted(since.items()) for since in users]


def _zipf(count: int, exponent: float) -> list[float]:
    return list(accumulate((rank + 1) ** -exponent for rank in range(count)))


class _World:
    """The projects of the channel, the most popular first, and the bundles of projects."""

    def __init__(self, chance: Random, size: Size) -> None:
        self.projects: list[Project] = []
        self._chance = chance
        self._weeks = size.weeks
        self.core = self._add(["library"] * (size.core * 2 // 3) + ["noarch"] * (size.core - size.core * 2 // 3))
        self.bundles: list[frozenset[int]] = []
        for rank in range(size.bundles):
            kinds = chance.choices(("noarch", "extension", "library"), (50, 35, 15), k=chance.randint(2, 14))
            below = chance.sample(self.bundles[:rank], min(rank, chance.choice((0, 0, 1, 2))))
            self.bundles.append(frozenset(self._add(kinds)).union(*below))
        self.singles = self._add(chance.choices(("noarch", "extension"), (85, 15), k=size.singles))
        self.bundle_weights = _zipf(size.bundles, 1.0)
        self.single_weights = _zipf(size.singles, 0.9)

    def _add(self, kinds: Sequence[str]) -> list[int]:
        first = len(self.projects)
        for kind in kinds:
            rank = len(self.projects)
            size = int(self._chance.choice(SIZES[kind]) * KILO * self._chance.lognormvariate(0, 0.3))
            pause = next(weeks for limit, weeks in WEEKS_BETWEEN_RELEASES if size < limit)
            pause *= 3 if kind == "library" else 1
            releases = [(0, size)]
            for week in range(1, self._weeks):
                if self._chance.random() < 1 / pause:
                    size = int(size * self._chance.lognormvariate(0.002, 0.02))
                    releases.append((week, size))
            # A hash: the alphabetical order of real packages does not depend on their popularity either.
            name = hashlib.sha256(f"{rank} {kind}".encode()).hexdigest()[:8].translate(_LETTERS)
            self.projects.append(Project(name, kind, rank, tuple(releases)))
        return list(range(first, len(self.projects)))


_LETTERS = str.maketrans("0123456789", "ghijklmnop")


class _Environment:
    """The projects in an environment, with the release of each. `change` changes the object."""

    def __init__(self, chance: Random, world: _World) -> None:
        self.activity = chance.choices(list(ACTIVITY), list(ACTIVITY.values()))[0]
        self.python = chance.choices(list(PYTHONS), list(PYTHONS.values()))[0]
        bundles = chance.choices(range(len(world.bundles)), cum_weights=world.bundle_weights, k=chance.randint(2, 12))
        singles = chance.choices(
            range(len(world.singles)), cum_weights=world.single_weights, k=int(chance.expovariate(1 / 15))
        )
        self.bundles = sorted(set(bundles))
        chosen = set(world.core).union(*(world.bundles[number] for number in self.bundles))
        chosen |= {world.singles[number] for number in singles}
        self.releases = dict.fromkeys(sorted(chosen), 0)

    def change(self, chance: Random, world: _World, week: int) -> bool:
        """Makes one random change. Returns whether the packages are different afterwards."""
        before = dict(self.releases)
        match chance.choices(list(CHANGES), list(CHANGES.values()))[0]:
            case "update one":
                self._update(world, week, [chance.choice(sorted(self.releases))])
            case "update a bundle":
                self._update(world, week, world.bundles[chance.choice(self.bundles)])
            case "update all":
                self._update(world, week, self.releases)
            case "add":
                (number,) = chance.choices(world.singles, cum_weights=world.single_weights)
                self.releases.setdefault(number, world.projects[number].newest(week))
            case _:
                removable = sorted(self.releases.keys() & set(world.singles))
                if removable:
                    del self.releases[chance.choice(removable)]
        return self.releases != before

    def _update(self, world: _World, week: int, numbers: Sequence[int] | frozenset[int] | dict[int, int]) -> None:
        for number in numbers:
            if number in self.releases:
                self.releases[number] = world.projects[number].newest(week)

    def lockfile(self, world: _World) -> Lockfile:
        """Returns the lock file of the installed packages."""
        packages = [_package(world.projects[number], release, self.python) for number, release in self.releases.items()]
        return of_packages("linux-64", [_python(self.python), *packages], ())


@cache
def _python(version: str) -> CondaPackage:
    return _conda("python", f"{version}.0", "h0_cpython", "linux-64", PYTHON_SIZE)


@cache
def _package(project: Project, release: int, python: str) -> CondaPackage:
    size = project.releases[release][1]
    if project.kind == "noarch":
        return _conda(project.name, f"1.{release}", "pyhd_0", "noarch", size)
    build = f"py{python.replace('.', '')}_0" if project.kind == "extension" else "h0_0"
    return _conda(project.name, f"1.{release}", build, "linux-64", size)


def _conda(name: str, version: str, build: str, subdir: str, size: int) -> CondaPackage:
    dist = f"{name}-{version}-{build}"
    return CondaPackage(
        name=name,
        version=version,
        build=build,
        subdir=subdir,
        url=f"https://conda.example.org/lab/{subdir}/{dist}.conda",
        sha256=hashlib.sha256(dist.encode()).hexdigest(),
        size=size,
        depends=("python >=3.10",) if subdir == "noarch" else (),
        noarch="python" if subdir == "noarch" else "",
    )
