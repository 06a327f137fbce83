"""The packages that use an NVIDIA GPU, by their names, builds and versions.

conda-forge and defaults name the variant in the build (``cuda126_py312h…``, ``gpu_py311…``, ``cpu_generic_…``), PyPI in
the name (``cupy-cuda12x``, ``cudf-cu12``), and PyTorch's own index in the version (``2.9.0+cu126``, ``2.9.0+cpu``).
"""

from __future__ import annotations

import re

from jupyter_condabuild.conda.lockfile import Lockfile

VARIABLES = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
"""The variables by which an image requests the GPU.

Source: NVIDIA Container Toolkit, "Environment variables (OCI spec)".
"""

_CONDA_NAME = re.compile(
    r"cudatoolkit|cuda-(?:version|runtime|toolkit|libraries|cudart.*)|cupy(?:-core)?|.*-(?:gpu|cuda)"
)
_CONDA_BUILD = re.compile(r"(?:.*_)?(?:cuda|gpu)(?:[0-9_].*)?")
_PIP_NAME = re.compile(r"nvidia-(?!ml-py).*|(?:.*-)?cu(?:da)?[0-9]+x?(?:-.*)?|.*-(?:gpu|cuda)")
_PIP_VERSION = re.compile(r".*\+cu(?:da)?[0-9].*")


def uses_cuda(lockfile: Lockfile) -> bool:
    """Returns whether a package of an environment uses CUDA. Packages for the processor alone do not."""
    return any(
        _CONDA_NAME.fullmatch(package.name) or _CONDA_BUILD.fullmatch(package.build) for package in lockfile.conda
    ) or any(
        _PIP_NAME.fullmatch(package.name.lower().replace("_", "-")) or _PIP_VERSION.fullmatch(package.version)
        for package in lockfile.pip
    )
