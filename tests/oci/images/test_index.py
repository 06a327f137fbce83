"""Image indexes: their bytes depend on nothing but the images, and what others wrote into them stays."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jupyter_condabuild.errors import BadImage, ImageError
from jupyter_condabuild.oci.image import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, ImageConfig
from jupyter_condabuild.oci.index import MOST_IMAGES, Index, entry_of, platform_of, platform_text
from tests.parts import small_image
from tests.parts.small_image import tar

LABELS = {"org.opencontainers.image.version": "1", "org.example": "x"}


def made(processor: str, version: str = "1", **more: str) -> Descriptor:
    """Returns an image of one small layer, as an index has it."""
    labels = {**LABELS, "org.opencontainers.image.version": version, **more}
    image = small_image.image([tar({"etc/arch": processor.encode()})], processor, Labels=labels)
    return entry_of(image.manifest, ImageConfig.parse(image.config))


def test_an_entry_has_the_platform_and_the_labels_of_the_image() -> None:
    """Only labels that the image-spec defines become annotations."""
    entry = made("arm64")
    assert entry.platform == {"os": "linux", "architecture": "arm64"}
    assert entry.annotations == {"org.opencontainers.image.version": "1"}


def test_the_same_images_give_the_same_bytes_in_every_order() -> None:
    """The bytes are known: a change of the format is seen here."""
    images = [made(processor) for processor in ("amd64", "arm64", "ppc64le")]
    raws = {Index.make(order).raw for order in itertools.permutations(images)}
    assert len(raws) == 1
    index = Index.parse(raws.pop())
    assert index.platforms == ("linux/amd64", "linux/arm64", "linux/ppc64le")
    assert str(index.descriptor.digest) == "sha256:b44d853216bcbde2423e4363c9e4b0de3a2b02789abe3ee3636eb4bbe7590d4a"


def test_the_index_has_the_annotations_that_all_images_have() -> None:
    """A registry shows them for the name."""
    same = Index.make([made("amd64"), made("arm64")])
    assert json.loads(same.raw)["annotations"] == {"org.opencontainers.image.version": "1"}
    other = Index.make([made("amd64", "1"), made("arm64", "2")])
    assert "annotations" not in json.loads(other.raw)


def test_an_image_replaces_that_of_its_platform() -> None:
    """The usual variant of arm64 counts as none, so that one platform has one image."""
    old = made("arm64")
    variant = replace(old, digest=Digest.of(b"v8"), platform={**(old.platform or {}), "variant": "v8"})
    before = Index.make([made("amd64"), variant])
    new = made("arm64", "2")
    assert Index.make([new], before).images == (made("amd64"), new)
    v7 = replace(old, platform={"os": "linux", "architecture": "arm", "variant": "v7"})
    assert Index.make([v7], before).platforms == ("linux/amd64", "linux/arm/v7", "linux/arm64")


def test_what_is_no_image_for_linux_is_not_read() -> None:
    """Attestations, images of Windows and artifacts stay in the index, but no command takes them for images."""
    unknown = replace(made("x"), platform={"os": "unknown", "architecture": "unknown"})
    windows = replace(made("y"), platform={"os": "windows", "architecture": "amd64"})
    nested = replace(made("z"), media_type=OCI_INDEX)
    index = Index.make([made("amd64")], Index.make([unknown, windows, nested]))
    assert len(index.manifests) == 4
    assert index.platforms == ("linux/amd64",)
    assert index.manifests[-1].platform == unknown.platform
    many = [replace(made("amd64"), platform={"os": "linux", "architecture": f"p{number}"}) for number in range(99)]
    assert len(Index.make(many).images) == MOST_IMAGES


def test_a_missing_platform_is_named_with_those_that_are_there() -> None:
    """The hint says what to do."""
    with pytest.raises(BadImage, match="no variant for linux/s390x, only for linux/amd64, linux/arm64") as caught:
        Index.make([made("amd64"), made("arm64")]).select("s390x")
    assert "--platform" in caught.value.hint


TEXT = st.text(st.characters() | st.just("\ud800"), max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@example({"annotations": {"text": "\ud800"}})
@example({"annotations": {"list": [1]}, "platform": {"os": ["linux"], "architecture": {}}})
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("annotations", "platform", "mediaType", "more"), JSON)))
def test_an_index_of_a_stranger_is_refused_or_extended(odd: dict[str, Any]) -> None:
    """Whatever its entries have, there is a named error, or an index with the new image and the entry as it was."""
    entry = {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(b"")), "size": 1, **odd}
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    try:
        index = Index.make([made("amd64")], Index.parse(raw))
    except ImageError:
        return
    assert made("amd64") in index.manifests
    assert entry in json.loads(index.raw)["manifests"]
    assert all(platform_text(one) == "/".join(filter(None, platform_of(one))) for one in index.manifests)
