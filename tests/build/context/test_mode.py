"""``--chmod`` as chmod(1) has it."""

from __future__ import annotations

import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.build.context import check_mode
from overlaykit.build.context._mode import changed_mode

if TYPE_CHECKING:
    from pathlib import Path

MODES = (
    *(
        "755",
        "0640",
        "4755",
        "7777",
        "0",
        "u=rwX,go=rX",
        "a+x",
        "ugo-w",
        "g=u",
        "o=g",
        "u+g",
        "o-u",
        "a=r",
        "u=rwx,g=rx,o=",
    ),
    *(
        "u+s",
        "g+s",
        "o+t",
        "a+t",
        "u-s",
        "go=",
        "a=",
        "u=s",
        "g=xs",
        "u+rw-x",
        "ug+X",
        "a-X",
        "u=",
        "a+st",
        "g+t",
        "o=t",
        "u=o,g=o",
    ),
)
STARTS = (0o600, 0o644, 0o755, 0o4711, 0o2750, 0o1777, 0o111, 0)


@pytest.mark.parametrize("text", MODES)
def test_a_mode_changes_what_chmod_changes(text: str, tmp_path: Path) -> None:
    for kind in (stat.S_IFREG, stat.S_IFDIR):
        for start in STARTS:
            path = tmp_path / f"{kind}-{start}"
            path.mkdir() if kind == stat.S_IFDIR else path.touch()
            path.chmod(start)
            begun = stat.S_IMODE(path.stat().st_mode)
            if kind == stat.S_IFDIR and text.isdecimal():
                continue  # GNU keeps set-uid bits of directories that octal digits do not name
            subprocess.run(["chmod", "--", text, str(path)], check=True, umask=0)
            theirs = stat.S_IMODE(path.stat().st_mode)
            assert oct(changed_mode(kind | begun, text)) == oct(theirs), oct(start)
            path.chmod(0o700)


def test_octal_digits_are_all_of_the_mode_of_a_directory_too() -> None:
    assert changed_mode(stat.S_IFDIR | 0o2755, "750") == 0o750


@pytest.mark.parametrize("text", ["8", "10000", "rwx", "u", "u+q", "u=rw,", ",", "z+x", "u=ug", "u+xg", "0o7", " 7"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(errors.BuildError, match="is no mode: write it as 755"):
        check_mode(text)
