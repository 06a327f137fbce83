"""The command line `jupyter condabuild`: it parses the arguments, runs a command, and sets the exit status."""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

from jupyter_condabuild.commands.arguments import add_options, request_of
from jupyter_condabuild.errors import BuildLimit, Cancelled, CondaBuildError, UsageError, from_os_error
from jupyter_condabuild.events import Cancelled as CancelledEvent
from jupyter_condabuild.events import Failed, JsonLines, OnceEach, Report
from jupyter_condabuild.system import limits, locks

EXIT_FAILED, EXIT_USAGE, EXIT_CANCELLED = 1, 2, 130

COMMANDS = (
    "lock",
    "snapshot",
    "plan",
    "build",
    "rebase",
    "export",
    "base",
    "diff",
    "verify",
    "inspect",
    "run",
    "check",
    "recreate",
    "sif",
    "kernel",
    "licenses",
    "who-has",
    "prune",
    "login",
    "logout",
)
"""The commands in the order of the help text. Each is a module of `commands`."""


def parser(command: str = "") -> argparse.ArgumentParser:
    """Returns the parser of the command line.

    Args:
        command: the name of a command: the parser then has only this command, so that only its module is imported. With
            any other text the parser has all commands.
    """
    top = argparse.ArgumentParser(
        prog="jupyter condabuild",
        description="Turns a conda environment into a container image, package by package.",
        epilog="PREFIX is the folder of an environment; the default is the active environment.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in (command,) if command in COMMANDS else COMMANDS:
        module = importlib.import_module(f"jupyter_condabuild.commands.{name.replace('-', '_')}")
        subparser = commands.add_parser(name, help=module.HELP, description=module.run.__doc__)
        if not hasattr(module, "ACTIONS"):
            _fill(subparser, module, module.REQUEST)
            continue
        actions = subparser.add_subparsers(dest="action", metavar="ACTION", required=True)
        for action, (request, help, description) in module.ACTIONS.items():
            _fill(actions.add_parser(action, help=help, description=description), module, request)
    return top


def _fill(subparser: argparse.ArgumentParser, module: ModuleType, request: Any) -> None:
    add_options(subparser, request)
    if hasattr(module, "add"):
        module.add(subparser)
    subparser.add_argument("--json", action="store_true", help="print the result as JSON")
    subparser.add_argument("--events", choices=("jsonl",), help="print events as JSON lines on standard output")
    subparser.set_defaults(module=module, request_type=request, subparser=subparser)


class _Version(argparse.Action):
    """Shows the version. The version is looked up only here, because the lookup would slow down every command."""

    def __call__(self, *_: object) -> None:
        from jupyter_condabuild import __version__

        print(__version__)
        raise SystemExit(0)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command, and ends the process with its exit status: 0 done, 1 failed, 2 wrong usage, 130 cancelled.

    The command `verify` has one more: 3 if a part of the image is not proved.

    Args:
        argv: the arguments without the name of the program; None means those of the process.
    """
    gc.set_threshold(10_000)  # with 700, as by default, the collections take 3 % of a build
    words = sys.argv[1:] if argv is None else argv
    arguments, unknown = parser(words[0] if words else "").parse_known_args(words)
    if unknown:  # the usage of the command helps more than that of the program
        arguments.subparser.error(f"unrecognized arguments: {' '.join(unknown)}")
    signal.signal(signal.SIGTERM, _interrupt)
    limits.write_no_core()
    if arguments.events:
        locks.own_output()
    report = _report(arguments)
    try:
        request = request_of(arguments, arguments.request_type)
        status = arguments.module.run(request, arguments, OnceEach(report)) or 0
    except (KeyboardInterrupt, Cancelled):
        report(CancelledEvent())
        status = EXIT_CANCELLED
    except CondaBuildError as error:
        report(Failed.of(error))
        status = EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
    except BrokenPipeError:  # the program that reads the output has ended
        status = EXIT_FAILED
    except OSError as error:  # for example, the disk is full at a place without a handler of its own
        store_error = from_os_error(error, f"running '{arguments.command}'")
        report(Failed.of(store_error))
        status = EXIT_FAILED
    except MemoryError:
        report(Failed(BuildLimit.code, f"The command '{arguments.command}' needs more memory than it may use."))
        status = EXIT_FAILED
    except Exception as error:  # a bug of jupyter-condabuild: users get a message instead of a traceback
        if os.environ.get("CONDABUILD_DEBUG"):
            raise
        report(_no_thread(arguments.command) if "can't start new thread" in str(error) else _unexpected(error))
        status = EXIT_FAILED
    for close in (getattr(report, "close", None), sys.stdout.flush, sys.stderr.flush):
        with suppress(BrokenPipeError):
            if close:
                close()
    # Not sys.exit: it would wait for the uploads of a cancelled build, and rattler's threads can crash the interpreter
    # while it shuts down.
    os._exit(status)


def _no_thread(command: str) -> Failed:
    return Failed(
        BuildLimit.code,
        f"The command '{command}' cannot start another thread: this machine, container or account has a limit.",
        "End other programs, or raise the limit of processes (ulimit -u; in a container, --pids-limit).",
    )


def _unexpected(error: Exception) -> Failed:
    from jupyter_condabuild.conda.secrets import scrub

    return Failed(
        "unexpected",
        f"An unexpected error occurred: {type(error).__name__}: {scrub(str(error))}",
        "This is a bug in jupyter-condabuild. Please report it with the output of a run with CONDABUILD_DEBUG=1.",
    )


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not interrupt the clean-up
    raise KeyboardInterrupt


def _report(arguments: argparse.Namespace) -> Report:
    # File names may contain any bytes, and the locale may have any encoding: no character may stop the output.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8" if arguments.events else None, errors="backslashreplace")
    if arguments.events:
        return JsonLines(sys.stdout)
    from jupyter_condabuild.display import display

    return display(sys.stderr)
