"""The commands on a store: what they do, write for people, and write for programs."""

from __future__ import annotations

import datetime
import os
import re
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli

INFO = {"key", "kind", "parent", "labels", "created", "updated"}


def test_a_layers_whole_life(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "hello").write_text("hi\n")
    assert cli.lines("import", str(root), "base") == ["base"]
    assert cli.lines("prepare", "work", "base") == ["work"]
    assert cli.lines("commit", "work", "app") == ["app"]
    assert cli.lines("view", "look", "app") == ["look"]
    assert cli.lines("cat", "look", "hello", "/hello") == ["hi", "hi"]
    assert cli.lines("remove", "look", "app") == ["look", "app"]
    assert cli.run("cleanup").stdout == ""
    assert [snapshot["key"] for snapshot in cli.json("snapshots")["snapshots"]] == ["base"]


def test_documents_of_what_was_made(cli: Cli, tmp_path: Path) -> None:
    document = cli.json("prepare", "empty", "--label", "a=b", "--label", "c=")
    assert set(document) == INFO
    assert (document["key"], document["kind"], document["parent"]) == ("empty", "active", None)
    assert document["labels"] == {"a": "b", "c": ""}
    made = datetime.datetime.fromisoformat(document["created"])
    assert abs((datetime.datetime.now(datetime.UTC) - made).total_seconds()) < 60
    document = cli.json("commit", "empty")
    assert document["kind"] == "committed"
    assert document["key"] not in ("", "empty")
    assert cli.json("view", "look", document["key"])["parent"] == document["key"]
    (tmp_path / "root").mkdir()
    document = cli.json("import", str(tmp_path / "root"), "base", "--label", "x=y")
    assert set(document) == INFO | {"usage"}
    assert document["labels"]["x"] == "y"
    assert set(document["usage"]) == {"bytes", "inodes"}
    assert cli.json("remove", "look")["removed"] == ["look"]
    assert cli.json("cleanup") == {"store": str(cli.store)}


def test_import_of_an_archive_and_its_note(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("packed\n")
    with tarfile.open(tmp_path / "root.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "file", "etc/file")
    ran = cli.run("import", str(tmp_path / "root.tar.gz"), "packed")
    assert ran.stdout == "packed\n"
    assert re.fullmatch(r"[\d.]+ \w+, \d+ files and directories\n", ran.stderr)
    assert cli.lines("cat", "packed", "etc/file") == ["packed"]
    assert cli.run("import", str(tmp_path / "root.tar.gz"), "again", "--quiet").stderr == ""


def test_list_of_snapshots_with_filters(stocked: Cli) -> None:
    def keys(*words: str) -> list[str]:
        return sorted(snapshot["key"] for snapshot in stocked.json("snapshots", *words)["snapshots"])

    assert keys() == ["app", "base", "look", "web"]
    assert keys("--kind", "committed") == ["app", "base"]
    assert keys("--kind", "view") == ["look"]
    assert keys("--parent", "app") == ["look", "web"]
    assert keys("--base") == ["base"]
    assert keys("--label", "role=web") == ["web"]
    assert keys("--label", "role=db") == []
    assert keys("--prefix", "b") == ["base"]
    assert keys("--prefix", "b", "--kind", "view") == []
    for snapshot in stocked.json("snapshots")["snapshots"]:
        assert set(snapshot) == INFO | {"usage"}
    for snapshot in stocked.json("snapshots", "--no-usage")["snapshots"]:
        assert set(snapshot) == INFO


def test_table_of_snapshots(stocked: Cli) -> None:
    head, *rows = stocked.lines("snapshots")
    assert head.split() == ["KEY", "KIND", "PARENT", "SIZE", "CREATED", "LABELS"]
    cells = {row.split()[0]: row.split() for row in rows}
    assert cells["base"][1:3] == ["committed", "-"]
    assert cells["web"][1:3] == ["active", "app"]
    assert cells["web"][-1] == "role=web"
    # Each column begins, or ends where it is a number, below its heading.
    assert {row.index(row.split()[1]) for row in rows} == {head.index("KIND")}
    assert len(stocked.lines("snapshots", "--prefix", "zzz")) == 1


def test_tree_of_snapshots(stocked: Cli) -> None:
    lines = [line.rpartition("  ")[0] for line in stocked.lines("snapshots", "--tree", "--no-usage")]
    assert lines == ["base", "└── app", "    ├── web", "    └── look"] or lines == [
        "base", "└── app", "    ├── look", "    └── web",
    ]  # fmt: skip
    assert stocked.lines("snapshots", "--tree", "--no-usage", "--kind", "active") == ["web  active"]


def test_labels(stocked: Cli) -> None:
    assert stocked.lines("label", "web", "tier=front", "role-", "absent-") == ["tier=front"]
    assert stocked.json("label", "web", "a=1=2", "b=")["labels"] == {"tier": "front", "a": "1=2", "b": ""}
    assert "not of the form" in stocked.error("label", "web", "plain", code=2)


def test_listing_of_a_directory(stocked: Cli) -> None:
    assert stocked.lines("ls", "app") == ["etc", "link"]
    assert stocked.lines("ls", "app", "etc") == stocked.lines("ls", "web", "/etc/") == ["motd", "old"]
    assert stocked.lines("ls", "app", "/etc/motd") == ["/etc/motd"]
    lines = stocked.lines("ls", "-l", "app")
    assert re.fullmatch(r"drwx[rwx-]{6}  \d+  \d+  \d+ +\d+  \d{4}-\d\d-\d\d \d\d:\d\d  etc", lines[0])
    assert lines[1].startswith("lrwxrwxrwx")
    assert lines[1].endswith("  link -> etc/motd")
    entries = {entry["name"]: entry for entry in stocked.json("ls", "app")["entries"]}
    assert entries["link"]["target"] == "etc/motd"
    assert set(entries["etc"]) == {"name", "mode", "links", "uid", "gid", "size", "mtime_ns"}


def test_content_of_files(stocked: Cli) -> None:
    assert stocked.run("cat", "web", "link", "etc/old").stdout == "hello\nold\n"
    assert stocked.run("cat", "web", "link", "--json").stdout == "hello\n"


def test_names_that_are_no_text_come_out_as_they_went_in(cli: Cli, tmp_path: Path) -> None:
    root = os.fsencode(tmp_path / "root")
    os.mkdir(root)
    names = [b"caf\xe9", b"two\nlines", "日本".encode(), b"\x1b[31mred", b"-dash"]
    for name in names:
        with open(os.path.join(root, name), "wb") as file:
            file.write(name)
    key = b"k\xe9y".decode("latin-1")
    cli.run("import", root, key)
    out = cli.run("ls", key, encoding=None, errors=None).stdout
    assert out == b"".join(name + b"\n" for name in sorted(names))
    for name in names:
        assert cli.run("cat", key, "--", name, encoding=None, errors=None).stdout == name
    assert {entry["name"] for entry in cli.json("ls", key)["entries"]} == {os.fsdecode(name) for name in names}
    screen = cli.on_terminal("ls", key)
    assert "\x1b" not in screen
    assert screen.splitlines() == [
        "-dash" if name == b"-dash" else text
        for name, text in sorted(
            zip(names, ["caf\\xe9", "two\\nlines", "日本", "\\x1b[31mred", "-dash"], strict=True)
        )
    ]  # fmt: skip


def test_changes(stocked: Cli, tmp_path: Path) -> None:
    assert stocked.lines("changes", "web") == []
    assert stocked.json("changes", "web") == {"key": "web", "changes": []}
    assert "A etc/motd" in stocked.lines("changes", "base")
    from overlaykit.store import open_store

    with open_store(stocked.store) as store, store.tree("web") as tree:
        tree.write_text("etc/motd", "changed\n")
        tree.unlink("etc/old")
        tree.write_text("new", "new\n")
    assert stocked.lines("changes", "web") == [
        "M . (mtime)", "M etc (mtime)", "M etc/motd (content, mtime)", "D etc/old", "A new",
    ]  # fmt: skip
    assert stocked.json("changes", "web")["changes"][2] == {
        "kind": "modified", "path": "etc/motd", "aspects": ["content", "mtime"],
    }  # fmt: skip
    screen = stocked.on_terminal("changes", "web")
    assert "\x1b[31mD\x1b[0m etc/old\n" in screen
    assert "\x1b" not in stocked.on_terminal("changes", "web", "--no-color")
    stocked.environment["NO_COLOR"] = "1"
    assert stocked.on_terminal("changes", "web").splitlines() == stocked.lines("changes", "web")


def test_usage_of_a_stack(stocked: Cli) -> None:
    document = stocked.json("usage", "web")
    assert [layer["key"] for layer in document["stack"]] == ["web", "app", "base"]
    assert document["total"]["bytes"] == sum(layer["bytes"] for layer in document["stack"])
    assert document["bytes"] == document["stack"][0]["bytes"]
    lines = stocked.lines("usage", "web")
    assert lines[0].split() == ["KEY", "KIND", "SIZE", "INODES"]
    assert [line.split()[0] for line in lines[1:]] == ["web", "app", "base", "total"]


def test_mounts_and_verify_or_why_not(stocked: Cli) -> None:
    drivers = {driver["name"]: driver for driver in stocked.json("drivers")["drivers"]}
    used = stocked.run("doctor").stdout
    name = re.search(r"format 1, driver (\w+)", used)
    assert name is not None
    capabilities = drivers[name[1]]["capabilities"]
    assert {"host-mount", "verify"} <= set(capabilities), f"{name[1]} has none: test on another driver"
    (mount,) = stocked.json("mounts", "web")["mounts"]
    assert set(mount) == {"type", "source", "options"}
    (line,) = stocked.lines("mounts", "web")
    assert line.startswith(f"mount -t {mount['type']} ")
    assert line.endswith(" TARGET")
    assert stocked.lines("verify") == ["ok  base", "ok  app"]
    assert stocked.json("verify", "base") == {"snapshots": [{"key": "base", "ok": True, "message": ""}]}


def test_table_on_a_terminal_fits_it(stocked: Cli) -> None:
    stocked.run("prepare", "a-key-that-is-much-longer-than-eighty-columns-would-hold-" * 3 + "[red]x", "app")
    screen = stocked.on_terminal("snapshots")
    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", screen).splitlines())) <= 80
    assert "\x1b[1m" in screen
    assert "[red]x" in re.sub(r"\x1b\[[\d;]*m|\s", "", screen)
    assert "\x1b" not in stocked.on_terminal("snapshots", "--no-color")


def test_progress_on_a_terminal_leaves_only_the_result(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file").write_bytes(b"x" * 100_000)
    screen = cli.on_terminal("import", str(tmp_path / "root"), "base")
    assert screen.splitlines()[-2].endswith("base")
    assert "files and directories" in screen.splitlines()[-1]
    quiet = cli.on_terminal("import", str(tmp_path / "root"), "second", "--quiet")
    assert quiet == "second\n"


@pytest.mark.parametrize("word", ["../up", "a/b c", "🙂", "x" * 4096, "-dash", "tab\there"])
def test_keys_may_be_any_text(cli: Cli, word: str) -> None:
    cli.run("prepare", "--", word)
    (snapshot,) = cli.json("snapshots")["snapshots"]
    assert snapshot["key"] == word
    cli.run("commit", "--json", "--", word, f"{word}.")
    cli.run("remove", "--", f"{word}.")
    assert cli.json("snapshots") == {"snapshots": []}
