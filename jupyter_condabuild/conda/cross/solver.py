"""Solves an environment again for another platform: each package as close to the environment's as the others allow."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from jupyter_condabuild.conda.clients import make_client
from jupyter_condabuild.conda.cross.counterparts import counterpart
from jupyter_condabuild.conda.cross.levels import Level, ladder
from jupyter_condabuild.conda.cross.source import Installed
from jupyter_condabuild.conda.cross.target import Target
from jupyter_condabuild.conda.match_specs import split_depend
from jupyter_condabuild.conda.secrets import scrub
from jupyter_condabuild.errors import NotCompatible, PackageNotFound
from jupyter_condabuild.text import listed

_SECONDS = 600
_MOST_SOLVES = 60
"""The solver runs at most so often: a few packages may then be further from the environment's than they need to be."""

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
        self.candidates: dict[str, list[Any]] = {}

    async def read(self) -> None:
        """Reads what the channels have under the names of the packages. Raises PackageNotFound."""
        platforms: Any = [self._target.platform, "noarch"]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = await self._gateway.query(
                    self._channels, platforms, sorted(self._items), recursive=False, channel_relations="disabled"
                )
        except Exception as error:  # noqa: BLE001  rattler raises many types
            raise PackageNotFound(
                f"The channels of the environment cannot be read: {_words(error)}",
                "Check that this machine can reach the channels.",
            ) from None
        for records in found:
            for record in records:
                if not _for_another_system(record):
                    self.candidates.setdefault(record.name.normalized, []).append(record)
        for name, records in self.candidates.items():
            channel = self._items[name].package.channel
            if own := [record for record in records if _channel_of(record) == channel]:
                self._elsewhere |= {name} if any(_channel_of(record) != channel for record in records) else set()
                self.candidates[name] = own

    async def solve(self) -> list[Any]:
        """Returns the records of the other platform.

        All packages start at their closest levels. Packages that the solver names in a conflict step down. At the end,
        each of them steps up again as far as the others allow.

        Raises NotCompatible, with the solver's reason.
        """
        ladders = {
            name: ladder(item, found) for name, item in self._items.items() if (found := self.candidates.get(name))
        }
        ends = {name: len(steps) - (self._items[name].requested != "") for name, steps in ladders.items()}
        state = dict.fromkeys(ladders, 0)
        while True:
            result = await self._attempt(ladders, state)
            if isinstance(result, list):
                break
            movable = {name for name in state if state[name] < ends[name]}
            blamed = movable.intersection(_WORD.findall(result)) or movable
            if not blamed or self._solves > _MOST_SOLVES:
                raise NotCompatible(
                    f"The packages that were requested have no solution for {self._target.platform}: {result}",
                    "Request other versions in the environment, or leave a package out: --leave-out NAME.",
                )
            for name in blamed:
                state[name] += 1
        lower = sorted(
            (name for name in state if state[name]), key=lambda name: (not self._items[name].requested, name)
        )
        return await self._step_up(lower, ladders, state, result)

    async def _step_up(
        self, names: list[str], ladders: Mapping[str, list[tuple[Level, str]]], state: dict[str, int], best: list[Any]
    ) -> list[Any]:
        """Moves packages to closer levels, in halves: a few packages in conflict need few attempts."""
        if not names or self._solves > _MOST_SOLVES:
            return best
        trial = {**state, **dict.fromkeys(names, 0)}
        result = await self._attempt(ladders, trial)
        if isinstance(result, list):
            state.update(trial)
            return result
        if len(names) > 1:
            half = len(names) // 2
            best = await self._step_up(names[:half], ladders, state, best)
            return await self._step_up(names[half:], ladders, state, best)
        for step in range(1, state[names[0]]):
            result = await self._attempt(ladders, {**state, names[0]: step})
            if isinstance(result, list):
                state[names[0]] = step
                return result
        return best

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
            (specs if self._items[name].wanted else constraints).append(spec)
            if twin := self._twin(name, spec):
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
        found = [record for record in self.candidates[name] if match.matches(record)]
        if package.version not in {str(record.version) for record in found}:
            return None
        parts = set(package.build.split("_")) | set(_python_of(package.build))
        alike = [record for record in found if str(record.version) == package.version]

        def likeness(record: Any) -> tuple[int, int, str]:
            build = str(record.build)
            return len(parts & (set(build.split("_")) | set(_python_of(build)))), record.build_number, build

        return max(alike, key=likeness)


def cannot_have(items: Iterable[Installed], platform: str) -> set[str]:
    """Returns the names of the packages that a platform cannot have."""
    return {item.name for item in items if counterpart(item.name, platform)}


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
