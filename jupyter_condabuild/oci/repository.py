"""Repository: reads, verifies and pushes the manifests and blobs of one repository of a registry.

Source: github.com/opencontainers/distribution-spec v1.1. The docstrings name the sections of this document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Literal
from urllib.parse import urlencode

from jupyter_condabuild.errors import (
    BadDigest,
    ContentMismatch,
    RegistryDenied,
    RegistryError,
    RegistryFault,
    RegistryNotFound,
    RegistryUnauthorized,
    UsageError,
)
from jupyter_condabuild.oci.http_errors import SUCCESS, status_text
from jupyter_condabuild.oci.image import INDEXES, MANIFESTS, Descriptor, Digest, Manifest
from jupyter_condabuild.oci.index import Index, parse_document
from jupyter_condabuild.oci.names import checked_name, checked_target
from jupyter_condabuild.oci.tokens import Access

if TYPE_CHECKING:
    from jupyter_condabuild.oci.transport import Answer, Transport
    from jupyter_condabuild.oci.upload import Session

Outcome = Literal["present", "mounted", "uploaded"]
Presence = Literal["likely", "unknown", "new"]
SENT_UNASKED = 64 * 1024
"""The size in bytes up to which a blob is sent without asking for it, unless the registry probably has it."""

_TYPES = (*MANIFESTS, *INDEXES)
_ACCEPT = ", ".join(_TYPES)


class Repository:
    """A repository of a registry. It is a `BlobSource`, and blobs and manifests can be pushed to it.

    Every method raises RegistryError with the registry's own error text if the registry refuses a request, and
    ContentMismatch if bytes do not match their digest. The caller orders the requests of a push: it calls
    `push_manifest` after `push` has returned for every blob of the manifest.
    """

    def __init__(self, transport: Transport, name: str, *, pull_only: bool = False) -> None:
        """Makes the object without making a request.

        Args:
            transport: the connections to the registry.
            name: the name of the repository without the registry, such as ``team/env``.
            pull_only: whether every method that changes the registry raises UsageError.

        Raises:
            UsageError: `name` is not the name of a repository.
        """
        self._transport = transport
        self._pull_only = pull_only
        self.name = checked_name(name)
        self._reading = Access(self.name)
        self._is_destination = False
        self.lists_referrers = False
        """Whether the registry has said that it lists a pushed artifact under its image (``OCI-Subject``)."""

    def __repr__(self) -> str:
        return f"Repository({self.host}/{self.name})"

    @property
    def host(self) -> str:
        """The registry as in a reference, with its port if the reference has one."""
        return self._transport.host

    @property
    def location(self) -> tuple[str, str]:
        """The host and the name. Two objects for the same repository have equal locations."""
        return self.host, self.name

    def for_pushing(self) -> Repository:
        """Returns this repository as the destination of a push.

        If a request to read it is denied, the request is repeated with the right to push. Docker Hub and GHCR deny
        reading a repository that does not exist yet, also to the user who may make it.
        """
        found = Repository(self._transport, self.name, pull_only=self._pull_only)
        found._is_destination = not self._pull_only
        return found

    def manifest(self, target: str) -> Manifest | Index:
        """Returns the manifest or index with a tag or digest ("Pulling manifests"). It may have at most 4 MiB.

        Args:
            target: a tag or a digest.

        Raises:
            RegistryNotFound: the repository has no manifest with this tag or digest.
            BadImage: the document is neither a manifest nor an index.
            BadReference, BadDigest: `target` is not a tag or a digest.
        """
        doing = f"read the manifest {checked_target(target)} of {self.name}"
        answer = self.request("GET", f"manifests/{target}", doing, {200}, headers={"Accept": _ACCEPT})
        if "html" in answer.headers.get("content-type", ""):
            raise RegistryFault(f"Could not {doing} at {self.host}: the registry answered with a web page.")
        requested = Digest.parse(target) if ":" in target else None
        for digest in filter(None, (requested, self._digest(answer, doing))):
            if hashlib.new(digest.algorithm, answer.body).hexdigest() != digest.hex:
                raise self._mismatch(doing, f"the bytes do not match the digest {digest}")
        return parse_document(answer.body, _media_type(answer))

    def head(self, target: str) -> Descriptor | None:
        """Returns the descriptor of the manifest or index with a tag or digest ("Checking if content exists").

        Returns None if the repository has none.

        Args:
            target: a tag or a digest.

        Raises:
            BadReference, BadDigest: `target` is not a tag or a digest.
        """
        doing = f"look up the manifest {checked_target(target)} of {self.name}"
        answer = self.request("HEAD", f"manifests/{target}", doing, {200, 404, 405}, headers={"Accept": _ACCEPT})
        if answer.status == 404:
            return None
        digest, size = self._digest(answer, doing), answer.headers.get("content-length", "")
        if answer.status == 405 or digest is None or not size.isdecimal() or _media_type(answer) not in _TYPES:
            try:
                manifest = self.manifest(target)
            except RegistryNotFound:
                return None
            return Descriptor(manifest.media_type, Digest.of(manifest.raw), len(manifest.raw))
        if ":" in target and str(digest) != target:
            raise self._mismatch(doing, f"the registry returned the manifest {digest}")
        return Descriptor(_media_type(answer), digest, int(size))

    def has(self, digest: Digest) -> bool:
        """Whether the registry reports that it has a blob. False also if the registry does not support the request."""
        return self._has(digest, None, Access(self.name))

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yields the bytes of a blob in chunks of about 1 MiB ("Pulling blobs"). Resumes interrupted connections.

        Raises ContentMismatch as soon as there are too many bytes, or after the last chunk if the digest or the size
        differs.
        """
        from jupyter_condabuild.oci.download import download

        doing = f"read the blob {descriptor.digest} of {self.name}"
        url = f"/v2/{self.name}/blobs/{descriptor.digest}"
        return download(self._transport, url, Access(self.name), doing, descriptor)

    def mount(self, digest: Digest, source: str) -> bool:
        """Mounts a blob of another repository of this registry in this repository ("Mounting a blob").

        Args:
            digest: the digest of the blob.
            source: the name of the other repository.

        Returns:
            False if the blob was not mounted, for example because the login may not read the other repository. The
            bytes can still be pushed.
        """
        session = self._mount(digest, source)
        if isinstance(session, bool):
            return session
        session.cancel(self._transport, self._writing(source))
        return False

    def push(
        self,
        descriptor: Descriptor,
        open: Callable[[], BinaryIO],
        *,
        mount_from: Sequence[str] = (),
        progress: Callable[[int], None] = lambda moved: None,
        presence: Presence = "likely",
        streamed: Callable[[], Session | None] = lambda: None,
    ) -> Outcome:
        """Makes sure that the repository has a blob: finds it there, mounts it, or uploads it ("Pushing blobs").

        Args:
            descriptor: the descriptor of the blob.
            open: opens the bytes of the blob from the start. It is called only if the bytes are sent, and called again
                if they must be sent again.
            mount_from: the names of repositories of this registry that may have the blob.
            progress: called with the number of bytes sent since the last call. The number is negative if bytes must be
                sent again, so the sum is the number of bytes that the registry has. It is not called for a blob that
                was present or mounted.
            presence: whether the repository has the blob already. If that is likely, the registry is asked first. If it
                is unknown, the blob is mounted first, and a small blob is sent unasked: the registry keeps one copy. A
                new blob is always sent.
            streamed: returns the session of `stream` that has the bytes, or None.

        Returns:
            How the repository got the blob.
        """
        from jupyter_condabuild.oci.upload import Upload

        access = self._writing()

        def present() -> bool | None:
            try:
                return self._has(descriptor.digest, descriptor.size, access)
            except RegistryDenied:
                return None  # some registries let a user push who may not ask; only a refused upload is final

        if presence == "likely" and present():
            return "present"
        session: Session | None = None
        for source in mount_from:
            if session is not None:
                session.cancel(self._transport, access)
                session = None
            mounted = self._mount(descriptor.digest, source)
            if mounted is True:
                return "mounted"
            session = mounted or None
        if presence == "unknown" and descriptor.size > SENT_UNASKED and present():
            if session is not None:
                session.cancel(self._transport, access)
            return "present"
        doing = f"push the blob {descriptor.digest} to {self.name}"

        upload = Upload(
            self._transport,
            access,
            descriptor,
            open,
            doing=doing,
            begin=lambda: self._begin(doing),
            present=present,
            progress=progress,
        )
        complete = None if session else streamed()
        if complete is None or not (upload.finish(complete) or present()):
            upload.run(session)
        return "uploaded"

    def stream(self, read: Callable[[], Iterator[bytes]]) -> Session:
        """Sends the bytes of a blob whose digest is not known yet. `push` gets the session, or `discard` ends it.

        The errors of `read` are raised unchanged.
        """
        from jupyter_condabuild.oci.upload import Session

        doing = f"push a blob to {self.name}"
        return Session.streamed(self._begin(doing), self._transport, self._writing(), doing, read)

    def discard(self, session: Session) -> None:
        """Cancels the session of `stream`. Failures are ignored."""
        session.cancel(self._transport, self._writing())

    def check_push(self) -> None:
        """Opens an upload and cancels it. Raises the error of a registry that refuses."""
        self._begin(f"push to {self.name}").cancel(self._transport, self._writing())

    def _begin(self, doing: str) -> Session:
        from jupyter_condabuild.oci.upload import Session

        answer = self.request("POST", "blobs/uploads/", doing, SUCCESS, access=self._writing())
        return Session.of(self._transport, answer, doing)

    def push_manifest(self, manifest: Manifest | Index, tag: str = "") -> Descriptor:
        """Pushes a manifest under its digest, and under a tag if one is given ("Pushing manifests").

        The caller guarantees that the repository has every blob that the manifest names.

        Returns:
            The descriptor of the manifest.
        """
        digest = Digest.of(manifest.raw)
        doing = f"push the manifest {tag or digest} to {self.name}"
        answer = self.request(
            "PUT",
            f"manifests/{checked_target(tag) if tag else digest}",
            doing,
            SUCCESS,
            access=self._writing(),
            headers={"Content-Type": manifest.media_type},
            body=manifest.raw,
        )
        self.lists_referrers = self.lists_referrers or "oci-subject" in answer.headers
        stored = self._digest(answer, doing)
        if stored is not None and stored.algorithm == digest.algorithm and stored != digest:
            raise self._mismatch(doing, f"the registry stored {stored} instead of {digest}")
        if answer.status != 201 and self.head(tag or str(digest)) is None:
            raise RegistryFault(
                f"Could not {doing} at {self.host}: the registry answered {status_text(answer.status)}, but it has no "
                "such manifest."
            )
        return Descriptor(manifest.media_type, digest, len(manifest.raw))

    def delete(self, digest: Digest) -> None:
        """Deletes a manifest and all its tags ("Deleting Manifests"). The registry removes unused blobs later."""
        access = replace(self._writing(), actions="pull,delete")
        self.request("DELETE", f"manifests/{digest}", f"delete {digest} of {self.name}", SUCCESS, access=access)

    def _mount(self, digest: Digest, source: str) -> Session | bool:
        """Mounts a blob. Returns True on success, or the upload session that the registry opened instead, or False."""
        from jupyter_condabuild.oci.upload import Session

        checked_name(source)
        doing = f"mount the blob {digest} of {source} in {self.name}"
        path = f"blobs/uploads/?{urlencode({'mount': str(digest), 'from': source})}"
        try:
            answer = self.request("POST", path, doing, SUCCESS, access=self._writing(source), once=True)
            if answer.status == 202:
                return Session.of(self._transport, answer, doing)
            return answer.status == 201 or self._has(digest, None, self._writing())
        except (RegistryError, ContentMismatch):
            # Registries refuse a mount with many different statuses and codes, so every refusal is accepted here. The
            # bytes of the blob can still be sent (oras-project/oras#1924, quay/quay#899,
            # google/go-containerregistry#1404, osscontainertools/kaniko#1013, goharbor/harbor#15273).
            return False

    def _has(self, digest: Digest, size: int | None, access: Access) -> bool:
        doing = f"look for the blob {digest} in {self.name}"
        try:
            answer = self.request("HEAD", f"blobs/{digest}", doing, {200}, access=access)
        except (RegistryUnauthorized, RegistryDenied):
            raise
        except RegistryError as error:
            if error.temporary or error.status is None:
                raise
            return False
        reported, length = answer.headers.get("docker-content-digest"), answer.headers.get("content-length")
        return reported in (None, str(digest)) and (size is None or length in (None, str(size)))

    def _writing(self, source: str = "") -> Access:
        """Returns the rights to push, and to pull from `source` if it is given. Raises UsageError if `pull_only`."""
        if self._pull_only:
            raise UsageError(f"The registry {self.host} was opened for reading only.", "")
        return Access(self.name, "pull,push", (source,) if source else ())

    def request(
        self,
        method: str,
        path: str,
        doing: str,
        accept: Collection[int],
        *,
        access: Access | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        once: bool = False,
    ) -> Answer:
        """Sends one request about this repository, and again after a temporary failure.

        Args:
            path: below the repository, or an absolute URL that the registry gave.
            doing: completes "Could not …" in the messages of errors.
            accept: the statuses that are no error.
            once: whether a temporary failure is an error at once.

        Raises a RegistryError for any other status.
        """
        from jupyter_condabuild.oci.transport import Call

        chunks = None if body is None else lambda: iter((body,))
        url = path if "://" in path else f"/v2/{self.name}/{path}"
        send = self._transport.once if once else self._transport.request
        call = Call(method, url, access or self._reading, doing, headers or {}, chunks, len(body or b""))
        try:
            return send(call, accept)
        except (RegistryUnauthorized, RegistryDenied):
            if access or not self._is_destination or self._reading == self._writing():
                raise
        answer = send(replace(call, access=self._writing()), accept)
        self._reading = self._writing()
        return answer

    def locate(self, answer: Answer, doing: str, location: str) -> str:
        """Returns the absolute URL of a location that an answer names. Raises RegistryFault if it is not valid."""
        return self._transport.locate(answer, doing, location)

    def _mismatch(self, doing: str, reason: str) -> ContentMismatch:
        return ContentMismatch(f"Could not {doing} at {self.host}: {reason}.")

    def _digest(self, answer: Answer, doing: str) -> Digest | None:
        """Returns the digest in the header ``Docker-Content-Digest``, or None if the response has no such header."""
        text = answer.headers.get("docker-content-digest")
        try:
            return Digest.parse(text) if text else None
        except BadDigest:
            raise RegistryFault(f"Could not {doing} at {self.host}: the digest in the response is not valid.") from None


def _media_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip()
