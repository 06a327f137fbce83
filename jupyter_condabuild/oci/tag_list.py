"""The tags of a repository.

Source: OCI distribution-spec v1.1, "Listing Tags" and "Referrers Tag Schema".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from jupyter_condabuild.errors import RegistryFault
from jupyter_condabuild.oci.names import TAG, is_note
from jupyter_condabuild.oci.repository import Repository

if TYPE_CHECKING:
    from jupyter_condabuild.oci.transport import Answer

TAGS_PER_PAGE = 1000
MAX_PAGES = 1000

_REFERRERS_TAG = re.compile(r"[a-z0-9+]+-[0-9a-f]{64}")
_NEXT = re.compile(r'\s*<([^>]*)>\s*;[^,]*\brel="?next\b')


def tags_of(repository: Repository) -> list[str]:
    """Returns the tags of images in the order of the registry.

    The tags of lists of referrers and of notes (`names.note_tag`) are left out.

    Raises RegistryError, and RegistryFault if the list is not valid or has no end.
    """
    doing = f"list the tags of {repository.name}"
    url = f"tags/list?n={TAGS_PER_PAGE}"
    tags: list[str] = []
    for _ in range(MAX_PAGES):
        answer = repository.request("GET", url, doing, {200})
        tags += _tags_in(answer, doing, repository.host)
        link = _NEXT.match(answer.headers.get("link", ""))
        if link is None:
            return [tag for tag in tags if not (_REFERRERS_TAG.fullmatch(tag) or is_note(tag))]
        url = repository.locate(answer, doing, link[1])
    raise RegistryFault(f"Could not {doing} at {repository.host}: the list has no end.")


def _tags_in(answer: Answer, doing: str, host: str) -> list[str]:
    try:
        tags = json.loads(answer.body)["tags"] or []
        if all(TAG.fullmatch(tag) for tag in tags):
            return list(tags)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise RegistryFault(f"Could not {doing} at {host}: the response is not a list of tags.")
