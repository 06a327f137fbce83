"""PlanRequest, BuildRequest and BaseRequest: which environment becomes which image, and where the image goes.

Each class adds the options of one question, so that a command takes the options of the questions that it asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.option import Request, option
from jupyter_condabuild.settings import DEFAULT_BASE, Settings, default_store


def local_store() -> Path:
    """The folder of the local store where nobody names another."""
    return Path(default_store())


@dataclass(frozen=True, kw_only=True)
class JobRequest(Request):
    """What every job needs: the local store, and how registries and the engine are reached."""

    store_dir: Path = option(local_store, setting="store_dir")
    insecure_registries: tuple[str, ...] = option((), setting="insecure_registries")
    docker_host: str = option("", setting="docker_host")


@dataclass(frozen=True, kw_only=True)
class SourceRequest(Request):
    """An environment or a lock file: exactly one of the two."""

    prefix: Path | None = option(
        None, "the folder of an environment; default the active one", metavar="PREFIX", shown=True
    )
    lockfile: Path | None = option(None, "a lock file instead of PREFIX", "--lockfile", metavar="FILE")
    platform: str = option(
        "",
        "the platform to take of a lock file for several: linux-64, linux-aarch64, …; default this machine's",
        "--platform",
        metavar="PLATFORM",
        client=True,
    )

    def __post_init__(self) -> None:
        """Raises UsageError for none and for both."""
        if (self.prefix is None) == (self.lockfile is None):
            raise UsageError(f"{self.what} needs an environment or a lock file, and not both.", "Name one of them.")


@dataclass(frozen=True, kw_only=True)
class RecipeRequest(SourceRequest):
    """How the image is made: by which engine, on which base, and by which installer in the docker engine."""

    reference: Reference | None = option(
        None,
        "the image's name, as registry/repository:tag",
        "-t",
        "--tag",
        metavar="REFERENCE",
        completed=True,
        client=True,
    )
    engine: str = option(
        "layers",
        "layers: from packages, without Docker; docker: by BuildKit",
        "--engine",
        setting="engine",
        client=True,
    )
    base: ImageLocation = option(
        ImageLocation.parse(DEFAULT_BASE),
        "the base image",
        "--base",
        metavar="REFERENCE",
        setting="base_image",
        client=True,
    )
    installer: str = option(
        "micromamba",
        "docker engine: the program that installs the packages",
        "--installer",
        setting="installer",
        client=True,
    )
    installer_image: Reference | None = option(
        None,
        "docker engine: the image that the installer runs in",
        "--installer-image",
        metavar="REFERENCE",
        setting="installer_image",
        client=True,
    )

    @classmethod
    def of(cls, settings: Settings, **given: Any) -> Self:
        """As `Request.of`; the setting `installer_image` is for the setting `installer` alone."""
        if given.get("installer") not in (None, "", settings.installer):
            settings = replace(settings, installer_image="")
        return super().of(settings, **given)


@dataclass(frozen=True, kw_only=True)
class ImageRequest(JobRequest, RecipeRequest):
    """What an image of an environment consists of, wherever the image goes.

    `bytecode` compiles the modules of noarch Python packages and of pip packages. `layer_pool` is a repository where
    the layers of everybody in a lab are found. `layer_budget` is the highest number of package layers,
    `compression_level` is isal's, 0 to 3. `overlay_max_bytes` limits the bytes of the files that belong to no package.
    `variables` puts the environment's own variables, which may be secrets, into the image.
    """

    what: ClassVar[str] = "An image"

    cache_from: tuple[Reference, ...] = option(
        (),
        "an image whose layers may be reused",
        "--cache-from",
        metavar="REFERENCE",
        setting="cache_from",
        client=True,
    )
    strict: bool = option(False, "refuse an environment that cannot be reproduced", "--strict", client=True)
    variables: bool = option(False, "put the environment's own variables into the image", "--variables", client=True)
    bytecode: bool = option(
        True,
        "compile the modules of noarch packages; without, the image is smaller and imports are slower",
        "--bytecode",
        setting="bytecode",
        client=True,
    )
    layer_pool: Reference | None = option(None, setting="layer_pool")
    layer_budget: int = option(96, setting="layer_budget")
    compression_level: int = option(1, setting="compression_level")
    overlay_max_bytes: int = option(1 << 30, setting="overlay_max_bytes")

    def __post_init__(self) -> None:
        """Raises UsageError for a request that makes no sense."""
        super().__post_init__()
        if not 1 <= self.layer_budget <= 120:
            raise UsageError("layer_budget must be from 1 to 120: container engines take 125 layers with the base's.")
        if not 0 <= self.compression_level <= 3:
            raise UsageError("compression_level must be from 0 to 3.")
        if self.reference and not self.reference.tag:
            raise UsageError(f"{self.reference} names no tag to put the image under.", "Write it as name:tag.")


@dataclass(frozen=True, kw_only=True)
class PlanRequest(ImageRequest):
    """Everything that decides what a build does. With a reference, the plan is compared with its repository.

    `stack` puts new layers on top of the image that the tag has in the registry (see `engines.layers.stacking`).
    """

    what: ClassVar[str] = "A plan"

    include: Path | None = option(
        None, "put the files of this folder into /work", "--include", metavar="DIR", client=True, below_root=True
    )
    stack: bool = option(
        False,
        "put new layers on top of the image that the tag has; a new pull then gets these layers alone",
        "--stack",
        setting="stack_updates",
        client=True,
    )

    def __post_init__(self) -> None:
        """Raises UsageError for a folder to include that is not there."""
        super().__post_init__()
        if self.include and not self.include.is_dir():
            raise UsageError(f"--include {self.include}: there is no such folder.", "Name a folder that exists.")

    @property
    def destination(self) -> Reference | None:
        """The name in a registry that the image gets, or that the plan is compared with."""
        return self.reference


@dataclass(frozen=True, kw_only=True)
class BuildRequest(PlanRequest):
    """A build: at least one of push, load and archive.

    `archive` is a path, with ``docker-archive:`` before it for the older format. `pull` looks for a newer image of the
    docker engine's installer. `again` looks at everything anew, though nothing changed since the last build.
    """

    what: ClassVar[str] = "A build"

    push: bool = option(False, "push the image to its registry", "--push", client=True)
    load: bool = option(False, "load the image into the Docker or Podman Engine", "--load", client=True)
    archive: ImageLocation | None = option(
        None,
        "write an OCI archive (docker-archive:FILE: the older format)",
        "-o",
        "--output",
        metavar="ARCHIVE.tar",
        client=True,
        below_root=True,
        parse=ImageLocation.parse_archive,
    )
    pull: bool = option(False, "docker engine: look for a newer image of the installer", "--pull", client=True)
    again: bool = option(
        False, "look at everything anew, though nothing has changed", "--again", client=True, shown=False
    )

    def __post_init__(self) -> None:
        """Raises UsageError for an image that would go nowhere, or without the name that it needs there."""
        super().__post_init__()
        if not (self.push or self.load or self.archive):
            raise UsageError(
                "The image would go nowhere.", "Add --push, --load or -o FILE.tar: where should the image go?"
            )
        if (self.push or self.load) and not self.reference:
            raise UsageError("--push and --load need the image's name.", "Add -t registry.lab.org/team/env:tag.")

    @property
    def destination(self) -> Reference | None:
        """The name in a registry that the image is pushed to."""
        return self.reference if self.push else None

    @property
    def archive_name(self) -> str:
        """The archive as people name it: an OCI archive's path, ``docker-archive:PATH``, or nothing."""
        if not self.archive:
            return ""
        return self.archive.name if self.archive.kind == "oci-archive" else str(self.archive)


@dataclass(frozen=True, kw_only=True)
class BaseRequest(ImageRequest):
    """The maintained base of the image `reference`: the packages that stay out of it, and how many dated bases stay."""

    what: ClassVar[str] = "A base"

    keep: int = option(7, "number of dated bases to keep; default 7", "--keep", metavar="N", client=True)
    without: tuple[str, ...] = option(
        (), "a package that changes too often for a base", "--without", metavar="NAME", client=True
    )

    def __post_init__(self) -> None:
        """Raises UsageError where no base would stay or the base would go nowhere."""
        super().__post_init__()
        if self.keep < 1:
            raise UsageError("At least one base is kept.", "keep is the number of dated bases that stay.")
        if not self.reference:
            raise UsageError("A base goes to a registry.", "Name the image whose base it is.")
