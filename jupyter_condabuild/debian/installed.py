"""Installed: the release of a Debian, and the packages that it has.

Source: os-release(5); dpkg(1), "dpkg's status file"; deb-control(5). Images of distroless have a file for each package
in ``status.d`` instead of the status file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from jupyter_condabuild.debian.packages import parse_fields
from jupyter_condabuild.errors import DebianPackagesRefused

STATUS, STATUS_FOLDER = "var/lib/dpkg/status", "var/lib/dpkg/status.d"
OS_RELEASE = ("usr/lib/os-release", "etc/os-release")
"""The places of the name of the release, the one that counts first: the second is usually a link to it."""

_SUITE = re.compile(r"[a-z][a-z0-9-]{1,40}", re.ASCII)
_OTHER_BASE = "Use a base of Debian: --base debian:bookworm-slim, or --base debian-packages:bookworm."


@dataclass(frozen=True)
class Installed:
    """The release of a Debian, as ``bookworm``, and the fields of each package that it has, by name.

    `status` is the text of the file with these packages. It is None if each package has a file of its own.
    """

    suite: str
    packages: Mapping[str, Mapping[str, str]]
    status: str | None

    @classmethod
    def parse(cls, release: str, status: str | None, others: Iterable[str]) -> Installed:
        """Parses the files of a system.

        Args:
            release: the text of os-release; empty if there is none.
            status: the text of the status file; None if there is none.
            others: the texts of the files in ``status.d``.

        Raises DebianPackagesRefused if the system is no release of Debian, or has no list of its packages.
        """
        values = dict(_assignments(release))
        suite = values.get("VERSION_CODENAME", "")
        if values.get("ID") != "debian" or not _SUITE.fullmatch(suite):
            name = values.get("PRETTY_NAME") or values.get("ID") or "a system without a name"
            raise DebianPackagesRefused(f"The base is {name[:100]!r}, not a release of Debian.", _OTHER_BASE)
        texts = [*others] if status is None else [status]
        if not texts:
            raise DebianPackagesRefused("The base has no list of its packages (/var/lib/dpkg/status).", _OTHER_BASE)
        found = (parse_fields(stanza) for text in texts for stanza in text.split("\n\n") if stanza.strip())
        return cls(suite, {fields.get("Package", ""): fields for fields in found if _is_installed(fields)}, status)

    def with_packages(self, stanzas: Mapping[str, str]) -> dict[str, str]:
        """Returns the new files of the list of packages, by path.

        Args:
            stanzas: the stanza of each added package, by name.
        """
        if self.status is None:
            return {f"{STATUS_FOLDER}/{name}": stanza for name, stanza in stanzas.items()}
        # A package that was removed may have left a stanza.
        kept = [part.strip("\n") for part in self.status.split("\n\n") if part.strip("\n")]
        kept = [part for part in kept if parse_fields(part).get("Package") not in stanzas]
        return {STATUS: "".join(f"{part}\n\n" for part in [*kept, *(text.strip("\n") for text in stanzas.values())])}


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            try:
                yield name, "".join(shlex.split(value))
            except ValueError:
                continue


def _is_installed(fields: Mapping[str, str]) -> bool:
    state = fields.get("Status", "install ok installed").split()
    return state[-1:] != [] and state[-1] in ("installed", "triggers-pending", "triggers-awaited")
