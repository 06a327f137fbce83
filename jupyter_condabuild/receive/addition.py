"""ipykernel for an image that lacks it: solved with the packages of the image, and put into a layer on top of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.conda.packages import CondaPackage
from jupyter_condabuild.conda.solving import changed, with_added
from jupyter_condabuild.errors import BadImage, NotCompatible
from jupyter_condabuild.events import Log
from jupyter_condabuild.image.opener import made_by
from jupyter_condabuild.oci.image import ImageConfig, Reference
from jupyter_condabuild.receive.inspection import Inspection
from jupyter_condabuild.requests.job_context import JobContext
from jupyter_condabuild.text import counted, listed, size_text

IPYKERNEL = "ipykernel"

_REGISTRY = "localhost"
_FOLDER = "condabuild-kernels"
"""The name of the images in the engine begins with both. No registry is asked for such a name."""


@dataclass(frozen=True)
class Addition:
    """The packages that an image lacks, and the lock file of the image with them."""

    packages: tuple[CondaPackage, ...]
    lockfile: Lockfile

    def text(self) -> str:
        """Returns a line for a user."""
        size = size_text(sum(package.size or 0 for package in self.packages))
        names = listed([f"{package.name} {package.version}" for package in self.packages], len(self.packages))
        return f"For ipykernel, the image lacks {counted(self.packages, 'package')} ({size}): {names}."


AskPackages = Callable[[Addition], bool]
"""A function that shows packages to the user, and returns whether they may be added to the image."""


def refuse_unknown(found: Inspection) -> None:
    """Raises BadImage if nothing can be added to an image, because another program or engine made it."""
    hint = "Build the image again from an environment with ipykernel."
    if found.lockfile is None:
        raise BadImage(
            f"Nothing can be added to {found.location}: 'jupyter condabuild' did not make it, so its packages are not "
            "known.",
            f"Ask its builder for an image with ipykernel, or run a program of it: jupyter condabuild run "
            f"{found.location} python",
        )
    if made_by(found.image) != "layers":
        raise BadImage(f"Nothing can be added to {found.location}: the docker engine made it.", hint)
    if found.lockfile.python is None:
        raise BadImage(
            f"ipykernel cannot be added to {found.location}: the image has no Python.",
            "Build the image again from an environment with a kernel for its language, such as r-irkernel.",
        )


def solved(found: Inspection) -> Addition:
    """Returns the packages that an image needs for ipykernel. All packages of the image stay as they are.

    Raises NotCompatible with the solver's reason, PackageNotFound if a channel of the image cannot be read.
    """
    before = found.lockfile
    assert before
    after = with_added(before, IPYKERNEL)
    packages = changed(before, after)
    if twice := sorted(packages.keys() & {package.name for package in before.pip}):
        raise NotCompatible(
            f"ipykernel needs packages of conda that pip has installed in the image: {listed(twice)}.",
            "Build the image again from an environment with ipykernel.",
        )
    return Addition(tuple(packages.values()), after)


def with_ipykernel(found: Inspection, addition: Addition, job: JobContext) -> Inspection:
    """Returns the image with the packages on top. Raises as `with_packages` does."""
    from jupyter_condabuild.engines.layers.addition import with_packages  # most kernels need no engine for layers

    job.report(Log(addition.text()))
    image = with_packages(found.image, addition.lockfile, job)
    return replace(found, image=image, config=ImageConfig.parse(image.config), lockfile=addition.lockfile)


def name_in_engine(found: Inspection) -> str:
    """Returns the name that an image gets in the engine: another one for each image."""
    named = found.location.kind == "registry"
    name = found.location.reference.repository.rpartition("/")[2] if named else "image"
    return str(Reference(_REGISTRY, f"{_FOLDER}/{name}", tag=found.image.manifest.config.digest.hex[:12]))
