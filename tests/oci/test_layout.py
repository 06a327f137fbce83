"""The local store: what it gives out is right, what breaks off leaves it whole, and it shrinks when told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_condabuild.errors import ContentMismatch, DiskFull, StoreError, StoreUnwritable
from jupyter_condabuild.oci.image import OCI_LAYER_GZIP, Descriptor, Digest
from jupyter_condabuild.oci.layer import LayerBlob
from jupyter_condabuild.oci.layout import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    with Store(tmp_path / "store") as opened:
        yield opened


def of(data: bytes) -> Descriptor:
    return Descriptor(OCI_LAYER_GZIP, Digest.of(data), len(data))


def put(store: Store, data: bytes) -> Descriptor:
    store.put(of(data), [data])
    return of(data)


def add(store: Store, key: str, data: bytes, used: int = 0) -> Descriptor:
    """A blob and its layer record, used last at `used` seconds since the epoch."""
    descriptor = put(store, data)
    store.add_layer(key, LayerBlob(descriptor, Digest.of(b"tar" + data), 10240), ("numpy-1-0",))
    for path in (store.path(descriptor.digest), store.root / "layers" / f"{key}.json"):
        os.utime(path, (used, used))
    return descriptor


def read(store: Store, descriptor: Descriptor) -> bytes:
    return b"".join(store.read(descriptor))


def test_what_is_put_is_there(store: Store) -> None:
    """By digest and size, in a folder that is an OCI image layout."""
    descriptor = put(store, b"blob")
    assert store.has(descriptor)
    assert read(store, descriptor) == b"blob"
    assert not store.has(of(b"other"))
    assert (store.root / "oci-layout").read_text() == '{"imageLayoutVersion":"1.0.0"}'
    assert (store.root / "blobs/sha256" / descriptor.digest.hex).read_bytes() == b"blob"


@pytest.mark.parametrize("data", [b"", b"wro", b"wrong", b"wrong bytes"])
def test_wrong_bytes_are_not_kept(store: Store, data: bytes) -> None:
    """Too few, too many, or others."""
    with pytest.raises(ContentMismatch):
        store.put(of(b"right"), [data])
    assert not store.has(of(b"right"))
    assert not list(store.tmp.iterdir())


@pytest.mark.parametrize("damaged", [b"", b"blo", b"blOb", b"blob and more"])
def test_a_damaged_blob_is_noticed_and_forgotten(store: Store, damaged: bytes) -> None:
    """So that the next build makes it anew."""
    descriptor = put(store, b"blob")
    store.path(descriptor.digest).write_bytes(damaged)
    with pytest.raises(ContentMismatch, match="damaged"):
        read(store, descriptor)
    assert not store.has(descriptor)


def test_a_layer_is_found_by_its_key(store: Store) -> None:
    """With all that a manifest needs of it."""
    descriptor = add(store, "key", b"layer")
    found = store.layer("key")
    assert found
    assert found.blob == LayerBlob(descriptor, Digest.of(b"tarlayer"), 10240)
    assert found.packages == ("numpy-1-0",)
    assert store.layer("another") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"descriptor": {}}', '{"descriptor": null, "diff_id": 1}'])
def test_a_broken_layer_record_counts_as_none(store: Store, text: str) -> None:
    """A power cut may leave one."""
    add(store, "key", b"layer")
    (store.root / "layers/key.json").write_text(text)
    assert store.layer("key") is None


def test_what_a_crash_left_is_removed_when_the_store_is_opened(tmp_path: Path) -> None:
    """Files and whole folders of half-made layers; blobs stay."""
    with Store(tmp_path) as store:
        descriptor = put(store, b"blob")
        (store.tmp / "half").write_bytes(b"ha")
        (store.tmp / "work/deep").mkdir(parents=True)
        (store.tmp / "link").symlink_to(tmp_path / "blobs")
    with Store(tmp_path) as store:
        assert not list(store.tmp.iterdir())
        assert read(store, descriptor) == b"blob"


def test_the_work_of_another_build_is_not_taken_for_a_crash(tmp_path: Path) -> None:
    """As long as that build lives."""
    with Store(tmp_path) as first, first.folder() as work:
        (work / "file").write_bytes(b"in use")
        with Store(tmp_path):
            assert (work / "file").read_bytes() == b"in use"


HOLD = """
import sys
from pathlib import Path
from jupyter_condabuild.oci.layout import Store
store = Store(Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


def test_a_killed_build_gives_its_lock_back(tmp_path: Path) -> None:
    """Whatever it was doing, and whoever killed it."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with Store(tmp_path) as store:
            with pytest.raises(StoreError, match="A build is using the store"):
                store.prune()
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            assert store.prune() == 0


def test_prune_keeps_what_was_used_last(store: Store) -> None:
    """And as much of it as it may."""
    old, new = add(store, "old", b"o" * 100, used=1000), add(store, "new", b"n" * 100, used=2000)
    newest = add(store, "newest", b"t" * 100, used=3000)
    assert store.size == 300
    assert store.prune(250) == 100
    assert (store.has(old), store.has(new), store.has(newest)) == (False, True, True)
    assert (store.layer("old"), store.layer("new") is None) == (None, False)
    assert store.prune() == 200
    assert store.size == 0


def test_to_find_a_layer_is_to_use_it(store: Store) -> None:
    """One that each build needs stays, however old it is."""
    old, new = add(store, "old", b"o" * 100, used=1000), add(store, "new", b"n" * 100, used=2000)
    store.layer("old")
    store.prune(100)
    assert (store.has(old), store.has(new)) == (True, False)


def test_prune_is_refused_while_a_build_uses_the_store(tmp_path: Path) -> None:
    """And works when that has ended."""
    with Store(tmp_path) as store:
        descriptor = put(store, b"blob")
        with Store(tmp_path), pytest.raises(StoreError, match="A build is using the store"):
            store.prune()
        assert store.has(descriptor)
        assert store.prune() == 4


def test_after_a_refused_prune_the_store_is_still_held(tmp_path: Path) -> None:
    """A lock that was asked for in vain is not lost: nobody takes blobs from under who holds the store."""
    with Store(tmp_path) as builder:
        descriptor = put(builder, b"blob")
        with Store(tmp_path) as other:
            with pytest.raises(StoreError):
                builder.prune()
            with pytest.raises(StoreError):
                other.prune()
        assert builder.has(descriptor)


def test_the_last_push_to_a_repository_is_remembered(store: Store) -> None:
    """For each repository its own."""
    assert store.previous("lab.org/a") is None
    store.remember("lab.org/a", Digest.of(b"1"))
    store.remember("lab.org/b", Digest.of(b"2"))
    assert (store.previous("lab.org/a"), store.previous("lab.org/b")) == (Digest.of(b"1"), Digest.of(b"2"))


def test_a_full_disk_has_a_name(small_disk: Path) -> None:
    """And leaves nothing half-written."""
    with Store(small_disk / "store") as store:
        data = os.urandom(2 << 20)
        with pytest.raises(DiskFull, match="No space is left"):
            store.put(of(data), [data[:1000], data[1000:]])
        assert not store.has(of(data))
        assert not list(store.tmp.iterdir())
        assert store.has(put(store, b"small"))


def test_a_store_that_cannot_be_written_has_a_name(small_disk: Path) -> None:
    """New or old, on a disk that is mounted read-only."""
    with Store(small_disk / "old"):
        pass
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for name in ("old", "new"):
        with pytest.raises(StoreUnwritable, match=name):
            Store(small_disk / name)
