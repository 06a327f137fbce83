"""A tag that somebody else moves during a build: the image that is replaced is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_condabuild.events import Event, Phase
from jupyter_condabuild.oci.image import OCI_CONFIG, Descriptor, Digest, Manifest
from tests.parts.builds import Workshop, explicit, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.registry.faults import FakeRegistry

THEIRS = Manifest.make(Descriptor(OCI_CONFIG, Digest.of(b"{}"), 2), [])


@pytest.mark.parametrize("during", [True, False])
def test_an_image_that_was_pushed_during_the_build_is_named(
    workshop: Workshop, fake_registry: FakeRegistry, tmp_path: Path, during: bool
) -> None:
    """It is replaced, and the warning has its digest. The image that the tag had before the build is no surprise."""
    channel = small_channel(tmp_path / "channel", [(Metadata("a", "1", noarch="generic"), [File("share/a", b"a")])])
    lockfile = explicit(channel, tmp_path / "explicit.txt")

    def push() -> None:
        fake_registry.put_manifest("team/env", "v1", THEIRS.media_type, THEIRS.raw)

    def report(event: Event) -> None:
        if during and event == Phase("push", "started"):
            push()

    if not during:
        push()
    workshop.build(lockfile, report, reference=f"{fake_registry.host}/team/env:v1", push=True)
    assert ("tag-moved" in workshop.warnings) is during
    if during:
        assert str(THEIRS.descriptor.digest) in workshop.warnings["tag-moved"]
