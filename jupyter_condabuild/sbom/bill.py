"""Bill: what an SBOM says about an image, independent of the format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jupyter_condabuild.conda.packages import License


@dataclass(frozen=True)
class Holder:
    """A layer that holds a package: the digest of its blob, and its diff_id."""

    digest: str
    diff_id: str


@dataclass(frozen=True)
class Component:
    """A package of an image.

    `channel` is the URL of the conda channel, or of the index of a pip package other than PyPI; `url` is the URL of the
    archive. Both are empty for a file of the machine that built the image. `depends` are names of conda packages of
    the same image.
    """

    manager: Literal["conda", "pip", "deb"]
    name: str
    version: str
    build: str = ""
    subdir: str = ""
    channel: str = ""
    url: str = ""
    sha256: str = ""
    md5: str = ""
    license: License = field(default_factory=License)
    layers: tuple[Holder, ...] = ()
    depends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bill:
    """The packages of an image or of an environment. The same image has the same bill.

    `subject` is the digest of the image's manifest, or of the environment's lock file, and `is_image` says which.
    `created` is the image's own date, in ISO 8601. `tool` is the version of this program.
    """

    subject: str
    created: str
    tool: str
    components: tuple[Component, ...]
    is_image: bool = True
