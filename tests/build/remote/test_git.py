"""Checking out: what a build does not see of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from testkit.gits import Repository, git_daemon
from testkit.registries import Quiet, serving

from overlaykit import errors
from overlaykit.build._control import Control, StoppedError
from overlaykit.build.remote import GitAddress, GitTree, find_commit

if TYPE_CHECKING:
    from pathlib import Path


def test_a_directory_that_leads_out_is_none(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "served" / "tools")
    (repository.path / "out").symlink_to("/etc")
    commit = repository.commit(a="1")
    with git_daemon(repository.path.parent) as host:
        (tmp_path / "place").mkdir()
        tree = GitTree(GitAddress(f"{host}/tools/.git", commit, "out"), commit, Control(), lambda _: None)
        with pytest.raises(errors.BuildError, match="has no directory 'out'"):
            tree.check_out(tmp_path / "place")


def test_what_git_asks_for_is_ended_with_the_build() -> None:
    begun, wait = threading.Event(), threading.Event()

    class Handler(Quiet):
        def get(self) -> None:
            begun.set()
            wait.wait(60)

    control = Control()
    raised: list[BaseException] = []

    def find(address: str) -> None:
        try:
            find_commit(GitAddress(f"{address}/x.git"), None, control, lambda _: None)
        except BaseException as error:
            raised.append(error)

    with serving(Handler) as host:
        thread = threading.Thread(target=find, args=(f"http://{host}",))
        thread.start()
        try:
            assert begun.wait(30)
            began = time.monotonic()
            control.stop()
            thread.join(30)
            assert not thread.is_alive()
        finally:
            wait.set()
            thread.join()
    assert time.monotonic() - began < 30
    assert [type(error) for error in raised] == [StoppedError]
