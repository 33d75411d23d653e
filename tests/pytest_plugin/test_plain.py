"""Trees where there is no native module: plain copies, with the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from overlaykit.pytest_plugin._plain import PlainCopies


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "file").write_text("one")
    (path / "link").symlink_to("deep/file")
    return path


def test_a_plain_copy(source: Path, tmp_path: Path) -> None:
    copies = PlainCopies(source, tmp_path / "place")
    copy = copies.take()
    assert (copy.path / "link").is_symlink()
    assert copy.changes() == []
    (copy.path / "deep" / "file").write_text("other")
    (copy.path / "link").unlink()
    (copy.path / "new").mkdir()
    assert [(str(change.kind), change.path) for change in copy.changes()] == [
        ("modified", "."),
        ("modified", "deep/file"),
        ("deleted", "link"),
        ("added", "new"),
    ]
    copy.reset()
    assert copy.changes() == []
    copy.release()
    assert not copy.path.exists()
    copies.close()
    assert (source / "deep" / "file").read_text() == "one"


def test_a_directory_that_cannot_be_copied(source: Path, tmp_path: Path) -> None:
    (source / "deep" / "pipe").symlink_to("nowhere")
    PlainCopies(source, tmp_path / "place").take()
    with pytest.raises(OSError, match="source"):
        PlainCopies(source / "missing", tmp_path / "other").take()


def test_a_run_without_the_native_module(source: Path, pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys; sys.modules['overlaykit._native'] = None")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("time", range(2))
        def test_it(overlay_tree, overlay_changes, time):
            assert overlay_changes() == []
            (overlay_tree / "deep" / "file").write_text("other")
            assert [change.path for change in overlay_changes()] == ["deep/file"]
        """
    )
    result = pytester.runpytest_subprocess("-p", "overlaykit.pytest_plugin", "--overlay-tree", str(source))
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["overlay trees: directory (*native module*"])
