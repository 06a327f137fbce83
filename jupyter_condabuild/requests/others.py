"""The other requests: to lock, to rebase, to verify, to compare, to export, to prune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, get_args

from jupyter_condabuild.conda.lockfile import Format
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.build import BaseRequest, BuildRequest, JobRequest, RecipeRequest
from jupyter_condabuild.requests.option import Request, option
from jupyter_condabuild.settings import DEFAULT_BASE

EXPORTS = ("dockerfile", "github-actions", "gitlab-ci", "compose", "kubernetes", "apptainer", "devcontainer")
"""The kinds of files that can be exported."""


@dataclass(frozen=True, kw_only=True)
class LockRequest(Request):
    """An environment whose lock file is written. `md5` is for ``explicit`` alone."""

    what: ClassVar[str] = "A lock"

    prefix: Path | None = option(None, "the folder of an environment; default the active one", metavar="PREFIX")
    format: str = option("conda-lock", "the lock file's format", "--format", choices=get_args(Format))
    md5: bool = option(False, "md5 instead of sha256 in --format explicit, for conda before 24", "--md5")

    def __post_init__(self) -> None:
        """Raises UsageError without an environment."""
        if self.prefix is None:
            raise UsageError("There is nothing to lock.", "Name the folder of an environment.")


@dataclass(frozen=True, kw_only=True)
class RebaseRequest(JobRequest):
    """An image that gets another base, and the name of the result: the image's own where there is no `target`."""

    what: ClassVar[str] = "A rebase"

    reference: Reference | None = option(None, "the image", metavar="REFERENCE", completed=True, client=True)
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
        "the name of the result; default the image's own",
        "-t",
        "--tag",
        metavar="REFERENCE",
        completed=True,
        client=True,
    )

    def __post_init__(self) -> None:
        """Raises UsageError without a name or a tag."""
        if not self.reference:
            raise UsageError("A rebase needs an image's name.", "Name it as registry.lab.org/team/env:tag.")
        if not self.result.tag:
            raise UsageError(f"{self.result} names no tag to push the result under.", "Name the result with -t.")

    @property
    def result(self) -> Reference:
        """The name of the image that comes out."""
        found = self.target or self.reference
        assert found
        return found


@dataclass(frozen=True, kw_only=True)
class VerifyRequest(JobRequest):
    """An image to make again and compare."""

    what: ClassVar[str] = "A verification"

    reference: ImageLocation | None = option(
        None,
        "an image's name or archive, or docker-daemon:NAME",
        metavar="REFERENCE",
        completed=True,
        client=True,
        below_root=True,
        parse=ImageLocation.parse_any,
    )
    compression_level: int = option(1, setting="compression_level")

    def __post_init__(self) -> None:
        """Raises UsageError without an image."""
        if not self.reference:
            raise UsageError("There is nothing to verify.", "Name an image, or an archive.")


@dataclass(frozen=True, kw_only=True)
class DiffRequest(JobRequest):
    """Two environments to compare: each a folder, a lock file, or an image."""

    what: ClassVar[str] = "A comparison"

    before: str = option(
        "", "the folder of an environment, a lock file, an image's name or archive", metavar="A", completed=True
    )
    after: str = option("", "the other one", metavar="B", completed=True)

    def __post_init__(self) -> None:
        """Raises UsageError unless there are two."""
        if not (self.before and self.after):
            raise UsageError("A comparison needs two environments.", "Each is a folder, a lock file, or an image.")


@dataclass(frozen=True, kw_only=True)
class ExportRequest(RecipeRequest):
    """Files of one kind for a repository, which build or run the image elsewhere."""

    what: ClassVar[str] = "An export"

    kind: str = option(
        "", "the kind of files", metavar="|".join(EXPORTS), first=True, choices=EXPORTS, client=True, shown=False
    )

    def __post_init__(self) -> None:
        """Raises UsageError without a kind."""
        super().__post_init__()
        if not self.kind:
            raise UsageError("An export needs the kind of files.", f"There are: {', '.join(EXPORTS)}.")


@dataclass(frozen=True, kw_only=True)
class PruneRequest(JobRequest):
    """The local store, and how many bytes of it stay."""

    what: ClassVar[str] = "A prune"

    keep_bytes: int = option(
        20 << 30,
        "keep the N bytes used last",
        "--keep-bytes",
        metavar="N",
        setting="store_max_bytes",
        client=True,
        shown=False,
    )

    def __post_init__(self) -> None:
        """Raises UsageError for fewer bytes than none."""
        if self.keep_bytes < 0:
            raise UsageError("keep_bytes must be 0 or more.", "0 removes everything.")


JOBS: Mapping[str, type[Request]] = {
    "build": BuildRequest,
    "base": BaseRequest,
    "rebase": RebaseRequest,
    "verify": VerifyRequest,
}
"""The jobs that take their time and report on the way: the server runs each as a process of its own."""
