"""jupyter condabuild …: from words to a command, and from errors to an exit status."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from jupyter_condabuild.commands.arguments import add_options, request_of
from jupyter_condabuild.errors import Cancelled, CondaBuildError, UsageError, from_os_error
from jupyter_condabuild.events import Cancelled as CancelledEvent
from jupyter_condabuild.events import Failed, JsonLines, OnceEach, Report

EXIT_FAILED, EXIT_USAGE, EXIT_CANCELLED = 1, 2, 130

COMMANDS = ("lock", "snapshot", "plan", "build", "rebase", "export", "base", "diff", "verify", "prune")
"""In the order of the help text; each is a module of `commands`."""


def parser(command: str = "") -> argparse.ArgumentParser:
    """The command line's grammar; where `command` is a known one, only that command's part of it."""
    top = argparse.ArgumentParser(
        prog="jupyter condabuild",
        description="Turns a conda environment into a container image, package by package.",
        epilog="PREFIX is the folder of an environment; without it, the active one is meant.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in (command,) if command in COMMANDS else COMMANDS:
        module = importlib.import_module(f"jupyter_condabuild.commands.{name}")
        one = commands.add_parser(name, help=module.HELP, description=module.run.__doc__)
        add_options(one, module.REQUEST)
        if hasattr(module, "add"):
            module.add(one)
        one.add_argument("--json", action="store_true", help="print the result as JSON")
        one.add_argument("--events", choices=("jsonl",), help="print events as JSON lines on standard output")
        one.set_defaults(module=module)
    return top


class _Version(argparse.Action):
    """Shows the version, which takes too long to find for any command that is not asked for it."""

    def __call__(self, *_: object) -> None:
        from jupyter_condabuild import __version__

        print(__version__)
        raise SystemExit(0)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command; ends the process with its exit status."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(words[0] if words else "").parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    report = _report(arguments)
    try:
        request = request_of(arguments, arguments.module.REQUEST)
        arguments.module.run(request, arguments, OnceEach(report))
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
    for stream in (sys.stdout, sys.stderr):  # names of files may be any bytes, and the locale any
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8" if arguments.events else None, errors="backslashreplace")
    if arguments.events:
        return JsonLines(sys.stdout)
    from jupyter_condabuild.display import display

    return display(sys.stderr)
