"""ImageLocation: the place of an image as users write it: a registry, an archive, a folder, an engine, or packages.

The forms are those of skopeo (containers-transports(5)): ``oci-archive:FILE``, ``docker-archive:FILE``, ``oci:FOLDER``
and ``docker-daemon:NAME``. ``debian-packages:SUITE`` is our own: a base that is made of the packages of a release of
Debian. A reference without a prefix is an image in a registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jupyter_condabuild.errors import BadReference
from jupyter_condabuild.oci.image import Reference

Kind = Literal["registry", "oci-archive", "docker-archive", "oci", "docker-daemon", "debian-packages", "sif"]
FILES: tuple[Kind, ...] = ("oci-archive", "docker-archive", "oci")
"""The kinds that name a path on this machine."""

_PREFIXES: dict[str, Kind] = {kind: kind for kind in (*FILES, "docker-daemon", "debian-packages")}


def has_prefix(text: str) -> bool:
    """Whether a text begins with the prefix of a kind, such as ``oci-archive:``."""
    return text.partition(":")[0] in _PREFIXES and ":" in text


@dataclass(frozen=True)
class ImageLocation:
    """A place from which an image is read, or to which it is written.

    `name` is the text after the prefix, unchanged: a reference, a path, the name that an engine has for the image, or a
    release of Debian. It is not normalised, because some engines find an image only by the short form of its reference.
    """

    kind: Kind
    name: str

    @classmethod
    def parse(cls, text: str) -> ImageLocation:
        """Parses a location. A text without a prefix must be a reference.

        Raises:
            BadReference: a text without a prefix is not a reference, or there is no text after a prefix.
            BadDigest: the digest in a reference is not valid.
        """
        prefix, colon, rest = text.partition(":")
        if colon and prefix in _PREFIXES:
            if not rest:
                raise BadReference(f"{text!r} does not name an image.", f"Write it as {prefix}:NAME.")
            return cls(_PREFIXES[prefix], rest)
        Reference.parse(text)
        return cls("registry", text.strip())

    @classmethod
    def parse_any(cls, text: str) -> ImageLocation:
        """Parses a location, or the path of an existing archive, layout folder or SIF. Raises as `parse` does."""
        if not has_prefix(text) and Path(text).exists():
            if text.endswith(".sif"):
                return cls("sif", text)
            return cls("oci" if Path(text).is_dir() else "oci-archive", text)
        return cls.parse(text)

    @classmethod
    def parse_archive(cls, text: str) -> ImageLocation:
        """Parses the name of a file to write. A path without a prefix is a SIF if it ends in .sif, or an OCI archive.

        `parse` does not know the prefix of a SIF.
        """
        kind, colon, rest = text.partition(":")
        if colon and kind in ("oci-archive", "docker-archive"):
            return cls(_PREFIXES[kind], rest)
        if colon and kind == "sif":
            return cls("sif", rest)
        return cls("sif" if text.endswith(".sif") else "oci-archive", text)

    def __str__(self) -> str:
        return self.name if self.kind == "registry" else f"{self.kind}:{self.name}"

    @property
    def reference(self) -> Reference:
        """The name, parsed as a reference. Raises BadReference or BadDigest if the name is not a reference."""
        return Reference.parse(self.name)

    @property
    def path(self) -> Path:
        """The path of an archive or a layout folder."""
        return Path(self.name)

    @property
    def is_file(self) -> bool:
        """Whether the image is in an archive or a folder on this machine."""
        return self.kind in FILES
