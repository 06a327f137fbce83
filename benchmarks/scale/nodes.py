"""What a pull costs a node: Docker's graphdrivers go by chains, containerd's content store by blobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.scale.policies import Layer


@dataclass(frozen=True)
class Pulled:
    """Bytes of one pull.

    `chain`: of layers whose chain id (the layer and all below it) is new to the node. A graphdriver downloads and
    unpacks them; containerd unpacks them. `blob`: of layers whose digest is new, which is what containerd downloads.
    """

    chain: int
    blob: int
    layers: int


class Chains:
    """Chain ids, equal for equal layers on equal chains (OCI image-spec config.md, "Layer ChainID")."""

    def __init__(self) -> None:
        self._ids: dict[tuple[int, str], int] = {}

    def of(self, layers: Sequence[Layer]) -> list[int]:
        """The chain id at each layer, lowest first."""
        found, below = [], -1
        for layer in layers:
            below = self._ids.setdefault((below, layer.key), len(self._ids))
            found.append(below)
        return found


@dataclass
class Node:
    """A machine that keeps what it has pulled."""

    chains: set[int] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)

    def pull(self, layers: Sequence[Layer], chains: Sequence[int]) -> Pulled:
        """Gets an image, and says what of it was new."""
        unpacked = [layer.size for layer, chain in zip(layers, chains, strict=True) if chain not in self.chains]
        blobs = {layer.key: layer.size for layer in layers if layer.key not in self.blobs}
        self.chains.update(chains)
        self.blobs.update(blobs)
        return Pulled(sum(unpacked), sum(blobs.values()), len(unpacked))
