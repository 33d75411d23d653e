"""Blobs by digest: whole or not at all, whoever is killed, runs into a full disk or comes at the same time."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.changeset import LayerStream, compressed
from overlaykit.driver import Durability
from overlaykit.store import ContentStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testkit.loops import MakeFilesystem

    from overlaykit.store import Store

HELLO = b"hello, blob"


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@pytest.fixture(params=["disk", "memory"])
def content(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ContentStore]:
    made = ContentStore(tmp_path / "content" if request.param == "disk" else None, Durability.NONE)
    yield made
    made.close()


def files(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_what_is_taken_in_is_there(content: ContentStore, algorithm: str) -> None:
    digest = digest_of(HELLO, algorithm)
    assert not content.exists(digest)
    with content.ingest(digest, len(HELLO)) as ingest:
        assert not ingest.present
        assert ingest.write(HELLO[:5]) == 5
        ingest.write(memoryview(HELLO)[5:])
        assert not content.exists(digest)
        assert ingest.offset == len(HELLO)
        assert ingest.digest == ingest.commit() == digest
    assert ingest.closed
    assert content.exists(digest)
    assert content.size(digest) == len(HELLO)
    assert list(content.walk()) == [digest]
    with content.open(digest) as file, content.open(digest) as other:
        assert other.read() == file.read() == HELLO
        assert file.seek(7) == 7
        assert file.read() == b"blob"
        assert file.seek(-4, os.SEEK_END) == 7
    assert content.read(digest, 100) == HELLO
    with pytest.raises(errors.LimitError):
        content.read(digest, len(HELLO) - 1)
    with content.ingest(digest) as again:
        assert again.present
    with content.open(digest) as file:
        content.remove(digest)
        assert file.read() == HELLO
    assert not content.exists(digest)
    assert list(content.walk()) == []


def test_small_blobs(content: ContentStore) -> None:
    digest = content.add(HELLO)
    assert digest == digest_of(HELLO) == content.add(HELLO, digest)
    assert content.read(digest, 100) == HELLO
    assert content.add(b"", digest_of(b"", "sha512")) == digest_of(b"", "sha512")
    with pytest.raises(errors.DigestMismatchError):
        content.add(b"other", digest)
    assert sorted(content.walk()) == [digest, digest_of(b"", "sha512")]


def test_what_is_not_there(content: ContentStore) -> None:
    digest = digest_of(HELLO)
    assert list(content.walk()) == []
    assert content.cleanup() == 0
    for use in (content.open, content.size, content.remove):
        with pytest.raises(errors.NotFoundError, match="there is no blob sha256:"):
            use(digest)


@pytest.mark.parametrize(
    "digest",
    ["", "sha256", "sha256:", "sha256:../../etc/passwd", f"sha256:{'A' * 64}", f"sha256:{'0' * 63}", f"md5:{'0' * 32}"],
)
def test_what_is_no_digest(content: ContentStore, digest: str) -> None:
    for use in (content.open, content.size, content.remove, content.exists, content.ingest, content.path):
        with pytest.raises(errors.ImageFormatError, match="is no digest"):
            use(digest)


def test_a_wrong_digest_leaves_nothing(content: ContentStore) -> None:
    digest = digest_of(HELLO)
    ingest = content.ingest(digest)
    ingest.write(b"something else")
    with pytest.raises(errors.DigestMismatchError) as caught:
        ingest.commit()
    assert (caught.value.expected, caught.value.actual) == (digest, digest_of(b"something else"))
    assert list(content.walk()) == []
    with content.ingest(digest) as ingest:
        assert ingest.offset == 0
    with pytest.raises(ValueError, match="before"):
        ingest.write(b"more")
    with pytest.raises(ValueError, match="before"):
        ingest.commit()


def test_sizes_are_kept_to(content: ContentStore) -> None:
    with content.ingest(digest_of(HELLO), len(HELLO)) as ingest:
        with pytest.raises(errors.LayerFormatError, match="has more than the 11 bytes"):
            ingest.write(HELLO + b"!")
        ingest.write(HELLO[:3])
        with pytest.raises(errors.LayerFormatError, match="ends after 3 of 11 bytes"):
            ingest.commit()
    assert list(content.walk()) == []


def test_going_on_where_somebody_stopped(tmp_path: Path) -> None:
    content = ContentStore(tmp_path / "content")
    digest = digest_of(HELLO)
    with content.ingest(digest, len(HELLO)) as ingest:
        ingest.write(HELLO[:4])
    with content.ingest(digest, len(HELLO)) as ingest:
        assert ingest.offset == 4
        assert ingest.digest == digest_of(HELLO[:4])
        ingest.write(HELLO[4:])
        ingest.commit()
    assert files(tmp_path) == [f"content/sha256/{digest[7:]}"]
    with content.ingest(digest) as ingest:
        ingest.write(b"wrong")
        ingest.restart()
        ingest.write(HELLO)
        ingest.commit()
    for abandon in ("abort", "anew", "longer"):
        with content.ingest(digest) as ingest:
            ingest.write(HELLO[:4])
            if abandon == "abort":
                ingest.abort()
        with content.ingest(digest, 2 if abandon == "longer" else None, resume=abandon != "anew") as ingest:
            assert ingest.offset == 0
    with content.ingest() as ingest:
        ingest.write(HELLO)
    assert files(tmp_path) == [f"content/sha256/{digest[7:]}"]


def test_cleanup_leaves_what_is_young_or_in_use(tmp_path: Path) -> None:
    content = ContentStore(tmp_path / "content")
    begun, used = (digest_of(data) for data in (b"begun", b"used"))
    with content.ingest(begun) as ingest:
        ingest.write(b"be")
    with content.ingest(used) as ingest, content.ingest() as other:
        ingest.write(b"us")
        other.write(b"x")
        assert content.cleanup() == 0
        assert len(files(tmp_path)) == 3
        old = tmp_path / "content" / "ingest" / f"sha256-{begun[7:]}"
        os.utime(old, (0, 0))
        os.utime(old.with_name(f"sha256-{used[7:]}"), (0, 0))
        assert content.cleanup() > 0
        assert not old.exists()
        assert len(files(tmp_path)) == 2
        ingest.write(b"ed")
        ingest.commit()
    assert files(tmp_path) == [f"content/sha256/{used[7:]}"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from overlaykit.store import ContentStore
content = ContentStore(Path(sys.argv[1]))
digest = sys.argv[2] if sys.argv[2] != "any" else None
ingest = content.ingest(digest)
ingest.write(b"hello")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("named", [True, False])
def test_who_is_killed_leaves_a_beginning(tmp_path: Path, named: bool) -> None:
    content = ContentStore(tmp_path / "content")
    digest = digest_of(HELLO)
    arguments = [sys.executable, "-c", _KILLED, tmp_path / "content", digest if named else "any"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        if named:
            with pytest.raises(errors.StoreBusyError, match="somebody else is taking in"):
                content.ingest(digest)
        assert content.cleanup(stale=-1) == 0
        process.send_signal(signal.SIGKILL)
    assert list(content.walk()) == []
    if named:
        assert content.cleanup() == 0
        with content.ingest(digest) as ingest:
            assert ingest.offset == 5
            ingest.write(HELLO[5:])
            ingest.commit()
        assert content.read(digest, 100) == HELLO
    else:
        assert content.cleanup() > 0
        assert files(tmp_path) == []


def test_many_threads_take_in_one_blob(content: ContentStore) -> None:
    data = os.urandom(300_000)
    digest = digest_of(data)
    written: list[int] = []

    def work() -> None:
        with content.ingest(digest, len(data), wait=30) as ingest:
            if not ingest.present:
                for start in range(0, len(data), 1000):
                    ingest.write(data[start : start + 1000])
                ingest.commit()
                written.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1
    assert content.read(digest, len(data)) == data


def test_only_one_at_a_time(content: ContentStore) -> None:
    digest = digest_of(HELLO)
    with content.ingest(digest), content.ingest(digest_of(b"other")), pytest.raises(errors.StoreBusyError):
        content.ingest(digest, wait=0.05)
    content.ingest(digest).abort()


def test_a_full_disk(make_filesystem: MakeFilesystem) -> None:
    place = make_filesystem("tmpfs", "1M")
    content = ContentStore(place / "content")
    data = os.urandom(3 << 20)
    ingest = content.ingest(digest_of(data), len(data))
    with pytest.raises(errors.StoreFullError, match="is full: make room"):
        ingest.write(data)
    assert ingest.closed
    assert files(place) == []
    assert os.statvfs(place).f_bavail * os.statvfs(place).f_bsize > 900_000
    content.add(HELLO)


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_layer_that_is_read_is_kept(content: ContentStore, compression: str) -> None:
    data = os.urandom(2 << 20) * 2
    with content.ingest() as ingest:
        packed = compressed(ingest, compression)  # type: ignore[arg-type]
        packed.write(data)
        made = packed.close()
        assert ingest.commit() == made.digest
    with content.open(made.digest) as file, content.ingest(made.digest, made.size) as tee:
        with LayerStream(file, digest=made.digest, diff_id=made.diff_id, tee=tee) as stream:
            assert stream.finish() == made
        assert tee.commit() == made.digest


def test_a_store_has_one(store: Store) -> None:
    digest = store.content.add(HELLO)
    assert store.content.path(digest) == (
        None if store.path is None else store.path / "content" / "sha256" / digest[7:]
    )
    store.cleanup()
    assert store.content.exists(digest)
    content = store.content
    store.close()
    for use in (content.open, content.size, content.remove, content.exists, content.ingest):
        with pytest.raises(errors.StoreClosedError):
            use(digest)
    with pytest.raises(errors.StoreClosedError):
        content.add(HELLO)


@pytest.mark.native
@pytest.mark.parametrize("durability", list(Durability))
def test_blobs_outlive_the_store(tmp_path: Path, durability: Durability) -> None:
    with open_store(tmp_path / "store", driver="plain", durability=durability) as store:
        assert not (tmp_path / "store" / "content").exists()
        digest = store.content.add(HELLO)
        path = store.content.path(digest)
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o444
    (path.parent / "junk").touch()
    with open_store(tmp_path / "store") as store:
        assert list(store.content.walk()) == [digest]
        assert store.content.read(digest, 100) == HELLO


@pytest.mark.native
def test_a_store_that_is_taken_away_is_not_made_again(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", driver="plain", durability="none") as store:
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        with pytest.raises(FileNotFoundError):
            store.content.add(HELLO)
        assert not (tmp_path / "store").exists()
        (tmp_path / "elsewhere").rename(tmp_path / "store")
        store.content.add(HELLO)
