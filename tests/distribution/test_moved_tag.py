"""A tag that somebody else moves during a build: the image that is replaced is named, and who made it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_condabuild.events import Event, Phase, Warning
from jupyter_condabuild.jobs import rebase
from jupyter_condabuild.oci.image import OCI_CONFIG, Descriptor, Digest, Manifest
from jupyter_condabuild.requests.others import RebaseRequest
from tests.parts.builds import Workshop, explicit, install, small_channel
from tests.parts.channel.package import File, Metadata
from tests.parts.channel.two_platforms import BOTH, two_platform_lock
from tests.parts.jobs import request
from tests.parts.registry.faults import FakeRegistry
from tests.parts.registry.pushing import connect, push_image
from tests.parts.small_image import two_platforms
from tests.trust.test_signatures import allow, make_key

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


LABELS = {"org.opencontainers.image.authors": "Ada\x1b[1m", "org.opencontainers.image.created": "2026-11-30T12:00:00Z"}


def test_the_warning_says_who_made_the_other_image(
    workshop: Workshop, fake_registry: FakeRegistry, tmp_path: Path
) -> None:
    """A signer whom the user trusts, this machine, or the image's own labels, which are a claim; else nobody."""
    channel = small_channel(tmp_path / "channel", [(Metadata("a", "1", noarch="generic"), [File("share/a", b"a")])])
    prefix = install(tmp_path / "env", channel, "a")
    key = make_key(tmp_path)
    signers = allow(tmp_path, ("ada@lab.org", key))
    place = f"{fake_registry.host}/team/env"
    (prefix / "share/own").write_text("hers")
    Workshop(tmp_path / "hers", workshop.base).build(prefix, reference=f"{place}:hers", push=True, signing_key=str(key))
    (prefix / "share/own").write_text("mine")
    workshop.build(prefix, reference=f"{place}:mine", push=True)
    (prefix / "share/own").write_text("now")
    labelled = Manifest.make(THEIRS.config, [], LABELS)

    def warned(other: Callable[[], tuple[str, bytes]], **options: str) -> str:
        def report(event: Event) -> None:
            if event == Phase("push", "started"):
                fake_registry.put_manifest("team/env", "v1", *other())

        workshop.build(prefix, report, reference=f"{place}:v1", push=True, again=True, **options)
        return workshop.warnings["tag-moved"]

    def tagged(tag: str) -> Callable[[], tuple[str, bytes]]:
        return lambda: fake_registry.manifests["team/env"][tag]

    assert "Built by ada@lab.org, signature verified." in warned(tagged("hers"), trusted_signers=str(signers))
    assert "Signed by a signer who is not trusted" in warned(tagged("hers"))
    assert "It is of another build on this machine." in warned(tagged("mine"))
    claimed = warned(lambda: (labelled.media_type, labelled.raw))
    assert "made by Ada and made at 2026-11-30T12:00:00Z, which nobody has verified." in claimed
    assert "Who made it is not known." in warned(lambda: (THEIRS.media_type, THEIRS.raw))


def moving(name: str, events: list[Event]) -> Callable[[Event], None]:
    """Returns a function that records events, and that moves a tag when the first image is pushed."""
    host, _, rest = name.partition("/")
    repository, _, tag = rest.partition(":")

    def report(event: Event) -> None:
        if event == Phase("push", "started") and event not in events:
            with connect(host) as registry:
                push_image(registry.repository(repository), tag)
        events.append(event)

    return report


def test_a_tag_that_moves_during_a_job_is_reported_for_several_platforms_and_by_a_rebase(
    tmp_path: Path, registry: str
) -> None:
    """The image of somebody else is replaced: the warning has its digest. A job that nobody disturbs has no warning."""
    workshop = Workshop(tmp_path, two_platforms(tmp_path / "base.tar", b"1\n"))
    newer = two_platforms(tmp_path / "newer.tar", b"2\n")
    lockfile = two_platform_lock(tmp_path)
    name = f"{registry}/moved/{uuid.uuid4().hex}"
    workshop.build(lockfile, moving(f"{name}:v1", []), platforms=BOTH, reference=f"{name}:v1", push=True)
    assert "sha256:" in workshop.warnings["tag-moved"]
    workshop.build(lockfile, platforms=("linux-64",), reference=f"{name}:one", push=True)
    assert "tag-moved" not in workshop.warnings
    for source in ("v1", "one"):
        events: list[Event] = []
        asked = request(
            RebaseRequest, store_dir=workshop.store, reference=f"{name}:{source}", base=newer, target=f"{name}:v2"
        )
        rebase.run(asked, moving(f"{name}:v2", events))
        assert [event.code for event in events if isinstance(event, Warning)] == ["tag-moved"], source
        events = []
        rebase.run(asked, events.append)
        assert "tag-moved" not in [event.code for event in events if isinstance(event, Warning)]
