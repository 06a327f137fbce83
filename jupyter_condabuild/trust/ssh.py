"""Signatures by SSH keys: made and checked by ``ssh-keygen -Y``, so that a lab uses the keys that it has.

Source: ssh-keygen(1), ``-Y sign``, ``-Y verify`` and "ALLOWED SIGNERS"; openssh-portable, PROTOCOL.sshsig.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
import tempfile
from pathlib import Path

from jupyter_condabuild.errors import BadReceipt, SigningFailed
from jupyter_condabuild.system import process_tree

NAMESPACE = "jupyter-condabuild"
"""The purpose of a signature. A signature that was made for another purpose, such as git's, is refused."""

_SECONDS = 30
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_LARGEST = 64 << 10


def sign(data: bytes, key: Path) -> bytes:
    """Returns the signature of `data` (the bytes of PROTOCOL.sshsig, without armour).

    Args:
        key: the file of a private key, or of a public key whose private key is in the SSH agent. A key with a
            passphrase must be in the agent, because nobody is asked for the passphrase.

    Raises SigningFailed with the words of ssh-keygen.
    """
    if not key.is_file():
        raise SigningFailed(
            f"There is no SSH key {key}.", "Set signing_key to the file of a key, or make one: ssh-keygen"
        )
    done = _run(["-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key)], data)
    if done.returncode:
        raise SigningFailed(
            f"ssh-keygen cannot sign with {key}: {_words(done)}",
            "Add a key with a passphrase to the SSH agent (ssh-add); signing_key may then be the public key's file.",
        )
    return _bare(done.stdout)


def fingerprint(key: Path) -> str:
    """The fingerprint of a key file, such as ``SHA256:…``; raises SigningFailed."""
    done = _run(["-l", "-f", str(key)], b"")
    words = done.stdout.decode(errors="replace").split()
    if done.returncode or len(words) < 2:
        raise SigningFailed(f"{key} is not an SSH key: {_words(done)}", "Set signing_key to the file of an SSH key.")
    return words[1]


def signer(data: bytes, signature: bytes, allowed_signers: Path) -> str:
    """Returns the name of the signer, the first principal that `allowed_signers` gives to the key.

    Args:
        data: the bytes that were signed.
        signature: the bytes of PROTOCOL.sshsig.
        allowed_signers: a file in the form of ssh-keygen(1).

    Raises BadReceipt where the signature is not one of `data` by an allowed key.
    """
    if len(signature) > _LARGEST:
        raise BadReceipt("The signature is too large.")
    with tempfile.TemporaryDirectory(prefix="condabuild-") as folder:
        file = Path(folder, "signature")
        file.write_text(f"{_BEGIN}\n{base64.encodebytes(signature).decode()}{_END}\n")
        shared = ["-s", str(file), "-f", str(allowed_signers)]
        found = _run(["-Y", "find-principals", *shared], b"")
        for name in found.stdout.decode(errors="replace").splitlines() if found.returncode == 0 else ():
            if _run(["-Y", "verify", "-q", "-n", NAMESPACE, "-I", name, *shared], data).returncode == 0:
                return re.sub(r"[^\x20-\x7e]", "?", name)[:200]
    raise BadReceipt("The signature is not by a trusted signer, or was made of something else.")


def _bare(armoured: bytes) -> bytes:
    text = armoured.decode("ascii", "replace")
    begin, end = text.find(_BEGIN), text.find(_END)
    try:
        if begin < 0 or end < 0:
            raise ValueError(text)
        return base64.b64decode("".join(text[begin + len(_BEGIN) : end].split()), validate=True)
    except (ValueError, binascii.Error):
        raise SigningFailed("ssh-keygen gave no signature.") from None


def _run(arguments: list[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    environ = {**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],
            input=data,
            capture_output=True,
            timeout=_SECONDS,
            env=environ,
            **process_tree.SESSION,  # without a terminal, ssh-keygen cannot ask for a passphrase
        )
    except FileNotFoundError:
        raise SigningFailed(
            "ssh-keygen is not installed; signatures are made and checked with it.",
            "Install OpenSSH (Debian: openssh-client).",
        ) from None
    except subprocess.TimeoutExpired:
        raise SigningFailed(
            f"ssh-keygen did not answer in {_SECONDS} s.", "Is the SSH agent waiting for something?"
        ) from None


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return re.sub(r"[^\x20-\x7e]", "?", lines[-1])[:300] if lines else f"status {done.returncode}"
