"""PlanRequest, BuildRequest and BaseRequest: the environment, the image that is made of it, and its destinations.

Each class of the hierarchy adds one group of options. A command uses the class with the options that it needs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from jupyter_condabuild.conda.prefix.launch import of_shell
from jupyter_condabuild.errors import UsageError
from jupyter_condabuild.oci.image import Reference
from jupyter_condabuild.oci.location import ImageLocation
from jupyter_condabuild.requests.apt import check_apt
from jupyter_condabuild.requests.exclude import check_patterns
from jupyter_condabuild.requests.image_names import refuse_bare, refuse_digest
from jupyter_condabuild.requests.option import Request, option
from jupyter_condabuild.requests.outside import check_outside, refuse_system
from jupyter_condabuild.requests.platforms import check_appending, check_platforms
from jupyter_condabuild.requests.source import SourceRequest
from jupyter_condabuild.settings import DEBIAN_MIRRORS, DEFAULT_BASE, Settings, default_store
from jupyter_condabuild.system import owners

_HOMES = frozenset((Path("/home"), Path("/Users")))
"""The folders whose folders are home folders."""


def local_store() -> Path:
    """Returns the default folder of the local store: ``CONDABUILD_STORE_DIR``, or a folder in the user's cache."""
    return Path(default_store())


@dataclass(frozen=True, kw_only=True)
class JobRequest(Request):
    """The options of every job: the local store, and how to reach registries and the engine.

    `insecure_registries` are hosts that may use plain HTTP or any certificate. `docker_host` is the engine's address;
    if it is empty, the default address is used. `debian_mirrors` are the URLs of a mirror of Debian and of its security
    updates. `allowed_registries` are patterns of the hosts that the job may connect to; if it is empty, all. Only the
    server sets it, from its setting.
    """

    store_dir: Path = option(local_store, setting="store_dir")
    insecure_registries: tuple[str, ...] = option((), setting="insecure_registries")
    allowed_registries: tuple[str, ...] = option(())
    docker_host: str = option("", setting="docker_host")
    debian_mirrors: tuple[str, ...] = option(DEBIAN_MIRRORS, setting="debian_mirrors")
    trusted_repositories: tuple[str, ...] = option((), setting="trusted_repositories")
    trusted_signers: Path | None = option(None, setting="trusted_signers")
    signing_key: Path | None = option(None, setting="signing_key")


@dataclass(frozen=True, kw_only=True)
class RecipeRequest(SourceRequest):
    """How the image is made: the engine, the base image, and the installer that the docker engine uses."""

    reference: Reference | None = option(
        None,
        "the name of the image, as registry/repository:tag",
        "-t",
        "--tag",
        metavar="REFERENCE",
        completed=True,
        client=True,
    )
    engine: str = option(
        "layers",
        "layers: make the layers from packages, without Docker; docker: build a Dockerfile with BuildKit",
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
        "docker engine: the image in which the installer runs",
        "--installer-image",
        metavar="REFERENCE",
        setting="installer_image",
        client=True,
    )

    @classmethod
    def of(cls, settings: Settings, **given: Any) -> Self:
        """Makes a request as `Request.of` does.

        The setting `installer_image` is the image of the setting `installer`. It is ignored if `given` names another
        installer.
        """
        if given.get("installer") not in (None, "", settings.installer):
            settings = replace(settings, installer_image="")
        return super().of(settings, **given)


@dataclass(frozen=True, kw_only=True)
class ImageRequest(JobRequest, RecipeRequest):
    """The contents of an image of an environment, independent of the image's destinations.

    `platforms` are the platforms that the user names: the image's name then has an image for each of them.
    `platform` is the platform of one image; if it is given, the others do not count.
    `bytecode` compiles the modules of noarch Python packages and of pip packages. `layer_pool` is a repository in
    which the members of a lab share their layers. `layer_budget` is the highest number of package layers.
    `compression_level` is a level of isal, from 0 to 3. `overlay_max_bytes` limits the total size in bytes of the files
    that belong to no package. `allow_prefixes` are the folders below which the sources of editable installs may lie; if
    it is empty, all. Only the server sets it, from its setting. `variables` puts the environment's own variables into
    the image; they may be secrets. `allow_secret` are files that may go into the image although their names or contents
    are those of secrets (see `planning.own_files`).
    """

    label: ClassVar[str] = "The image request"

    platform: str = option("", client=True)
    platforms: tuple[str, ...] = option(
        (),
        "the platform of the image, such as linux-64 or linux-aarch64 (default: this machine's, or the environment's); "
        "an environment of another platform is solved again for it; a lock file may be for several (can be repeated: "
        "one name then has an image for each platform)",
        "--platform",
        metavar="PLATFORM",
        client=True,
    )
    cache_from: tuple[Reference, ...] = option(
        (),
        "an image whose layers may be reused (can be repeated)",
        "--cache-from",
        metavar="REFERENCE",
        setting="cache_from",
        client=True,
    )
    strict: bool = option(False, "refuse an environment that cannot be reproduced", "--strict", client=True)
    variables: bool = option(
        False,
        "put the variables that the environment sets (conda env config vars) into the image",
        "--variables",
        client=True,
    )
    allow_secret: tuple[str, ...] = option(
        (),
        "put this file into the image even if it seems to hold a secret; a folder stands for its files "
        "(can be repeated)",
        "--allow-secret",
        metavar="PATH",
        client=True,
    )
    bytecode: bool = option(
        True,
        "compile the modules of noarch packages; without bytecode, the image is smaller and imports are slower",
        "--bytecode",
        setting="bytecode",
        client=True,
    )
    layer_pool: Reference | None = option(None, setting="layer_pool")
    layer_budget: int = option(96, setting="layer_budget")
    compression_level: int = option(1, setting="compression_level")
    overlay_max_bytes: int = option(1 << 30, setting="overlay_max_bytes")
    allow_prefixes: tuple[str, ...] = option(())

    def __post_init__(self) -> None:
        """Raises UsageError for a number that is out of range, and for a reference with a digest."""
        super().__post_init__()
        if not 1 <= self.layer_budget <= 120:
            raise UsageError(
                "layer_budget must be from 1 to 120: container engines accept 125 layers, the base's layers included."
            )
        if not 0 <= self.compression_level <= 3:
            raise UsageError("compression_level must be from 0 to 3.")
        refuse_digest(self.reference)
        check_platforms([part.platform for part in self.parts], self.engine)

    @property
    def parts(self) -> tuple[Self, ...]:
        """The requests of the images, one for each platform. A request for one platform, or for none, is alone."""
        if self.platform or not self.platforms:
            return (replace(self, platforms=()) if self.platforms else self,)
        return tuple(replace(self, platform=name, platforms=()) for name in dict.fromkeys(self.platforms))


@dataclass(frozen=True, kw_only=True)
class PlanRequest(ImageRequest):
    """Every option that decides what a build does. If there is a reference, the plan is compared with its repository.

    `include` is a folder whose files go into /work of the image, or one file. `include_outside` and `without_outside`
    are files and folders outside of the environment that it uses (see `planning.own_files.outside_files`). `exclude`
    are patterns of files that the image does not get from the environment (see `planning.own_files.exclusion`).
    `apt` are packages of Debian that the base gets (see `image.added_packages`).
    `launch` are the variables that lead a kernel there (see `conda.prefix.launch`); the server gives those of the
    kernel. `stack` puts new layers on top of the image that the name has in the registry, or
    in the engine if the build only loads (see `engines.layers.stacking`).
    """

    label: ClassVar[str] = "The plan request"

    include: Path | None = option(
        None,
        "put this file, or the files of this folder, into /work of the image",
        "--include",
        metavar="PATH",
        client=True,
        below_root=True,
    )
    include_outside: tuple[str, ...] = option(
        (),
        "put these files into the image, which the environment uses although they are outside of it; a folder stands "
        "for everything in it (can be repeated)",
        "--include-outside",
        metavar="PATH",
        client=True,
    )
    without_outside: tuple[str, ...] = option(
        (),
        "the image does not need these files outside of the environment: no warning, and no error with --strict "
        "(can be repeated)",
        "--without-outside",
        metavar="PATH",
        client=True,
    )
    exclude: tuple[str, ...] = option(
        (),
        "leave out what the environment has besides its packages: files of no package, changes of files of packages, "
        "and files of editable installs; a pattern as in .gitignore, relative to their folder (can be repeated)",
        "--exclude",
        metavar="PATTERN",
        client=True,
    )
    apt: tuple[str, ...] = option(
        (),
        "add this package of Debian to the base, with those that it needs, for example libgl1 or libgl1=1.6.0-1; its "
        "scripts are not run (can be repeated)",
        "--apt",
        metavar="NAME",
        setting="apt",
        client=True,
    )
    launch: tuple[str, ...] = option(of_shell)
    stack: bool = option(
        False,
        "put new layers on top of the image that the tag has in the registry, so that a later pull gets only these; "
        "with --load alone, on top of the image that this machine has loaded before",
        "--stack",
        setting="stack_updates",
        client=True,
    )

    def __post_init__(self) -> None:
        """Raises UsageError if what to include does not exist or is a home folder, and for odd paths."""
        super().__post_init__()
        check_outside(self.include_outside, self.without_outside)
        check_patterns(self.exclude)
        check_apt(self.apt)
        if self.include and self.include.is_dir() and has_home(self.include):
            raise UsageError(
                f"The folder {self.include} of --include is a home folder, or contains one.",
                "A home folder has logins, keys and histories. Include the folder of the project.",
            )
        if self.include:
            refuse_system(self.include, "--include")
        if self.include and not (self.include.is_dir() or self.include.is_file()):
            raise UsageError(
                f"{self.include} of --include is no folder and no file.", "Name a folder or a file that exists."
            )

    @property
    def destination(self) -> Reference | None:
        """The image's name in a registry; the plan is compared with its repository. None if there is no name."""
        return self.reference


def has_home(folder: Path) -> bool:
    """Whether a folder is a home folder, or a folder above the user's home folder."""
    place = folder.resolve()
    homes = {Path(os.path.expanduser("~")).resolve()}
    if registered := owners.registered_home():
        homes.add(registered.resolve())
    return not _HOMES.isdisjoint((place, place.parent)) or any(home.is_relative_to(place) for home in homes)


@dataclass(frozen=True, kw_only=True)
class BuildRequest(PlanRequest):
    """A build of an image with at least one destination: a registry (`push`), an engine (`load`) or an archive.

    `archive` is a path; the prefix ``docker-archive:`` selects the older format, and the ending ``.sif`` an image of
    Apptainer. `pull` makes the docker engine look for a newer image of the installer. `again` checks everything again,
    even if nothing changed since the last build. `append_platform` keeps the images for other platforms that the name
    has in the registry. `identity` is the identity of the environment that the user has seen (see `planning.identity`):
    the build refuses any other environment. It is empty if the build takes the environment as it is.
    """

    label: ClassVar[str] = "The build request"

    push: bool = option(False, "push the image to its registry", "--push", client=True)
    load: bool = option(False, "load the image into the Docker or Podman Engine", "--load", client=True)
    archive: ImageLocation | None = option(
        None,
        "write the image to an OCI archive (docker-archive:FILE writes the older format), or to FILE.sif for Apptainer",
        "-o",
        "--output",
        metavar="ARCHIVE.tar",
        client=True,
        below_root=True,
        parse=ImageLocation.parse_archive,
    )
    append_platform: bool = option(
        False,
        "keep the images that the name has in the registry for other platforms, such as those of another machine",
        "--append-platform",
    )
    pull: bool = option(False, "docker engine: look for a newer image of the installer", "--pull", client=True)
    identity: str = option("", client=True)
    again: bool = option(
        False, "check everything again, even if nothing has changed", "--again", client=True, shown=False
    )

    def __post_init__(self) -> None:
        """Raises UsageError if there is no destination, or if the destination needs a name or a registry."""
        super().__post_init__()
        if not (self.push or self.load or self.archive):
            raise UsageError("The image has no destination.", "Add --push, --load, -o FILE.tar or -o FILE.sif.")
        if (self.push or self.load) and not self.reference:
            raise UsageError("--push and --load need a name for the image.", "Add -t registry.lab.org/team/env:tag.")
        if self.push:
            refuse_bare(self.reference)
        if self.append_platform:
            check_appending(self.engine, push=self.push, elsewhere=self.load or self.archive is not None)
        if len(self.parts) > 1 and self.archive and self.archive.kind == "docker-archive":
            raise UsageError(
                "A docker-archive has an image for one platform only.",
                "Write an OCI archive (-o FILE.tar), or one archive for each platform.",
            )
        if len(self.parts) > 1 and self.archive and self.archive.kind == "sif":
            raise UsageError("A SIF has an image for one platform only.", "Write one SIF for each platform.")

    @property
    def destination(self) -> Reference | None:
        """The image's name in the registry that the build pushes to. None if the build does not push."""
        return self.reference if self.push else None

    @property
    def archive_name(self) -> str:
        """The archive as a user writes it: a path (an OCI archive), ``docker-archive:PATH``, ``sif:PATH``, or empty."""
        if not self.archive:
            return ""
        return self.archive.name if self.archive.kind == "oci-archive" else str(self.archive)


@dataclass(frozen=True, kw_only=True)
class BaseRequest(ImageRequest):
    """The maintained base of the image `reference`.

    `without` are the packages that the base does not contain. `keep` is the number of dated bases that stay in the
    repository.
    """

    label: ClassVar[str] = "The base request"

    keep: int = option(7, "number of dated bases to keep (default: 7)", "--keep", metavar="N", client=True)
    without: tuple[str, ...] = option(
        (), "leave out a package that changes often (can be repeated)", "--without", metavar="NAME", client=True
    )

    def __post_init__(self) -> None:
        """Raises UsageError if `keep` is less than 1, or if there is no reference with a registry."""
        super().__post_init__()
        if self.keep < 1:
            raise UsageError(
                "keep must be 1 or more.", "keep is the number of dated bases that stay in the repository."
            )
        if not self.reference:
            raise UsageError(
                "A base needs the name of the image that it belongs to.", "Add -t registry.lab.org/team/env:tag."
            )
        refuse_bare(self.reference)
