"""Runs an image that somebody has shared, after its user has seen who built it."""

from __future__ import annotations

import os
import platform
import secrets
import socket
import sys
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from jupyter_condabuild.errors import EngineFault, UsageError
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.image.paths import WORK
from jupyter_condabuild.oci.engine.containers import Container, ContainerOptions, remove_abandoned
from jupyter_condabuild.receive.attachment import attach, has_terminal
from jupyter_condabuild.receive.consent import Ask, SifFile, consents
from jupyter_condabuild.receive.inspection import Inspection, inspect
from jupyter_condabuild.receive.local_engine import bring, engine_or_sandbox, has_gpu, said_without_gpus
from jupyter_condabuild.receive.local_image import BUBBLEWRAP, LocalImage, fetch, sandbox
from jupyter_condabuild.receive.local_program import LocalProgram
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.receive import RUNS_AT, RunRequest
from jupyter_condabuild.system import owners
from jupyter_condabuild.system.process_tree import end_after
from jupyter_condabuild.text import clean

JUPYTER_PORT = 8888
"""The port of JupyterLab in a container."""

_USUAL = "127.0.0.1"

START_SECONDS = 60
"""The time that JupyterLab has to answer."""


def run(request: RunRequest, report: Report, ask: Ask) -> int:
    """Runs the image of a request until its program ends, and returns the exit status of the program.

    The container has the folder of the request as its work folder, the user's own ids, no rights of root, and nothing
    else of this machine. It is removed at the end.

    Args:
        ask: asks the user about an image that nobody vouches for whom the user trusts.

    Raises UsageError, BadReference, BadImage, RegistryError, EngineUnavailable, EngineFault, StoreError.
    """
    location = request.reference
    assert location
    if request.for_server:
        threading.Thread(target=end_after, args=(os.getppid(),), daemon=True).start()
    with open_job(request, report) as job:
        if location.kind == "sif":
            image = LocalImage(location.path.resolve(), sandbox(sif=True))
            _consent(request, SifFile(location), ask)
            return _run_here(request, image, (), job)
        where = engine_or_sandbox(request, request.folder, job)
        found = inspect(request, job)
        _consent(request, replace(found, starts=request.command), ask)
        if isinstance(where, str):
            if found.wants_gpu and request.gpus == "auto" and where == BUBBLEWRAP and has_gpu():
                job.report(Log("The image is for NVIDIA GPUs, and runs on the processor: bubblewrap gives no GPUs."))
            return _run_here(request, fetch(found, where, job), found.command, job, wants_gpu=found.wants_gpu)
        remove_abandoned(where)
        options = replace(_options(request, found.command, found.wants_gpu), image=bring(found, where, job))
        if where.is_desktop:  # it forwards this address
            options = replace(options, address=_USUAL)
        with said_without_gpus(where, options), Container(where, options) as container:
            return _run(request, options, container, partial(_address, container, options), job)


def _consent(request: RunRequest, found: Inspection | SifFile, ask: Ask) -> None:
    if not consents(request, found, ask):
        raise UsageError("The image does not run, because you do not want to run it.")


def _run_here(
    request: RunRequest, image: LocalImage, command: tuple[str, ...], job: JobContext, *, wants_gpu: bool = False
) -> int:
    """Runs a program without an engine. JupyterLab listens at its own address: it has the network of this machine."""
    if request.gpus == "all" and image.program == BUBBLEWRAP:
        raise UsageError("A sandbox of bubblewrap has no GPUs.", "Use an engine or Apptainer, or --gpus none.")
    options = replace(_options(request, command, wants_gpu), work=WORK)
    if options.ports:
        port = request.port or _free_port(options.address)
        # JupyterLab takes an option once. It listens here alone: 0.0.0.0 would be every address of this machine.
        rest = [word for word in options.command or command if not word.startswith(("--ip=", "--port="))]
        here = (f"--ip={options.address}", f"--port={port}", "--ServerApp.port_retries=0")
        options = replace(options, command=(*rest, *here), ports={JUPYTER_PORT: port})
    with image.run(options, job.folder()) as program:
        return _run(request, options, program, lambda: _lab(options.ports[JUPYTER_PORT], options), job)


def _options(request: RunRequest, default: tuple[str, ...], wants_gpu: bool) -> ContainerOptions:
    """Returns the options of a container.

    Args:
        default: the program that the image starts.
    """
    user, environment, ports = owners.container_user(), {}, {}
    command = request.command
    is_lab = not command and default[:2] == ("jupyter", "lab")
    if request.for_server and not is_lab:
        raise UsageError(
            f"{request.reference} does not start JupyterLab: its environment lacks the package jupyterlab.",
            f"Run a program of it in a terminal: jupyter condabuild run {request.reference} PROGRAM",
        )
    if is_lab:
        if request.network == "none":
            raise UsageError("JupyterLab needs a network.", "Leave out --network none, or name another program.")
        environment = {"JUPYTER_TOKEN": secrets.token_hex(24)}
        ports = {JUPYTER_PORT: request.port}
        if user.startswith("0:"):  # the files of the folder are root's; JupyterLab refuses root without this option
            command = (*default, "--allow-root")
    return ContainerOptions(
        "",
        command=command,
        user=user,
        environment=environment,
        folders={WORK: request.folder.resolve()},
        ports=ports,
        address=_USUAL if request.port else _own_address(),
        network="none" if request.network == "none" else "",
        gpus=request.gpus == "all" or (request.gpus == "auto" and wants_gpu and has_gpu()),
        terminal=not is_lab and has_terminal(),
    )


def _run(
    request: RunRequest,
    options: ContainerOptions,
    container: Container | LocalProgram,
    address: Callable[[], str],
    job: JobContext,
) -> int:
    if not options.ports:
        if isinstance(container, LocalProgram):
            status = container.attached(terminal=options.terminal)
            if not container.began:
                job.report(Log("The program did not start, as the line above says. The image may lack it.", "stderr"))
            return status
        status = attach(container, terminal=options.terminal)
        _explain(container, job.report)
        return status
    container.start()
    where = address()
    _await(container, where)
    job.report(Log(f"{RUNS_AT}{where}", "stdout"))
    job.report(Log(f"It has the folder {options.folders[WORK]} as {WORK}. Ctrl-C ends it."))
    if not request.no_browser:
        webbrowser.open(where)
    try:
        status = container.wait()
    except KeyboardInterrupt:
        job.report(Log("JupyterLab ends. The container is removed."))
        return 0
    _explain(container, job.report)
    return status


def _address(container: Container, options: ContainerOptions) -> str:
    return _lab(container.port(JUPYTER_PORT), options)


def _lab(port: int, options: ContainerOptions) -> str:
    return f"http://{options.address}:{port}/lab?token={options.environment['JUPYTER_TOKEN']}"


def _own_address() -> str:
    """Returns a loopback address for one JupyterLab.

    A browser sends its cookies for an address to every port of the address (RFC 6265, section 8.5). At 127.0.0.1, an
    image would get the login of the user's own Jupyter server. Only Linux has all addresses of 127.0.0.0/8, and a
    browser of Windows reaches only the usual one of a Linux in WSL.
    """
    if sys.platform != "linux" or "microsoft" in platform.release().lower():
        return _USUAL
    return ".".join(("127", *(str(1 + secrets.randbelow(254)) for _ in range(3))))


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        return int(server.getsockname()[1])


def _await(container: Container | LocalProgram, address: str) -> None:
    """Waits until JupyterLab answers. Raises EngineFault, with the last lines of its output, if it ends before."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine is reached without a proxy
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            opener.open(address.replace("/lab?", "/api?"), timeout=5).close()
            return
        except OSError:
            if not container.state().runs:
                break
            time.sleep(0.1)
    raise EngineFault(
        f"JupyterLab did not start. Its last lines: {clean(container.log().strip()) or 'none'}",
        "Run another program to look into the image: jupyter condabuild run REFERENCE sh",
    )


def _explain(container: Container | LocalProgram, report: Report) -> None:
    """Says why a program was killed, if that was for want of memory."""
    if container.state().killed_for_memory:
        report(
            Warning(
                "out-of-memory",
                "The engine killed the program, because it needed more memory than the engine has.",
                "Give the engine more memory (in Docker Desktop: Settings, Resources), or use less data.",
            )
        )
