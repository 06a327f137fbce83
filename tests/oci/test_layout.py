"""The local store returns only correct blobs, survives interruptions, and shrinks on request."""

from __future__ import annotations

import hashlib
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
    """An empty store."""
    with Store(tmp_path / "store") as opened:
        yield opened


def of(data: bytes) -> Descriptor:
    return Descriptor(OCI_LAYER_GZIP, Digest.of(data), len(data))


def put(store: Store, data: bytes) -> Descriptor:
    store.put(of(data), [data])
    return of(data)


def add(store: Store, key: str, data: bytes, used: int = 0) -> Descriptor:
    """Puts a blob and its layer record. Their last use is at `used` seconds since the epoch."""
    descriptor = put(store, data)
    store.add_layer(key, LayerBlob(descriptor, Digest.of(b"tar" + data), 10240), ("numpy-1-0",))
    for path in (store.path(descriptor.digest), store.root / "layers" / f"{key}.json"):
        os.utime(path, (used, used))
    return descriptor


def read(store: Store, descriptor: Descriptor) -> bytes:
    return b"".join(store.read(descriptor))


def test_a_stored_blob_is_found(store: Store) -> None:
    """The blob is found by digest and size. The folder is an OCI image layout."""
    descriptor = put(store, b"blob")
    assert store.has(descriptor)
    assert read(store, descriptor) == b"blob"
    assert not store.has(of(b"other"))
    assert (store.root / "oci-layout").read_text() == '{"imageLayoutVersion":"1.0.0"}'
    assert (store.root / "blobs/sha256" / descriptor.digest.hex).read_bytes() == b"blob"


@pytest.mark.parametrize("data", [b"", b"wro", b"wrong", b"wrong bytes"])
def test_wrong_bytes_are_not_kept(store: Store, data: bytes) -> None:
    """Too few, too many or different bytes are refused."""
    with pytest.raises(ContentMismatch):
        store.put(of(b"right"), [data])
    assert not store.has(of(b"right"))
    assert not list(store.tmp.iterdir())


@pytest.mark.parametrize("damaged", [b"", b"blo", b"blOb", b"blob and more"])
def test_a_damaged_blob_is_removed(store: Store, damaged: bytes) -> None:
    """The next build makes the removed blob again."""
    descriptor = put(store, b"blob")
    store.path(descriptor.digest).write_bytes(damaged)
    with pytest.raises(ContentMismatch, match="damaged"):
        read(store, descriptor)
    assert not store.has(descriptor)


def test_a_layer_is_found_by_its_key(store: Store) -> None:
    """The record has all values that a manifest needs."""
    descriptor = add(store, "key", b"layer")
    found = store.layer("key")
    assert found
    assert found.blob == LayerBlob(descriptor, Digest.of(b"tarlayer"), 10240)
    assert found.packages == ("numpy-1-0",)
    assert store.layer("another") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"descriptor": {}}', '{"descriptor": null, "diff_id": 1}'])
def test_a_broken_layer_record_is_ignored(store: Store, text: str) -> None:
    """A power cut can leave a broken record."""
    add(store, "key", b"layer")
    (store.root / "layers/key.json").write_text(text)
    assert store.layer("key") is None


def test_files_of_a_crash_are_removed_when_the_store_is_opened(tmp_path: Path) -> None:
    """Files and folders of incomplete layers are removed; blobs stay."""
    with Store(tmp_path) as store:
        descriptor = put(store, b"blob")
        (store.tmp / "half").write_bytes(b"ha")
        (store.tmp / "work/deep").mkdir(parents=True)
        (store.tmp / "link").symlink_to(tmp_path / "blobs")
    with Store(tmp_path) as store:
        assert not list(store.tmp.iterdir())
        assert read(store, descriptor) == b"blob"


def test_files_of_another_running_build_are_kept(tmp_path: Path) -> None:
    """The files are kept as long as the other build runs."""
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


def test_a_killed_build_releases_its_lock(tmp_path: Path) -> None:
    """The lock is released at any point of the build and for any signal."""
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


def test_prune_keeps_the_last_used_blobs(store: Store) -> None:
    """Prune keeps as many of the last used blobs as the limit allows."""
    old, new = add(store, "old", b"o" * 100, used=1000), add(store, "new", b"n" * 100, used=2000)
    newest = add(store, "newest", b"t" * 100, used=3000)
    assert store.size == 300
    assert store.prune(250) == 100
    assert (store.has(old), store.has(new), store.has(newest)) == (False, True, True)
    assert (store.layer("old"), store.layer("new") is None) == (None, False)
    assert store.prune() == 200
    assert store.size == 0


def test_finding_a_layer_counts_as_a_use(store: Store) -> None:
    """A layer that each build needs is kept, however old it is."""
    old, new = add(store, "old", b"o" * 100, used=1000), add(store, "new", b"n" * 100, used=2000)
    store.layer("old")
    store.prune(100)
    assert (store.has(old), store.has(new)) == (True, False)


def test_prune_is_refused_while_a_build_uses_the_store(tmp_path: Path) -> None:
    """Prune works when the build has ended."""
    with Store(tmp_path) as store:
        descriptor = put(store, b"blob")
        with Store(tmp_path), pytest.raises(StoreError, match="A build is using the store"):
            store.prune()
        assert store.has(descriptor)
        assert store.prune() == 4


def test_a_refused_prune_keeps_the_lock_of_the_store(tmp_path: Path) -> None:
    """The store still holds its shared lock after the refusal, so no other process can remove its blobs."""
    with Store(tmp_path) as builder:
        descriptor = put(builder, b"blob")
        with Store(tmp_path) as other:
            with pytest.raises(StoreError):
                builder.prune()
            with pytest.raises(StoreError):
                other.prune()
        assert builder.has(descriptor)


def test_the_last_push_to_a_repository_is_remembered(store: Store) -> None:
    """Each repository has its own last push."""
    assert store.previous("lab.org/a") is None
    store.remember("lab.org/a", Digest.of(b"1"))
    store.remember("lab.org/b", Digest.of(b"2"))
    assert (store.previous("lab.org/a"), store.previous("lab.org/b")) == (Digest.of(b"1"), Digest.of(b"2"))


def test_a_full_disk_is_a_named_error(small_disk: Path) -> None:
    """No partial file is left."""
    with Store(small_disk / "store") as store:
        data = os.urandom(2 << 20)
        with pytest.raises(DiskFull, match="No space is left"):
            store.put(of(data), [data[:1000], data[1000:]])
        assert not store.has(of(data))
        assert not list(store.tmp.iterdir())
        assert store.has(put(store, b"small"))


def test_a_read_only_store_is_a_named_error(small_disk: Path) -> None:
    """A new and an existing store on a read-only disk give the error."""
    with Store(small_disk / "old"):
        pass
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for name in ("old", "new"):
        with pytest.raises(StoreUnwritable, match=name):
            Store(small_disk / name)


def test_the_store_belongs_only_to_its_user(tmp_path: Path) -> None:
    """No other user can read the folder, and a store of another user is not opened."""
    root = tmp_path / "store"
    root.mkdir(mode=0o777)
    with Store(root):
        assert root.stat().st_mode & 0o777 == 0o700
        assert (root / "lock").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_store_of_another_user_is_refused(tmp_path: Path) -> None:
    """The other user could change the stored results."""
    (tmp_path / "store").mkdir()
    os.chown(tmp_path / "store", 54_321, 54_321)
    with pytest.raises(StoreUnwritable, match="another user"):
        Store(tmp_path / "store")


def test_a_blob_is_found_by_its_whole_digest(store: Store) -> None:
    """Two algorithms have their own folders, as in every OCI layout."""
    data = b"sha512"
    digest = Digest(hashlib.sha512(data).hexdigest(), "sha512")
    descriptor = Descriptor(OCI_LAYER_GZIP, digest, len(data))
    store.put(descriptor, [data])
    assert read(store, descriptor) == data
    assert store.path(digest) == store.root / "blobs/sha512" / digest.hex
    assert not store.has(Descriptor(OCI_LAYER_GZIP, Digest(digest.hex[:64]), len(data)))
