"""jupyter condabuild recreate: an environment of this machine with the packages of an image."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.consent import consents
from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.receive import RecreateRequest

HELP = "make a conda environment with the packages of an image"
REQUEST = RecreateRequest


def run(request: RecreateRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Makes a conda environment with the packages of an image in a new folder, without a container.

    The packages come from their channels, and pip's packages from the image. Nothing of the image runs meanwhile.
    """
    from jupyter_condabuild.receive import recreate

    ask = consents("programs", "everything that you can, once you use the environment")
    print_result(recreate.run(request, report, ask), arguments)
