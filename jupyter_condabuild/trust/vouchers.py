"""Vouchers: who vouches for the layers of a manifest, so that a build may use them without reading their bytes.

A manifest is a claim of the person who pushed it. A claim decides nothing, unless this machine has pushed the
manifest, the user trusts the repository (`trusted_repositories`), or a signer whom the user trusts (`trusted_signers`)
has signed a receipt of the image.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from jupyter_condabuild.errors import BadReceipt, CondaBuildError, RegistryUnreachable
from jupyter_condabuild.events import Log
from jupyter_condabuild.oci.image import Descriptor, Digest, Manifest
from jupyter_condabuild.oci.referrers import content, referrers
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.trust import ssh
from jupyter_condabuild.trust.dsse import MEDIA_TYPE, Envelope
from jupyter_condabuild.trust.receipt import Receipt

MOST_RECEIPTS = 8
"""The number of receipts of an image that are read. Anybody who may push can attach receipts."""

MOST_BYTES = 4 << 20
"""The maximum size of a receipt in bytes."""

OWN = "this machine"


@dataclass(frozen=True)
class Voucher:
    """The reason for which layers may be used without their bytes.

    `name` names the signer or the trusted repository. `receipt` is the signed receipt; a voucher without a receipt is
    valid for every layer of its manifest.
    """

    name: str
    receipt: Receipt | None = None

    def covers(self, key: str, digest: Digest, diff_id: Digest) -> bool:
        """Returns whether the voucher is valid for a layer with this key, digest and diff_id."""
        if self.receipt is None:
            return True
        return any((layer.key, layer.digest, layer.diff_id) == (key, digest, diff_id) for layer in self.receipt.layers)


class Vouchers:
    """Finds the vouchers of manifests for one job. Safe to use from several threads."""

    def __init__(self, job: JobContext) -> None:
        self._job = job
        self._envelopes: dict[Digest, Voucher | None] = {}
        self._lock = threading.Lock()
        self._reported = False

    @property
    def checks_signatures(self) -> bool:
        """Whether the user trusts signers."""
        return self._job.trusted_signers is not None

    def trusts(self, repository: Repository) -> bool:
        """Returns whether the user trusts everything in a repository."""
        name = f"{repository.host}/{repository.name}"
        return any(fnmatchcase(name, pattern.rstrip("/")) for pattern in self._job.trusted_repositories)

    def of_image(self, repository: Repository, manifest: Manifest) -> Voucher | None:
        """Returns the voucher of an image in a repository, or None if nobody vouches for the image."""
        subject = manifest.descriptor
        if self._job.store.vouches(subject.digest):
            return Voucher(OWN)
        if self.trusts(repository):
            return Voucher(f"{repository.host}/{repository.name}")
        return next(self._signed(repository, subject), None) if self.checks_signatures else None

    def of_artifact(self, repository: Repository, receipt: Descriptor | None) -> Voucher | None:
        """Returns the voucher of a layer that is alone in an artifact, as in a layer pool.

        Args:
            receipt: the blob of the signed receipt that the artifact names, in the same repository.
        """
        if self.trusts(repository):
            return Voucher(f"{repository.host}/{repository.name}")
        if receipt is None or not self.checks_signatures or receipt.size > MOST_BYTES:
            return None
        with self._lock:  # many layers of a pool name the same receipt
            if receipt.digest not in self._envelopes:
                self._envelopes[receipt.digest] = self._checked(lambda: b"".join(repository.read(receipt)))
            return self._envelopes[receipt.digest]

    def _signed(self, repository: Repository, subject: Descriptor) -> Iterator[Voucher]:
        try:
            found = referrers(repository, subject.digest, MEDIA_TYPE)[:MOST_RECEIPTS]
        except CondaBuildError as error:
            self._report(error)
            return
        for referrer in found:
            try:
                data = content(repository, referrer, MOST_BYTES)
            except CondaBuildError as error:
                self._report(error)
                if isinstance(error, RegistryUnreachable):  # it would let this job wait for each receipt
                    return
                continue
            voucher = self._checked(lambda data=data: data)  # type: ignore[misc]
            if voucher and voucher.receipt and voucher.receipt.image == subject.digest:
                yield voucher

    def _checked(self, read: Callable[[], bytes]) -> Voucher | None:
        try:
            return verified(Envelope.parse(read()), self._job.trusted_signers)
        except CondaBuildError as error:
            self._report(error)
            return None

    def _report(self, error: CondaBuildError) -> None:
        if not self._reported:
            self._reported = True
            self._job.report(Log(f"A receipt is not used: {error.message}"))


def verified(envelope: Envelope, allowed_signers: Path | None) -> Voucher:
    """Returns the voucher that a signed receipt gives. Raises BadReceipt or SigningFailed."""
    assert allowed_signers
    for signature in envelope.signatures[:MOST_RECEIPTS]:
        try:
            name = ssh.signer(envelope.signed_bytes, signature.value, allowed_signers)
        except BadReceipt:
            continue
        return Voucher(name, Receipt.parse(envelope))
    raise BadReceipt("The receipt has no signature of a trusted signer.")
