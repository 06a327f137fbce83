"""Runs an image that somebody has shared, after its user has seen who built it."""

from __future__ import annotations

import os
import secrets
import threading
import time
import urllib.request
import webbrowser

from jupyter_condabuild.errors import EngineFault, UsageError
from jupyter_condabuild.events import Log, Report, Warning
from jupyter_condabuild.image.paths import WORK
from jupyter_condabuild.oci.engine.containers import Container, ContainerOptions, remove_abandoned
from jupyter_condabuild.oci.engine.daemon import Daemon
from jupyter_condabuild.receive.attachment import attach, has_terminal
from jupyter_condabuild.receive.consent import Ask, consents
from jupyter_condabuild.receive.inspection import Inspection, inspect
from jupyter_condabuild.receive.local_engine import bring, has_gpu, local_engine, said_without_gpus
from jupyter_condabuild.requests.job_context import JobContext, open_job
from jupyter_condabuild.requests.receive import RUNS_AT, RunRequest
from jupyter_condabuild.system import owners
from jupyter_condabuild.system.process_tree import end_after
from jupyter_condabuild.text import clean

JUPYTER_PORT = 8888
"""The port of JupyterLab in a container."""

START_SECONDS = 60
"""The time that JupyterLab has to answer."""


def run(request: RunRequest, report: Report, ask: Ask) -> int:
    """Runs the image of a request until its program ends, and returns the exit status of the program.

    The container has the folder of the request as its work folder, the user's own ids, no rights of root, and nothing
    else of this machine. It is removed at the end.

    Args:
        ask: asks the user about an image that nobody vouches for whom the user trusts.

    Raises UsageError, BadReference, BadImage, RegistryError, EngineUnavailable, EngineFault.
    """
    if request.for_server:
        threading.Thread(target=end_after, args=(os.getppid(),), daemon=True).start()
    with open_job(request, report) as job:
        daemon = job.keep(local_engine(request, request.folder, request.command))
        found = inspect(request, job)
        if not consents(request, found, ask):
            raise UsageError("The image does not run, because you do not want to run it.")
        remove_abandoned(daemon)
        options = _options(request, found, bring(found, daemon, job))
        with said_without_gpus(daemon, options):
            return _run(request, options, daemon, job)


def _options(request: RunRequest, found: Inspection, image: str) -> ContainerOptions:
    user, environment, ports = owners.container_user(), {}, {}
    command = request.command
    is_lab = not command and found.command[:2] == ("jupyter", "lab")
    if request.for_server and not is_lab:
        raise UsageError(
            f"{found.location} does not start JupyterLab: its environment lacks the package jupyterlab.",
            f"Run a program of it in a terminal: jupyter condabuild run {found.location} PROGRAM",
        )
    if is_lab:
        if request.network == "none":
            raise UsageError("JupyterLab needs a network.", "Leave out --network none, or name another program.")
        environment = {"JUPYTER_TOKEN": secrets.token_hex(24)}
        ports = {JUPYTER_PORT: request.port}
        if user.startswith("0:"):  # the files of the folder are root's; JupyterLab refuses root without this option
            command = (*found.command, "--allow-root")
    return ContainerOptions(
        image,
        command=command,
        user=user,
        environment=environment,
        folders={WORK: request.folder.resolve()},
        ports=ports,
        network="none" if request.network == "none" else "",
        gpus=request.gpus == "all" or (request.gpus == "auto" and found.wants_gpu and has_gpu()),
        terminal=not is_lab and has_terminal(),
    )


def _run(request: RunRequest, options: ContainerOptions, daemon: Daemon, job: JobContext) -> int:
    with Container(daemon, options) as container:
        if not options.ports:
            status = attach(container, terminal=options.terminal)
            _explain(container, job.report)
            return status
        container.start()
        address = _address(container, options)
        _await(container, address)
        job.report(Log(f"{RUNS_AT}{address}", "stdout"))
        job.report(Log(f"It has the folder {options.folders[WORK]} as {WORK}. Ctrl-C ends it."))
        if not request.no_browser:
            webbrowser.open(address)
        try:
            status = container.wait()
        except KeyboardInterrupt:
            job.report(Log("JupyterLab ends. The container is removed."))
            return 0
        _explain(container, job.report)
        return status


def _address(container: Container, options: ContainerOptions) -> str:
    return f"http://127.0.0.1:{container.port(JUPYTER_PORT)}/lab?token={options.environment['JUPYTER_TOKEN']}"


def _await(container: Container, address: str) -> None:
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


def _explain(container: Container, report: Report) -> None:
    """Says why a program was killed, if that was for want of memory."""
    if container.state().killed_for_memory:
        report(
            Warning(
                "out-of-memory",
                "The engine killed the program, because it needed more memory than the engine has.",
                "Give the engine more memory (in Docker Desktop: Settings, Resources), or use less data.",
            )
        )
