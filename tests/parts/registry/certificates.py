"""A certificate authority of a lab, and the certificates that it issues, made with OpenSSL's command line."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import missing


@dataclass(frozen=True)
class Issued:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """Returns the TLS context of a server with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """A certificate authority in a folder. `certificate` is the file that clients must trust."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("openssl"):
            missing("No certificates: openssl is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate, self._key = folder / "ca.pem", folder / "ca-key.pem"
        made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=CA of the lab"]
        made += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        _openssl(*made, "-keyout", str(self._key), "-out", str(self.certificate))

    def issue(self, name: str, *, days: int = 2) -> Issued:
        """Issues a certificate for a host, which is a name or an address, or for a client."""
        issued = Issued(self._folder / f"{name}.pem", self._folder / f"{name}-key.pem")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        kind = "IP" if name.replace(".", "").isdigit() else "DNS"
        extensions.write_text(f"subjectAltName={kind}:{name}\nbasicConstraints=CA:FALSE\n")
        new = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", str(issued.key)]
        _openssl(*new, "-out", str(request))
        signed = ["x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key)]
        signed += ["-CAcreateserial", "-days", str(days), "-extfile", str(extensions)]
        _openssl(*signed, "-out", str(issued.certificate))
        return issued


def _openssl(*args: str) -> None:
    subprocess.run(["openssl", *args], check=True, capture_output=True)
