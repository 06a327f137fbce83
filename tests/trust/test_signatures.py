"""Envelopes and their signatures by SSH keys: only an allowed signer's signature of these bytes counts."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from jupyter_condabuild.errors import BadReceipt, SigningFailed
from jupyter_condabuild.trust import ssh
from jupyter_condabuild.trust.dsse import Envelope, Signature
from tests.conftest import missing

DATA = b"DSSEv1 4 text 5 hello"


def make_key(folder: Path, name: str = "key", kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new SSH key."""
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", str(folder / name)]
    try:
        subprocess.run(words, check=True)
    except FileNotFoundError:
        missing("ssh-keygen is not installed")
    return folder / name


def allow(folder: Path, *keys: tuple[str, Path], options: str = "") -> Path:
    """A file of allowed signers: names and their keys."""
    lines = [f"{name} {options}{key.with_suffix('.pub').read_text()}" for name, key in keys]
    path = folder / "allowed_signers"
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_signer_is_named(tmp_path: Path, kind: str) -> None:
    """For each kind of key, and whether the private or the public file is given to the check."""
    key = make_key(tmp_path, kind=kind)
    signature = ssh.sign(DATA, key)
    assert ssh.signer(DATA, signature, allow(tmp_path, ("ada@lab.org", key))) == "ada@lab.org"
    assert ssh.fingerprint(key) == ssh.fingerprint(key.with_suffix(".pub"))
    assert ssh.fingerprint(key).startswith("SHA256:")


def test_an_ed25519_signature_is_the_same_each_time(tmp_path: Path) -> None:
    """So the receipt of the same image is the same receipt."""
    key = make_key(tmp_path)
    assert ssh.sign(DATA, key) == ssh.sign(DATA, key)


def test_any_other_signature_is_refused(tmp_path: Path) -> None:
    """The signature is of other bytes, by another key, for another purpose, after its time, or damaged."""
    key, other = make_key(tmp_path), make_key(tmp_path, "other")
    allowed = allow(tmp_path, ("ada@lab.org", key))
    good = ssh.sign(DATA, key)
    for data, signature in [
        (DATA + b"!", good),
        (DATA, ssh.sign(DATA, other)),
        (DATA, good[:-1] + bytes([good[-1] ^ 1])),
        (DATA, b""),
        (DATA, b"SSHSIG"),
        (DATA, b"x" * 100_000),
    ]:
        with pytest.raises(BadReceipt):
            ssh.signer(data, signature, allowed)
    foreign = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-n", "git", "-f", key], input=DATA, capture_output=True, check=True
    )
    with pytest.raises(BadReceipt):
        ssh.signer(DATA, ssh._bare(foreign.stdout), allowed)
    with pytest.raises(BadReceipt):
        ssh.signer(DATA, good, allow(tmp_path, ("ada@lab.org", key), options='valid-before="20200101" '))
    with pytest.raises(BadReceipt):
        ssh.signer(DATA, good, allow(tmp_path, ("ada@lab.org", key), options='namespaces="git" '))
    with pytest.raises(BadReceipt):
        ssh.signer(DATA, good, tmp_path / "nothing")


def test_a_key_that_cannot_sign_is_named(tmp_path: Path) -> None:
    """A key that is not there, that is none, or that has a passphrase nobody can be asked for."""
    (tmp_path / "text").write_text("no key")
    for path in (tmp_path / "nothing", tmp_path / "text", make_key(tmp_path, "locked", passphrase="secret")):
        with pytest.raises(SigningFailed) as failed:
            ssh.sign(DATA, path)
        assert str(path) in failed.value.message
        assert failed.value.hint


def test_without_ssh_keygen_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may have no OpenSSH."""
    key = make_key(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SigningFailed, match="ssh-keygen is not installed"):
        ssh.sign(DATA, key)


def test_an_envelope_is_read_as_it_was_written() -> None:
    """The bytes that are signed are those of the specification's example."""
    envelope = Envelope("http://example.com/HelloWorld", b"hello world", (Signature("key", b"\x00\xff"),))
    assert envelope.signed_bytes == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert Envelope.parse(envelope.to_bytes()) == envelope
    value = json.loads(envelope.to_bytes())
    value["payload"] = base64.urlsafe_b64encode(b"\xfb\xff hello").decode().rstrip("=")
    assert Envelope.parse(json.dumps(value).encode()).payload == b"\xfb\xff hello"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"payloadType": "x", "payload": "!", "signatures": []}',
        b'{"payloadType": "x", "payload": 1, "signatures": []}',
        b'{"payloadType": "x", "payload": "", "signatures": [1]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_envelope_is_refused(raw: bytes) -> None:
    """A registry may give anything."""
    with pytest.raises(BadReceipt):
        Envelope.parse(raw)
