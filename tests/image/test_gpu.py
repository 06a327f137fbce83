"""An image requests the GPU if a package of its environment uses CUDA."""

from __future__ import annotations

import pytest

from jupyter_condabuild.conda.lockfile import Lockfile, of_packages
from jupyter_condabuild.conda.packages import PYPI, CondaPackage, PipPackage
from jupyter_condabuild.image.configuration import environment
from jupyter_condabuild.image.gpu import VARIABLES


def lock(conda: str = "", pip: str = "") -> Lockfile:
    """A lock file with Python, and with one more package: ``NAME-VERSION-BUILD`` of conda or ``NAME==VERSION``."""
    names = ["python-3.12.1-h1_0", *([conda] if conda else [])]
    packages = [
        CondaPackage.of_url(f"https://lab.org/linux-64/{name}.conda", sha256="0" * 64, size=1) for name in names
    ]
    name, _, version = pip.partition("==")
    return of_packages("linux-64", packages, [PipPackage(name, version, index=PYPI)] if pip else [])


@pytest.mark.parametrize(
    "lockfile",
    [
        lock("cudatoolkit-11.8.0-h6a678d5_0"),
        lock("cuda-version-12.6-h7480c83_3"),
        lock("cuda-cudart_linux-64-12.6.77-h3f2d84a_0"),
        lock("cuda-runtime-12.4.1-0"),
        lock("cupy-13.3.0-py312h8e83189_2"),
        lock("pytorch-gpu-2.5.1-cuda126ha999a5f_300"),
        lock("pytorch-2.5.1-cuda126_mkl_py312h1763f6d_300"),
        lock("pytorch-2.1.0-py3.10_cuda11.8_cudnn8.7.0_0"),
        lock("pytorch-mutex-1.0-cuda"),
        lock("jaxlib-0.4.34-cuda126py312h5a2d9b7_200"),
        lock("tensorflow-2.18.0-gpu_py311h0e1ac4c_0"),
        lock("py-xgboost-gpu-2.1.2-pyh8a1f2bd_0"),
        lock(pip="nvidia-cublas-cu12==12.6.4.1"),
        lock(pip="nvidia-cuda-runtime==13.0.96"),
        lock(pip="nvidia_cudnn_cu12==9.5.1.17"),
        lock(pip="torch==2.9.0+cu126"),
        lock(pip="jaxlib==0.4.25+cuda12.cudnn89"),
        lock(pip="jax-cuda12-plugin==0.5.0"),
        lock(pip="cupy-cuda12x==13.3.0"),
        lock(pip="cudf-cu12==24.10.1"),
        lock(pip="onnxruntime-gpu==1.20.1"),
    ],
    ids=lambda lockfile: (lockfile.pip or [one for one in lockfile.conda if one.name != "python"])[0].name,
)
def test_an_environment_with_cuda_requests_the_gpu(lockfile: Lockfile) -> None:
    """The image has the variables of NVIDIA's container toolkit."""
    assert VARIABLES.items() <= environment("", lockfile).items()


@pytest.mark.parametrize(
    "lockfile",
    [
        lock(),
        lock("pytorch-2.5.1-cpu_generic_py312heb1ff5c_1"),
        lock("pytorch-mutex-1.0-cpu"),
        lock("pytorch-cpu-2.5.1-cpu_generic_h1_1"),
        lock("cuda-nvcc-doc-12.6.77-ha770c72_0"),
        lock("libgpuarray-0.7.6-h7f98852_1003"),
        lock(pip="torch==2.9.0+cpu"),
        lock(pip="nvidia-ml-py==12.560.30"),
        lock(pip="cubes==1.1"),
        lock(pip="tensorflow-cpu==2.18.0"),
    ],
    ids=lambda lockfile: "-".join(one.version for one in (*lockfile.conda, *lockfile.pip)),
)
def test_another_environment_does_not_request_the_gpu(lockfile: Lockfile) -> None:
    """A build for the processor alone is no reason to need a GPU."""
    assert not VARIABLES.keys() & environment("", lockfile).keys()
