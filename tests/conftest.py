"""What the tests run against: a registry, a Docker Engine and a base image, as scripts/services names them."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import docker
import pytest
import requests
from hypothesis import settings

pytest_plugins = [
    "tests.parts.jobs",
    "tests.parts.channel.fixtures",
    "tests.parts.registry.fixtures",
    "tests.parts.builds",
    "tests.parts.lived_in",
    "tests.parts.engines",
]

# Runs of several checkouts at once share no folder: pytest frees the number of a run that passed before it lets go of
# its lock, so that another run, which took the number meanwhile, loses its own lock, and then its files.
_TEMPORARY = Path(tempfile.gettempdir(), f"cb-{sha256(__file__.encode()).hexdigest()[:8]}")
_TEMPORARY.mkdir(exist_ok=True)
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_TEMPORARY))

settings.register_profile("unhurried", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("unhurried")


_LONGEST = ("tests/ui/", "tests/end_to_end/", "tests/server/")
"""The rooms with the longest tests. They run first, so that no process waits at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest tests first. The order is otherwise that of the files."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))


def missing(what: str) -> NoReturn:
    """Skip a test that cannot run here, and say why; where everything must be there (CI), fail it."""
    message = f'{what}. `make test` brings it, or: eval "$(scripts/services)"'
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on loopback, as ``localhost:PORT``; Debian's, started here where scripts/services did not."""
    if given := os.environ.get("CONDABUILD_TEST_REGISTRY"):
        yield given
        return
    if not shutil.which("docker-registry"):
        missing("No registry: docker-registry is not installed")
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\n"
        f"log: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log) as process,
    ):
        try:
            _wait_until_it_listens(port, process, folder / "log")
            yield f"localhost:{port}"
        finally:
            process.terminate()


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"docker-registry did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    """The Docker Engine that DOCKER_HOST names, or the one at the usual socket."""
    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except (docker.errors.DockerException, requests.RequestException) as error:
        reason = str(error)
    else:
        yield client
        client.close()
        return
    # docker-py leaves the socket open that could not connect; the warning of that is no test's failure.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()
    missing(f"No Docker Engine answers at {os.environ.get('DOCKER_HOST', 'its usual socket')} ({reason})")


@pytest.fixture(scope="session")
def base_archive() -> Path:
    """A small Debian image as an OCI archive; never written to."""
    given = os.environ.get("CONDABUILD_TEST_BASE")
    if not given:
        missing("No base image: CONDABUILD_TEST_BASE names none")
    return Path(given)


@pytest.fixture(scope="session")
def base_reference(registry: str, base_archive: Path) -> str:
    """The same image in the registry."""
    reference = f"{registry}/condabuild/base:bookworm"
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci-archive:{base_archive}", f"docker://{reference}"], check=True)
    return reference
