"""Meaning: what the code of a warning means for the people who get the image, and where the docs explain it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Group = Literal["stops", "lost", "others", "note"]
"""What a warning means:

- ``stops``: a build would end with an error.
- ``lost``: the image lacks something that the environment has or uses, or has it in another form.
- ``others``: other people cannot make or get the same.
- ``note``: good to know. The image works as the environment does.
"""

GROUPS: Mapping[Group, str] = {
    "stops": "A build would stop",
    "lost": "Not in the image, or not as it is here",
    "others": "Others cannot rebuild it",
    "note": "Good to know",
}
"""The titles of the groups, in the order of their importance."""


PAGE = "environments"
"""The page of the documentation that explains the warnings: docs/environments.md."""


class Meaning(NamedTuple):
    """The group of a code, and the section of docs/environments.md that explains it."""

    group: Group
    section: str

    @property
    def page(self) -> str:
        """The address of the explanation, relative to the folder of the documentation."""
        return f"{PAGE}#{self.section}"


_PACKAGES = "packages-and-lock-files"
_FILES = "paths-in-files-and-files-of-several-packages"
_OWN = "files-that-belong-to-no-package"
_OUTSIDE = "what-lies-outside-the-prefix"
_LEFT_OUT = "leaving-things-out"
_KERNEL = "the-kernel-and-activation"
_NETWORK = "registries-and-networks"

MEANINGS: Mapping[str, Meaning] = {
    "base-not-removed": Meaning("note", _NETWORK),
    "blob-gone": Meaning("note", _NETWORK),
    "bytecode-of-installer": Meaning("note", _FILES),
    "categories-left-out": Meaning("lost", _PACKAGES),
    "changes-not-carried": Meaning("lost", _OWN),
    "claim-contradicts-store": Meaning("note", _NETWORK),
    "clobbered-files": Meaning("others", _FILES),
    "compiling-runs-python": Meaning("note", _PACKAGES),
    "conda-overwritten-by-pip": Meaning("others", _PACKAGES),
    "conda-without-hash": Meaning("others", _PACKAGES),
    "contents-unknown": Meaning("note", _FILES),
    "credentials-left-out": Meaning("lost", _OWN),
    "layer-pool-not-read": Meaning("note", _NETWORK),
    "layer-pool-not-written": Meaning("note", _NETWORK),
    "copied-environment": Meaning("note", _FILES),
    "dangling-links": Meaning("lost", _OUTSIDE),
    "debian-scripts-not-run": Meaning("lost", _PACKAGES),
    "editable-builds-at-import": Meaning("lost", _OUTSIDE),
    "editable-built": Meaning("note", _OUTSIDE),
    "editable-install": Meaning("others", _OUTSIDE),
    "editable-source-missing": Meaning("lost", _OUTSIDE),
    "empty-folders": Meaning("others", _FILES),
    "exclude-without-effect": Meaning("note", _LEFT_OUT),
    "excluded-changes": Meaning("note", _LEFT_OUT),
    "excluded-editable": Meaning("note", _LEFT_OUT),
    "excluded-files": Meaning("note", _LEFT_OUT),
    "file-modes": Meaning("lost", _FILES),
    "foreign-files": Meaning("lost", _OWN),
    "frozen": Meaning("note", _PACKAGES),
    "git-needed": Meaning("note", _PACKAGES),
    "large-context": Meaning("note", _OWN),
    "layer-distrusted": Meaning("note", _NETWORK),
    "tag-moved": Meaning("note", _NETWORK),
    "layer-pool-elsewhere": Meaning("note", _NETWORK),
    "left-out": Meaning("lost", _LEFT_OUT),
    "local-channel": Meaning("others", _PACKAGES),
    "local-install": Meaning("others", _PACKAGES),
    "local-name": Meaning("others", _NETWORK),
    "login-in-lockfile": Meaning("note", _PACKAGES),
    "missing-files": Meaning("lost", _OWN),
    "modified-files": Meaning("others", _OWN),
    "nested-environment": Meaning("lost", _OUTSIDE),
    "no-buildkit": Meaning("note", _PACKAGES),
    "no-bytecode": Meaning("note", _FILES),
    "not-installable": Meaning("others", _PACKAGES),
    "other-version": Meaning("others", _PACKAGES),
    "out-of-memory": Meaning("note", _PACKAGES),
    "outside-prefix": Meaning("lost", _OUTSIDE),
    "outside-settings": Meaning("lost", _OUTSIDE),
    "outside-taken": Meaning("others", _OUTSIDE),
    "package-cache-damaged": Meaning("note", _PACKAGES),
    "pip-files-missing": Meaning("lost", _PACKAGES),
    "pip-hash-not-found": Meaning("others", _PACKAGES),
    "pip-login-left-out": Meaning("lost", _PACKAGES),
    "pip-not-checked": Meaning("note", _PACKAGES),
    "pip-source-only": Meaning("lost", _PACKAGES),
    "pip-without-hash": Meaning("others", _PACKAGES),
    "pip-without-record": Meaning("others", _PACKAGES),
    "post-link-script": Meaning("others", _PACKAGES),
    "post-link-script-not-run": Meaning("lost", _PACKAGES),
    "platforms-replaced": Meaning("note", _NETWORK),
    "private-packages": Meaning("note", _PACKAGES),
    "private-packages-made-public": Meaning("note", _PACKAGES),
    "root-prefix": Meaning("note", _OUTSIDE),
    "secrets-found": Meaning("stops", _OWN),
    "secrets-not-searched": Meaning("note", _OWN),
    "shared-paths": Meaning("note", _FILES),
    "special-files": Meaning("lost", _FILES),
    "receipt-not-attached": Meaning("note", _NETWORK),
    "sbom-not-attached": Meaning("note", _NETWORK),
    "superseded-record": Meaning("note", _PACKAGES),
    "taken-from-prefix": Meaning("others", _PACKAGES),
    "unreadable": Meaning("lost", _OWN),
    "untracked-files": Meaning("others", _OWN),
    "variables": Meaning("lost", _PACKAGES),
    "vcs-install": Meaning("others", _PACKAGES),
}
"""The meaning of each code that this program uses."""

_UNKNOWN = Meaning("note", "packages-and-lock-files")


def meaning_of(code: str) -> Meaning:
    """Returns the meaning of a code. The code of another version counts as a note."""
    return MEANINGS.get(code, _UNKNOWN)
