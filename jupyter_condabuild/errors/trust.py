"""Errors of signatures, and of layers and files that are not what they claim to be."""

from __future__ import annotations

from jupyter_condabuild.errors.root import CondaBuildError


class TrustError(CondaBuildError):
    """Something is not what it claims to be."""

    code = "trust_error"


class BadReceipt(TrustError):
    """A receipt, or its signature, is not valid."""

    code = "bad_receipt"
    default_hint = "Ask the person who pushed the image for a signed receipt, or trust the repository by its name."


class SigningFailed(TrustError):
    """A signature cannot be made or checked."""

    code = "signing_failed"
    default_hint = "Set signing_key to the file of an SSH key; ssh-keygen must be installed."


class LayerForged(TrustError):
    """A layer from a registry differs from the layer that its packages make."""

    code = "layer_forged"
    default_hint = "Do not use images of this repository. Tell the administrator of the registry, and the signer."


class BadSbom(TrustError):
    """An SBOM in a registry cannot be read."""

    code = "bad_sbom"
    default_hint = "Push the image again with this version of jupyter-condabuild."
