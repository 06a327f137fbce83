"""Runs the year of a lab under a policy, and adds up the bytes in the registry and the bytes that are transferred."""

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
    """The bytes of a year under one policy, and the layers of its images.

    Args:
        name: the name of the policy.
        pushed: the bytes that are pushed with a layer pool for the whole lab. The registry also keeps this number of
            bytes without a pool, because it stores each blob once.
        pushed_alone: the bytes that are pushed if a push finds only the layers of its own repository.
        chain: the sum of `Pulled.chain`.
        blob: the sum of `Pulled.blob`.
        canonical: the number of images that depend on their lock file only.
        layers: the number of layers of each image.
        updates: the pulls of people who have an older image of the tag.
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
        """Returns the figures, for JSON."""
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
    """Runs the year of a lab. The registry and the nodes never delete anything."""
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
    """Returns a description of the lab as a paragraph."""
    first = [push for push in lab.pushes if push.week == 0]
    packages = [len(push.lockfile.conda) for push in first]
    sizes = [sum(package.size or 0 for package in push.lockfile.conda) for push in first]
    pulls = [event for event in lab.events if isinstance(event, Pull)]
    changed = _changed(lab)
    return (
        f"Seed {seed}: {len({pull.person for pull in pulls})} people, {len(first)} environments of {min(packages)} to "
        f"{max(packages)} packages (mean {statistics.mean(packages):.0f}) and {min(sizes) / 1e6:.0f} to "
        f"{max(sizes) / 1e6:.0f} MB of archives (mean {statistics.mean(sizes) / 1e6:.0f}), from {len(lab.projects)} "
        f"projects; {len(changed)} changed images in a year, changed packages in each: median "
        f"{statistics.median(changed):.0f}, mean {statistics.mean(changed):.0f}; {len(pulls)} pulls."
    )


def _changed(lab: Lab) -> list[int]:
    """Returns the number of changed packages of each push that changes an image."""
    last: dict[int, set[object]] = {}
    counts = []
    for push in lab.pushes:
        packages: set[object] = set(push.lockfile.conda)
        if push.environment in last:
            counts.append(len(packages - last[push.environment]))
        last[push.environment] = packages
    return counts


def table(years: Iterable[Totals]) -> str:
    """Returns the gigabytes of each year as Markdown."""
    lines = [
        ["policy", "layers: mean, maximum", "in the registry, pushed with a pool", "pushed without a pool",
         "pulled: Docker, containerd", "pull of an update, Docker: median, mean", "canonical images"],
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
