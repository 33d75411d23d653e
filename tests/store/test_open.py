"""What open_store makes, recognises and refuses."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.forks import at_once, forked
from testkit.loops import need_root
from testkit.plain import PlainDriver

from overlaykit import errors
from overlaykit.driver import Capability, Driver, DriverSpec, Probe
from overlaykit.plugin import hookimpl
from overlaykit.store import FORMAT, Store, open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from testkit.loops import MakeFilesystem

    from overlaykit.driver import DriverConfig
    from overlaykit.plugin import PluginManager

pytestmark = pytest.mark.native


def _look(place: Path) -> dict[str, object]:
    """Everything in a directory, times included."""
    found: dict[str, object] = {}
    for path, directories, files in os.walk(place):
        for name in (".", *directories, *files):
            full = os.path.join(path, name)
            status = os.lstat(full)
            content = Path(full).read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[os.path.relpath(full, place)] = (status.st_mode, status.st_mtime_ns, status.st_ino, content)
    return found


def _make(path: Path, **options: object) -> None:
    with open_store(path, driver="plain", durability="none", **options) as store, store.snapshot() as working:  # type: ignore[arg-type]
        working.tree.write_text("hello", "hi")
        working.commit("base")


def test_a_missing_directory_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "store"
    _make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    marker = json.loads((path / "overlaykit.json").read_text())
    assert marker.keys() == {"format", "driver", "id"}
    assert (marker["format"], marker["driver"]) == (FORMAT, "plain")
    assert {entry.name for entry in path.iterdir()} == {
        "overlaykit.json",
        "metadata.db",
        "reserve",
        "lock",
        "locks",
        "driver",
    }
    with open_store(path) as store:
        assert store.driver_name == "plain"
        assert store.path == path
        assert [info.key for info in store.walk()] == ["base"]


def test_an_empty_directory_is_taken_and_a_relative_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with open_store("store", driver="plain") as store:
        assert store.path == tmp_path / "store"
    with open_store("~/store", create=False) as store:
        assert store.path == tmp_path / "store"


def test_without_create_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty"):
        with pytest.raises(errors.NotFoundError, match="create=True"):
            open_store(tmp_path / name, driver="plain", create=False)
    assert {entry.name for entry in tmp_path.iterdir()} == {"empty"}
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("name", ["something", "lock", "metadata.db", "driver"])
def test_a_foreign_directory_is_left_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / "foreign.txt").write_text("mine")
    (tmp_path / name).mkdir()
    (tmp_path / name / "deep").write_text("mine too")
    before = _look(tmp_path)
    with pytest.raises(errors.StoreFormatError, match="not an overlaykit store"):
        open_store(tmp_path, driver="plain")
    assert _look(tmp_path) == before


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(errors.StoreFormatError):
            open_store(path, driver="plain")
    with pytest.raises(errors.StoreFormatError):
        open_store(tmp_path / ("x" * 300), driver="plain")
    with pytest.raises(errors.InvalidNameError):
        open_store("a\0b", driver="plain")
    with pytest.raises(errors.InvalidNameError):
        open_store("", driver="plain")


def test_a_newer_store_is_refused_and_both_versions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "store"
    _make(path)
    marker = json.loads((path / "overlaykit.json").read_text())
    (path / "overlaykit.json").write_text(json.dumps({**marker, "format": FORMAT + 6, "driver": ["new", "shape"]}))
    before = _look(path)
    with pytest.raises(
        errors.StoreVersionError, match=f"format {FORMAT + 6} .* up to {FORMAT}: use a newer overlaykit"
    ):
        open_store(path)
    assert _look(path) == before
    (path / "overlaykit.json").write_text(json.dumps(marker))
    with sqlite3.connect(path / "metadata.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(errors.StoreVersionError, match="99"):
        open_store(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": "1"}', '{"format": 0, "driver": "plain"}', '{"format": 1}', "\xff"]
)
def test_a_damaged_marker_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "store"
    _make(path)
    (path / "overlaykit.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(errors.StoreCorruptError, match=r"overlaykit\.json"):
        open_store(path)


def test_a_lost_marker_loses_no_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "store"
    _make(path)
    kept = (path / "overlaykit.json").read_text()
    (path / "overlaykit.json").unlink()
    with pytest.raises(errors.StoreCorruptError, match="is missing: restore"):
        open_store(path, driver="plain")
    (path / "overlaykit.json").write_text(kept)
    with open_store(path) as store, store.tree("base") as tree:
        assert tree.read_text("hello") == "hi"


def test_a_half_made_store_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "store"
    _make(path)
    shutil.rmtree(path / "driver")
    (path / "driver").mkdir()
    (path / "overlaykit.json").rename(path / "overlaykit.json.new")
    (path / "metadata.db").unlink()
    _make(path)
    with open_store(path) as store:
        assert [info.key for info in store.walk()] == ["base"]


def test_the_recorded_driver_is_used_and_another_refused(tmp_path: Path) -> None:
    path = tmp_path / "store"
    _make(path)
    with open_store(path, driver="auto") as store:
        assert store.driver_name == "plain"
        assert store.choice.driver.spec.name == "plain"
    with pytest.raises(errors.StoreFormatError, match="made by the driver 'plain', not 'memory'"):
        open_store(path, driver="memory")
    with open_store(path, driver="plain", options={"mood": "good"}):
        pass
    with pytest.raises(errors.DriverOptionError):
        open_store(path, options={"mode": "good"})


def test_unknown_and_unusable_drivers_make_nothing(tmp_path: Path, plugins: PluginManager) -> None:
    class Sad:
        @hookimpl
        def overlaykit_register_drivers(self) -> list[DriverSpec]:
            return [DriverSpec("sad", "x:y", f"{__name__}:sad_probe", capabilities=frozenset({Capability.PERSISTENT}))]

    import sys

    sys.modules[__name__] = sys.modules.get(__name__) or type(sys)(__name__)
    sys.modules[__name__].sad_probe = sad_probe  # type: ignore[attr-defined]
    plugins.register(Sad(), "sad")
    with pytest.raises(errors.UnknownDriverError, match="plane"):
        open_store(tmp_path / "store", driver="plane")
    with pytest.raises(errors.DriverUnavailableError, match="it rains") as caught:
        open_store(tmp_path / "store", driver="sad")
    assert (caught.value.reason, caught.value.fix) == ("it rains", "wait for the sun")
    with pytest.raises(errors.DriverOptionError):
        open_store(tmp_path / "store", driver="plain", options={"mode": "good"})
    assert list(tmp_path.iterdir()) == []


def sad_probe(root: Path | None) -> Probe:
    return Probe(False, "it rains", "wait for the sun")


def test_with_and_without_a_path(tmp_path: Path) -> None:
    with open_store() as store:
        assert store.driver_name == "memory"
        assert store.path is None
    with pytest.raises(errors.UnsupportedError, match="give a path"):
        open_store(driver="plain")
    with pytest.raises(errors.UnsupportedError, match="give no path"):
        open_store(tmp_path / "store", driver="memory")
    assert list(tmp_path.iterdir()) == []


def test_stores_without_a_path_are_apart() -> None:
    with open_store(driver="memory") as one, open_store(driver="memory") as two:
        one.prepare("work")
        assert list(two.walk()) == []


def _as_nobody(action: Callable[[], object]) -> str:
    """Run in a child without privileges and return the error."""

    def child() -> None:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        action()

    return str(forked(child))


def test_no_permission_is_said(tmp_path: Path) -> None:
    need_root()
    for place in (tmp_path, *tmp_path.parents):
        if place.stat().st_uid == 0 and not place.stat().st_mode & 0o001:
            place.chmod(place.stat().st_mode | 0o011)
    _make(tmp_path / "store")
    assert _as_nobody(lambda: open_store(tmp_path / "store")).startswith("StoreAccessError: ")
    assert _as_nobody(lambda: open_store(tmp_path / "new", driver="plain")).startswith("StoreAccessError: ")
    (tmp_path / "store").chmod(0o755)
    before = _look(tmp_path)
    assert _as_nobody(lambda: open_store(tmp_path / "store")).startswith("StoreAccessError: ")
    for path in (tmp_path / "store").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o666)
    assert _as_nobody(lambda: open_store(tmp_path / "store")).startswith(("StoreAccessError: ", "ReadOnlyError: "))
    assert before.keys() == _look(tmp_path).keys()


def test_a_read_only_file_system_is_said(make_filesystem: MakeFilesystem) -> None:
    place = make_filesystem("tmpfs", "8M")
    _make(place / "store")
    import subprocess

    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    for path in (place / "store", place / "new"):
        with pytest.raises(errors.ReadOnlyError, match="read-only"):
            open_store(path, driver="plain")
    subprocess.run(["mount", "-o", "remount,rw", place], check=True)
    with open_store(place / "store") as store:
        assert [info.key for info in store.walk()] == ["base"]


def _fill(path: Path) -> None:
    """Fill a file system to its last block."""
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_full_file_system_is_said_and_nothing_is_lost(make_filesystem: MakeFilesystem) -> None:
    place = make_filesystem("tmpfs", "2M")
    path = place / "store"
    with open_store(path, driver="plain") as store:
        with store.snapshot() as working:
            working.tree.write_bytes("data", b"x" * 300_000)
            working.commit("base")
        ballast = place / "ballast"
        _fill(ballast)
        done: list[str] = []
        with pytest.raises(errors.StoreFullError, match="full"):
            done.extend(store.prepare(f"work {number}", "base").key for number in range(10_000))
        ballast.unlink()
        store.cleanup()
        assert [info.key for info in store.walk()] == ["base", *done]
        assert len(store._driver.ids()) == 1 + len(done)
        store.prepare("more", "base")
        with store.tree("more") as tree:
            assert tree.read_bytes("data") == b"x" * 300_000
        _fill(ballast)
        with pytest.raises(errors.StoreFullError):
            store.prepare("too much", "base")
        with pytest.raises(errors.StoreFullError):
            sum(len(store.update_labels("base", {f"label {n}": "x" * 4000}).labels) for n in range(10_000))
        assert store.stat("base").key == "base"
        store.remove("more")
        assert not list(store.walk(prefix="more"))
    _fill(place / "more ballast")
    with pytest.raises(errors.StoreFullError):
        open_store(place / "new", driver="plain")
    ballast.unlink()
    (place / "more ballast").unlink()
    with open_store(path) as store, store.tree("base") as tree:
        assert tree.read_bytes("data") == b"x" * 300_000


def _filled(path: Path) -> None:
    with open_store(path, driver="plain", durability="none") as store:
        with store.snapshot() as working:
            working.commit("base")
        for number in range(300):
            store.view(f"view {number} {'x' * 50}", "base", labels={"number": str(number), "long": "y" * 500})


@pytest.mark.parametrize(
    "damage",
    ["empty", "text", "half", "header", "schema", "middle", "end", "zeros", "missing", "other"],
)
def test_a_corrupt_database_is_named_and_storage_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "store"
    _filled(path)
    database = path / "metadata.db"
    assert not (path / "metadata.db-wal").exists()
    data = bytearray(database.read_bytes())
    size = len(data)
    if damage == "empty":
        data = bytearray()
    elif damage == "text":
        data = bytearray(b"this is no database\n" * 500)
    elif damage == "half":
        del data[size // 2 // 4096 * 4096 :]
    elif damage == "header":
        data[16:60] = b"\xaa" * 44
    elif damage == "schema":
        data[100:4096] = b"\x55" * 3996
    elif damage == "middle":
        data[8192 : size - 8192] = b"\xaa" * (size - 16384)
    elif damage == "end":
        data[-8192:] = b"\xaa" * 8192
    elif damage == "zeros":
        data[4096:] = bytes(size - 4096)
    if damage == "missing":
        database.unlink()
    elif damage == "other":
        database.unlink()
        connection = sqlite3.connect(database)
        connection.execute("CREATE TABLE snapshots (x)")
        connection.close()
    else:
        database.write_bytes(data)
    # An id that the database does not know would be removed, were the database not looked at first.
    (path / "driver" / "snapshots" / ("0" * 26)).mkdir()
    kept = set(os.listdir(path / "driver" / "snapshots"))

    def use() -> None:
        with open_store(path) as store:
            for info in store.walk():
                store.update_labels(info.key, {"number": None, "new": "z" * 300})

    with pytest.raises(errors.StoreCorruptError, match=r"metadata\.db.*backup") as caught:
        use()
    assert "\n" not in str(caught.value)
    assert set(os.listdir(path / "driver" / "snapshots")) == kept


def test_a_store_that_is_made_by_two_at_once_is_one(tmp_path: Path) -> None:
    path = tmp_path / "store"

    def make(number: int) -> None:
        with open_store(path, driver="plain", durability="none") as store:
            store.prepare(f"from {number}")

    assert at_once([functools.partial(make, number) for number in range(4)]) == [None] * 4
    with open_store(path) as store:
        assert sorted(info.key for info in store.walk()) == [f"from {number}" for number in range(4)]


def test_a_failed_open_leaves_no_descriptor(tmp_path: Path, plugins: PluginManager) -> None:
    path = tmp_path / "store"
    _make(path)

    class Broken(PlainDriver):
        def __init__(self, config: DriverConfig) -> None:
            raise OSError(5, "no luck")

    import testkit.plain

    kept, testkit.plain.PlainDriver = testkit.plain.PlainDriver, Broken  # type: ignore[misc]
    try:
        with pytest.raises(OSError, match="no luck"):
            open_store(path)
    finally:
        testkit.plain.PlainDriver = kept  # type: ignore[misc]
    assert issubclass(kept, Driver)


def test_a_store_that_is_not_closed_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store: Store | None = open_store(path, driver="plain")
    assert store is not None
    with pytest.warns(ResourceWarning, match="unclosed <Store"):
        store = None
    with open_store(path) as again:
        again.prepare("work")
