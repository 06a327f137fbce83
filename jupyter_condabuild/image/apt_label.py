"""The label of an image that names the packages of Debian that were added to its base (--apt)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jupyter_condabuild.errors import BadImage
from jupyter_condabuild.oci.image import ImageConfig

LABEL_APT = "org.jupyter.condabuild.apt"
"""The label with the packages of Debian that --apt has added to the base, as a JSON object."""


@dataclass(frozen=True, slots=True)
class AddedPackage:
    """A package of Debian that was added to a base. `path` is its path at a mirror."""

    name: str
    version: str
    sha256: str
    path: str

    @property
    def architecture(self) -> str:
        """Debian's name of the processor, or ``all``; empty if the path does not say it."""
        match = re.search(r"_([a-z0-9-]+)\.deb\Z", self.path, re.ASCII)
        return match[1] if match else ""

    @property
    def purl(self) -> str:
        """The package URL, which is the same for all mirrors. Source: purl-spec, types-doc/deb-definition.md."""
        version = quote(self.version).replace("%3A", ":")
        suffix = f"?arch={self.architecture}" if self.architecture else ""
        return f"pkg:deb/debian/{quote(self.name)}@{version}{suffix}"


@dataclass(frozen=True)
class Added:
    """The packages of Debian that were added to a base: the names that the user gave, and the packages."""

    suite: str
    names: tuple[str, ...]
    packages: tuple[AddedPackage, ...]

    @classmethod
    def of(cls, config: ImageConfig) -> Added | None:
        """Returns what the label of an image says; None if it has none. Raises BadImage if the label is not valid."""
        text = (config.runtime.get("Labels") or {}).get(LABEL_APT)
        if text is None:
            return None
        try:
            value = json.loads(text)
            rows = [
                AddedPackage(**{key: _text(row[key]) for key in AddedPackage.__slots__}) for row in value["packages"]
            ]
            return cls(_text(value["suite"]), tuple(map(_text, value["names"])), tuple(rows))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadImage(f"The label {LABEL_APT} of the image is not valid.") from None

    @property
    def label(self) -> str:
        """The text of the label: equal packages give an equal text."""
        rows = [{key: getattr(package, key) for key in AddedPackage.__slots__} for package in self.packages]
        value = {"suite": self.suite, "names": list(self.names), "packages": rows}
        return json.dumps(value, sort_keys=True, separators=(",", ":"))


def packages_in(config: ImageConfig) -> Iterator[AddedPackage]:
    """Yields the packages that the label of an image names; none if the label is not valid."""
    try:
        added = Added.of(config)
    except BadImage:
        return
    yield from added.packages if added else ()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
