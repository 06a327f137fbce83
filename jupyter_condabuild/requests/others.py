"""The requests of all commands but build, plan and base, and the table of the server's jobs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

from jupyter_condabuild.conda.lockfile import Format
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.build import (
    BaseRequest,
    BuildRequest,
    JobRequest,
    RecipeRequest,
)
from jupyter_condabuild.requests.image_names import refuse_bare, refuse_digest
from jupyter_condabuild.requests.option import Request, option
from jupyter_condabuild.requests.platforms import OtherPlatformRequest, image_platform
from jupyter_condabuild.requests.source import (
    LockfileRequest,
    category,
    check_one_source,
    environment,
    exclude_editable,
)
from jupyter_condabuild.settings import DEFAULT_BASE

EXPORTS = (
    *("dockerfile", "github-actions", "gitlab-ci", "compose", "kubernetes", "apptainer", "slurm", "devcontainer"),
    *("jupyterhub", "jupyter-scheduler", "binder", "spdx", "cyclonedx"),
)
"""The kinds of files that the command `export` writes."""

_OF_IMAGES = ("slurm", "jupyter-scheduler")
"""The kinds of files that only run an image that is in a registry: without a source, the image says what it has."""


@dataclass(frozen=True, kw_only=True)
class LockRequest(OtherPlatformRequest):
    """An environment, or a lock file (`lockfile`), that is written as a lock file in a format.

    `md5` applies only to the format ``explicit``. `environment` and `category` choose from a lock file.

    `platform` are the platforms of the written lock file. For each that the source does not have, the packages are
    solved again.
    """

    label: ClassVar[str] = "The lock request"

    prefix: Path | None = option(
        None, "the folder of an environment (default: the active environment)", metavar="PREFIX"
    )
    lockfile: Path | None = option(
        None, "write this lock file in another format, instead of locking PREFIX", "--lockfile", metavar="FILE"
    )
    environment: str = environment()
    category: tuple[str, ...] = category()
    format: str = option("conda-lock", "the format of the lock file", "--format", choices=get_args(Format))
    md5: bool = option(False, "use md5 instead of sha256 in --format explicit, for conda before 24", "--md5")
    pip_hashes: bool = option(
        False, "ask the package indexes for the URLs and hashes of the pip packages", "--pip-hashes"
    )
    platform: tuple[str, ...] = option(
        (),
        "lock the environment for this platform, such as linux-64 or linux-aarch64; if it is none of the source's, "
        "the packages are solved again (can be repeated)",
        "--platform",
        metavar="PLATFORM",
    )
    base: ImageLocation = option(
        ImageLocation.parse(DEFAULT_BASE),
        "another platform: the base image whose glibc the packages may count on",
        "--base",
        metavar="REFERENCE",
        setting="base_image",
    )
    exclude_editable: tuple[str, ...] = exclude_editable()

    def __post_init__(self) -> None:
        """Raises UsageError unless one source is given that fits the options, and platforms that fit the format."""
        super().__post_init__()
        check_one_source(self.label, self.prefix, self.lockfile)
        of_prefix = {"--pip-hashes": self.pip_hashes, "--exclude-editable": self.exclude_editable}
        of_lockfile = {"--environment": self.environment, "--category": self.category}
        for flag, value in (of_prefix if self.lockfile else of_lockfile).items():
            if value:
                raise UsageError(
                    f"{flag} is for {'an environment' if self.lockfile else 'a lock file'}, but {self.label.lower()} "
                    f"names {'a lock file' if self.lockfile else 'an environment'}.",
                    "Leave out the option.",
                )
        if len(set(self.platform)) > 1 and self.format not in ("conda-lock", "pixi"):
            raise UsageError(
                f"A lock file of the format {self.format} is for one platform, not for {', '.join(self.platform)}.",
                "Use --format conda-lock or --format pixi, or lock one platform after the other.",
            )


@dataclass(frozen=True, kw_only=True)
class RebaseRequest(JobRequest):
    """An image that is put on another base, or that gets other versions of packages.

    `target` is the name of the result. If it is None, the result gets the name of the image. With `replace`, the image
    keeps its base.
    """

    label: ClassVar[str] = "The rebase request"

    reference: Reference | None = option(None, "the image to rebase", metavar="REFERENCE", completed=True, client=True)
    base: ImageLocation = option(
        ImageLocation.parse(DEFAULT_BASE),
        "the new base image",
        "--base",
        metavar="REFERENCE",
        setting="base_image",
        client=True,
    )
    target: Reference | None = option(
        None,
        "the name of the result (default: the name of the image)",
        "-t",
        "--tag",
        metavar="REFERENCE",
        completed=True,
        client=True,
    )
    replace: tuple[str, ...] = option(
        (),
        "keep the base, and put another version of a package into the image, if it fits the others (can be repeated)",
        "--replace",
        metavar="NAME=VERSION",
    )
    compression_level: int = option(1, setting="compression_level")

    def __post_init__(self) -> None:
        """Raises UsageError if there is no image, or if the result has no tag or no registry, or has a digest."""
        if not self.reference:
            raise UsageError(f"{self.label} names no image.", "Give its name, as registry.lab.org/team/env:tag.")
        refuse_digest(self.target)
        if not self.result.tag:
            raise UsageError(
                f"The name of the result, {self.result}, has no tag.",
                "Give a name with a tag: -t registry/repository:tag.",
            )
        refuse_bare(self.result)

    @property
    def result(self) -> Reference:
        """The name of the rebased image. It has no digest, also if the image is named by its tag and its digest."""
        if self.target:
            return self.target
        assert self.reference
        return dataclasses.replace(self.reference, digest=None)


@dataclass(frozen=True, kw_only=True)
class VerifyRequest(JobRequest):
    """An image that is made again from its lock file and compared with the result.

    `platform` chooses one of the images of an index; without it, each is verified. `base` is the place of the image's
    base; by default the base is fetched from the registry that the image names. `all` makes every layer again, also
    those that this machine has made before.
    """

    label: ClassVar[str] = "The verify request"

    reference: ImageLocation | None = option(
        None,
        "the name of an image, an archive, or docker-daemon:NAME",
        metavar="REFERENCE",
        completed=True,
        client=True,
        below_root=True,
        parse=ImageLocation.parse_any,
    )
    base: ImageLocation | None = option(
        None,
        "the base of the image, if it is not in the registry that the image names: oci-archive:FILE",
        "--base",
        metavar="REFERENCE",
        client=True,
        below_root=True,
    )
    platform: str = image_platform("each of them")
    all: bool = option(
        False,
        "make every layer again, also those that this machine has made before",
        "--all",
        client=True,
        shown=False,
    )
    compression_level: int = option(1, setting="compression_level")

    def __post_init__(self) -> None:
        """Raises UsageError if there is no image."""
        if not self.reference:
            raise UsageError(f"{self.label} names no image.", "Give the name of an image, or an archive.")


@dataclass(frozen=True, kw_only=True)
class DiffRequest(JobRequest, LockfileRequest):
    """Two environments to compare. Each is the folder of an environment, a lock file, or an image."""

    label: ClassVar[str] = "The diff request"

    before: str = option(
        "",
        "the folder of an environment, a lock file, an archive, or the name or digest of an image",
        metavar="A",
        completed=True,
    )
    after: str = option("", "the environment to compare with A, in any of these forms", metavar="B", completed=True)

    def __post_init__(self) -> None:
        """Raises UsageError unless both environments are given."""
        if not (self.before and self.after):
            raise UsageError(
                f"{self.label} needs two environments.",
                "Give the folder of an environment, a lock file or an image for each.",
            )


@dataclass(frozen=True, kw_only=True)
class ExportRequest(JobRequest, RecipeRequest):
    """Files of one kind that a user commits to a repository. They build or run the image elsewhere."""

    label: ClassVar[str] = "The export request"

    kind: str = option(
        "",
        "the kind of files to write",
        metavar="|".join(EXPORTS),
        first=True,
        choices=EXPORTS,
        client=True,
        shown=False,
    )

    @classmethod
    def takes_active(cls, given: Mapping[str, Any]) -> bool:
        """Whether the active environment is the source of a request that names none."""
        return given["kind"] not in _OF_IMAGES

    def __post_init__(self) -> None:
        """Raises UsageError if there is no kind, or if files that make or push the image cannot use its name."""
        super().__post_init__()
        if not self.kind:
            raise UsageError(f"{self.label} names no kind of files.", f"Use one of: {', '.join(EXPORTS)}.")
        if self.kind in ("dockerfile", "github-actions", "gitlab-ci"):
            refuse_digest(self.reference)
        if self.kind in ("github-actions", "gitlab-ci"):
            refuse_bare(self.reference)


@dataclass(frozen=True, kw_only=True)
class PruneRequest(JobRequest):
    """The local store, and the number of bytes that stay in it."""

    label: ClassVar[str] = "The prune request"

    keep_bytes: int = option(
        20 << 30,
        "keep at most N bytes of layers; the layers used last stay",
        "--keep-bytes",
        metavar="N",
        setting="store_max_bytes",
        client=True,
        shown=False,
    )

    def __post_init__(self) -> None:
        """Raises UsageError if `keep_bytes` is negative."""
        if self.keep_bytes < 0:
            raise UsageError("keep_bytes must be 0 or more.", "0 removes everything.")


@dataclass(frozen=True, kw_only=True)
class LicensesRequest(JobRequest, LockfileRequest):
    """An environment whose licences are listed: a folder, a kernel, a lock file, or an image."""

    label: ClassVar[str] = "The licenses request"

    source: str = option(
        "",
        "the folder of an environment, kernel:NAME, a lock file, the name of an image, or an archive "
        "(default: the active environment)",
        metavar="SOURCE",
        completed=True,
    )

    def __post_init__(self) -> None:
        """Raises UsageError if there is no environment."""
        if not self.source:
            raise UsageError(
                f"{self.label} names no environment, and no environment is active.",
                "Give the folder of an environment, kernel:NAME, a lock file or an image.",
            )


@dataclass(frozen=True, kw_only=True)
class WhoHasRequest(JobRequest):
    """A package, and the repositories whose images are searched for it."""

    label: ClassVar[str] = "The who-has request"

    package: str = option("", "a package, with versions if wanted: numpy, 'numpy<2'", metavar="PACKAGE")
    repositories: tuple[str, ...] = option(
        (),
        "the repositories to search, as registry/repository, or images, as registry/repository:tag",
        "--in",
        metavar="REPOSITORY",
        several=True,
    )

    def __post_init__(self) -> None:
        """Raises UsageError if there is no package or no repository."""
        if not self.package:
            raise UsageError(f"{self.label} names no package.", "Write it as numpy or 'numpy<2'.")
        if not self.repositories:
            raise UsageError(f"{self.label} names no repository.", "Add --in registry.lab.org/team/env.")


JOBS: Mapping[str, type[Request]] = {
    "build": BuildRequest,
    "base": BaseRequest,
    "rebase": RebaseRequest,
    "verify": VerifyRequest,
}
"""The jobs that take long and report events. The server runs each job in its own process."""
