"""jupyter condabuild diff and verify: how environments and images differ, and whether an image is what it claims."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_condabuild.commands import add_request, given, print_json
from jupyter_condabuild.events import Report

if TYPE_CHECKING:
    from jupyter_condabuild.image.opener import Places
    from jupyter_condabuild.requests.others import DiffRequest, VerifyRequest
    from jupyter_condabuild.settings import Settings


def add(commands: Any) -> tuple[argparse.ArgumentParser, ...]:
    """The commands' grammar."""
    diff: argparse.ArgumentParser = commands.add_parser(
        "diff", help="show what differs between two environments", description=run_diff.__doc__
    )
    for name in ("A", "B"):
        help = "the folder of an environment, a lock file, an image's name or archive"
        diff.add_argument(name, nargs="?", default="", help=help)
    diff.set_defaults(run=run_diff)
    verify: argparse.ArgumentParser = commands.add_parser(
        "verify", help="make an image again and compare", description=run_verify.__doc__
    )
    verify.add_argument(
        "reference",
        nargs="?",
        default="",
        metavar="REFERENCE",
        help="an image's name or archive, or docker-daemon:NAME",
    )
    verify.set_defaults(run=run_verify)
    for command in (diff, verify):
        add_request(command)
    return diff, verify


def run_diff(arguments: argparse.Namespace, report: Report) -> None:
    """Shows which packages differ between two environments, lock files or images, in whatever combination."""
    from jupyter_condabuild.jobs.diff import compare, locked
    from jupyter_condabuild.requests.others import DiffRequest
    from jupyter_condabuild.settings import Settings

    del report
    request = given(arguments, DiffRequest)
    if request is None:
        settings = Settings.load()
        request = settings.fill(DiffRequest, before=_name(arguments.A, settings), after=_name(arguments.B, settings))
    with _places(request) as places:
        found = compare(locked(request.before, places), locked(request.after, places))
    if arguments.json:
        print_json(found.summary(), arguments)
    elif not arguments.events:
        print(found.text())


def run_verify(arguments: argparse.Namespace, report: Report) -> None:
    """Makes an image again from the lock file inside it and compares: layer by layer, or file by file."""
    from jupyter_condabuild.jobs.verify import verify
    from jupyter_condabuild.requests.others import VerifyRequest
    from jupyter_condabuild.settings import Settings

    request = given(arguments, VerifyRequest)
    if request is None:
        settings = Settings.load()
        request = settings.fill(VerifyRequest, image=_name(arguments.reference, settings))
    with _places(request) as places:
        found = verify(request.image, places, request.compression_level, report)
    if arguments.json:
        print_json(found.summary(), arguments)
    elif not arguments.events:
        print(found.text())


def _name(text: str, settings: Settings) -> str:
    """An image without a registry gets the configured one; files, folders and archives stay as they are."""
    local = Path(text).exists() or text.startswith(("oci-archive:", "docker-archive:", "docker-daemon:", "oci:"))
    return text if local or text.startswith((".", "/", "~")) else settings.named(text)


@contextmanager
def _places(request: DiffRequest | VerifyRequest) -> Iterator[Places]:
    from jupyter_condabuild.image.opener import Places
    from jupyter_condabuild.oci.layout import Store

    with Store(Path(request.store_dir)) as store, store.folder() as work:
        yield Places(request.insecure_registries, request.docker_host, work)
