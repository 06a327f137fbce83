"""The TLS contexts of the connections to a registry, with the certificates that Docker and Podman have for it.

Source: docs.docker.com "Verify repository client with certificates", containers-certs.d(5).
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from jupyter_condabuild.certificates import client_context, load
from jupyter_condabuild.files import home_folder
from jupyter_condabuild.oci.connections.origins import Origin

SYSTEM_DIRS = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


@dataclass(frozen=True)
class Certificates:
    """The files in the folders of a registry: `authorities` to trust, and certificates of this client with their keys.

    The folders are ``certs.d/HOST:PORT``, and ``certs.d/HOST`` if the port is the usual one, in the user's folder and
    in the system's folders of Podman and Docker.
    """

    authorities: tuple[Path, ...] = ()
    own: tuple[tuple[Path, Path], ...] = ()

    @classmethod
    def of(cls, home: Origin) -> Certificates:
        """Returns the certificates for a registry. Folders that cannot be read count as empty."""
        names = (f"{home.name}:{home.port}", *((home.name,) if home.port in (80, 443) else ()))
        places = (home_folder(os.environ) / ".config/containers/certs.d", *SYSTEM_DIRS)
        folders = [place / name for place in places for name in names]
        own = [path for folder in folders for path in sorted(folder.glob("*.cert"))]
        return cls(
            tuple(path for folder in folders for path in sorted(folder.glob("*.crt"))),
            tuple((path, path.with_suffix(".key")) for path in own),
        )

    def context(self, *, verify: bool, own: bool) -> ssl.SSLContext:
        """Returns a TLS context for a client.

        Args:
            verify: whether the certificate of the server is verified.
            own: whether the server may ask for a certificate of this client. Only the registry itself may.

        Raises OSError, with a text for users, if a file cannot be used.
        """
        if verify:
            context = client_context()
            for path in self.authorities:
                load(context, path)
        else:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for certificate, key in self.own if own else ():
            _load_own(context, certificate, key)
        return context


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        # Without a function that returns a password, OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError:
        raise OSError(f"{certificate} and {key} are no certificate and its key in the format PEM") from None
    except OSError as error:
        raise OSError(f"{certificate} or {key} cannot be read ({error.strerror})") from None
