"""Every kind of error has its exit code, one line, and the way out in it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli


def test_not_found(stocked: Cli) -> None:
    for words in (
        ["ls", "absent"], ["cat", "web", "etc/absent"], ["ls", "web", "absent"], ["commit", "absent"],
        ["remove", "absent"],
        ["prepare", "x", "absent"], ["view", "x", "absent"], ["label", "absent", "a=b"], ["usage", "absent"],
        ["changes", "absent"], ["mounts", "absent"], ["verify", "absent"], ["import", "/absent/dir"],
    ):  # fmt: skip
        error = stocked.error_json(*words, code=3)
        assert error["errno"] == 2
        assert "absent" in error["message"]
    assert "did you mean" in stocked.error(
        "prepare", "x", "--store", str(stocked.store) + "2", "--driver", "overlaifs", code=3
    )


def test_a_missing_store_is_not_made_by_looking(cli: Cli) -> None:
    for words in (
        ["snapshots"],
        ["ls", "x"],
        ["remove", "x"],
        ["prepare", "x", "parent"],
        ["view", "x", "y"],
        ["cleanup"],
    ):
        assert "overlaykit import and overlaykit prepare KEY make one" in cli.error(*words, code=3)
    assert not cli.store.exists()


def test_exists(stocked: Cli) -> None:
    for words in (["prepare", "web"], ["view", "web", "app"], ["commit", "web", "app"]):
        assert stocked.error_json(*words, code=4)["kind"] == "ExistsError"


def test_in_use(stocked: Cli) -> None:
    message = stocked.error("remove", "app", code=5)
    assert "web" in message
    assert "look" in message
    program = (
        "import sys; from overlaykit.store import open_store\n"
        f"store = open_store({str(stocked.store)!r}); tree = store.tree('web'); print('open', flush=True)\n"
        "sys.stdin.read(); tree.close(); store.close()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    try:
        assert stocked.error_json("commit", "web", code=5)["kind"] == "LayerInUseError"
        checks = {check["name"]: check for check in stocked.json("doctor")["checks"]}
        assert str(holder.pid) in checks["open by"]["message"]
    finally:
        holder.communicate("")
    stocked.run("commit", "web", "done")


def test_unsupported_and_unavailable(cli: Cli) -> None:
    message = cli.error("prepare", "x", "--driver", "memory", code=6)
    assert "forgets everything when the command ends" in message
    assert not cli.store.exists()


def test_invalid(stocked: Cli, tmp_path: Path) -> None:
    assert "empty" in stocked.error("prepare", "", code=7)
    assert stocked.error_json("prepare", "x" * 70_000, code=7)["kind"] == "NameTooLongError"
    assert stocked.error_json("prepare", b"\xff", code=7)["kind"] == "InvalidNameError"
    assert stocked.error_json("commit", "look", code=7)["kind"] == "SnapshotKindError"
    assert stocked.error_json("prepare", "x", "web", code=7)["kind"] == "SnapshotKindError"
    (tmp_path / "text").write_text("no archive")
    assert stocked.error_json("import", str(tmp_path / "text"), code=7)["kind"] == "ImportSourceError"
    assert {s["key"] for s in stocked.json("snapshots")["snapshots"]} == {"base", "app", "web", "look"}


def test_damaged(stocked: Cli) -> None:
    with contextlib.closing(sqlite3.connect(stocked.store / "metadata.db")) as database:
        database.execute("PRAGMA journal_mode=DELETE")
    (stocked.store / "metadata.db").write_bytes(b"this is no database" * 1000)
    assert stocked.error_json("snapshots", code=8)["kind"] == "StoreCorruptError"
    marker = stocked.store / "overlaykit.json"
    content = json.loads(marker.read_text())
    marker.write_text(json.dumps(content | {"format": 99}))
    assert stocked.error_json("snapshots", code=8)["kind"] == "StoreVersionError"
    marker.write_text("{")
    assert stocked.error_json("snapshots", code=8)["kind"] == "StoreCorruptError"
    ran = stocked.run("doctor", expect=1)
    assert "overlaykit.json is damaged" in ran.stdout


def test_no_store(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    assert cli.error_json("prepare", "x", "--store", str(tmp_path / "other"), code=8)["kind"] == "StoreFormatError"
    assert os.listdir(tmp_path / "other") == ["thesis.txt"]
    ran = cli.run("doctor", "--store", str(tmp_path / "other"), expect=1)
    assert "holds something else than a store" in ran.stdout


def test_unknown_options(cli: Cli) -> None:
    error = cli.error_json("prepare", "x", "--option", "colour=red", code=2)
    assert error["kind"] == "DriverOptionError"
    assert not (cli.store / "overlaykit.json").exists()


def test_a_veto_of_a_plugin(stocked: Cli, tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "ok_guard-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ok-guard\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[overlaykit]\nguard = ok_guard\n")
    (site / "ok_guard.py").write_text(
        "from overlaykit.plugin import hookimpl\n"
        "@hookimpl\ndef overlaykit_before_remove(snapshot):\n"
        "    return 'it is kept' if snapshot.key == 'web' else None\n"
        "@hookimpl\ndef overlaykit_after_commit():\n    raise ValueError('no luck')\n"
    )
    stocked.environment["PYTHONPATH"] = str(site)
    assert "it is kept (plugin 'guard' of ok-guard 1.0)" in stocked.error("remove", "web", code=10)
    ran = stocked.run("commit", "web", "done")
    assert ran.stdout == "done\n"
    assert ran.stderr == (
        "overlaykit: warning: the plugin 'guard' of ok-guard 1.0 failed after the commit of 'done', which stands: "
        "ValueError: no luck\n"
    )
    stocked.run("remove", "done")


def test_cat_of_what_is_no_file(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.mkfifo(root / "pipe")
    (root / "dir").mkdir()
    cli.run("import", str(root), "base")
    assert "is no regular file but a p" in cli.error("cat", "base", "pipe", code=6)
    assert cli.error("cat", "base", "dir", code=1) == "dir: Is a directory"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk(cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], check=True)
    try:
        root = tmp_path / "root"
        root.mkdir()
        (root / "big").write_bytes(os.urandom(4 << 20))
        error = cli.error_json("import", str(root), "base", "--store", str(place / "store"), code=9)
        assert error["errno"] == 28
        assert cli.json("snapshots", "--store", str(place / "store")) == {"snapshots": []}
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert cli.error_json("prepare", "x", "--store", str(place / "store"), code=9)["errno"] == 30
    finally:
        subprocess.run(["umount", str(place)], check=True)
