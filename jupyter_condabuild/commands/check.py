"""jupyter condabuild check: whether the modules of an image can be imported, and which library is missing."""

from __future__ import annotations

import argparse

from jupyter_condabuild.commands.consent import consents
from jupyter_condabuild.commands.output import print_result
from jupyter_condabuild.events import Report
from jupyter_condabuild.requests.receive import CheckRequest

HELP = "import the modules of an image, and name what fails"
REQUEST = CheckRequest


def run(request: CheckRequest, arguments: argparse.Namespace, report: Report) -> int:
    """Starts an image once, without a network and without your files, and imports Python modules.

    They are those that a notebook imports (--notebook), or those of the packages that the builder asked for. The exit
    status is 1 if a module cannot be imported.
    """
    from jupyter_condabuild.receive import check

    checked = check.run(request, report, consents("programs", "an empty folder"))
    print_result(checked, arguments)
    return 0 if checked.works else 1
