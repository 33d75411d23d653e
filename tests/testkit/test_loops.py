from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.runs import run

if TYPE_CHECKING:
    from testkit.loops import MakeFilesystem


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_a_file_system_of_that_kind_is_mounted_for_this_process_alone(
    make_filesystem: MakeFilesystem, kind: str
) -> None:
    point = make_filesystem(kind)
    name = subprocess.run(["stat", "-f", "-c", "%T", point], check=True, capture_output=True, text=True).stdout.strip()
    assert name == {"ext4": "ext2/ext3"}.get(kind, kind)
    (point / "file").write_text("here")
    host = Path(f"/proc/{os.getppid()}/mountinfo").read_text()
    assert str(point) not in host


def test_the_size_is_as_asked(make_filesystem: MakeFilesystem) -> None:
    full = make_filesystem("tmpfs", size="2M")
    figures = os.statvfs(full)
    assert figures.f_blocks * figures.f_frsize == 2 << 20


@pytest.mark.parametrize(("required", "outcome"), [("", {"skipped": 1}), ("1", {"failed": 1})])
def test_a_missing_program_is_a_skip_and_where_all_must_be_there_a_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, required: str, outcome: dict[str, int]
) -> None:
    monkeypatch.setenv("OVERLAYKIT_REQUIRE_TOOLS", required)
    pytester.makepyfile("""
        from testkit import loops
        def test_it():
            loops.need_tool("no-such-program")
    """)
    result = run(pytester, "-rs")
    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["*needs the program no-such-program*"])
