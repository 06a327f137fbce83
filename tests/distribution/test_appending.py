"""Several machines add images for their platforms to one name, and none of the images is lost."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from jupyter_condabuild.distribution.appending import append
from jupyter_condabuild.errors import BadImage, BadReference, RegistryFault, UsageError
from jupyter_condabuild.oci.image import OCI_CONFIG, Descriptor, Digest, ImageConfig, Manifest, canonical_json
from jupyter_condabuild.oci.index import Index, entry_of
from jupyter_condabuild.oci.repository import Repository
from jupyter_condabuild.oci.tag_list import tags_of
from tests.parts.registry.pushing import connect, opener

PROCESSORS = ("amd64", "arm64", "ppc64le")


@pytest.fixture
def repository(registry: str) -> Iterator[Repository]:
    """A repository for one test."""
    with connect(registry) as opened:
        yield opened.repository(f"appending/{uuid.uuid4().hex}")


def pushed(repository: Repository, processor: str, version: str = "1") -> Descriptor:
    """Pushes an image without layers and without a tag, and returns its descriptor for an index."""
    raw = canonical_json(
        {
            "architecture": processor,
            "os": "linux",
            "config": {"Labels": {"org.opencontainers.image.version": version}},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
    )
    config = Descriptor(OCI_CONFIG, Digest.of(raw), len(raw))
    repository.push(config, opener(raw))
    manifest = Manifest.make(config, [])
    repository.push_manifest(manifest)
    return entry_of(manifest, ImageConfig.parse(raw))


def digests(document: Manifest | Index) -> set[Digest]:
    """Returns the digests of the images of a tag."""
    assert isinstance(document, Index)
    return {image.digest for image in document.images}


def test_the_first_image_needs_no_index(repository: Repository) -> None:
    """The tag has the image itself. The second image makes an index of both."""
    first, second = pushed(repository, "amd64"), pushed(repository, "arm64")
    assert append(repository, "v1", [first]).raw == repository.manifest(str(first.digest)).raw
    append(repository, "v1", [second])
    assert digests(repository.manifest("v1")) == {first.digest, second.digest}


def test_an_image_replaces_only_that_of_its_platform(repository: Repository) -> None:
    """The tag has the newest image of each platform, in an index whose bytes do not depend on the order."""
    old = [pushed(repository, processor, "1") for processor in PROCESSORS]
    new = [pushed(repository, processor, "2") for processor in PROCESSORS]
    append(repository, "v1", old)
    append(repository, "v1", [new[1]])
    assert digests(repository.manifest("v1")) == {old[0].digest, new[1].digest, old[2].digest}
    for image in (new[2], new[0]):
        append(repository, "v1", [image])
    assert repository.manifest("v1").raw == Index.make(new).raw


def test_a_later_push_of_the_whole_name_is_not_undone(repository: Repository) -> None:
    """A note of a machine that is done does not bring its old image back."""
    old = [pushed(repository, processor, "1") for processor in PROCESSORS]
    for image in old:
        append(repository, "v1", [image])
    new = [pushed(repository, processor, "2") for processor in PROCESSORS]
    repository.push_manifest(Index.make(new[:2]), "v1")
    append(repository, "v1", [new[2]])
    assert digests(repository.manifest("v1")) == {image.digest for image in new}


def test_other_entries_of_an_index_stay(repository: Repository) -> None:
    """An attestation of an image stays while its image does, with members that this program does not know."""
    amd, arm = pushed(repository, "amd64"), pushed(repository, "arm64")
    notes = [
        replace(
            pushed(repository, f"note{number}"),
            platform={"os": "unknown", "architecture": "unknown"},
            annotations={"vnd.docker.reference.digest": str(image.digest)},
        )
        for number, image in enumerate((amd, arm))
    ]
    value = Index.make([amd, arm])
    entries = [*value.manifests, *notes]
    raw = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": value.media_type,
            "manifests": [{**one.to_json(), "artifactType": "x/y"} for one in entries],
        }
    )
    repository.push_manifest(Index.parse(raw), "v1")
    newer = pushed(repository, "arm64", "2")
    append(repository, "v1", [newer])
    found = repository.manifest("v1")
    assert isinstance(found, Index)
    assert {one.digest for one in found.manifests} == {amd.digest, newer.digest, notes[0].digest}
    assert found.raw.count(b'"artifactType":"x/y"') == 2


def test_the_notes_are_no_tags_of_the_user(repository: Repository) -> None:
    """The list of tags has the names that users gave."""
    append(repository, "v1", [pushed(repository, "amd64")])
    assert tags_of(repository) == ["v1"]


def test_a_tag_with_the_name_of_a_note_is_not_overwritten(repository: Repository) -> None:
    """The refusal names the tag, and the next step."""
    image = pushed(repository, "amd64")
    found = repository.manifest(str(image.digest))
    repository.push_manifest(found, "v1.append-amd64")
    with pytest.raises(UsageError, match=r"v1\.append-amd64") as caught:
        append(repository, "v1", [image])
    assert "another tag" in caught.value.hint
    assert repository.manifest("v1.append-amd64").raw == found.raw
    with pytest.raises(BadReference, match="too long"):
        append(repository, "v" * 125, [image])


def test_what_is_no_image_is_not_replaced(repository: Repository) -> None:
    """A tag of another artifact keeps it."""
    data = b"not a configuration"
    blob = Descriptor(OCI_CONFIG, Digest.of(data), len(data))
    repository.push(blob, opener(data))
    other = Manifest.make(blob, [])
    repository.push_manifest(other, "v1")
    with pytest.raises(BadImage, match="something else than an image"):
        append(repository, "v1", [pushed(repository, "amd64")])
    assert repository.manifest("v1").raw == other.raw


class Interrupted(Repository):
    """A repository in which something happens just before a tag is written."""

    def __init__(self, inner: Repository, before: Callable[[], None], times: int = 1) -> None:
        super().__init__(inner._transport, inner.name)
        self._before, self._times = before, times

    def push_manifest(self, manifest: Manifest | Index, tag: str = "") -> Descriptor:
        if tag == "v1" and self._times:
            self._times -= 1
            self._before()
        return super().push_manifest(manifest, tag)


def test_a_machine_that_finished_in_between_keeps_its_image(repository: Repository) -> None:
    """A reads the tag; B adds its image and ends; A writes. The note of B, which is done, has changed since A began."""
    amd, arm = pushed(repository, "amd64"), pushed(repository, "arm64")
    append(Interrupted(repository, lambda: drop(append(repository, "v1", [arm]))), "v1", [amd])
    assert digests(repository.manifest("v1")) == {amd.digest, arm.digest}


def test_three_machines_that_cross_keep_their_images(repository: Repository) -> None:
    """While A waits before its write, B adds its image, and C adds its image while B waits."""
    amd, arm, power = (pushed(repository, processor) for processor in PROCESSORS)
    third = Interrupted(repository, lambda: drop(append(repository, "v1", [power])))
    append(Interrupted(repository, lambda: drop(append(third, "v1", [arm]))), "v1", [amd])
    assert digests(repository.manifest("v1")) == {amd.digest, arm.digest, power.digest}


def test_a_machine_that_stopped_in_between_loses_nothing_of_others(repository: Repository) -> None:
    """The open note of a machine that stopped brings its image; the machine itself can begin again."""
    amd, arm = pushed(repository, "amd64"), pushed(repository, "arm64")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append(Interrupted(repository, stop), "v1", [amd])
    append(repository, "v1", [arm])
    assert digests(repository.manifest("v1")) == {amd.digest, arm.digest}
    newer = pushed(repository, "amd64", "2")
    append(repository, "v1", [newer])
    assert digests(repository.manifest("v1")) == {newer.digest, arm.digest}


def test_a_name_that_others_write_all_the_time_ends_with_an_error(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of attempts is bounded, and the hint says what to do."""
    monkeypatch.setattr("jupyter_condabuild.distribution.appending.time.sleep", lambda seconds: None)
    amd, arm = pushed(repository, "amd64"), pushed(repository, "arm64")

    class Overwritten(Repository):
        def push_manifest(self, manifest: Manifest | Index, tag: str = "") -> Descriptor:
            written = super().push_manifest(manifest, tag)
            if tag == "v1":
                super().push_manifest(Index.make([arm]), tag)
            return written

    with pytest.raises(RegistryFault, match="again and again") as caught:
        append(Overwritten(repository._transport, repository.name), "v1", [amd])
    assert "Run the command again" in caught.value.hint


RACER = """
import sys
from jupyter_condabuild.distribution.appending import append
from tests.distribution.test_appending import pushed
from tests.parts.registry.pushing import connect

host, name, processor = sys.argv[1:]
with connect(host) as registry:
    repository = registry.repository(name)
    image = pushed(repository, processor)
    print(image.digest, flush=True)
    for line in sys.stdin:
        append(repository, line.strip(), [image])
        print("done", flush=True)
"""


def test_processes_that_add_images_at_the_same_time_lose_none(repository: Repository) -> None:
    """Three processes add an image each to the same tag at the same moment, for many tags in turn."""
    command = [sys.executable, "-c", RACER, repository.host, repository.name]
    racers = [
        subprocess.Popen([*command, processor], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for processor in PROCESSORS
    ]
    try:
        images = {Digest.parse(line(racer)) for racer in racers}
        for number in range(15):
            for racer in racers:
                assert racer.stdin
                racer.stdin.write(f"t{number}\n")
                racer.stdin.flush()
            assert [line(racer) for racer in racers] == ["done"] * 3
            assert digests(repository.manifest(f"t{number}")) == images
    finally:
        for racer in racers:
            racer.communicate()


def line(process: subprocess.Popen[str]) -> str:
    """Returns the next line of a process."""
    assert process.stdout
    return process.stdout.readline().strip()


def drop(_: object) -> None:
    """Ignores a result."""
