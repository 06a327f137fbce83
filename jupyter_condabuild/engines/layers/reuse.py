"""Reuse: finds the layers of a plan that need not be made, and decides which claims of registries are believed.

A layer is used without its bytes only if this machine has built the layer before, or if somebody whom the user trusts
vouches for it. Any other claim is a hint: the layer is built here, and its blob is mounted if the registry has it.
"""

from __future__ import annotations

from jupyter_condabuild.distribution.layer_index import Claim, LayerIndex, annotate
from jupyter_condabuild.events import LayerState, Log, Report, Warning
from jupyter_condabuild.image.layers import CONTESTED, ReadyLayer
from jupyter_condabuild.oci.layer import LayerBlob
from jupyter_condabuild.oci.layout import Store, StoredLayer
from jupyter_condabuild.planning.layer_plan import PlannedLayer
from jupyter_condabuild.text import listed


class Reuse:
    """Finds reusable layers for one build.

    `adopted` are the layers that are used without their bytes because of a voucher alone, each with its claim. An audit
    looks at some of them.
    """

    def __init__(self, store: Store, index: LayerIndex, report: Report, *, registry: str) -> None:
        """Makes the object without making a request.

        Args:
            registry: the host of the destination. A layer that both this registry and the store have is reused from the
                registry, which mounts it. A layer that only another registry has would be downloaded and sent.
        """
        self._store = store
        self._index = index
        self._report = report
        self._registry = registry
        self.adopted: list[tuple[PlannedLayer, Claim]] = []
        self._not_vouched: list[PlannedLayer] = []

    def find(self, planned: PlannedLayer) -> ReadyLayer | None:
        """Returns the layer of a key from a registry or from the store, or None if the layer must be built."""
        claims = [claim for claim in self._index.of(planned.key) if not self._is_distrusted(planned, claim)]
        claims.sort(key=lambda claim: not self._is_near(claim))
        own = self._store.layer(planned.key)
        if own:
            return self._own(planned, own, claims)
        for claim in claims:
            if claim.voucher:
                self.adopted.append((planned, claim))
                return self._from_registry(planned, claim)
        if claims:
            self._not_vouched.append(planned)
        return None

    def report_hints(self) -> None:
        """Reports how many layers are built here although a registry claims to have them."""
        if not self._not_vouched:
            return
        count = len(self._not_vouched)
        self._report(
            Log(
                f"A registry claims to have {count} layers of this plan, but nobody whom you trust vouches for them. "
                "They are built here, and blobs that are the same are not uploaded (settings trusted_repositories "
                "and trusted_signers)."
            )
        )

    def from_store(self, planned: PlannedLayer, blob: LayerBlob, state: LayerState) -> ReadyLayer:
        """Returns the layer whose blob is in the store."""
        descriptor = annotate(blob.descriptor, planned.key, blob.diff_id, planned.names)
        return ReadyLayer(descriptor, blob.diff_id, self._store, title(planned), state)

    def _own(self, planned: PlannedLayer, own: StoredLayer, claims: list[Claim]) -> ReadyLayer | None:
        """Returns a layer that this machine has built before: from a registry with the same blob, or from the store."""
        for claim in claims:
            if claim.voucher and claim.diff_id != own.blob.diff_id:
                self._report(_contradiction(planned, claim))
        same = [claim for claim in claims if claim.diff_id == own.blob.diff_id]
        in_store = self._store.has(own.blob.descriptor)
        if in_store:
            same = [claim for claim in same if self._is_near(claim)]
        identical = next((claim for claim in same if claim.descriptor.digest == own.blob.descriptor.digest), None)
        vouched = next((claim for claim in same if claim.voucher), None)
        if identical:
            return self._from_registry(planned, identical)
        if vouched:  # the same content, compressed by another level
            self.adopted.append((planned, vouched))
            return self._from_registry(planned, vouched)
        return self.from_store(planned, own.blob, "reused-local") if in_store else None

    def _is_near(self, claim: Claim) -> bool:
        return claim.repository.host == self._registry

    def _from_registry(self, planned: PlannedLayer, claim: Claim) -> ReadyLayer:
        descriptor = annotate(claim.descriptor, planned.key, claim.diff_id, planned.names)
        return ReadyLayer(descriptor, claim.diff_id, claim.repository, title(planned), "reused-remote")

    def _is_distrusted(self, planned: PlannedLayer, claim: Claim) -> bool:
        reason = self._store.distrusts(claim.descriptor.digest)
        if reason and claim.voucher:
            hint = "The layer is built here. Tell the administrator of the registry."
            self._report(
                Warning("layer-distrusted", f"A layer of {listed(planned.names, 3)} is not used: {reason}", hint)
            )
        return bool(reason)


def title(planned: PlannedLayer) -> str:
    """Returns the name of a package layer in the log and in the history of the image."""
    if planned.only:
        return CONTESTED
    names = planned.names
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _contradiction(planned: PlannedLayer, claim: Claim) -> Warning:
    assert claim.voucher
    place = f"{claim.repository.host}/{claim.repository.name}"
    return Warning(
        "claim-contradicts-store",
        f"{place} has another layer for {listed(planned.names, 3)} than this machine has built; it is not used.",
        f"{claim.voucher.name} vouches for the other layer. Compare both machines, or no longer trust that source.",
    )
