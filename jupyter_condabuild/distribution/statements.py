"""Statements about a pushed image: its receipt and its SBOMs, attached to the image in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.distribution.sboms import Sboms, warn
from jupyter_condabuild.events import Report
from jupyter_condabuild.oci.image import Descriptor
from jupyter_condabuild.oci.referrers import Artifact, attach_all
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
        if signing_key:
            signature = Signature(ssh.fingerprint(signing_key), ssh.sign(envelope.signed_bytes, signing_key))
            envelope = Envelope(envelope.payload_type, envelope.payload, (signature,))
        made = cls(envelope, sboms)
        if sboms:
            sboms.send(made._artifact)
        return made

    @property
    def is_signed(self) -> bool:
        """Whether the receipt has a signature."""
        return bool(self.receipt.signatures)

    @property
    def _artifact(self) -> Artifact:
        annotations = {"in-toto.io/predicate-type": PREDICATE}
        return Artifact(MEDIA_TYPE, self.receipt.to_bytes(), MEDIA_TYPE, annotations)

    def attach(self, repository: Repository, image: Descriptor, report: Report) -> None:
        """Attaches the statements to an image that was pushed. A registry that refuses gives a warning."""
        known, artifacts = self.sboms.written() if self.sboms else (None, ())
        outcomes = attach_all(repository, image, [self._artifact, *artifacts], known)
        if self.sboms:
            self.sboms.attached(outcomes)
        warn(report, "receipt", outcomes[:1])
        warn(report, "SBOM", outcomes[1:])
