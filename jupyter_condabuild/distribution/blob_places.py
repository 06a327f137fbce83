"""BlobPlaces: which repositories of a registry have which blobs, as far as this machine has pushed them there.

A registry mounts a blob from another of its repositories if it is told the name of that repository, so nothing is sent.
A memory may be wrong, because somebody may have deleted the blob: then the mount costs one request, the blob is sent,
and the memory is replaced.

Source: OCI distribution-spec v1.1, "Mounting a blob from another repository".
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress

from jupyter_condabuild.errors import CondaBuildError
from jupyter_condabuild.oci.image import Digest
from jupyter_condabuild.oci.layout import Store

MOST_BLOBS = 10_000
"""The number of blobs that are remembered for one registry: those that were pushed last."""

MOST_PLACES = 2
"""The number of repositories that are remembered for one blob."""


class BlobPlaces:
    """The memory of one registry, in the local store.

    Args:
        registry: the host, as in a reference.
    """

    def __init__(self, store: Store, registry: str) -> None:
        self._store = store
        self._registry = registry
        self._places = self._read()

    def of(self, digest: Digest) -> tuple[str, ...]:
        """Returns the names of the repositories that should have a blob, the last one first."""
        return tuple(self._places.get(str(digest), ()))

    def has(self, digest: Digest, repository: str) -> bool:
        """Whether a repository should have a blob."""
        return repository in self.of(digest)

    def learn(self, repository: str, present: Collection[Digest], uploaded: Collection[Digest]) -> None:
        """Keeps that a repository has blobs.

        Args:
            present: all of the blobs.
            uploaded: those whose bytes had to be sent: the registry mounted them from no other repository.
        """
        places = self._read()  # another build may have written meanwhile
        for digest in sorted(present, key=str):
            before = places.pop(str(digest), [])
            others = [] if digest in uploaded else [name for name in before if name != repository]
            places[str(digest)] = [repository, *others][:MOST_PLACES]
        self._places = dict(list(places.items())[-MOST_BLOBS:])
        with suppress(CondaBuildError, OSError):  # a store that cannot be written remembers nothing
            self._store.keep_places(self._registry, json.dumps(self._places).encode())

    def _read(self) -> dict[str, list[str]]:
        with suppress(ValueError, TypeError, AttributeError):
            value = json.loads(self._store.places(self._registry))
            return {str(digest): [str(name) for name in names] for digest, names in value.items()}
        return {}
