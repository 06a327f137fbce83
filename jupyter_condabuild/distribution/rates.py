"""Rates: how fast earlier builds of this machine were, for the estimate of the next one. The local store keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.oci.layout import Store

_NAME = "rates"

_TELLING = 1 << 20
"""The smallest number of bytes from which a rate is measured. Fewer bytes take no time that a person notices."""

_FEW = 10e6
"""The rate of fewer bytes to or from a host to or from which no bytes have gone before."""

_LEAST_SECONDS = 0.01


@dataclass(frozen=True)
class Rates:
    """The rates of one machine, in bytes per second. The values of a new machine are those of a small laptop.

    `build` is the rate of making layers, in bytes of layers. `push` has the rate of sending bytes to each registry, and
    `fetch` that of fetching packages from each channel, by their hosts. `ratio` is the size of layers relative to the
    archives of their packages. `overhead` is the time in seconds of a build that fetches, makes and sends nothing.
    """

    build: float = 25e6
    push: Mapping[str, float] = field(default_factory=dict)
    fetch: Mapping[str, float] = field(default_factory=dict)
    ratio: float = 1.15
    overhead: float = 1.0

    @classmethod
    def read(cls, store: Store) -> Rates:
        """Returns the rates of the builds that used a store."""
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            value = json.loads(store.memory(_NAME))
            push, fetch = (
                {str(host): _positive(rate) for host, rate in value.get(name, {}).items()} for name in ("push", "fetch")
            )
            return cls(_positive(value["build"]), push, fetch, _positive(value["ratio"]), _positive(value["overhead"]))
        return cls()

    def seconds(self, built: int, sent: int, host: str, fetched: Mapping[str, int]) -> float:
        """Returns the estimated seconds of a build, see `unknown`. Layers are sent while others are made.

        Args:
            built: the number of bytes of the layers that are made.
            sent: the number of bytes that are sent.
            host: the registry to which they are sent.
            fetched: the number of bytes that are fetched from each host, all at the same time.
        """
        fetching = max((size / self.fetch.get(channel, _FEW) for channel, size in fetched.items()), default=0.0)
        return self.overhead + fetching + max(built / self.build, sent / self.push.get(host, _FEW))

    def unknown(self, sent: int, host: str, fetched: Mapping[str, int]) -> tuple[str, ...]:
        """Returns the hosts whose rate is not known, although it decides how long a build takes."""
        found = [channel for channel, size in fetched.items() if size >= _TELLING and channel not in self.fetch]
        found += [host] if sent >= _TELLING and host not in self.push else []
        return tuple(dict.fromkeys(found))

    def with_build(self, size: int, seconds: float) -> Rates:
        """Returns the rates after layers of `size` bytes were made in so many seconds."""
        if size < _TELLING:
            return self
        return replace(self, build=_mean(self.build, size / max(seconds, _LEAST_SECONDS), Rates.build))

    def with_archives(self, size: int, archives: int) -> Rates:
        """Returns the rates after layers of `size` bytes were made of archives of `archives` bytes."""
        return replace(self, ratio=_mean(self.ratio, size / archives, Rates.ratio)) if archives >= _TELLING else self

    def with_push(self, host: str, size: int, seconds: float) -> Rates:
        """Returns the rates after `size` bytes were sent in so many seconds."""
        if size < _TELLING:
            return self
        rate = size / max(seconds, _LEAST_SECONDS)
        return replace(self, push={**self.push, host: _mean(self.push.get(host, rate), rate)})

    def with_fetch(self, fetched: Mapping[str, int], seconds: float) -> Rates:
        """Returns the rates after so many bytes were fetched from each host, from all hosts in so many seconds."""
        rates = {host: size / max(seconds, _LEAST_SECONDS) for host, size in fetched.items() if size >= _TELLING}
        means = {host: _mean(self.fetch.get(host, rate), rate) for host, rate in rates.items()}
        return replace(self, fetch={**self.fetch, **means})

    def with_overhead(self, seconds: float) -> Rates:
        """Returns the rates after a build that took so many seconds longer than making and sending its bytes."""
        return replace(self, overhead=_mean(self.overhead, max(seconds, _LEAST_SECONDS), Rates.overhead))

    def keep(self, store: Store) -> None:
        """Writes the rates to a store. A store that cannot be written has no rates."""
        hosts = {"push": dict(self.push), "fetch": dict(self.fetch)}
        value = {"build": self.build, **hosts, "ratio": self.ratio, "overhead": self.overhead}
        with suppress(CondaBuildError, OSError):
            store.keep(_NAME, json.dumps(value).encode())


def _mean(before: float, now: float, first: float = 0.0) -> float:
    """Returns a mean in which the last build has as much weight as all builds before it.

    Args:
        first: the value of a new machine, which counts for nothing after the first build.
    """
    return now if before == first else (before + now) / 2


def _positive(value: object) -> float:
    number = float(str(value))
    if not 0 < number < 1e15:
        raise ValueError(f"{number} is not a rate.")
    return number
