"""Returns the bill of a small image with all kinds of packages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_condabuild.conda.lockfile import of_packages
from jupyter_condabuild.conda.packages import CondaPackage, License, PipPackage
from jupyter_condabuild.image.layers import HIDDEN, OVERLAY
from jupyter_condabuild.oci.image import LAYER_PACKAGES, OCI_LAYER_GZIP, Descriptor, Digest, ImageConfig, Manifest
from jupyter_condabuild.sbom.bill import Bill
from jupyter_condabuild.sbom.inventory import bill_of

FORGE = "https://conda.anaconda.org/conda-forge/linux-64"
MAIN = "https://repo.anaconda.com/pkgs/main/linux-64"
NUMPY = CondaPackage.of_url(
    f"{FORGE}/numpy-2.1.0-py312_0.conda",
    sha256="a" * 64,
    md5="b" * 32,
    depends=("python >=3.12", "_libgcc_mutex", "__glibc >=2.17"),
)
PYTHON = CondaPackage.of_url(f"{MAIN}/python-3.12.1-h_0.tar.bz2", sha256="c" * 64)
MUTEX = CondaPackage.of_url("file:///home/me/channel/linux-64/_libgcc_mutex-0.1-main.conda")
TORCH = PipPackage("torch", "2.5.0+cpu", index="https://me:secret@download.pytorch.org/whl", sha256="d" * 64)
MINE = PipPackage("mine", "1.0", url="git+https://token@github.com/me/mine@0123456")
LICENSES = {
    NUMPY.dist: License("BSD-3-Clause AND LicenseRef-Numpy"),
    PYTHON.dist: License("Python-2.0"),
    MUTEX.dist: License("No licence, really!", "LICENSE.txt\n\nDo what you want.\n"),
    "torch==2.5.0+cpu": License("BSD-3-Clause"),
}


def layer(content: bytes, *dists: str) -> Descriptor:
    """Returns a layer with these packages."""
    annotations = {LAYER_PACKAGES: " ".join(dists)} if dists else {}
    return Descriptor(OCI_LAYER_GZIP, Digest.of(content), len(content), annotations)


LAYERS = (layer(b"base"), layer(b"old", NUMPY.dist), layer(b"n", NUMPY.dist), layer(b"p", PYTHON.dist), layer(b"over"))


def make(licenses: Mapping[str, License] = LICENSES, **changes: Any) -> Bill:
    """Returns the bill of an image with five layers. One layer is hidden."""
    value = {"architecture": "amd64", "created": "2024-01-02T03:04:05.678901234Z", **changes}
    config = ImageConfig({}, ()).with_value(value, [Digest.of(bytes([number])) for number in range(len(LAYERS))])
    manifest = Manifest.make(config.descriptor, LAYERS, {HIDDEN: str(LAYERS[1].digest)})
    lockfile = of_packages("linux-64", [NUMPY, PYTHON, MUTEX], [TORCH, MINE])
    return bill_of(manifest, config, lockfile, licenses, {LAYERS[4].digest: OVERLAY})
