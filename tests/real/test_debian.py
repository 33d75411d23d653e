"""A real Debian in every driver: base layer, second layer, container, 200 changes, and all trees and lists the same.

What is compared with: the same trees as plain directories, looked at and changed with nothing but :mod:`os`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from testkit import unprivileged
from testkit.changes import Step, changes, perform
from testkit.debian import give_to_nobody, make_base, make_second, replay
from testkit.dump import Dump, differences, dump_directory, dump_tree
from testkit.loops import need_root

from overlaykit.store import Store, open_store
from overlaykit.tree import Change, tree_digest

DRIVERS = ["overlayfs", "directory", "memory"]
GIVEN = "OVERLAYKIT_TEST_DEBIAN"

pytestmark = pytest.mark.real


@dataclass(frozen=True, slots=True)
class Reference:
    """The plain directories, and what is in them.

    :param steps: the random changes that lead from ``second`` to ``final``.
    """

    base: Path
    second: Path
    base_dump: Dump
    second_dump: Dump
    final_dump: Dump
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """What one driver showed."""

    base_dump: Dump
    second_dump: Dump
    final_dump: Dump
    errors: tuple[int, ...]
    layer_changes: tuple[Change, ...]
    container_changes: tuple[Change, ...]
    digests_before: tuple[str, str]
    digests_after: tuple[str, str]
    below_after: tuple[Dump, Dump]


def _keeps_attributes(directory: Path) -> bool:
    try:
        os.setxattr(directory, "user.test", b"")
        os.removexattr(directory, "user.test")
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def work(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for the plain trees, in memory where the kernel keeps all kinds of attributes there."""
    if os.geteuid() == 0:
        memory: Path = request.getfixturevalue("session_filesystem")("tmpfs", size="3G")
        if _keeps_attributes(memory):
            yield memory
            return
    directory = tmp_path_factory.mktemp("debian")
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def reference(work: Path) -> Reference:
    if GIVEN in os.environ:
        base, second = Path(os.environ[GIVEN], "base"), Path(os.environ[GIVEN], "second")
    else:
        base, second = work / "base", work / "second"
        make_base(base)
        make_second(base, second)
    final = work / "final"
    subprocess.run(["cp", "-a", second, final], check=True)
    steps = changes(final, seed=20, count=200, superuser=os.geteuid() == 0)
    return Reference(base, second, dump_directory(base), dump_directory(second), dump_directory(final), tuple(steps))


@pytest.fixture(scope="module")
def all_played(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    return {name: _play(name, reference, tmp_path_factory.mktemp(name)) for name in DRIVERS}


@pytest.fixture(params=DRIVERS)
def played(request: pytest.FixtureRequest, all_played: dict[str, Played]) -> Played:
    return all_played[request.param]


def _play(driver: str, reference: Reference, work: Path) -> Played:
    superuser = os.geteuid() == 0
    with open_store(None if driver == "memory" else work / "store", driver=driver, durability="none") as store:
        base = store.import_tree(reference.base, "base").key
        layer = differences(reference.base_dump, reference.second_dump)
        with store.snapshot(base) as working:
            replay(layer, reference.second, reference.second_dump, working.tree, superuser=superuser)
            layer_changes = tuple(working.changes())
            second = working.commit("second").key
        base_dump, second_dump = _dump(store, base), _dump(store, second)
        digests = _digest(store, base), _digest(store, second)
        with store.snapshot(second) as container:
            errors = tuple(perform(container.tree, step) for step in reference.steps)
            container_changes = tuple(container.changes())
            final_dump = dump_tree(container.tree)
        return Played(
            base_dump,
            second_dump,
            final_dump,
            errors,
            layer_changes,
            container_changes,
            digests,
            (_digest(store, base), _digest(store, second)),
            (_dump(store, base), _dump(store, second)),
        )


def _dump(store: Store, key: str) -> Dump:
    with store.tree(key) as tree:
        return dump_tree(tree)


def _digest(store: Store, key: str) -> str:
    with store.tree(key) as tree:
        return tree_digest(tree)


def _same(found: Dump, wanted: Dump) -> None:
    assert found.keys() == wanted.keys()
    wrong = {path: (found[path], wanted[path]) for path in wanted if found[path] != wanted[path]}
    assert not wrong, f"{len(wrong)} entries differ, the first: {next(iter(wrong.items()))}"


def test_the_base_layer_is_the_debian_tree(played: Played, reference: Reference) -> None:
    _same(played.base_dump, reference.base_dump)


def test_the_second_layer_is_the_tree_that_dpkg_and_an_editor_left(played: Played, reference: Reference) -> None:
    _same(played.second_dump, reference.second_dump)


def test_each_of_200_changes_ends_as_on_a_plain_directory(played: Played, reference: Reference) -> None:
    wrong = [
        (step.action, step.path, found, step.error)
        for step, found in zip(reference.steps, played.errors, strict=True)
        if found != step.error
    ]
    assert len(reference.steps) == 200
    assert not wrong


def test_the_container_is_the_tree_that_the_changes_leave(played: Played, reference: Reference) -> None:
    _same(played.final_dump, reference.final_dump)


def test_the_layers_changes_are_exact(played: Played, reference: Reference) -> None:
    wanted = differences(reference.base_dump, reference.second_dump)
    assert len(wanted) > 100
    assert list(played.layer_changes) == wanted


def test_the_containers_changes_are_exact(played: Played, reference: Reference) -> None:
    wanted = differences(reference.second_dump, reference.final_dump)
    assert len(wanted) > 150
    assert list(played.container_changes) == wanted


def test_the_layers_below_did_not_change(played: Played) -> None:
    assert played.digests_after == played.digests_before
    _same(played.below_after[0], played.base_dump)
    _same(played.below_after[1], played.second_dump)


def test_the_three_drivers_agree_entry_for_entry(all_played: dict[str, Played]) -> None:
    first, *others = all_played.values()
    assert len(first.final_dump) > 3_000
    for other in others:
        _same(other.final_dump, first.final_dump)
        assert other.layer_changes == first.layer_changes
        assert other.container_changes == first.container_changes
        assert other.digests_after == first.digests_after


def test_all_of_it_without_any_privilege(reference: Reference, work: Path) -> None:
    need_root()
    given = work / "nobody"
    given.mkdir()
    for name in ("base", "second"):
        give_to_nobody(getattr(reference, name), given / name)
    words = unprivileged.command(
        sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__,
        "-m", "real", "-k", "not without_any_privilege", need=(given,),
    )  # fmt: skip
    done = subprocess.run(words, check=False, env={**os.environ, GIVEN: str(given)}, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    assert "22 passed" in done.stdout
    shutil.rmtree(given)
