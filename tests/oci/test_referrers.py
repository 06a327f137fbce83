"""Referrers: artifacts that belong to an image, in registries with and without the referrers API."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from jupyter_condabuild.errors import BadImage, RegistryDenied, RegistryUnauthorized
from jupyter_condabuild.oci import referrers
from jupyter_condabuild.oci.image import Descriptor, Digest, Manifest
from jupyter_condabuild.oci.index import Index
from jupyter_condabuild.oci.registry import Repository
from tests.parts.registry.faults import FakeRegistry, Reply, Seen, spec_error
from tests.parts.registry.pushing import connect, push_image

TYPE = "application/vnd.lab.note.v1+json"


@pytest.fixture(params=["real registry", "referrers API", "no referrers API"])
def repository(request: pytest.FixtureRequest, registry: str, fake_registry: FakeRegistry) -> Iterator[Repository]:
    """A repository in Debian's registry, or in a fake registry with or without the API."""
    fake_registry.has_referrers = request.param == "referrers API"
    host = registry if request.param == "real registry" else fake_registry.host
    with connect(host) as connected:
        yield connected.repository(f"referrers/{uuid.uuid4().hex}")


def artifact(content: bytes, kind: str = TYPE) -> referrers.Artifact:
    return referrers.Artifact(kind, content, TYPE, {"title": content.decode()})


def attach(repository: Repository, subject: Descriptor, content: bytes, kind: str = TYPE) -> referrers.Referrer:
    return referrers.attach(repository, subject, artifact(content, kind))


def test_an_attached_artifact_is_found(repository: Repository) -> None:
    """The artifact is found by the image's digest and its own type. The image's manifest and tag do not change."""
    image = push_image(repository, "v1", layers=(b"layer",))
    assert referrers.referrers(repository, image.descriptor.digest, TYPE) == ()
    first, second = attach(repository, image.descriptor, b"one"), attach(repository, image.descriptor, b"two")
    other = attach(repository, image.descriptor, b"three", "application/vnd.lab.other")
    found = referrers.referrers(repository, image.descriptor.digest, TYPE)
    assert {one.descriptor.digest for one in found} == {first.descriptor.digest, second.descriptor.digest}
    assert {one.annotations["title"] for one in found} == {"one", "two"}
    assert referrers.content(repository, first, 100) == b"one"
    [third] = referrers.referrers(repository, image.descriptor.digest, "application/vnd.lab.other")
    assert third.descriptor.digest == other.descriptor.digest
    again = repository.manifest("v1")
    assert isinstance(again, Manifest)
    assert again.raw == image.raw


def test_the_same_artifact_is_attached_only_once(repository: Repository) -> None:
    """Its manifest contains no time."""
    image = push_image(repository, "v1")
    assert attach(repository, image.descriptor, b"one") == attach(repository, image.descriptor, b"one")
    assert len(referrers.referrers(repository, image.descriptor.digest, TYPE)) == 1


def test_several_artifacts_are_attached_with_one_list(fake_registry: FakeRegistry) -> None:
    """The registry is asked once for its list, and gets the list once. The blobs that it has are not asked for."""
    with connect(fake_registry.host) as connected:
        repository = connected.repository("team/env")
        image = push_image(repository, "v1")
        attach(repository, image.descriptor, b"earlier")
        artifacts = [artifact(content) for content in (b"earlier", b"one", b"two")]
        sent = referrers.push_blobs(repository, artifacts)
        fake_registry.seen.clear()
        known = replace(referrers.listing(repository, image.descriptor.digest), blobs=sent)
        made = referrers.attach_all(repository, image.descriptor, artifacts, known)
        assert set(made) == set(referrers.referrers(repository, image.descriptor.digest, TYPE))
        assert len(made) == 3
        tag = referrers.fallback_tag(image.descriptor.digest)
        assert fake_registry.times("PUT", tag) == 1
        assert fake_registry.times("PUT", "manifests/sha256:") == 2
        assert fake_registry.times("HEAD", "blobs/") == fake_registry.times("POST", "uploads") == 0


def test_an_artifact_that_is_refused_does_not_stop_the_others(repository: Repository) -> None:
    """Each artifact has its own outcome, in the order of the artifacts."""
    image = push_image(repository, "v1")
    artifacts = [artifact(b"one"), replace(artifact(b"two"), artifact_type="no media type"), artifact(b"three")]
    push = repository.push_manifest

    def refusing(manifest: Manifest | Index, tag: str = "") -> Descriptor:
        if b"no media type" in manifest.raw and not tag:
            raise RegistryDenied("The registry refuses the artifact.")
        return push(manifest, tag)

    repository.push_manifest = refusing  # type: ignore[method-assign]
    first, second, third = referrers.attach_all(repository, image.descriptor, artifacts)
    assert isinstance(second, RegistryDenied)
    assert {first, third} == set(referrers.referrers(repository, image.descriptor.digest))


def test_a_list_that_another_client_overwrote_is_written_again(fake_registry: FakeRegistry) -> None:
    """The list then has the artifact of the other client and ours."""
    with connect(fake_registry.host) as connected:
        repository = connected.repository("team/env")
        image = push_image(repository, "v1")
        theirs = attach(repository, image.descriptor, b"theirs")
        tag = referrers.fallback_tag(image.descriptor.digest)
        replaced = fake_registry.manifests["team/env"][tag]

        def replace_once(seen: Seen) -> Reply | None:
            if seen.method == "PUT" and seen.path.endswith(tag):
                fake_registry.guard = lambda seen: None
                return Reply(201)  # our list was stored, and then replaced by theirs
            return None

        fake_registry.guard = replace_once
        ours = attach(repository, image.descriptor, b"ours")
        assert fake_registry.manifests["team/env"][tag] != replaced
        assert set(referrers.referrers(repository, image.descriptor.digest, TYPE)) == {theirs, ours}


def test_a_large_artifact_is_not_read(repository: Repository) -> None:
    """A registry can offer an artifact of any size."""
    image = push_image(repository, "v1")
    made = attach(repository, image.descriptor, b"x" * 101)
    with pytest.raises(BadImage, match="101 bytes"):
        referrers.content(repository, made, 100)
    several = push_image(repository, layers=(b"1", b"2"))
    with pytest.raises(BadImage, match="exactly one blob"):
        referrers.content(repository, referrers.Referrer(several.descriptor, TYPE), 100)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, {"Content-Type": "text/html"}, b"<html>"),
        Reply(200, {"Content-Type": "application/vnd.oci.image.index.v1+json"}, b"[]"),
        Reply(200, {"Content-Type": "application/vnd.oci.image.index.v1+json"}, b'{"manifests": [{}]}'),
        Reply(405),
        spec_error(404, "UNSUPPORTED", "no"),
    ],
)
def test_a_registry_without_the_api_uses_the_fallback_tag(fake_registry: FakeRegistry, reply: Reply) -> None:
    """The registry may answer with any status to a request of the API."""
    with connect(fake_registry.host) as connected:
        repository = connected.repository("team/env")
        image = push_image(repository, "v1")
        fake_registry.on("GET", "referrers/", *[reply] * 2)
        made = attach(repository, image.descriptor, b"one")
        listed = json.loads(fake_registry.manifests["team/env"][referrers.fallback_tag(image.descriptor.digest)][1])
        assert [entry["artifactType"] for entry in listed["manifests"]] == [TYPE]
        assert listed["manifests"][0]["annotations"] == {"title": "one"}
        assert referrers.referrers(repository, image.descriptor.digest, TYPE) == (made,)


def test_a_registry_that_needs_a_login_is_not_a_registry_without_the_api(fake_registry: FakeRegistry) -> None:
    """The error of the registry is raised."""
    fake_registry.on("GET", "referrers/", *[spec_error(401, "UNAUTHORIZED", "log in")] * 3)
    with connect(fake_registry.host) as connected, pytest.raises(RegistryUnauthorized):
        referrers.referrers(connected.repository("team/env"), Digest.of(b""), TYPE)


def test_a_registry_that_lists_the_artifact_itself_gets_no_list(fake_registry: FakeRegistry) -> None:
    """Its answer to the push says so, also if it had no referrers API a moment ago."""
    with connect(fake_registry.host) as connected:
        repository = connected.repository("team/env")
        image = push_image(repository, "v1")
        known = referrers.listing(repository, image.descriptor.digest, ask_api=False)
        fake_registry.has_referrers = True
        [made] = referrers.attach_all(repository, image.descriptor, [artifact(b"one")], known)
        assert referrers.referrers(repository, image.descriptor.digest) == (made,)
        assert fake_registry.times("PUT", referrers.fallback_tag(image.descriptor.digest)) == 0
