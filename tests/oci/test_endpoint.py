"""The addresses at which engines are looked for, and the errors if no engine answers."""

from __future__ import annotations

import grp
import json
import os
import socket
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

from jupyter_condabuild.conda.package_cache import default_folders
from jupyter_condabuild.errors import EngineUnavailable
from jupyter_condabuild.oci.engine import daemon
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.oci.engine.endpoint import Endpoint, usual_sockets
from jupyter_condabuild.oci.logins import credentials


def test_the_error_explains_a_missing_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing socket, no listener, no answer, an unknown host and a bad address each give an error with a remedy."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with socket.socket(socket.AF_UNIX) as mute, socket.create_server(("127.0.0.1", 0)) as closed:
        mute.bind(str(tmp_path / "mute.sock"))
        mute.listen()
        port = closed.getsockname()[1]
        closed.close()
        for host, said in {
            f"unix://{tmp_path}/missing.sock": "the socket does not exist",
            f"unix://{tmp_path}/dead.sock": "refused",
            f"unix://{tmp_path}/mute.sock": "did not answer within 0.3 seconds",
            f"tcp://127.0.0.1:{port}": "refused",
            "tcp://no-such-host.invalid:2375": "cannot be reached",
            "tcp://127.0.0.1:port": "not the address of an engine",
            "tcp://[::1": "not the address of an engine",
            "tcp://:2375": "not the address of an engine",
            "tcp://127.0.0.1": "has no port",
            "somewhere": "not the address of an engine",
            "ftp://somewhere": "not the address of an engine",
        }.items():
            with pytest.raises(EngineUnavailable, match=said) as caught:
                Daemon.connect(host, limit=0.3)
            assert host in caught.value.message
            assert caught.value.hint


def test_the_error_names_the_package_for_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    """docker-py has no class for SSH without paramiko, and says so in words of Python."""
    monkeypatch.delattr("docker.api.client.SSHHTTPAdapter", raising=False)
    with pytest.raises(EngineUnavailable, match="paramiko is missing") as caught:
        Daemon.connect("ssh://ada@localhost")
    assert "docker[ssh]" in caught.value.hint


def test_the_error_names_the_group_of_a_forbidden_socket() -> None:
    """A user without access to Docker's socket learns the user, the group of the socket, and how to join the group."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    group = grp.getgrgid(1).gr_name
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        path = f"{folder}/docker.sock"
        listening.bind(path)
        os.chmod(folder, 0o755)
        os.chown(path, 0, 1)
        os.chmod(path, 0o660)
        os.seteuid(65534)
        try:
            with pytest.raises(EngineUnavailable) as caught:
                Daemon.connect(f"unix://{path}")
        finally:
            os.seteuid(0)
    assert "'nobody'" in caught.value.message
    assert f"group {group!r}" in caught.value.message
    assert f"usermod -aG {group} nobody" in caught.value.hint


def test_the_most_informative_error_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If several sockets do not work, the error is about a socket that exists, not about the first one."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    alone(monkeypatch, tmp_path)
    sockets = [Endpoint(f"unix://{tmp_path}/{name}.sock") for name in ("missing", "dead", "gone")]
    monkeypatch.setattr(daemon, "usual_sockets", lambda: sockets)
    with pytest.raises(EngineUnavailable, match=r"dead\.sock"):
        Daemon.connect()


def test_podman_comes_after_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address, Docker's sockets are tried first, then Podman's.

    The user's own are tried before the system's.
    """
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/77")
    addresses = [endpoint.address for endpoint in usual_sockets()]
    assert addresses[0] == "unix:///var/run/docker.sock"
    assert addresses[-2:] == ["unix:///run/user/77/podman/podman.sock", "unix:///run/podman/podman.sock"]


def test_the_engines_of_a_mac_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker Desktop, Colima, Rancher Desktop, OrbStack and a Podman machine have sockets in the home folder."""
    monkeypatch.setenv("HOME", "/Users/ada")
    monkeypatch.setenv("TMPDIR", "/var/folders/x/T/")
    monkeypatch.delenv("COLIMA_HOME", raising=False)
    found = [endpoint.address for endpoint in usual_sockets("darwin")]
    assert found[0] == "unix:///var/run/docker.sock"
    places = (".docker/run", ".colima/default", ".rd", ".orbstack/run")
    assert {f"unix:///Users/ada/{place}/docker.sock" for place in places} < set(found)
    assert "unix:///var/folders/x/T/podman/podman-machine-default-api.sock" in found
    monkeypatch.setenv("COLIMA_HOME", "/Volumes/lab/colima")
    assert Endpoint("unix:///Volumes/lab/colima/default/docker.sock") in usual_sockets("darwin")


def test_the_engines_of_windows_are_found() -> None:
    """They listen at named pipes. docker-py takes these addresses. Where no pipe is, the error says so."""
    found = usual_sockets("win32")
    assert found[0] == Endpoint("npipe:////./pipe/docker_engine")
    assert Endpoint("npipe:////./pipe/podman-machine-default") in found
    assert not any(endpoint.exists for endpoint in found)
    with pytest.raises(EngineUnavailable, match="docker_engine: the named pipe does not exist"):
        found[0].probe(0.3)


def test_a_named_engine_is_the_only_one_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument has priority over DOCKER_HOST. Then come DOCKER_CONTEXT, the current context, and the sockets."""
    alone(monkeypatch, tmp_path)
    monkeypatch.setattr(daemon, "usual_sockets", lambda: [Endpoint("unix:///usual")])
    assert addresses() == ["unix:///usual"]
    for name in ("lab", "other"):
        folder = tmp_path / ".docker" / "contexts" / "meta" / sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        endpoints = {"docker": {"Host": f"unix:///{name}", "SkipTLSVerify": False}}
        (folder / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "lab"}')
    assert addresses() == ["unix:///lab"]
    monkeypatch.setenv("DOCKER_CONTEXT", "other")
    assert addresses() == ["unix:///other"]
    monkeypatch.setenv("DOCKER_CONTEXT", "unknown")
    with pytest.raises(EngineUnavailable, match="unknown"):
        addresses()
    monkeypatch.setenv("DOCKER_HOST", "unix:///named")
    assert addresses() == ["unix:///named"]
    assert addresses("unix:///argument") == ["unix:///argument"]


def test_the_error_names_missing_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_CERT_PATH without certificates is an error. The connection is not made without certificates."""
    alone(monkeypatch, tmp_path)
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    with pytest.raises(EngineUnavailable, match="certificates for tcp://lab:2376"):
        Daemon.connect("tcp://lab:2376", limit=0.3)


def test_docker_is_imported_only_when_it_is_needed() -> None:
    """The import of our module does not import docker-py, so that the command line starts fast."""
    check = "import sys, jupyter_condabuild.oci.engine.daemon; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def addresses(docker_host: str | None = None) -> list[str]:
    return [endpoint.address for endpoint in daemon.candidates(docker_host)]


def alone(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))


def test_a_user_without_a_home_has_the_other_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container whose user has no entry in /etc/passwd, `Path.home` fails."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("HOME")
    assert Endpoint("unix:///var/run/docker.sock") in usual_sockets()
    assert not credentials.find("registry.lab.org", environ={})
    assert isinstance(default_folders(environ={}), tuple)
