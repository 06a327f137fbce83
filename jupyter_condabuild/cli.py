"""jupyter condabuild …: arguments to calls, and their results to people and programs."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jupyter_condabuild.commands import add_request, given, print_json
from jupyter_condabuild.errors import Cancelled, CondaBuildError, UsageError, from_os_error
from jupyter_condabuild.events import Cancelled as CancelledEvent
from jupyter_condabuild.events import Failed, Finished, JsonLines, Report
from jupyter_condabuild.files import write_whole

EXIT_FAILED, EXIT_USAGE, EXIT_CANCELLED = 1, 2, 130


_COMMON = ("lock", "snapshot", "plan", "build")
"""Commands that do not wait for the others' code to be loaded."""


def parser(command: str = "") -> argparse.ArgumentParser:
    """The command line's grammar; where `command` is a common one, no other but these need be in it."""
    top = argparse.ArgumentParser(
        prog="jupyter condabuild",
        description="Turns a conda environment into a container image, package by package.",
        epilog="PREFIX is the folder of an environment; without it, the active one is meant.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    lock = commands.add_parser("lock", help="write the environment's lock file", description=_lock.__doc__)
    lock.add_argument("prefix", nargs="?", default="", metavar="PREFIX")
    lock.add_argument("--format", choices=("conda-lock", "explicit", "pixi", "environment"), default="conda-lock")
    lock.add_argument(
        "--md5", action="store_true", help="md5 instead of sha256 in --format explicit, for conda before 24"
    )
    lock.add_argument("-o", "--output", default="", metavar="FILE", help="write to FILE instead of standard output")
    lock.set_defaults(run=_lock)

    snapshot = commands.add_parser(
        "snapshot", help="report on an environment and its plan, as JSON", description=_snapshot.__doc__
    )
    _add_source(snapshot)
    snapshot.add_argument("-t", "--tag", default="", metavar="REFERENCE", help="as for plan")
    _add_build_options(snapshot)
    _add_installer(snapshot)
    add_request(snapshot)
    snapshot.set_defaults(run=_snapshot)

    plan = commands.add_parser("plan", help="show what a build would do", description=_plan.__doc__)
    _add_source(plan)
    plan.add_argument(
        "-t", "--tag", default="", metavar="REFERENCE", help="the image's name: what is there counts as built"
    )
    _add_build_options(plan)
    _add_stack(plan)
    _add_installer(plan)
    plan.set_defaults(run=_plan)

    build = commands.add_parser("build", help="build the image", description=_build.__doc__)
    _add_source(build)
    build.add_argument(
        "-t", "--tag", default="", metavar="REFERENCE", help="the image's name, as registry/repository:tag"
    )
    build.add_argument("--push", action="store_true", help="push the image to its registry")
    build.add_argument("--load", action="store_true", help="load the image into the Docker or Podman Engine")
    build.add_argument(
        "-o",
        "--output",
        default="",
        metavar="ARCHIVE.tar",
        help="write an OCI archive (docker-archive:FILE: the older format)",
    )
    _add_build_options(build)
    _add_stack(build)
    _add_installer(build)
    build.add_argument("--pull", action="store_true", help="docker engine: look for a newer image of the installer")
    build.add_argument("--include", default="", metavar="DIR", help="put this folder's files into /work")
    build.add_argument("--strict", action="store_true", help="refuse an environment that cannot be reproduced")
    build.add_argument("--variables", action="store_true", help="put the environment's own variables into the image")
    build.add_argument("--again", action="store_true", help="look at everything anew, though nothing has changed")
    add_request(build)
    build.set_defaults(run=_build)

    others: list[argparse.ArgumentParser] = []
    if command not in _COMMON:
        from jupyter_condabuild.commands import base, comparison, export, prune, rebase

        others += [*comparison.add(commands), *(one.add(commands) for one in (rebase, export, base, prune))]
    for one in (lock, snapshot, plan, build, *others):
        one.add_argument("--json", action="store_true", help="print the result as JSON")
        one.add_argument("--events", choices=("jsonl",), help="print events as JSON lines on standard output")
    return top


class _Version(argparse.Action):
    """Shows the version, which takes too long to find for any command that is not asked for it."""

    def __call__(self, *_: object) -> None:
        from jupyter_condabuild import __version__

        print(__version__)
        raise SystemExit(0)


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument("prefix", nargs="?", default="", metavar="PREFIX")
    command.add_argument("--lockfile", default="", metavar="FILE", help="build from a lock file instead of PREFIX")


def _add_build_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--engine", choices=("layers", "docker"), default=None)
    command.add_argument("--base", default=None, metavar="REFERENCE", help="the base image")
    command.add_argument(
        "--cache-from", action="append", default=None, metavar="REFERENCE", help="an image whose layers may be reused"
    )
    command.add_argument(
        "--bytecode",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="compile the modules of noarch packages; without, the image is smaller and imports are slower",
    )


def _add_stack(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--stack",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="put what is new on top of the image that the tag has; its puller gets that alone",
    )


def _add_installer(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--installer",
        choices=("micromamba", "conda", "rattler"),
        default=None,
        help="docker engine: who installs the packages",
    )
    command.add_argument(
        "--installer-image", default=None, metavar="REFERENCE", help="docker engine: the image that it runs in"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command; ends the process with its exit status."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(words[0] if words else "").parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    report = _report(arguments)
    try:
        arguments.run(arguments, report)
        status = 0
    except (KeyboardInterrupt, Cancelled):
        report(CancelledEvent())
        status = EXIT_CANCELLED
    except CondaBuildError as error:
        report(Failed(error.code, error.message, error.hint))
        status = EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
    except BrokenPipeError:  # the reader of our output has gone
        status = EXIT_FAILED
    except OSError as error:  # a disk that fills where nobody expected it
        named = from_os_error(error, f"running '{arguments.command}'")
        report(Failed(named.code, named.message, named.hint))
        status = EXIT_FAILED
    except Exception as error:  # a fault of ours, and still no traceback to a user
        if os.environ.get("CONDABUILD_DEBUG"):
            raise
        report(_unexpected(error))
        status = EXIT_FAILED
    for close in (getattr(report, "close", None), sys.stdout.flush, sys.stderr.flush):
        with suppress(BrokenPipeError):
            if close:
                close()
    # Not sys.exit: a cancelled build's uploads would be waited for, and rattler's threads can crash an interpreter
    # that is being taken down.
    os._exit(status)


def _unexpected(error: Exception) -> Failed:
    from jupyter_condabuild.conda.secrets import scrub

    return Failed(
        "unexpected",
        f"Something went wrong that should not: {type(error).__name__}: {scrub(str(error))}",
        "This is a fault of jupyter-condabuild; please report it with what CONDABUILD_DEBUG=1 shows.",
    )


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first one is enough: a second must not end the tidying up
    raise KeyboardInterrupt


def _report(arguments: argparse.Namespace) -> Report:
    if arguments.events:
        if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be any bytes, and the locale any
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        return JsonLines(sys.stdout)
    from jupyter_condabuild.display import display

    return display(sys.stderr)


def _prefix(given: str) -> str:
    prefix = given or os.environ.get("CONDA_PREFIX", "")
    if not prefix:
        raise UsageError(
            "No environment is active, and none was named.", "Name its folder: jupyter condabuild … PREFIX."
        )
    return prefix


def _request(arguments: argparse.Namespace, **more: Any) -> Any:
    from jupyter_condabuild.settings import Settings

    settings = Settings.load()
    if arguments.prefix and arguments.lockfile:
        raise UsageError("Name an environment or --lockfile, not both.")
    return settings.request(
        prefix="" if arguments.lockfile else os.path.abspath(_prefix(arguments.prefix)),
        lockfile=arguments.lockfile,
        reference=arguments.tag,
        engine=arguments.engine,
        base=arguments.base,
        cache_from=arguments.cache_from,
        stack=getattr(arguments, "stack", None),
        bytecode=arguments.bytecode,
        **more,
    )


def _lock(arguments: argparse.Namespace, report: Report) -> None:
    """Writes exactly which packages an environment has; what to know of it goes to standard error."""
    from jupyter_condabuild.conda.formats import dump
    from jupyter_condabuild.jobs.plan import lock_report

    found = lock_report(Path(_prefix(arguments.prefix)), report)
    text = dump(
        found.lockfile,
        arguments.format,
        name=found.environment.name,
        channels=found.environment.channels,
        hash="md5" if arguments.md5 else "sha256",
    )
    if arguments.output:
        write_whole(Path(arguments.output), text, "writing the lock file")
    if arguments.json:
        print_json({**found.summary(), "lockfile": arguments.output or text}, arguments)
    elif not arguments.output:
        sys.stdout.write(text)
    if not arguments.events:
        print(found.text(), file=sys.stderr)


def _snapshot(arguments: argparse.Namespace, report: Report) -> None:
    """Prints what an environment holds, its lock file, and what a build would do, as JSON. Builds nothing."""
    from jupyter_condabuild.jobs.snapshot import survey
    from jupyter_condabuild.requests.build import BuildRequest

    print_json(survey(given(arguments, BuildRequest) or _planned(arguments), report), arguments)


def _planned(arguments: argparse.Namespace) -> Any:
    # A plan goes nowhere; with a name, it is measured against what that repository has.
    return _request(
        arguments,
        push=bool(arguments.tag),
        archive="" if arguments.tag else "none.tar",
        installer=arguments.installer,
        installer_image=arguments.installer_image,
    )


def _plan(arguments: argparse.Namespace, report: Report) -> None:
    """Shows the layers of an image, which of them exist already, and what would be pushed. Builds nothing."""
    from jupyter_condabuild.jobs.plan import preview

    found = preview(_planned(arguments), report)
    if arguments.json:
        print_json(found.summary(), arguments)
    elif not arguments.events:
        print(found.text())


def _build(arguments: argparse.Namespace, report: Report) -> None:
    """Builds the image of an environment or lock file, and pushes, loads or saves it."""
    from jupyter_condabuild.jobs.build import build
    from jupyter_condabuild.requests.build import BuildRequest

    request = given(arguments, BuildRequest) or _request(
        arguments,
        push=arguments.push,
        load=arguments.load,
        archive=arguments.output,
        include=arguments.include,
        strict=arguments.strict,
        variables=arguments.variables,
        again=arguments.again,
        installer=arguments.installer,
        installer_image=arguments.installer_image,
        pull=arguments.pull,
    )
    result = build(request, report)
    if arguments.json:
        print_json(asdict(result.event), arguments)
    elif not arguments.events:
        _print_use(request, result.event, report)


def _print_use(request: Any, done: Finished, report: Report) -> None:
    """The lines that run the image, below all that the display has to say."""
    from jupyter_condabuild.distribution.run_commands import share_commands

    if close := getattr(report, "close", None):
        close()
    first = share_commands(request, done)[0]
    lines = [line for line in first.text.splitlines() if not line.startswith("docker pull ")]
    print(f"\n{first.title}:", *lines, sep="\n  ", file=sys.stderr)
