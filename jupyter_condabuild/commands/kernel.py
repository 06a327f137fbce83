"""jupyter condabuild kernel: kernels of an image in the launcher of Jupyter."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.consent import adds, consents
from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.receive import KernelInstallRequest, KernelListRequest, KernelRemoveRequest

HELP = "add the kernels of an image to Jupyter, list them, or remove them"
ACTIONS = {
    "install": (
        KernelInstallRequest,
        "add the kernels of an image to the launcher of Jupyter",
        "Adds the kernels of an image to the launcher of Jupyter. A kernel runs in a container of the image.",
    ),
    "list": (
        KernelListRequest,
        "list the installed kernels, and whether their images have changed",
        "Lists the installed kernels of images, and says if the name of an image means another image by now.",
    ),
    "remove": (
        KernelRemoveRequest,
        "remove the kernels of an image",
        "Removes the kernels of an image, or the kernel with the name REFERENCE. The image itself stays.",
    ),
}
"""The actions of the command: the request, the help text and the description of each."""


def run(
    request: KernelInstallRequest | KernelListRequest | KernelRemoveRequest,
    arguments: argparse.Namespace,
    report: Report,
) -> None:
    """Adds the kernels of an image to the launcher of Jupyter, lists such kernels, or removes them.

    A kernel runs in a container of the image, with the folder of its notebook.
    """
    from jupyter_condabuild.receive import kernels

    if isinstance(request, KernelInstallRequest):
        done = kernels.install(request, report, consents("kernels", "the folders of your notebooks"), adds())
    elif isinstance(request, KernelRemoveRequest):
        done = kernels.remove(request)
    else:
        done = kernels.show(request, report)
    print_result(done, arguments)
