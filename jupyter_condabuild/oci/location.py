"""ImageLocation: where an image lies, as people write it: a registry, an archive, a layout folder, an engine.

The forms are those of skopeo (containers-transports(5)): ``oci-archive:FILE``, ``docker-archive:FILE``, ``oci:FOLDER``,
``docker-daemon:NAME``, and a reference without a prefix for a registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jupyter_condabuild.errors import BadReference
from jupyter_condabuild.oci.image import Reference

Kind = Literal["registry", "oci-archive", "docker-archive", "oci", "docker-daemon"]
FILES: tuple[Kind, ...] = ("oci-archive", "docker-archive", "oci")
"""The kinds that name a path on this machine."""

_PREFIXES: dict[str, Kind] = {kind: kind for kind in (*FILES, "docker-daemon")}


def has_prefix(text: str) -> bool:
    """Whether a text begins with the prefix of a kind."""
    return text.partition(":")[0] in _PREFIXES and ":" in text


@dataclass(frozen=True)
class ImageLocation:
    """A place that an image is read from or written to.

    `name` is the text behind the kind's prefix, as it was written: a reference, a path, or an engine's name for the
    image. Some engines know an image by the short form of a reference alone.
    """

    kind: Kind
    name: str

    @classmethod
    def parse(cls, text: str) -> ImageLocation:
        """Raises BadReference or BadDigest for a text without a prefix that is no reference, and for an empty name."""
        prefix, colon, rest = text.partition(":")
        if colon and prefix in _PREFIXES:
            if not rest:
                raise BadReference(f"{text!r} names no image.", f"Write it as {prefix}:NAME.")
            return cls(_PREFIXES[prefix], rest)
        Reference.parse(text)
        return cls("registry", text.strip())

    @classmethod
    def parse_any(cls, text: str) -> ImageLocation:
        """The same, where the path of an archive or of a layout folder that exists needs no prefix."""
        if not has_prefix(text) and Path(text).exists():
            return cls("oci" if Path(text).is_dir() else "oci-archive", text)
        return cls.parse(text)

    @classmethod
    def parse_archive(cls, text: str) -> ImageLocation:
        """The archive that a text names; a path without a prefix is an OCI archive's."""
        kind, colon, rest = text.partition(":")
        if colon and kind in ("oci-archive", "docker-archive"):
            return cls(_PREFIXES[kind], rest)
        return cls("oci-archive", text)

    def __str__(self) -> str:
        return self.name if self.kind == "registry" else f"{self.kind}:{self.name}"

    @property
    def reference(self) -> Reference:
        """The reference of an image in a registry, or of one that an engine has by such a name.

        Raises BadReference and BadDigest for any other name.
        """
        return Reference.parse(self.name)

    @property
    def path(self) -> Path:
        """The path of an archive or a layout folder."""
        return Path(self.name)

    @property
    def is_file(self) -> bool:
        """Whether the image lies in an archive or a folder of this machine."""
        return self.kind in FILES
