"""The services of the tests: a registry, a Docker Engine and a base image, in the variables of scripts/services."""

from __future__ import annotations

import gc
import os
import shutil
import signal
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

from jupyter_condabuild.conda.prefix.launch import PURPOSES

pytest_plugins = [
    "tests.parts.jobs",
    "tests.parts.channel.fixtures",
    "tests.parts.registry.fixtures",
    "tests.parts.builds",
    "tests.parts.overlays",
    "tests.parts.lived_in",
    "tests.parts.engines",
    "tests.parts.own_engines",
    "tests.receive.image_kernels",
    "tests.parts.debian.mirror",
]

# Several checkouts at the same time need different folders. pytest frees the number of an ended run before the run
# releases its lock. If another run takes the number in the meantime, it loses its lock and its files.
_TEMPORARY = Path(tempfile.gettempdir(), f"cb-{sha256(__file__.encode()).hexdigest()[:8]}")
_TEMPORARY.mkdir(exist_ok=True)
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_TEMPORARY))

# A kernel that these tests start would inherit the variables. They lead to files of the machine that runs the tests.
os.environ["PYTHONNOUSERSITE"] = "1"
for _name in PURPOSES:
    os.environ.pop(_name, None)

# A shell starts a command in the background with Ctrl-C ignored, and programs that the command starts inherit that.
# Tests send Ctrl-C to such programs.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The time of an example depends on the load of the machine. The examples are the same in every run: a change must not
# fail for a case that it did not make. CONDABUILD_TEST_RANDOM=1 looks for new cases.
settings.register_profile(
    "unhurried", deadline=None, derandomize=not os.environ.get("CONDABUILD_TEST_RANDOM"), database=None
)
settings.load_profile("unhurried")


_LONGEST = ("tests/ui/", "tests/end_to_end/", "tests/server/", "tests/hub/")
"""The folders with the longest tests. These tests run first, so that no process is idle at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest tests first. The other tests keep the order of the files."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONGEST))


def missing(what: str) -> NoReturn:
    """Skips a test that cannot run here, with the reason. With CI set, the test fails instead."""
    message = f'{what}. `make test` brings it, or: eval "$(scripts/services)"'
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on loopback as ``localhost:PORT``.

    Debian's registry is started if scripts/services has not started one.
    """
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
    """The Docker Engine of DOCKER_HOST, or the engine at the usual socket."""
    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except (docker.errors.DockerException, requests.RequestException) as error:
        reason = str(error)
    else:
        yield client
        client.close()
        return
    # docker-py does not close a socket whose connection failed. This warning is not a failure of a test.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()
    missing(f"No Docker Engine answers at {os.environ.get('DOCKER_HOST', 'its usual socket')} ({reason})")


@pytest.fixture(scope="session")
def base_archive() -> Path:
    """A small Debian image as an OCI archive. No test writes to it."""
    given = os.environ.get("CONDABUILD_TEST_BASE")
    if not given:
        missing("No base image: CONDABUILD_TEST_BASE is not set")
    return Path(given)


@pytest.fixture(scope="session")
def base_reference(registry: str, base_archive: Path) -> str:
    """The same image in the registry."""
    reference = f"{registry}/condabuild/base:bookworm"
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci-archive:{base_archive}", f"docker://{reference}"], check=True)
    return reference
