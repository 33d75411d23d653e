"""What is special about the driver."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import overlaykit_sqlite
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from overlaykit_sqlite import SqliteDriver, probe
from overlaykit_sqlite._content import PIECE

from overlaykit import errors
from overlaykit.driver import DriverConfig, Durability, SnapshotId

pytestmark = pytest.mark.special

BASE, BOX = SnapshotId("base"), SnapshotId("box")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[SqliteDriver]:
    with SqliteDriver(DriverConfig(tmp_path, Durability.NONE)) as driver:
        yield driver


def _rows(path: Path, table: str) -> int:
    connection = sqlite3.connect(path / "snapshots.db")
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


def _base(driver: SqliteDriver, **files: bytes) -> None:
    driver.prepare(BOX, None)
    with driver.tree(BOX, readonly=False) as tree:
        for name, content in files.items():
            tree.write_bytes(name, content)
        tree.seal()
    driver.commit(BOX, BASE)


def test_all_of_it_is_one_file(driver: SqliteDriver, tmp_path: Path) -> None:
    _base(driver, file=b"content")
    driver.close()
    assert os.listdir(tmp_path) == ["snapshots.db"]


def test_preparing_and_committing_add_one_row(driver: SqliteDriver, tmp_path: Path) -> None:
    _base(driver, **{f"f{number}": b"x" for number in range(200)})
    tables = ("snapshots", "inodes", "entries", "pieces")
    before = [_rows(tmp_path, table) for table in tables]
    driver.prepare(BOX, BASE)
    driver.commit(BOX, SnapshotId("top"))
    after = [_rows(tmp_path, table) for table in tables]
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 0, 0, 0]


def test_a_write_to_a_large_file_copies_one_piece(driver: SqliteDriver, tmp_path: Path) -> None:
    content = os.urandom(20 * PIECE)
    _base(driver, big=content)
    driver.prepare(BOX, BASE)
    with driver.tree(BOX, readonly=False) as tree:
        with tree.open("big", "r+b") as file:
            file.seek(5 * PIECE + 7)
            file.write(b"here")
        assert tree.read_bytes("big") == content[: 5 * PIECE + 7] + b"here" + content[5 * PIECE + 11 :]
        tree.chmod("big", 0o600)
    assert driver.usage(BOX).bytes == PIECE


_STEP = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 3 * PIECE), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("fill"), st.integers(0, 2 * PIECE), st.integers(1, 2 * PIECE)),
    st.tuples(st.just("truncate"), st.integers(0, 4 * PIECE), st.none()),
    st.tuples(st.just("commit"), st.none(), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(_STEP, max_size=12))
def test_bytes_over_layers(steps: list[tuple[str, int, object]]) -> None:
    """Whatever is written and cut, in however many layers, reads as it would in one array of bytes."""
    with (
        tempfile.TemporaryDirectory() as root,
        SqliteDriver(DriverConfig(Path(root), Durability.NONE)) as driver,
    ):
        expected = bytearray()
        box = SnapshotId("box")
        driver.prepare(box, None)
        tree = driver.tree(box, readonly=False)
        tree.write_bytes("f", b"")
        for number, (what, offset, value) in enumerate(steps):
            if what == "commit":
                tree.close()
                layer = SnapshotId(f"layer{number}")
                driver.commit(box, layer)
                box = SnapshotId(f"box{number}")
                driver.prepare(box, layer)
                tree = driver.tree(box, readonly=False)
            elif what == "truncate":
                tree.truncate("f", offset)
                expected = expected[:offset].ljust(offset, b"\0")
            else:
                data = value if isinstance(value, bytes) else b"#" * int(str(value))
                with tree.open("f", "r+b") as file:
                    file.seek(offset)
                    file.write(data)
                expected = expected.ljust(offset, b"\0")
                expected[offset : offset + len(data)] = data
            assert tree.read_bytes("f") == expected
            assert tree.stat("f").st_blocks * 512 <= len(expected) + PIECE
        tree.close()


def test_processes_write_to_one_snapshot(driver: SqliteDriver, tmp_path: Path) -> None:
    driver.prepare(BOX, None)
    code = f"""
import sys
from pathlib import Path
from overlaykit.driver import DriverConfig, Durability, SnapshotId
from overlaykit_sqlite import SqliteDriver
with SqliteDriver(DriverConfig(Path({str(tmp_path)!r}), Durability.NONE)) as driver:
    with driver.tree(SnapshotId("box"), readonly=False) as tree:
        for number in range(25):
            tree.write_bytes(f"{{sys.argv[1]}}-{{number}}", b"x")
            with tree.open("log", "a") as log:
                log.write("line\\n")
"""
    running = [subprocess.Popen([sys.executable, "-c", code, str(n)], env=ENVIRONMENT) for n in range(4)]
    assert [process.wait(timeout=240) for process in running] == [0] * 4
    with driver.tree(BOX, readonly=True) as tree:
        assert len(tree.listdir()) == 101
        assert tree.read_text("log") == "line\n" * 100


@pytest.mark.parametrize("when", ["INSERT INTO snapshots", "INSERT OR REPLACE INTO inodes"])
def test_a_process_killed_in_a_transaction_changes_nothing(driver: SqliteDriver, tmp_path: Path, when: str) -> None:
    _base(driver, file=b"1")
    code = f"""
import os, signal
from pathlib import Path
from overlaykit.driver import DriverConfig, SnapshotId
from overlaykit_sqlite import SqliteDriver, _database
whole = _database.Database.execute
def killed(self, sql, values=()):
    result = whole(self, sql, values)
    if sql.startswith({when!r}):
        os.kill(os.getpid(), signal.SIGKILL)
    return result
_database.Database.execute = killed
SqliteDriver(DriverConfig(Path({str(tmp_path)!r}))).prepare(SnapshotId("box"), None)
"""
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == -signal.SIGKILL
    assert list(driver.ids()) == [BASE]
    driver.prepare(BOX, BASE)


def test_a_full_disk_is_enospc_and_changes_nothing(driver: SqliteDriver) -> None:
    _base(driver, file=b"1")
    driver.prepare(BOX, BASE)
    connection = driver._database._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    with driver.tree(BOX, readonly=False) as tree:
        with pytest.raises(OSError, match="No space") as caught:
            tree.write_bytes("file", os.urandom(1 << 20))
        assert caught.value.errno == errno.ENOSPC
        connection.execute("PRAGMA max_page_count = 1000000")
        assert tree.listdir() == ["file"]
        tree.write_bytes("file", b"2")
        assert tree.read_bytes("file") == b"2"


def test_a_fork_has_a_connection_of_its_own(driver: SqliteDriver) -> None:
    driver.prepare(BOX, None)
    with driver.tree(BOX, readonly=False) as tree:
        tree.write_bytes("f", b"parent")
        child = os.fork()
        if child == 0:
            try:
                tree.write_bytes("f", tree.read_bytes("f") + b" and child")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert tree.read_bytes("f") == b"parent and child"


def test_cleanup_gives_the_space_back(driver: SqliteDriver, tmp_path: Path) -> None:
    _base(driver, file=b"1")
    driver.prepare(BOX, BASE)
    with driver.tree(BOX, readonly=False) as tree:
        tree.write_bytes("big", os.urandom(8 << 20))
    driver.remove(BOX)
    driver.cleanup()
    driver.close()
    assert (tmp_path / "snapshots.db").stat().st_size < 1 << 20


def test_what_is_open_outlives_the_removal(driver: SqliteDriver) -> None:
    _base(driver, file=b"1")
    driver.prepare(BOX, BASE)
    with driver.tree(BOX, readonly=False) as tree, tree.open("new", "w+b") as file:
        file.write(b"still here")
        driver.remove(BOX)
        driver.cleanup()
        file.seek(0)
        assert file.read() == b"still here"
    driver.cleanup()
    assert list(driver.ids()) == [BASE]


def test_a_file_deleted_elsewhere_is_stale(driver: SqliteDriver, tmp_path: Path) -> None:
    driver.prepare(BOX, None)
    with driver.tree(BOX, readonly=False) as tree, SqliteDriver(driver.config) as other:
        tree.write_bytes("f", b"1")
        with tree.open_raw("f", os.O_RDONLY) as file, other.tree(BOX, readonly=False) as beside:
            beside.unlink("f")
            with pytest.raises(OSError, match="Stale") as caught:
                file.read()
            assert caught.value.errno == errno.ESTALE


def test_a_damaged_file_is_eio(tmp_path: Path) -> None:
    (tmp_path / "snapshots.db").write_bytes(b"no database" * 1000)
    with pytest.raises(OSError, match="not a database") as caught:
        SqliteDriver(DriverConfig(tmp_path))
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(tmp_path / "snapshots.db"))


def test_a_closed_driver_says_so(driver: SqliteDriver) -> None:
    driver.prepare(BOX, None)
    tree = driver.tree(BOX, readonly=False)
    driver.close()
    driver.close()
    with pytest.raises(errors.StoreClosedError):
        tree.listdir()


def test_probe(tmp_path: Path) -> None:
    assert probe(tmp_path).usable
    assert not probe(None).usable
    assert "no directory" in probe(tmp_path / "missing").reason


def test_listing_drivers_imports_none_of_it() -> None:
    code = """
import sys, overlaykit_sqlite.plugin
print([name for name in sys.modules if name.startswith("overlaykit_sqlite.") or name == "sqlite3"])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(overlaykit_sqlite.__file__).parent.parent)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "['overlaykit_sqlite.plugin']"
