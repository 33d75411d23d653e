"""ADD of what is elsewhere: files by HTTP and Git repositories, from real servers, into images."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from testkit.gits import Repository, git_daemon, git_http
from testkit.registries import Quiet, serving

from overlaykit import errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Builder


class Files:
    """A server of files that counts."""

    def __init__(self) -> None:
        self.host = ""
        self.content: dict[str, bytes] = {}
        self.sent: list[str] = []

    def handler(self) -> type[Quiet]:
        files = self

        class Handler(Quiet):
            def get(self) -> None:
                content = files.content.get(self.path)
                etag = f'"{hashlib.sha256(content or b"").hexdigest()}"'
                if content is None:
                    self.answer(404)
                elif self.headers.get("If-None-Match") == etag:
                    self.answer(304)
                else:
                    files.sent.append(self.path)
                    self.answer(200, content, ETag=etag, Last_Modified="Wed, 21 Oct 2015 07:28:00 GMT")

        return Handler


@pytest.fixture
def files() -> Iterator[Files]:
    one = Files()
    with serving(one.handler()) as host:
        one.host = f"http://{host}"
        yield one


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    one = Repository(tmp_path / "served" / "tools")
    one.commit(a="first", sub__b="below")
    return one


def test_a_file_is_fetched_once_and_asked_for_again(any_builder: Builder, files: Files) -> None:
    files.content["/tool"] = b"one"
    text = f"FROM base\nADD {files.host}/tool /opt/\n"
    first = any_builder.build(text)
    assert any_builder.read(first, "opt/tool") == "one"
    with any_builder.store.tree(first.image.top or "") as tree:
        status = tree.stat("opt/tool")
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o600, 1445412480)
    assert any(event.name == f"{files.host}/tool" and event.kind == "progress" for event in any_builder.events)
    again = any_builder.build(text)
    assert (again.cached, again.image.digest) == (1, first.image.digest)
    # Over another base the file is needed, and is here.
    assert any_builder.read(any_builder.build(text.replace("ADD", "WORKDIR /w\nADD")), "opt/tool") == "one"
    assert files.sent == ["/tool"]
    files.content["/tool"] = b"two"
    assert any_builder.read(any_builder.build(text), "opt/tool") == "two"


def test_a_file_with_its_checksum_is_asked_for_only_where_it_is_needed(any_builder: Builder, files: Files) -> None:
    files.content["/tool"] = b"one"
    digest = hashlib.sha256(b"one").hexdigest()
    for checksum in (f"sha256:{digest}", digest):
        text = f"FROM base\nADD --checksum={checksum} --chmod=755 {files.host}/tool /opt/tool\n"
        any_builder.build(text)
        files.content.clear()
        assert any_builder.build(text).cached == 1
    with pytest.raises(errors.BuildError, match="the server says 404"):
        any_builder.build(text.replace(digest, "0" * 64))
    assert files.sent == ["/tool"]


def test_an_archive_is_unpacked_where_it_is_told_to_be(any_builder: Builder, files: Files) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("dir/file")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    files.content["/a.tar.gz"] = packed.getvalue()
    result = any_builder.build(f"FROM base\nADD {files.host}/a.tar.gz /x/\nADD --unpack {files.host}/a.tar.gz /y/\n")
    with any_builder.store.tree(result.image.top or "") as tree:
        assert tree.is_file("x/a.tar.gz")
        assert tree.read_text("y/dir/file") == "hello"
    assert [one.key for one in any_builder.store.walk(kind="active")] == []


def test_a_repository_by_http(any_builder: Builder, repository: Repository) -> None:
    seen: list[dict[str, str]] = []
    with git_http(repository.path.parent, seen) as host:
        text = f"FROM base\nADD {host}/tools.git /src\n"
        first = any_builder.build(text)
        assert (any_builder.read(first, "src/a"), any_builder.read(first, "src/sub/b")) == ("first", "below")
        with any_builder.store.tree(first.image.top or "") as tree:
            assert sorted(entry.name for entry in tree.scandir("src")) == ["a", "sub"]
            assert {tree.stat(path).st_mtime for path in ("src/a", "src/sub", "src/sub/b")} == {1_600_000_001}
        seen.clear()
        again = any_builder.build(text)
        assert (again.cached, again.image.digest) == (1, first.image.digest)
        # Which commit it is is all that was asked: the references, after what the server can.
        assert len(seen) == 2
        twice = [any_builder.build(text, no_cache=True, epoch=1_600_000_002).image.top for _ in range(2)]
        assert twice[0] == twice[1]
        repository.commit(a="second")
        assert any_builder.read(any_builder.build(text), "src/a") == "second"


def test_references_directories_and_commits(any_builder: Builder, repository: Repository) -> None:
    old = repository.git("rev-parse", "HEAD")
    repository.git("tag", "v1")
    repository.commit(a="second")
    repository.git("tag", "--annotate", "--message", "x", "v2")
    repository.git("checkout", "--quiet", "-b", "feature/x")
    repository.commit(a="third")
    repository.git("checkout", "--quiet", "main")
    with git_daemon(repository.path.parent) as host:
        source = f"{host}/tools/.git"
        for ref, expected in (
            ("v1", "first"),
            ("v2", "second"),
            ("feature/x", "third"),
            ("", "second"),
            (old, "first"),
        ):
            result = any_builder.build(f"FROM base\nADD {source}#{ref} /src/\n")
            assert any_builder.read(result, "src/a") == expected
        result = any_builder.build(f"FROM base\nADD {source}#v1:sub /src\n")
        assert any_builder.read(result, "src/b") == "below"
        for fragment, message in (
            ("v3", "has no branch or tag 'v3'"),
            ("v1:none", "has no directory 'none'"),
            ("0" * 40, "cannot be fetched: "),
        ):
            with pytest.raises(errors.BuildError, match=message):
                any_builder.build(f"FROM base\nADD {source}#{fragment} /src\n")
        any_builder.build(f"FROM base\nADD --checksum={old[:10]} {source}#v1 /src\n")
        with pytest.raises(errors.BuildError, match=f"is the commit {old} and should be 0123456789"):
            any_builder.build(f"FROM base\nADD --checksum=0123456789 {source}#v1 /src\n")
        with pytest.raises(errors.BuildError, match="cannot be fetched: "):
            any_builder.build(f"FROM base\nADD {host}/none/.git /src\n")
    path = any_builder.store.path
    assert path is None or not (path / "build" / "scratch").exists() or not os.listdir(path / "build" / "scratch")


def test_a_known_commit_needs_no_server(any_builder: Builder, repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    with git_daemon(repository.path.parent) as host:
        text = f"FROM base\nADD {host}/tools/.git#{commit} /src\n"
        any_builder.build(text)
    assert any_builder.build(text).cached == 1


def test_the_git_directory_stays_where_it_is_to_be_kept(builder: Builder, repository: Repository) -> None:
    repository.commit(a="second")
    with git_http(repository.path.parent) as host:
        address = host.replace("://", "://me:secret@") + "/tools.git"
        result = builder.build(f"FROM base\nADD --keep-git-dir=true {address} /src\n")
    with builder.store.tree(result.image.top or "") as tree:
        assert tree.is_dir("src/.git/objects")
        config = tree.read_text("src/.git/config")
    assert f"url = {host}/tools.git" in config
    assert "secret" not in config


def test_submodules_come_too(builder: Builder, repository: Repository, tmp_path: Path) -> None:
    inner = Repository(tmp_path / "served" / "inner")
    inner.commit(c="inside")
    with git_http(repository.path.parent) as host:
        repository.git("submodule", "--quiet", "add", f"{host}/inner.git", "in")
        repository.commit()
        result = builder.build(f"FROM base\nADD {host}/tools.git /src\n")
    assert builder.read(result, "src/in/c") == "inside"
    with builder.store.tree(result.image.top or "") as tree:
        assert not tree.exists("src/in/.git")


def test_a_repository_that_wants_to_know_who_asks(any_builder: Builder, repository: Repository) -> None:
    told = "Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0"  # x-access-token:s3cret
    with git_http(repository.path.parent, password=told.replace("Basic", "basic")) as host:
        text = f"FROM base\nADD {host}/tools.git /src\n"
        with pytest.raises(errors.BuildError, match="cannot be fetched: "):
            any_builder.build(text)
        result = any_builder.build(text, secrets={"GIT_AUTH_TOKEN.127.0.0.1": "s3cret\n", "GIT_AUTH_TOKEN": "wrong"})
        assert any_builder.read(result, "src/a") == "first"
        header = {"GIT_AUTH_HEADER": told.replace("Basic", "basic")}
        assert any_builder.build(text, secrets=header).cached == 1


def test_a_repository_by_ssh(
    any_builder: Builder, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In place of ssh: what runs the server's command here, as sshd would there.
    program = tmp_path / "ssh"
    program.write_text('#!/bin/sh\nwhile [ "$1" != git@example.invalid ]; do shift; done\nshift\nexec sh -c "$*"\n')
    program.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program))
    result = any_builder.build(f"FROM base\nADD git@example.invalid:{repository.path}/.git#main /src\n")
    assert any_builder.read(result, "src/a") == "first"


def test_without_git_it_is_told_what_is_missing(
    any_builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.BuildError, match=r"^Dockerfile:2: https://h/x\.git .* no program git here: install git"):
        any_builder.build("FROM base\nADD https://h/x.git /src\n")


def test_settings_of_this_machine_make_no_difference(
    any_builder: Builder, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text('[url "http://127.0.0.1:1/"]\n\tinsteadOf = git://\n[core]\n\tautocrlf = true\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    repository.path.joinpath("a").write_text("x\ny\n")
    monkeypatch.delenv("GIT_DIR")
    repository.commit()
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    with git_http(repository.path.parent) as host:
        result = any_builder.build(f"FROM base\nADD {host}/tools.git /src\n")
    assert any_builder.read(result, "src/a") == "x\ny\n"
