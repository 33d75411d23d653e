"""How a directory is chosen, and what is said of one that will not do: one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from testkit.pytests import AS_ROOT, ROOT_DIRECTORY, USER_DIRECTORY, USER_OVERLAYFS, WAYS, Run, Way

pytestmark = pytest.mark.native

DIRECTORY = ROOT_DIRECTORY if "root-directory" in WAYS else USER_DIRECTORY
OVERLAYFS = next(way for name, way in WAYS.items() if name.endswith("overlayfs"))
NAMES = "def test_it(overlay_tree): assert (overlay_tree / 'one.html').exists()"


def test_the_marker_comes_first_then_the_option_then_the_file(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.overlay_tree("site/pages")
        class TestMarked:
            def test_it(self, overlay_tree):
                assert overlay_tree.name == "pages"

            @pytest.mark.overlay_tree("site/pages/old")
            def test_the_closest(self, overlay_tree):
                assert overlay_tree.name == "old"

        def test_chosen(overlay_tree, request):
            assert overlay_tree.name == ("old" if request.config.option.overlay_tree else "site")
        """
    )
    ini = ("-o", "overlay_tree=site")
    run(DIRECTORY, *ini).assert_outcomes(passed=3)
    run(DIRECTORY, *ini, "--overlay-tree", "site/pages/old").assert_outcomes(passed=3)
    run(DIRECTORY, *ini, "-n", "2", "-p", "xdist", "--overlay-tree", "site/pages/old").assert_outcomes(passed=3)


def refused(result: pytest.RunResult) -> str:
    """Return what the only test says: it fails at once, in a line."""
    result.assert_outcomes(errors=1)
    text = result.stdout.str()
    assert "Traceback" not in text
    assert "pytest_plugin/" not in text
    (said,) = text.split("ERROR at setup of test_it ")[1].split("\n===")[0].splitlines()[1:]
    return said


def test_directories_that_will_not_do(pytester: pytest.Pytester, place: Path, run: Run) -> None:
    pytester.makepyfile(NAMES)
    missing = place / "site" / "missing"
    assert refused(run(DIRECTORY, "--overlay-tree", str(missing))) == (
        f"no overlay tree of {missing}: there is no such directory (relative paths begin at {place})"
    )
    file = place / "site" / "index.html"
    assert refused(run(DIRECTORY, "--overlay-tree", str(file))) == (
        f"no overlay tree of {file}: it is no directory: name the directory that it is in"
    )
    said = refused(run(DIRECTORY, "--overlay-tree", str(place)))
    assert said == (
        f"no overlay tree of {place}: pytest's temporary directory {place}/temp is inside: "
        "give --basetemp another place"
    )
    assert "@pytest.mark.overlay_tree" in refused(run(DIRECTORY))


@pytest.mark.parametrize("arguments", ["", '"site", "site"', "5", 'directory="site"'])
def test_a_marker_that_names_no_directory(pytester: pytest.Pytester, run: Run, arguments: str) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.overlay_tree({arguments})\n{NAMES}")
    assert refused(run(DIRECTORY)).startswith("the marker overlay_tree takes one directory")


def test_a_driver_that_there_is_not(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(NAMES)
    result = run(DIRECTORY, "-o", "overlay_driver=zfs")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.lines == ["ERROR: overlay_driver is 'zfs': say auto, overlayfs or directory", ""]


def test_overlayfs_for_a_user_who_may_not_mount(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(NAMES)
    result = run(USER_DIRECTORY, "--overlay-driver", "overlayfs", "--overlay-tree", "site/pages")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: overlay trees cannot be made by overlayfs here: this user may not mount; *"])


def test_a_source_that_changes_is_named(pytester: pytest.Pytester, run: Run, way: Way) -> None:
    pytester.makepyfile(
        """
        import pytest
        from pathlib import Path

        @pytest.mark.overlay_tree("site")
        def test_it(overlay_tree):
            Path("site/pages/one.html").write_text("by mistake")
        """
    )
    result = run(way, "--overlay-driver", way.driver)
    result.assert_outcomes(passed=1, warnings=1 + result.stdout.str().count("PytestAssertRewriteWarning"))
    result.stdout.fnmatch_lines(
        ["*OverlaySourceWarning: */site was changed while there were overlay trees of it (pages/one.html): *"]
    )


def test_a_source_below_the_temporary_directory(pytester: pytest.Pytester, run: Run, way: Way) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="session")
        def made(tmp_path_factory):
            path = tmp_path_factory.mktemp("made")
            (path / "file").write_text("from the fixture")
            return path

        @pytest.mark.parametrize("time", range(2))
        def test_it(made, overlay_tree_factory, time):
            with overlay_tree_factory(made) as tree:
                assert (tree / "file").read_text() == "from the fixture"
                (tree / "file").write_text("changed")
        """
    )
    run(way, "--overlay-driver", way.driver).assert_outcomes(passed=2)


def test_a_source_that_is_a_link(pytester: pytest.Pytester, place: Path, run: Run, way: Way) -> None:
    (place / "linked").symlink_to("site")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.overlay_tree("linked")
        @pytest.mark.parametrize("time", range(2))
        def test_it(overlay_tree, overlay_changes, time):
            assert not overlay_tree.is_symlink()
            assert overlay_changes() == []
            (overlay_tree / "index.html").unlink()
        """
    )
    run(way, "--overlay-driver", way.driver).assert_outcomes(passed=2)


@pytest.mark.skipif(not AS_ROOT, reason="only root can make a file of another user")
def test_a_file_of_another_user(pytester: pytest.Pytester, place: Path, run: Run) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.overlay_tree("site")
        @pytest.mark.parametrize("time", range(2))
        def test_it(overlay_tree, time):
            status = (overlay_tree / "index.html").stat()
            assert (status.st_uid, status.st_gid) == (1234, 4321)
            (overlay_tree / "index.html").unlink()
        """
    )
    for driver in ("overlayfs", "directory"):
        run(ROOT_DIRECTORY, "--overlay-driver", driver, others="site/index.html").assert_outcomes(passed=2)
    pytester.makepyfile('import pytest\n@pytest.mark.overlay_tree("site")\ndef test_it(overlay_tree): pass')
    assert refused(run(USER_DIRECTORY, others="site/index.html")) == (
        f"no overlay tree of {place}/site: only root can copy what is another user's, or a device: index.html"
    )
    # An overlay's root has the owner of the directory's, which in the namespace has no number.
    line = refused(run(USER_OVERLAYFS, "--overlay-driver", "auto", others="site"))
    assert line.startswith(f"no overlay tree of {place}/site: only root can copy what is another user's, or a device: ")


def test_where_overlays_are_too_deep_a_copy_does_it(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import pytest

        def deeper(factory, path, drivers):
            with factory(path) as tree:
                assert (tree / "index.html").exists()
                drivers.append(tree.driver)
                if tree.driver == "overlayfs":
                    deeper(factory, tree.path, drivers)

        def test_it(overlay_tree_factory):
            drivers = []
            deeper(overlay_tree_factory, "site", drivers)
            assert drivers[0] == "overlayfs" and drivers[-1] == "directory"
        """
    )
    run(OVERLAYFS).assert_outcomes(passed=1)
    result = run(OVERLAYFS, "--overlay-driver", "overlayfs")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["FAILED * - Failed: no overlay tree of *: the kernel refused the overlay mount: Invalid argument (*"]
    )


def test_a_temporary_directory_on_an_overlay(pytester: pytest.Pytester, place: Path, run: Run) -> None:
    pytester.makepyfile(
        test_inner="""
        import pytest

        @pytest.mark.overlay_tree("site/pages")
        @pytest.mark.parametrize("time", range(2))
        def test_it(overlay_tree, overlay_changes, time):
            (overlay_tree / "one.html").write_text("in memory")
            assert [change.path for change in overlay_changes()] == ["one.html"]
        """,
        test_outer="""
        import subprocess, sys
        import pytest

        @pytest.mark.overlay_tree("site")
        def test_it(overlay_tree, request):
            words = [sys.executable, "-P", "-m", "pytest", "-c", "/dev/null", "-p", "overlaykit.pytest_plugin"]
            words += ["-p", "no:cacheprovider", "--rootdir", str(request.config.rootpath), "--overlay-driver"]
            words += ["overlayfs", "--basetemp", str(overlay_tree / "temp"), "test_inner.py"]
            done = subprocess.run(words, capture_output=True, text=True)
            assert "2 passed" in done.stdout, done.stdout + done.stderr
        """,
    )
    run(OVERLAYFS, "--overlay-driver", "overlayfs", "test_outer.py").assert_outcomes(passed=1)


def test_the_plugin_is_light() -> None:
    """Every pytest run of an environment imports it."""
    code = (
        "import sys, pytest; before = set(sys.modules); import overlaykit.pytest_plugin;"
        "print(*sorted(name for name in set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"overlaykit", "overlaykit.pytest_plugin"}


def test_a_run_without_it_takes_nothing(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import os, sys
        HERE = os.readlink("/proc/self/ns/mnt")

        def test_it(tmp_path):
            assert os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt")
            assert not [name for name in sys.modules if name.startswith("overlaykit.") and "plugin" not in name
                        and name != "overlaykit.conformance"]
        """
    )
    result = run(DIRECTORY)
    result.assert_outcomes(passed=1)
    assert "overlay trees" not in result.stdout.str()
