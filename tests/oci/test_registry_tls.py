"""A registry with TLS is trusted by the certificates that the machine, its variables, Docker and Podman have for it."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jupyter_condabuild.certificates import openssl_variables
from jupyter_condabuild.errors import RegistryUnreachable
from jupyter_condabuild.oci.connections import tls as tls_module
from tests.parts.registry.certificates import Authority
from tests.parts.registry.faults import Clock, Reply, serving
from tests.parts.registry.logins import real_registry
from tests.parts.registry.pushing import blob, connect, push_image

NAME = "registry.test"
VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True)
class Lab:
    """A lab's authority, and its registry: one that everybody may use, and one that needs a client's certificate."""

    authority: Authority
    port: int
    closed_port: int

    @property
    def host(self) -> str:
        """The registry, as in an image's name."""
        return f"{NAME}:{self.port}"

    @property
    def closed(self) -> str:
        """The registry that needs a certificate of the client."""
        return f"{NAME}:{self.closed_port}"


@pytest.fixture(scope="module")
def lab_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The registries of a lab, which run as long as the tests of this module."""
    folder = tmp_path_factory.mktemp("lab")
    authority = Authority(folder / "authority")
    issued = authority.issue(NAME)
    files = f"certificate: '{issued.certificate}', key: '{issued.key}'"
    for name in ("open", "closed"):
        (folder / name).mkdir()
    with (
        real_registry(folder / "open", "", f"{{{files}}}") as host,
        real_registry(folder / "closed", "", f"{{{files}, clientcas: ['{authority.certificate}']}}") as closed,
    ):
        yield Lab(authority, int(host.rpartition(":")[2]), int(closed.rpartition(":")[2]))


@pytest.fixture
def lab(lab_here: Lab, named_here: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab, for a user without settings whose machine does not know the authority."""
    named_here(NAME)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tls_module, "SYSTEM_DIRS", (tmp_path / "etc/containers", tmp_path / "etc/docker"))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return lab_here


def check(host: str, clock: Clock | None = None) -> None:
    """Asks the registry for an answer."""
    with connect(host, clock=clock) as registry:
        registry.check()


def install(folder: Path, **files: Path) -> None:
    """Puts files into the folder of a registry, under their names with ``_`` for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        (folder / name.replace("_", ".")).write_bytes(file.read_bytes())


def test_an_unknown_authority_is_refused_with_the_place_for_its_certificate(lab: Lab, tmp_path: Path) -> None:
    """The hint is true: with the certificate in this place, images are pushed and read."""
    with pytest.raises(RegistryUnreachable, match="certificate is not trusted") as raised:
        check(lab.host)
    place = f"~/.config/containers/certs.d/{lab.host}"
    assert f"Put the certificate of its CA into {place} as ca.crt" in raised.value.hint
    install(Path(place.replace("~", str(tmp_path / "home"))), ca_crt=lab.authority.certificate)
    with connect(lab.host) as registry:
        repository = registry.repository("team/env")
        manifest = push_image(repository, "v1", layers=(b"some bytes",))
        assert repository.manifest("v1").raw == manifest.raw


@pytest.mark.parametrize("place", ["home/.config/containers/certs.d", "etc/containers", "etc/docker"])
def test_the_folders_of_podman_and_docker_are_read(lab: Lab, tmp_path: Path, place: str) -> None:
    """The folder of another port or another host does not count."""
    install(tmp_path / place / NAME, ca_crt=lab.authority.certificate)
    install(tmp_path / place / f"{NAME}:1", ca_crt=lab.authority.certificate)
    with pytest.raises(RegistryUnreachable):
        check(lab.host)
    install(tmp_path / place / lab.host, any_crt=lab.authority.certificate)
    check(lab.host)


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_variables_name_authorities(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """OpenSSL's own variables count, and those of requests (which conda uses) and curl. A bundle may be a folder."""
    folder = tmp_path / "authorities"
    install(folder, lab_pem=lab.authority.certificate)
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
    for value in (folder, lab.authority.certificate):
        if (variable, value) not in (("SSL_CERT_FILE", folder), ("SSL_CERT_DIR", lab.authority.certificate)):
            monkeypatch.setenv(variable, str(value))
            check(lab.host)


def test_the_system_s_authorities_are_known_to_every_python(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python of a conda environment has authorities of its own, and OpenSSL does not read the system's."""
    monkeypatch.setattr("jupyter_condabuild.certificates.SYSTEM_FILES", (tmp_path / "none", lab.authority.certificate))
    check(lab.host)
    other = Authority(tmp_path / "other").certificate
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    check(lab.host)
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    with pytest.raises(RegistryUnreachable, match="not trusted"):
        check(lab.host)


def test_a_variable_that_names_no_file_is_named_when_it_matters(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of an old machine breaks nothing. The error of a certificate names it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with pytest.raises(RegistryUnreachable, match="not trusted") as raised:
        check(lab.host)
    assert "REQUESTS_CA_BUNDLE names a file that does not exist" in raised.value.hint
    install(tmp_path / "etc/docker" / lab.host, ca_crt=lab.authority.certificate)
    check(lab.host)


@pytest.mark.parametrize("place", ["etc/docker/{host}/ca.crt", "bundle.pem"])
def test_a_file_without_certificates_is_named(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The message has the path of the file."""
    file = tmp_path / place.format(host=lab.host)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("no certificate")
    if file.name == "bundle.pem":
        monkeypatch.setenv("CURL_CA_BUNDLE", str(file))
    with pytest.raises(RegistryUnreachable, match="has no certificates in the format PEM") as raised:
        check(lab.host)
    assert str(file) in raised.value.message


def test_a_registry_that_needs_a_client_s_certificate_gets_it(lab: Lab, tmp_path: Path) -> None:
    """Without the certificate, the error says where it belongs. With it, the connection works."""
    folder = tmp_path / "home/.config/containers/certs.d" / lab.closed
    install(folder, ca_crt=lab.authority.certificate)
    with pytest.raises(RegistryUnreachable, match="requires a certificate of the client") as raised:
        check(lab.closed)
    assert f"certs.d/{lab.closed} as client.cert and client.key" in raised.value.hint
    issued = lab.authority.issue("ada")
    install(folder, client_cert=issued.certificate, client_key=issued.key)
    check(lab.closed)
    stranger = Authority(tmp_path / "stranger").issue("eve")
    install(folder, client_cert=stranger.certificate, client_key=stranger.key)
    with pytest.raises(RegistryUnreachable, match="requires a certificate of the client that it trusts"):
        check(lab.closed)
    (folder / "client.key").unlink()
    with pytest.raises(RegistryUnreachable, match=r"client\.key cannot be read"):
        check(lab.closed)
    (folder / "client.key").write_text("no key")
    with pytest.raises(RegistryUnreachable, match="no certificate and its key"):
        check(lab.closed)


def test_another_server_does_not_see_the_client_s_certificate(
    lab: Lab, tmp_path: Path, named_here: Callable[[str], None]
) -> None:
    """Object storage that asks for a certificate gets none: it would show who reads."""
    context = lab.authority.issue("storage.test").server_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(lab.authority.certificate)
    shown: list[object] = []
    named_here("storage.test")
    issued = lab.authority.issue("bob")
    with serving(context) as storage, serving(lab.authority.issue("lab.test").server_context()) as registry:
        named_here("lab.test")
        folder = tmp_path / "home/.config/containers/certs.d" / f"lab.test:{registry.port}"
        install(folder, ca_crt=lab.authority.certificate, client_cert=issued.certificate, client_key=issued.key)
        storage.guard = lambda seen: shown.append(
            [link.getpeercert() for link in storage.connections if isinstance(link, ssl.SSLSocket)]
        )
        digest = storage.put("team/env", b"x")
        address = f"https://storage.test:{storage.port}/v2/team/env/blobs/{digest}"
        registry.on("GET", "blobs", Reply(307, {"Location": address}))
        with connect(f"lab.test:{registry.port}") as client:
            assert b"".join(client.repository("team/env").read(blob(b"x"))) == b"x"
    assert shown == [[{}]] or shown == [[None]]


@pytest.mark.parametrize(("name", "days", "problem"), [("other.test", 2, "Hostname mismatch"), (NAME, -1, "expired")])
def test_a_certificate_that_is_not_valid_is_not_a_question_of_trust(
    lab: Lab, tmp_path: Path, name: str, days: int, problem: str
) -> None:
    """No file in a folder helps. The hint says what helps."""
    authority = Authority(tmp_path / "another")
    with serving(authority.issue(name, days=days).server_context()) as server:
        host = f"{NAME}:{server.port}"
        install(tmp_path / "etc/docker" / host, ca_crt=authority.certificate)
        with pytest.raises(RegistryUnreachable, match=f"not valid .*{problem}") as raised:
            check(host)
    assert "Use the name that the certificate has" in raised.value.hint


def test_other_programs_get_the_authorities_by_openssl_s_variables(tmp_path: Path) -> None:
    """The folder of the system's certificates is added, so that public servers are still trusted."""
    bundle = Authority(tmp_path / "lab").certificate
    given = openssl_variables({"REQUESTS_CA_BUNDLE": str(bundle)})
    assert given["SSL_CERT_FILE"] == str(bundle)
    assert given.get("SSL_CERT_DIR") == ssl.get_default_verify_paths().capath
    assert openssl_variables({"CURL_CA_BUNDLE": str(bundle.parent)})["SSL_CERT_DIR"] == str(bundle.parent)
    for environ in ({}, {"CURL_CA_BUNDLE": "/gone"}, {"REQUESTS_CA_BUNDLE": str(bundle), "SSL_CERT_FILE": "/mine"}):
        assert openssl_variables(environ) == {}
