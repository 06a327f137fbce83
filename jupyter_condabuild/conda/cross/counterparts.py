"""The packages that are for one system alone, and what takes their place on Linux."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

_MACOS, _WINDOWS = "macOS only", "Windows only"


@dataclass(frozen=True)
class Counterpart:
    """A package of one system. `name` is a pattern, `there` the package with the same task on Linux; empty if none."""

    name: str
    why: str
    there: str = ""
    platforms: tuple[str, ...] = ()


_BOTH = (
    # ipykernel depends on appnope on macOS alone: github.com/conda-forge/ipykernel-feedstock recipe/meta.yaml
    Counterpart("appnope", f"{_MACOS}: it asks macOS not to slow a program down"),
    Counterpart("pyobjc", f"{_MACOS}: the bridge to Objective-C"),
    Counterpart("pyobjc-*", f"{_MACOS}: the bridge to Objective-C"),
    Counterpart("pywin32", f"{_WINDOWS}: the bridge to the programs of Windows"),
    Counterpart("pywin32-ctypes", f"{_WINDOWS}: the bridge to the programs of Windows"),
    Counterpart("pywinpty", "terminals of Windows", "ptyprocess"),
)
"""Packages with the same name in conda channels and on PyPI."""

_CONDA = (
    *_BOTH,
    # github.com/conda-forge/python.app-feedstock: a framework build of Python for windows on macOS
    Counterpart("python.app", f"{_MACOS}: a Python that may open windows", "python"),
    # conda-forge.org/docs/maintainer/infrastructure: compilers; clang's C++ library on macOS, gcc's on Linux
    Counterpart("libcxx", "the C++ library of macOS", "libstdcxx"),
    Counterpart("libcxx-devel", "the C++ library of macOS", "libstdcxx-devel_linux-64"),
    Counterpart("cctools*", f"{_MACOS}: Apple's linker tools"),
    Counterpart("ld64*", f"{_MACOS}: Apple's linker"),
    Counterpart("clang_osx-*", "the C compiler of macOS", "gcc"),
    Counterpart("clangxx_osx-*", "the C++ compiler of macOS", "gxx"),
    Counterpart("clang_impl_osx-*", "the C compiler of macOS", "gcc"),
    Counterpart("clangxx_impl_osx-*", "the C++ compiler of macOS", "gxx"),
    Counterpart("gfortran_osx-*", "the Fortran compiler of macOS", "gfortran"),
    Counterpart("gfortran_impl_osx-*", "the Fortran compiler of macOS", "gfortran"),
    Counterpart("libgfortran-devel_osx-*", "the Fortran compiler of macOS", "gfortran"),
    Counterpart("compiler-rt_osx-*", "the runtime of the C compiler of macOS"),
    Counterpart("tapi", f"{_MACOS}: the format of Apple's libraries"),
    Counterpart("sigtool", f"{_MACOS}: it signs programs"),
    # github.com/conda-forge/vc-feedstock: the runtime of Microsoft's compiler, which Windows packages depend on
    Counterpart("vc", "the C runtime of Windows", "libgcc"),
    Counterpart("vc14_runtime", "the C runtime of Windows", "libgcc"),
    Counterpart("vs2015_runtime", "the C runtime of Windows", "libgcc"),
    Counterpart("vcomp14", "the OpenMP runtime of Windows", "libgomp"),
    Counterpart("ucrt", "the C runtime of Windows", "libgcc"),
    Counterpart("vs20??_win-*", f"{_WINDOWS}: it finds Microsoft's compiler"),
    # repo.anaconda.com/pkgs/msys2: Anaconda's channel of the programs of MSYS2
    Counterpart("m2w64-*", f"{_WINDOWS}: a program or library of MSYS2"),
    Counterpart("m2-*", f"{_WINDOWS}: a program or library of MSYS2"),
    Counterpart("msys2-*", f"{_WINDOWS}: a program or library of MSYS2"),
    Counterpart("libwinpthread", f"{_WINDOWS}: POSIX threads for Windows"),
    Counterpart("pthreads-win32", f"{_WINDOWS}: POSIX threads for Windows"),
    Counterpart("winpty", f"{_WINDOWS}: terminals"),
    Counterpart("win_inet_pton", f"{_WINDOWS}: a function that Linux has"),
    Counterpart("wincertstore", f"{_WINDOWS}: the certificates of Windows"),
    Counterpart("console_shortcut", f"{_WINDOWS}: an entry of the start menu"),
    Counterpart("powershell_shortcut", f"{_WINDOWS}: an entry of the start menu"),
    # github.com/conda-forge/menuinst-feedstock: it writes entries of start menus, which a container does not have
    Counterpart("menuinst", "it writes entries of start menus, and a container has none"),
    # Intel publishes MKL for x86 processors alone: anaconda.org/conda-forge/mkl
    Counterpart("mkl", "for x86 processors only", "libopenblas", ("linux-aarch64", "linux-ppc64le", "linux-s390x")),
    Counterpart("mkl-*", "for x86 processors only", "", ("linux-aarch64", "linux-ppc64le", "linux-s390x")),
    Counterpart("intel-openmp", "for x86 processors only", "libgomp", ("linux-aarch64", "linux-ppc64le")),
)

_PYPI = (
    *_BOTH,
    # pypi.org/project/tensorflow-macos: since version 2.13, tensorflow itself has wheels for macOS
    Counterpart("tensorflow-macos", "TensorFlow for macOS", "tensorflow"),
    # pypi.org/project/tensorflow-metal and jax-metal: plug-ins for the GPUs of Apple
    Counterpart("tensorflow-metal", f"{_MACOS}: it uses the GPU of a Mac"),
    Counterpart("jax-metal", f"{_MACOS}: it uses the GPU of a Mac"),
    Counterpart("tensorflow-intel", "TensorFlow for Windows", "tensorflow"),
    Counterpart("tensorflow-io-gcs-filesystem-*", "a part of TensorFlow for one system"),
    Counterpart("mlx", f"{_MACOS}: it computes on the processors of Apple"),
    Counterpart("mlx-*", f"{_MACOS}: it computes on the processors of Apple"),
    Counterpart("pypiwin32", f"{_WINDOWS}: the bridge to the programs of Windows"),
    Counterpart("pyreadline", f"{_WINDOWS}: a module that Linux has"),
    Counterpart("pyreadline3", f"{_WINDOWS}: a module that Linux has"),
    Counterpart("windows-curses", f"{_WINDOWS}: a module that Linux has"),
    Counterpart("wmi", f"{_WINDOWS}: the management of Windows"),
    Counterpart("comtypes", f"{_WINDOWS}: the bridge to the programs of Windows"),
)


def counterpart(name: str, platform: str) -> Counterpart | None:
    """Returns what is known of a conda package that a Linux platform cannot have; None for any other package."""
    return _find(_CONDA, name, platform)


def pip_counterpart(name: str, platform: str) -> Counterpart | None:
    """Returns what is known of a pip package that a Linux platform cannot have; None for any other package."""
    return _find(_PYPI, name, platform)


def _find(table: tuple[Counterpart, ...], name: str, platform: str) -> Counterpart | None:
    for entry in table:
        if (not entry.platforms or platform in entry.platforms) and fnmatchcase(name, entry.name):
            return entry
    return None
