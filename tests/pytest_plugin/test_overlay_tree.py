"""The fixtures ``overlay_tree``, ``overlay_changes`` and ``overlay_tree_factory``, in every way that trees are made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from testkit.pytests import WAYS, Run, Way

pytestmark = pytest.mark.native


def state(directory: Path) -> dict[str, tuple[object, ...]]:
    """What must not change: of every path its kind, mode, owner, times, inode number, and content."""
    found = {}
    for path in (directory, *sorted(directory.rglob("*"))):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(directory))] = (
            status.st_mode,
            status.st_mtime_ns,
            status.st_ino,
            status.st_nlink,
            content,
        )
    return found


ONE = """
    import os, shutil, stat, subprocess
    from pathlib import Path
    import pytest
    from overlaykit import Aspect

    SOURCE = Path(__file__).parent / "site"
    pytestmark = pytest.mark.overlay_tree("site")

    def listing(top):
        return sorted((str(p.relative_to(top)), p.lstat().st_mode, p.lstat().st_uid, p.lstat().st_gid,
                       p.lstat().st_mtime_ns if not p.is_symlink() else 0,
                       os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else b"")
                      for p in (top, *top.rglob("*")))

    @pytest.mark.parametrize("time", range(3))
    def test_everything(overlay_tree, overlay_changes, time):
        assert isinstance(overlay_tree, Path)
        assert overlay_tree.name == "site"
        assert listing(overlay_tree) == listing(SOURCE)
        assert overlay_changes() == []
        (overlay_tree / "index.html").write_text("changed")
        (overlay_tree / "new").mkdir()
        (overlay_tree / "new" / "file").write_text("new")
        (overlay_tree / "run.sh").chmod(0o600)
        (overlay_tree / "link").unlink()
        (overlay_tree / "link").symlink_to("index.html")
        shutil.rmtree(overlay_tree / "pages" / "old")
        (overlay_tree / "pages" / "one.html").rename(overlay_tree / "one.html")
        (overlay_tree / "dangling").unlink()
        (overlay_tree / "dangling").mkdir()
        (overlay_tree / "dangling" / "deep").mkdir()
        changes = {change.path: change for change in overlay_changes()}
        assert {path: str(change.kind) for path, change in changes.items()} == {
            ".": "modified", "dangling": "modified", "dangling/deep": "added", "index.html": "modified",
            "link": "modified", "new": "added", "new/file": "added", "one.html": "added", "pages": "modified",
            "pages/old": "deleted", "pages/one.html": "deleted", "run.sh": "modified",
        }
        assert changes["run.sh"].aspects == Aspect.MODE
        assert changes["dangling"].aspects == Aspect.TYPE

    def test_a_real_directory(overlay_tree):
        assert overlay_tree.resolve() == overlay_tree
        done = subprocess.run("pwd; ./run.sh; echo more >> pages/one.html; cat pages/one.html", shell=True,
                              cwd=overlay_tree, check=True, capture_output=True, text=True)
        assert done.stdout.splitlines() == [str(overlay_tree), "ran", "one", "more"]
        before = os.getcwd()
        os.chdir(overlay_tree)
        try:
            assert os.getcwd() == str(overlay_tree)
        finally:
            os.chdir(before)

    def test_what_is_left_open_does_no_harm(overlay_tree):
        test_what_is_left_open_does_no_harm.file = open(overlay_tree / "index.html", "a")

    def test_after_that(overlay_tree, overlay_changes):
        test_what_is_left_open_does_no_harm.file.close()
        assert overlay_changes() == []
        (overlay_tree / "pages").chmod(0)

    def test_at_the_end(overlay_tree, overlay_changes):
        assert overlay_changes() == []
        assert listing(overlay_tree) == listing(SOURCE)
"""


LEFT = """
    import mmap, os, subprocess
    import pytest

    pytestmark = pytest.mark.overlay_tree("site")
    KEPT = []

    @pytest.fixture(autouse=True)
    def as_new(overlay_tree, overlay_changes):
        assert overlay_changes() == []

    def test_the_working_directory(overlay_tree):
        os.chdir(overlay_tree / "pages")
        open("in-it", "w").close()

    def test_a_mapped_file(overlay_tree):
        file = open(overlay_tree / "index.html", "r+b")
        KEPT.append((file, mmap.mmap(file.fileno(), 0)))
        KEPT[-1][1][0:1] = b"!"

    def test_a_file_is_written_to_after_its_test(overlay_tree):
        KEPT.append((open(overlay_tree / "run.sh", "a"),))

    def test_a_pipe(overlay_tree):
        KEPT[-1][0].write("late")
        KEPT[-1][0].close()
        os.mkfifo(overlay_tree / "pipe")

    def test_a_process(overlay_tree):
        KEPT.append((subprocess.Popen(["cat"], cwd=overlay_tree, stdin=subprocess.PIPE),))

    def test_directories_deeper_than_a_path_may_be_long(overlay_tree):
        process = KEPT[-1][0]
        assert process.poll() is None
        process.communicate()
        os.chdir(overlay_tree)
        for _ in range(30):
            os.mkdir("n" * 200)
            os.chdir("n" * 200)
        open("bottom", "w").close()

    def test_nothing_at_all(overlay_tree):
        subprocess.run("rm -rf ./* && test -z \\"$(ls)\\"", shell=True, cwd=overlay_tree, check=True)

    def test_a_root_that_is_closed(overlay_tree):
        (overlay_tree / "pages").chmod(0)
        os.utime(overlay_tree, (0, 0))
        overlay_tree.chmod(0)

    def test_at_the_end(overlay_tree):
        for one in KEPT:
            if hasattr(one[0], "close"):
                one[-1].close()
                one[0].close()
"""


def test_what_a_test_leaves_is_not_in_the_next_ones(pytester: pytest.Pytester, run: Run, way: Way) -> None:
    pytester.makepyfile(LEFT)
    run(way, "--overlay-driver", way.driver).assert_outcomes(passed=9)


def test_each_test_has_its_own(pytester: pytest.Pytester, place: Path, run: Run, way: Way) -> None:
    pytester.makepyfile(test_one=ONE)
    before = state(place / "site")
    result = run(way, "--overlay-driver", way.driver)
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines([f"overlay trees: {way.driver} (as asked)"])
    after = state(place / "site")
    assert after == before


@pytest.mark.parametrize("chosen", WAYS, ids=str)
def test_auto_takes_the_best(pytester: pytest.Pytester, run: Run, chosen: str) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.overlay_tree("site")
        def test_one(overlay_tree_factory):
            with overlay_tree_factory("site") as tree:
                print("made by", tree.driver)
        """
    )
    result = run(WAYS[chosen], "-s")
    result.assert_outcomes(passed=1)
    best = "directory" if chosen == "user-directory" else "overlayfs"
    result.stdout.fnmatch_lines([f"overlay trees: {best} (*", f"*made by {best}*"])
    assert result.stdout.str().count("overlay trees:") == 1


def test_workers_share_the_source(pytester: pytest.Pytester, place: Path, run: Run, way: Way) -> None:
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.mark.overlay_tree("site")
        @pytest.mark.parametrize("at", range(24))
        def test_many(overlay_tree, overlay_changes, at):
            assert sorted(os.listdir(overlay_tree)) == ["dangling", "index.html", "link", "pages", "run.sh"]
            (overlay_tree / "index.html").write_text(f"mine {at}")
            (overlay_tree / str(at)).write_text("")
            assert [change.path for change in overlay_changes()] == [".", str(at), "index.html"]
            assert (overlay_tree / "index.html").read_text() == f"mine {at}"
        """
    )
    before = state(place / "site")
    result = run(way, "-n", "2", "--overlay-driver", way.driver, "-p", "xdist")
    result.assert_outcomes(passed=24)
    assert state(place / "site") == before


def test_a_worker_that_is_killed_leaves_no_mount(pytester: pytest.Pytester, place: Path, run: Run, way: Way) -> None:
    pytester.makepyfile(
        """
        import os, signal
        import pytest

        pytestmark = pytest.mark.overlay_tree("site")

        def test_dies(overlay_tree):
            (overlay_tree / "index.html").write_text("never seen")
            os.kill(os.getpid(), signal.SIGKILL)

        def test_lives(overlay_tree):
            assert "never" not in (overlay_tree / "index.html").read_text()
        """
    )
    before = state(place / "site")
    result = run(way, "-n", "1", "--overlay-driver", way.driver, "-p", "xdist")
    result.assert_outcomes(passed=1, failed=1)
    assert state(place / "site") == before
    assert str(place) not in Path("/proc/self/mountinfo").read_text()


def test_the_factory_has_every_scope(pytester: pytest.Pytester, run: Run, way: Way) -> None:
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.fixture(scope="module")
        def site(overlay_tree_factory):
            with overlay_tree_factory("site") as tree:
                yield tree

        def test_first(site):
            (site / "index.html").write_text("kept for the module")
            assert os.fspath(site) == str(site.path)

        def test_second(site):
            assert site.path.joinpath("index.html").read_text() == "kept for the module"
            assert [change.path for change in site.changes()] == ["index.html"]
            path = site.path
            site.reset()
            assert site.path == path
            assert (site / "index.html").read_text() == "<h1>index</h1>\\n"
            assert site.changes() == []

        def test_several(overlay_tree_factory, site):
            with overlay_tree_factory("site") as one, overlay_tree_factory("site/pages") as other:
                assert one.path != site.path
                (one / "pages" / "one.html").unlink()
                assert (other / "one.html").exists()
                assert (site / "pages" / "one.html").exists()
            with pytest.raises(ValueError, match="is closed"):
                one.path
            one.close()
        """
    )
    run(way, "--overlay-driver", way.driver).assert_outcomes(passed=3)


def test_names_of_one_file_and_special_files_are_restored(
    pytester: pytest.Pytester, place: Path, run: Run, way: Way
) -> None:
    os.link(place / "site" / "index.html", place / "site" / "same")
    os.mkfifo(place / "site" / "fifo")
    os.setxattr(place / "site" / "index.html", "user.note", b"kept")
    pytester.makepyfile(
        """
        import os, stat
        import pytest

        @pytest.mark.overlay_tree("site")
        @pytest.mark.parametrize("time", range(2))
        def test_one(overlay_tree, overlay_changes, time):
            assert (overlay_tree / "same").samefile(overlay_tree / "index.html")
            assert stat.S_ISFIFO((overlay_tree / "fifo").stat().st_mode)
            assert os.getxattr(overlay_tree / "index.html", "user.note") == b"kept"
            assert overlay_changes() == []
            os.unlink(overlay_tree / "same")
            os.unlink(overlay_tree / "fifo")
            os.setxattr(overlay_tree / "pages", "user.more", b"x")
            os.removexattr(overlay_tree / "index.html", "user.note")
        """
    )
    run(way, "--overlay-driver", way.driver).assert_outcomes(passed=2)
