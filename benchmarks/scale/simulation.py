"""Runs a lab's year under a policy, and adds up what the registry holds and what goes over the wire."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.report import markdown
from benchmarks.scale.lab import Lab, Pull
from benchmarks.scale.nodes import Chains, Node, Pulled
from benchmarks.scale.policies import Image, Policy


@dataclass
class Totals:
    """Bytes of a year under one policy, and layers an image.

    `pushed` is with a pool of layers for the whole lab, and what the registry keeps either way, a blob once;
    `pushed_alone` is where a push finds only what its own repository has. `chain` and `blob` are as in `Pulled`;
    `updates` are the pulls of people who had an older image of the tag. `canonical` counts the images that their lock
    file alone decides.
    """

    name: str
    pushed: int = 0
    pushed_alone: int = 0
    chain: int = 0
    blob: int = 0
    canonical: int = 0
    layers: list[int] = field(default_factory=list)
    updates: list[Pulled] = field(default_factory=list)

    def add(self, pulled: Pulled, *, update: bool) -> None:
        """Counts a pull."""
        self.chain += pulled.chain
        self.blob += pulled.blob
        if update:
            self.updates.append(pulled)

    def summary(self) -> dict[str, Any]:
        """The figures for a program."""
        value = asdict(self)
        value["layers"] = {"mean": statistics.mean(self.layers), "max": max(self.layers)}
        value["updates"] = {
            "count": len(self.updates),
            **{
                f"{rule}_{name}": fold([getattr(pulled, rule) for pulled in self.updates] or [0])
                for rule in ("chain", "blob", "layers")
                for name, fold in (("median", statistics.median), ("mean", statistics.mean))
            },
        }
        return value


def run(lab: Lab, policy: Policy) -> Totals:
    """The year of a lab. Nothing is ever deleted: not in the registry, not on a node."""
    totals = Totals(policy.name)
    chains = Chains()
    tags: dict[int, Image] = {}
    repositories: dict[int, set[str]] = defaultdict(set)
    everywhere: set[str] = set()
    nodes: dict[int, Node] = defaultdict(Node)
    pulled_before: set[tuple[int, int]] = set()
    chain_ids: dict[int, list[int]] = {}
    for event in lab.events:
        number = event.environment
        if isinstance(event, Pull):
            pulled = nodes[event.person].pull(tags[number].layers, chain_ids[number])
            totals.add(pulled, update=(event.person, number) in pulled_before)
            pulled_before.add((event.person, number))
            continue
        tags[number] = image = policy.image(event.lockfile, tags.get(number))
        chain_ids[number] = chains.of(image.layers)
        sizes = {layer.key: layer.size for layer in image.layers}
        totals.layers.append(len(image.layers))
        totals.canonical += image.canonical
        totals.pushed_alone += sum(size for key, size in sizes.items() if key not in repositories[number])
        totals.pushed += sum(size for key, size in sizes.items() if key not in everywhere)
        repositories[number] |= sizes.keys()
        everywhere |= sizes.keys()
    return totals


def describe(lab: Lab, seed: int) -> str:
    """The lab in a paragraph."""
    first = [push for push in lab.pushes if push.week == 0]
    packages = [len(push.lockfile.conda) for push in first]
    sizes = [sum(package.size or 0 for package in push.lockfile.conda) for push in first]
    pulls = [event for event in lab.events if isinstance(event, Pull)]
    changed = _changed(lab)
    return (
        f"Seed {seed}: {len({pull.person for pull in pulls})} people, {len(first)} environments of {min(packages)} to "
        f"{max(packages)} packages (mean {statistics.mean(packages):.0f}) and {min(sizes) / 1e6:.0f} to "
        f"{max(sizes) / 1e6:.0f} MB of archives (mean {statistics.mean(sizes) / 1e6:.0f}), from {len(lab.projects)} "
        f"projects; {len(changed)} changed images in a year, by {statistics.median(changed):.0f} packages "
        f"(median; mean {statistics.mean(changed):.0f}); {len(pulls)} pulls."
    )


def _changed(lab: Lab) -> list[int]:
    last: dict[int, set[object]] = {}
    found = []
    for push in lab.pushes:
        packages: set[object] = set(push.lockfile.conda)
        if push.environment in last:
            found.append(len(packages - last[push.environment]))
        last[push.environment] = packages
    return found


def table(years: Iterable[Totals]) -> str:
    """Gigabytes of a year, in Markdown."""
    lines = [
        ["policy", "layers: mean, most", "in the registry, pushed with a pool", "pushed without",
         "pulled: Docker, containerd", "an update's pull, Docker: median, mean", "canonical images"],
        ["---"] * 7,
    ]  # fmt: skip
    for year in years:
        value = year.summary()
        lines.append(
            [
                year.name,
                f"{value['layers']['mean']:.0f}, {value['layers']['max']}",
                f"{year.pushed / 1e9:.1f} GB",
                f"{year.pushed_alone / 1e9:.0f} GB",
                f"{year.chain / 1e9:.0f}, {year.blob / 1e9:.0f} GB",
                f"{value['updates']['chain_median'] / 1e6:.1f}, {value['updates']['chain_mean'] / 1e6:.0f} MB",
                f"{year.canonical / len(year.layers):.0%}",
            ]
        )
    return markdown(lines)
