"""The changes that the storage knows of against a comparison of the two trees, where names are few and often linked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from overlaykit_memory import MemoryDriver

from overlaykit.driver import DriverConfig, SnapshotId
from overlaykit.tree import RenameFlag, compare

if TYPE_CHECKING:
    from overlaykit_memory import MemoryTree

FILES = st.builds("/".join, st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("mkdir"), FILES, FILES),
        st.tuples(st.just("write"), FILES, FILES),
        st.tuples(st.just("link"), FILES, FILES),
        st.tuples(st.just("rename"), FILES, FILES),
        st.tuples(st.just("exchange"), FILES, FILES),
        st.tuples(st.just("symlink"), FILES, FILES),
        st.tuples(st.just("unlink"), FILES, FILES),
        st.tuples(st.just("rmtree"), FILES, FILES),
        st.tuples(st.just("chmod"), FILES, FILES),
    ),
    max_size=25,
)


def play(tree: MemoryTree, steps: list[tuple[str, str, str]]) -> None:
    for what, path, other in steps:
        try:
            if what == "write":
                tree.write_bytes(path, other.encode())
            elif what == "exchange":
                tree.rename(path, other, flags=RenameFlag.EXCHANGE)
            elif what == "chmod":
                tree.chmod(path, 0o700)
            elif what in ("mkdir", "unlink", "rmtree"):
                getattr(tree, what)(path)
            else:
                getattr(tree, what)(path, other)
        except OSError:
            continue  # a step that cannot be taken changes nothing
    for top, directories, files in list(tree.walk()):
        for path in [top, *(entry.path for entry in directories + files)]:
            tree.utime(path, ns=(0, 0), follow_symlinks=False)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, min_size=3, max_size=3))
def test_storage_and_comparison_agree(layers: list[list[tuple[str, str, str]]]) -> None:
    with MemoryDriver(DriverConfig(None)) as driver:
        parent: SnapshotId | None = None
        for number, steps in enumerate(layers):
            active, done = SnapshotId(f"a{number}"), SnapshotId(f"c{number}")
            driver.prepare(active, parent)
            tree = driver.tree(active, readonly=False)
            play(tree, steps)
            before = None if parent is None else driver.tree(parent, readonly=True)
            assert list(driver.changes(active, parent)) == list(compare(before, tree))
            if number == 2:
                # Between snapshots that are not parent and child there is only the general way.
                first = driver.tree(SnapshotId("c0"), readonly=True)
                assert list(driver.changes(active, SnapshotId("c0"))) == list(compare(first, tree))
            driver.commit(active, done)
            parent = done
