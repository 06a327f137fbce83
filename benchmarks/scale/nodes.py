"""The bytes of a pull. Docker's graphdrivers identify a layer by its chain, containerd's content store by its blob."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.scale.policies import Layer


@dataclass(frozen=True)
class Pulled:
    """The bytes of one pull.

    Args:
        chain: the bytes of the layers whose chain id (the layer and all layers below it) is new to the node. A
            graphdriver downloads and unpacks these layers; containerd unpacks them.
        blob: the bytes of the layers whose digest is new to the node. containerd downloads these layers.
        layers: the number of layers whose chain id is new.
    """

    chain: int
    blob: int
    layers: int


class Chains:
    """Numbers the chain ids: equal layers on equal chains have the same number.

    Source: OCI image-spec, config.md, "Layer ChainID".
    """

    def __init__(self) -> None:
        self._ids: dict[tuple[int, str], int] = {}

    def of(self, layers: Sequence[Layer]) -> list[int]:
        """Returns the chain id of each layer, the lowest layer first."""
        ids, below = [], -1
        for layer in layers:
            below = self._ids.setdefault((below, layer.key), len(self._ids))
            ids.append(below)
        return ids


@dataclass
class Node:
    """A machine that keeps every layer that it has pulled."""

    chains: set[int] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)

    def pull(self, layers: Sequence[Layer], chains: Sequence[int]) -> Pulled:
        """Pulls an image. Returns the bytes that were new to the node.

        Args:
            chains: the chain ids of the layers.
        """
        unpacked = [layer.size for layer, chain in zip(layers, chains, strict=True) if chain not in self.chains]
        blobs = {layer.key: layer.size for layer in layers if layer.key not in self.blobs}
        self.chains.update(chains)
        self.blobs.update(blobs)
        return Pulled(sum(unpacked), sum(blobs.values()), len(unpacked))
