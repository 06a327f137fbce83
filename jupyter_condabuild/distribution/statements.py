"""Statements about a pushed image: its receipt and its SBOMs, attached to the image in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.distribution.sboms import Sboms
from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.events import Report, Warning
from jupyter_condabuild.oci.image import Descriptor
from jupyter_condabuild.oci.referrers import attach
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.trust import ssh
from jupyter_condabuild.trust.dsse import MEDIA_TYPE, Envelope, Signature
from jupyter_condabuild.trust.receipt import PREDICATE, Receipt


@dataclass(frozen=True)
class Statements:
    """The statements of one image.

    `receipt` is the receipt as an envelope, with a signature if there is a key. `sboms` are the SBOMs, or None.
    """

    receipt: Envelope
    sboms: Sboms | None = None

    @classmethod
    def of(cls, receipt: Receipt, signing_key: Path | None, sboms: Sboms | None = None) -> Statements:
        """Makes the statements, before anything is pushed. Raises SigningFailed if the key cannot sign."""
        envelope = receipt.envelope()
        if signing_key is None:
            return cls(envelope, sboms)
        signature = Signature(ssh.fingerprint(signing_key), ssh.sign(envelope.signed_bytes, signing_key))
        return cls(Envelope(envelope.payload_type, envelope.payload, (signature,)), sboms)

    @property
    def is_signed(self) -> bool:
        """Whether the receipt has a signature."""
        return bool(self.receipt.signatures)

    def attach(self, repository: Repository, image: Descriptor, report: Report) -> None:
        """Attaches the statements to an image that was pushed. A registry that refuses gives a warning."""
        annotations = {"in-toto.io/predicate-type": PREDICATE}
        try:
            attach(repository, image, MEDIA_TYPE, self.receipt.to_bytes(), MEDIA_TYPE, annotations)
        except CondaBuildError as error:
            message = f"The receipt of the image is not in the registry: {error.message}"
            report(Warning("receipt-not-attached", message, error.hint))
        if self.sboms:
            self.sboms.attach(image)
