"""The error of a refused push says what the user can do, for the words that registries use."""

from __future__ import annotations

import json

import pytest

from jupyter_condabuild.errors import RegistryBusy, RegistryError, RegistryNotFound
from tests.parts.registry.faults import FakeRegistry, Reply, spec_error
from tests.parts.registry.pushing import blob, connect, opener, push_image

FULL = "Delete images that nobody needs"
FIXED = "Choose another tag"
OLD = "too old for OCI images"
ABSENT = "Make the repository or the project first"
# Amazon ECR, Harbor, Docker Hub, GitLab, Nexus, Google's Artifact Registry, Quay
IMMUTABLE = [
    (400, "TAG_INVALID", "The image tag 'v1' already exists in the 'env' repository and cannot be overwritten."),
    (412, "PRECONDITION", "Failed to process request due to 'team/env:v1' configured as immutable."),
    (403, "DENIED", "Tag v1 is immutable"),
    (400, "UNKNOWN", "Repository does not allow updating assets: redeploy is disabled"),
    (400, "FAILED_PRECONDITION", "tag v1 already exists and immutable tags are enabled"),
    (409, "TAG_IMMUTABLE", "tag is immutable"),
]
QUOTA = [
    (403, "DENIED", "adding 10.0 MiB of storage resource will exceed the configured upper limit of 1.0 GiB."),
    (403, "DENIED", "Quota has been exceeded on namespace"),
    (413, "SIZE", "storage limit reached"),
    (507, "UNKNOWN", "Insufficient Storage"),
    (500, "UNKNOWN", "write /var/lib/registry: no space left on device"),
]


@pytest.mark.parametrize(
    ("path", "refusal", "hint"),
    [
        *(("manifests", spec_error(*words), FIXED) for words in IMMUTABLE),
        *((path, spec_error(*words), FULL) for words in QUOTA for path in ("manifests", "uploads")),
        ("manifests", Reply(507), FULL),
        ("manifests", Reply(400, body=json.dumps({"error": "quota exceeded"}).encode()), FULL),
        ("manifests", spec_error(400, "MANIFEST_INVALID", "manifest invalid"), OLD),
        ("manifests", spec_error(404, "MANIFEST_INVALID", "manifest invalid"), OLD),
        ("manifests", Reply(415), OLD),
        ("manifests", spec_error(405, "UNSUPPORTED", "The operation is unsupported."), OLD),
    ],
)
def test_a_refused_push_has_a_hint(fake_registry: FakeRegistry, path: str, refusal: Reply, hint: str) -> None:
    """The message has the words of the registry, and the hint says what to do."""
    fake_registry.on("PUT", path, *[refusal] * 40)
    fake_registry.on("PATCH", path, *[refusal] * 40)
    with connect(fake_registry.host) as registry, pytest.raises(RegistryError) as raised:
        push_image(registry.repository("team/env"), "v1")
    assert hint in raised.value.hint
    assert raised.value.detail in raised.value.message


def test_a_repository_that_must_exist_before_a_push_is_named(fake_registry: FakeRegistry) -> None:
    """Amazon ECR makes no repository on a push. The same status on a read means a wrong name."""
    absent = spec_error(404, "NAME_UNKNOWN", "The repository with name 'team/env' does not exist in the registry")
    fake_registry.guard = lambda seen: absent
    with connect(fake_registry.host) as registry:
        repository = registry.repository("team/env")
        with pytest.raises(RegistryNotFound, match="does not exist in the registry") as raised:
            repository.push(blob(b"x"), opener(b"x"), mount_from=["base"])
        assert ABSENT in raised.value.hint
        with pytest.raises(RegistryNotFound) as missing:
            repository.manifest("v1")
        assert ABSENT not in missing.value.hint


def test_a_rate_limit_is_no_full_storage(fake_registry: FakeRegistry) -> None:
    """Google calls its limit of requests a quota, too."""
    busy = spec_error(429, "TOOMANYREQUESTS", "Quota exceeded for quota metric 'Requests'", **{"Retry-After": "9999"})
    fake_registry.on("PUT", "manifests", busy)
    with connect(fake_registry.host) as registry, pytest.raises(RegistryBusy) as raised:
        push_image(registry.repository("team/env"), "v1")
    assert FULL not in raised.value.hint
