"""Solves an environment again for another platform: each package as close to the environment's as the others allow."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from jupyter_condabuild.conda.clients import make_client
from jupyter_condabuild.conda.cross.conflicts import named_in, offered
from jupyter_condabuild.conda.cross.levels import Level, ladder
from jupyter_condabuild.conda.cross.source import Installed
from jupyter_condabuild.conda.cross.target import Target
from jupyter_condabuild.conda.match_specs import split_depend
from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.errors import NotCompatible, PackageNotFound
from jupyter_condabuild.text import listed

_SECONDS = 600
_MOST_SOLVES = 24
"""After so many solutions, no package is moved closer any more: the solver takes up to a second for each."""

_AT_ONCE = 40
"""The number of names that are asked for at once: all records of so many packages are in memory."""

_NAMED = 3
"""The number of packages that an error names: a solver's text may have hundreds."""

_OTHER_SYSTEMS = frozenset(("__osx", "__win"))
_WORD = re.compile(r"[\w.-]+")
_PYTHON = re.compile(r"py(\d{2,})|cp(\d{2,})")


class Solver:
    """The solver of one environment and one platform. It reads channels, and runs no program of a package."""

    def __init__(self, items: Sequence[Installed], channels: Sequence[str], target: Target) -> None:
        """Makes a solver.

        Args:
            items: the packages of the environment, without those that the other platform cannot have.
            channels: the URLs of the channels, in order of priority.
        """
        import rattler

        self._items = {item.name: item for item in items}
        self._channels = list(channels)
        self._target = target
        self._gateway = rattler.Gateway(client=make_client(channels, retries=2, seconds=_SECONDS))
        self._solves = 0
        self._elsewhere: set[str] = set()  # the packages that another channel has, too
        self._ladders: dict[str, list[tuple[Level, str]]] = {}
        self._alike: dict[str, list[Any]] = {}  # the records with the version of the environment, by name
        self._twins: dict[tuple[str, str], Any] = {}
        self.versions: dict[str, frozenset[str]] = {}

    async def read(self) -> None:
        """Reads what the channels have under the names of the packages. Raises PackageNotFound."""
        names = sorted(self._items)
        for start in range(0, len(names), _AT_ONCE):
            try:
                found = await self._query(names[start : start + _AT_ONCE])
            except Exception as error:  # noqa: BLE001  rattler raises many types
                raise PackageNotFound(
                    f"The channels of the environment cannot be read: {_words(error)}",
                    "Check that this machine can reach the channels.",
                ) from None
            by_name: dict[str, list[Any]] = {}
            for record in (record for records in found for record in records):
                if not _for_another_system(record):
                    by_name.setdefault(record.name.normalized, []).append(record)
            for name, records in by_name.items():
                self._keep(self._items[name], records)

    async def _query(self, names: Sequence[str]) -> Any:
        platforms: Any = [self._target.platform, "noarch"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return await self._gateway.query(
                self._channels, platforms, names, recursive=False, channel_relations="disabled"
            )

    def _keep(self, item: Installed, records: list[Any]) -> None:
        """Keeps the versions of a package, and the records that the ladder needs: a channel may have thousands."""
        name = item.name
        if own := [record for record in records if _channel_of(record) == item.package.channel]:
            self._elsewhere |= {name} if len(own) < len(records) else set()
            records = own
        self.versions[name] = frozenset(str(record.version) for record in records)
        self._ladders[name] = ladder(item, records)
        self._alike[name] = [record for record in records if str(record.version) == item.package.version]

    async def solve(self) -> list[Any]:
        """Returns the records of the other platform.

        The first solution has the requested versions; among these, the solver prefers the closest builds. Then each
        package that is not at its closest level is moved there, as far as the others, which stay, allow it.

        Raises NotCompatible, with the solver's reason.
        """
        ladders = self._ladders
        state = {name: len(steps) - 1 for name, steps in ladders.items()}
        while isinstance(result := await self._attempt(ladders, state), str):
            optional = {name for name in state if state[name] < len(ladders[name]) and not self._items[name].needed}
            optional &= {name for name in optional if self._items[name].wanted}
            blamed = optional.intersection(_WORD.findall(result)) or optional
            if not blamed:
                raise self._unsolvable(result)
            for name in blamed:
                state[name] = len(ladders[name])  # it is not there
        return await self._step_up(state, result)

    def _unsolvable(self, reason: str) -> NotCompatible:
        """Returns the error of requested packages that do not fit each other, from the solver's text."""
        start = f"The packages that were requested have no solution for {self._target.platform}"
        named = named_in(reason, [name for name, item in self._items.items() if item.wanted])[:_NAMED]
        if not named:
            return NotCompatible(
                f"{start}: {reason}",
                "Request other versions in the environment, or leave a package out: --leave-out NAME.",
            )
        specs = [self._items[name].requested or name for name in named]
        fault = f"{specs[0]} does not fit {listed(specs[1:])}" if specs[1:] else f"{specs[0]} is not possible there"
        there = " ".join(offered(name, self.versions.get(name, ())) for name in named)
        return NotCompatible(
            f"{start}: {fault}. {there}",
            f"Request another version of {' or '.join(named)} in the environment, or leave a package out: --leave-out "
            f"{named[0]}.",
        )

    async def _step_up(self, state: dict[str, int], best: list[Any]) -> list[Any]:
        """Moves packages to closer levels: all together, then without those that the solver names, then one by one."""
        self._settle(state, best)
        there = {record.name.normalized for record in best}
        names = [name for name in sorted(state) if state[name] and (name in there or self._items[name].wanted)]
        while names and self._solves < _MOST_SOLVES:
            result = await self._attempt(self._ladders, {**state, **dict.fromkeys(names, 0)})
            if isinstance(result, list):
                best = result
                break
            blamed = set(names).intersection(_WORD.findall(result)) or set(names[len(names) // 2 :])
            names = [name for name in names if name not in blamed]
        self._settle(state, best)
        for name in sorted(state, key=lambda name: (not self._items[name].requested, name)):
            for step in range(state[name] if name in there or self._items[name].wanted else 0):
                if self._solves >= _MOST_SOLVES:
                    return best
                result = await self._attempt(self._ladders, {**state, name: step})
                if isinstance(result, list):
                    best = result
                    self._settle(state, best)
                    break
        return best

    def _settle(self, state: dict[str, int], records: Sequence[Any]) -> None:
        """Moves each package to the closest step that its record is on: later solutions keep it there."""
        there = {record.name.normalized: record for record in records}
        state |= {name: _reached(steps, there.get(name), state[name]) for name, steps in self._ladders.items()}

    async def _attempt(
        self, ladders: Mapping[str, list[tuple[Level, str]]], state: Mapping[str, int]
    ) -> list[Any] | str:
        """Solves once. Returns the records, or the reason why there is no solution."""
        import rattler
        from rattler.exceptions import SolverError

        self._solves += 1
        specs: list[str] = []
        constraints: list[str] = []
        twins: list[Any] = []
        for name, steps in ladders.items():
            if state[name] == len(steps):  # nobody requested it
                continue
            spec = steps[state[name]][1]
            if self._items[name].wanted:
                specs.append(spec)
            elif spec != name:
                constraints.append(spec)
            if (name, spec) not in self._twins:
                self._twins[name, spec] = self._twin(name, spec)
            if twin := self._twins[name, spec]:
                twins.append(twin)
        platforms: Any = [self._target.platform, "noarch"]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return await rattler.solve(
                    self._channels,
                    [self._with_channel(spec) for spec in specs],
                    self._gateway,
                    platforms=platforms,
                    locked_packages=twins,  # the solver prefers them
                    virtual_packages=self._target.virtual_packages(),
                    constraints=constraints,
                    channel_relations="disabled",
                    timeout=timedelta(seconds=_SECONDS),
                )
        except SolverError as error:
            return _words(error)
        except Exception as error:  # noqa: BLE001  rattler raises many types
            raise PackageNotFound(
                f"The packages for {self._target.platform} cannot be found: {_words(error)}",
                "Check that this machine can reach the channels.",
            ) from None

    def _with_channel(self, spec: str) -> Any:
        """Returns the spec, with its channel if another channel has the package, too."""
        from rattler import MatchSpec

        name, version = split_depend(spec)
        if name not in self._elsewhere:
            return MatchSpec(spec)
        inner = version.strip("[]") if version.startswith("[") else f"version='{version or '*'}'"
        return MatchSpec(f"{name}[{inner}, channel='{self._items[name].package.channel}']")

    def _twin(self, name: str, spec: str) -> Any:
        """Returns the candidate at this level that is most like the package of the environment."""
        from rattler import MatchSpec

        match, package = MatchSpec(spec), self._items[name].package
        alike = [record for record in self._alike[name] if match.matches(record)]
        if not alike:
            return None
        parts = set(package.build.split("_")) | set(_python_of(package.build))

        def likeness(record: Any) -> tuple[int, int, str]:
            build = str(record.build)
            return len(parts & (set(build.split("_")) | set(_python_of(build)))), record.build_number, build

        return max(alike, key=likeness)


def _reached(steps: Sequence[tuple[Level, str]], record: Any, step: int) -> int:
    """Returns the closest step of a ladder that a record is on; without a record, the given step."""
    from rattler import MatchSpec

    if record is None:
        return step
    return next((index for index, (_, spec) in enumerate(steps) if MatchSpec(spec).matches(record)), step)


def explain_missing(names: Sequence[str], target: Target) -> NotCompatible:
    """Returns the error of packages that are wanted, and of which no channel has a build for the platform."""
    return NotCompatible(
        f"The channels of the environment have no package for {target.platform} of {listed(sorted(names))}.",
        f"If the image can do without: --leave-out {sorted(names)[0]}. Otherwise remove the package from the "
        "environment, or add a channel that has it.",
    )


def _for_another_system(record: Any) -> bool:
    """Whether a noarch package is for macOS or Windows alone, as its dependencies say."""
    return record.subdir == "noarch" and any(split_depend(depend)[0] in _OTHER_SYSTEMS for depend in record.depends)


def _channel_of(record: Any) -> str:
    return str(record.url).rsplit("/", 2)[0]


def _python_of(build: str) -> list[str]:
    return [first or second for first, second in _PYTHON.findall(build)]


def _words(error: Exception) -> str:
    return " ".join(scrub(str(error)).split())
