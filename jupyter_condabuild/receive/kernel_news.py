"""Says whether the image of a kernel has moved: a program beside a kernel that starts.

``python -m jupyter_condabuild.receive.kernel_news KERNEL_JSON``. The kernel does not wait for it. It prints one line if
the name of the image means another image now, and nothing if it does not, or if the registry does not answer.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.receive.kernels import moved
from jupyter_condabuild.receive.kernelspecs import read
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.requests.receive import KernelListRequest
from jupyter_condabuild.settings import Settings

_SECONDS = 60


def main() -> None:
    """Prints the news of the kernel of a kernelspec, and ends in any case."""
    end = threading.Timer(_SECONDS, os._exit, (1,))
    end.daemon = True
    end.start()
    try:
        kernel = read(Path(sys.argv[1]))
        with open_job(KernelListRequest.of(Settings.load()), lambda event: None) as job:
            sys.stdout.write(moved(kernel, job))
    except CondaBuildError:
        return


if __name__ == "__main__":
    main()
