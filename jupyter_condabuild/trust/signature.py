"""The signature of an image: who built it, and whether the user trusts that signer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jupyter_condabuild.errors import BadReceipt, CondaBuildError, RegistryUnreachable
from jupyter_condabuild.oci.image import Descriptor
from jupyter_condabuild.oci.referrers import content, referrers
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.trust.dsse import MEDIA_TYPE, Envelope
from jupyter_condabuild.trust.receipt import Receipt
from jupyter_condabuild.trust.vouchers import MOST_BYTES, MOST_RECEIPTS, verified

State = Literal["verified", "untrusted", "unsigned", "unknown"]


@dataclass(frozen=True)
class Signature:
    """The state of an image's signature.

    ``verified``: a signer whom the user trusts, `signer`, has signed a receipt of the image. ``untrusted``: there are
    signatures, but none of a trusted signer. ``unsigned``: there is no signature. ``unknown``: the registry does not
    say.
    """

    state: State
    signer: str = ""

    @property
    def sentence(self) -> str:
        """The state as a sentence."""
        return {
            "verified": f"Built by {self.signer}, signature verified.",
            "untrusted": "Signed by a signer who is not trusted (setting trusted_signers).",
            "unsigned": "Unsigned: nobody says who built the image.",
            "unknown": "The registry does not say whether the image is signed.",
        }[self.state]


def summary_of(signature: Signature | None) -> dict[str, str]:
    """Returns the members of a JSON object that describe a signature. They are empty without an image."""
    return {"signature": signature.state if signature else "", "signer": signature.signer if signature else ""}


UNSIGNED = Signature("unsigned")


def signature_of_all(signatures: Sequence[Signature]) -> Signature:
    """Returns the signature of several images: verified only if each one is, else that of the first other image."""
    signers = dict.fromkeys(one.signer for one in signatures)
    others = [one for one in signatures if one.state != "verified"]
    return others[0] if others else Signature("verified", ", ".join(signers))


def signature_of(repository: Repository, image: Descriptor, job: JobContext) -> Signature:
    """Returns the signature of an image in a repository: the first one by a trusted signer, if there is one."""
    state: State = "unsigned"
    try:
        found = referrers(repository, image.digest, MEDIA_TYPE)[:MOST_RECEIPTS]
    except CondaBuildError:
        return Signature("unknown")
    for referrer in found:
        try:
            envelope = Envelope.parse(content(repository, referrer, MOST_BYTES))
            if Receipt.parse(envelope).image != image.digest or not envelope.signatures:
                continue
            state = "untrusted"
            if job.trusted_signers:
                return Signature("verified", verified(envelope, job.trusted_signers).name)
        except BadReceipt:
            continue
        except RegistryUnreachable:
            return Signature("unknown" if state == "unsigned" else state)
        except CondaBuildError:
            state = "unknown" if state == "unsigned" else state
    return Signature(state)
