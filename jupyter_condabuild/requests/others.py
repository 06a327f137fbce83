"""The requests beside BuildRequest: to rebase, to verify, to keep a base, to compare, to export, to prune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.requests.build import DEFAULT_BASE, ENGINES, INSTALLERS, BuildRequest, Request, default_store

EXPORTS = ("dockerfile", "github-actions", "gitlab-ci", "compose", "kubernetes", "apptainer", "devcontainer")
"""What can be exported."""


@dataclass(frozen=True)
class RebaseRequest(Request):
    """Which image gets which base, and the name of the result (the image's own where `target` is empty)."""

    what: ClassVar[str] = "A rebase request"

    reference: str = ""
    base: str = DEFAULT_BASE
    target: str = ""
    store_dir: str = field(default_factory=default_store)
    insecure_registries: tuple[str, ...] = ()
    docker_host: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError without a name or a tag, BadReference and BadDigest."""
        if not self.reference:
            raise UsageError("A rebase needs an image's name.", "Name it as registry.lab.org/team/env:tag.")
        Reference.parse(self.reference)
        target = Reference.parse(self.result)
        if not target.tag:
            raise UsageError(f"{target} names no tag to push the result under.", "Name the result with -t.")

    @property
    def result(self) -> str:
        """The name of the image that comes out."""
        return self.target or self.reference


@dataclass(frozen=True)
class VerifyRequest(Request):
    """An image to make again and compare: its name, ``docker-daemon:NAME``, or an archive as ``oci-archive:FILE``."""

    what: ClassVar[str] = "A verify request"

    image: str = ""
    compression_level: int = 1
    store_dir: str = field(default_factory=default_store)
    insecure_registries: tuple[str, ...] = ()
    docker_host: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError without an image."""
        if not self.image:
            raise UsageError("There is nothing to verify.", "Name an image, or an archive.")


@dataclass(frozen=True)
class BaseRequest(BuildRequest):
    """A build of the maintained base of an image, `reference`: what is left out of it, and how many are kept."""

    what: ClassVar[str] = "A base request"

    keep: int = 7
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises as BuildRequest, and UsageError where none would be kept or the base would go nowhere."""
        super().__post_init__()
        if self.keep < 1:
            raise UsageError("At least one base is kept.", "keep is the number of dated bases that stay.")
        if not self.push:
            raise UsageError("A base goes to a registry.", "Name the image whose base it is.")


@dataclass(frozen=True)
class DiffRequest(Request):
    """Two environments to compare: each a folder, a lock file, or an image as a VerifyRequest has it."""

    what: ClassVar[str] = "A diff request"

    before: str = ""
    after: str = ""
    store_dir: str = field(default_factory=default_store)
    insecure_registries: tuple[str, ...] = ()
    docker_host: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError unless there are two."""
        if not (self.before and self.after):
            raise UsageError("A comparison needs two environments.", "Each is a folder, a lock file, or an image.")


@dataclass(frozen=True)
class ExportRequest(Request):
    """Files for a repository: of one kind, for an environment or a lock file, and the image's name."""

    what: ClassVar[str] = "An export request"

    kind: str = ""
    prefix: str = ""
    lockfile: str = ""
    reference: str = ""
    engine: str = "layers"
    base: str = DEFAULT_BASE
    installer: str = "micromamba"
    installer_image: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError, BadReference and BadDigest."""
        if bool(self.prefix) == bool(self.lockfile):
            raise UsageError("An export needs an environment or a lock file, and not both.")
        for what, text, choices in (
            ("kind of export", self.kind, EXPORTS),
            ("engine", self.engine, ENGINES),
            ("installer", self.installer, INSTALLERS),
        ):
            if text not in choices:
                raise UsageError(f"There is no {what} {text!r}.", f"There are: {', '.join(choices)}.")
        for text in (self.reference, self.installer_image):
            if text:
                Reference.parse(text)


@dataclass(frozen=True)
class PruneRequest(Request):
    """The local store, and how many bytes of it stay."""

    what: ClassVar[str] = "A prune request"

    keep_bytes: int = 0
    store_dir: str = field(default_factory=default_store)

    def __post_init__(self) -> None:
        """Raises UsageError for fewer bytes than none."""
        if self.keep_bytes < 0:
            raise UsageError("keep_bytes must be 0 or more.")


JOBS: Mapping[str, type[Request]] = {
    "build": BuildRequest,
    "base": BaseRequest,
    "rebase": RebaseRequest,
    "verify": VerifyRequest,
}
"""The commands that take their time and report on the way, and what each is asked."""
