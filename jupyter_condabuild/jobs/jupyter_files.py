"""The files with which other parts of Jupyter use an image: JupyterHub, jupyter-scheduler and Binder.

Sources: dockerspawner's ``allowed_images``, kubespawner's ``profile_list``, the ``singleuser`` values of Zero to
JupyterHub, jupyter-scheduler's ``environment_manager_class``, and repo2docker's "Use a Dockerfile".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from string import Template

from jupyter_condabuild.conda.lockfile import Lockfile
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.events import Report
from jupyter_condabuild.image.opener import lock_in, open_image
from jupyter_condabuild.image.paths import USER, WORK
from jupyter_condabuild.image.platforms import architecture_of
from jupyter_condabuild.jobs.exported_files import Exported
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.build import JobRequest
from jupyter_condabuild.requests.job_context import open_job
from jupyter_condabuild.text import listed


def check(kind: str, lockfile: Lockfile) -> None:
    """Raises UsageError if the environment lacks a package without which the program cannot start its image."""
    program, *needed = _NEEDED[kind]
    there = {package.name for package in lockfile.conda} | {package.name for package in lockfile.pip}
    if missing := [name for name in needed if name not in there]:
        version = " jupyterhub must have the major version of the hub." if "jupyterhub" in missing else ""
        raise UsageError(
            f"The environment has no {listed(missing)}, without which {program} cannot start the image.",
            f"Install {listed(missing)} into the environment, and build the image again.{version}",
        )


def pinned(reference: Reference, request: JobRequest, report: Report) -> Reference:
    """Returns the name of an image by its digest, without its tag. The registry is asked if the name has no digest.

    Raises RegistryError.
    """
    digest = reference.digest
    if not digest:
        with open_job(request, report) as job:
            digest = job.repository(reference).manifest(reference.target).descriptor.digest
    return replace(reference, tag="", digest=digest)


def lock_inside(reference: Reference, request: JobRequest, platform: str, report: Report) -> Lockfile:
    """Returns the lock file inside an image in a registry.

    Args:
        platform: that of the image, if the name has images for several; empty for that of this machine.

    Raises BadImage, LockfileError, RegistryError.
    """
    with open_job(request, report) as job:
        return lock_in(open_image(ImageLocation.parse(str(reference)), job, architecture_of(platform)))


def jupyterhub(image: Reference) -> Exported:
    """Returns the configuration of a hub that offers the image, for two spawners, and the values of a Helm chart."""
    values = {"name": _name(image), "image": str(image), "work": WORK}
    return Exported(
        {
            "jupyterhub_image.py": _fill("jupyterhub_image", values),
            "zero-to-jupyterhub.yaml": _fill("zero_to_jupyterhub", values),
        },
        next="Add to jupyterhub_config.py: load_subconfig('jupyterhub_image.py')",
    )


def scheduler(image: Reference) -> Exported:
    """Returns a module with which jupyter-scheduler runs notebooks in the image."""
    values = {"name": _name(image), "image": str(image)}
    return Exported(
        {"image_jobs.py": _fill("image_jobs", values)},
        next=f"jupyter condabuild kernel install {image}; then start the server as image_jobs.py says.",
    )


def binder(image: Reference) -> Exported:
    """Returns the Dockerfile with which Binder starts the files of a repository in the image."""
    values = {"image": str(image), "user": str(USER), "work": WORK}
    return Exported(
        {".binder/Dockerfile": _fill("binder", values)}, next="Commit the file, and open the repository on Binder."
    )


KINDS: dict[str, Callable[[Reference], Exported]] = {
    "jupyterhub": jupyterhub,
    "jupyter-scheduler": scheduler,
    "binder": binder,
}
"""The function that makes the files, by the kind of files. The name of the image has its digest (see `pinned`)."""

_NEEDED = {
    "jupyterhub": ("a JupyterHub", "jupyterhub"),
    "jupyter-scheduler": ("a job of jupyter-scheduler", "ipykernel"),
    "binder": ("Binder", "jupyterhub", "jupyterlab"),
}
"""The program that starts the image, and the packages that it needs in the environment, by the kind of files."""


def _name(image: Reference) -> str:
    return image.repository.rpartition("/")[2]


def _fill(name: str, values: dict[str, str]) -> str:
    text = (files("jupyter_condabuild.jobs") / "templates" / f"{name}.template").read_text(encoding="utf-8")
    return Template(text).substitute(values)
