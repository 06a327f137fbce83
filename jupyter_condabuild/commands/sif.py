"""jupyter condabuild sif: writes an image of a registry to a SIF, for a cluster with Apptainer."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.receive import SifRequest

HELP = "write an image to a SIF, for Apptainer and Singularity"
REQUEST = SifRequest


def run(request: SifRequest, arguments: argparse.Namespace, report: Report) -> None:
    """Writes an image to a SIF for Apptainer and Singularity, as a stream, without these programs and without root.

    If the name has images for several platforms, that for this machine is written, or the one of --platform.
    """
    from jupyter_condabuild.receive import sif

    print_result(sif.run(request, report), arguments)
