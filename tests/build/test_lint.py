"""A build says what the lint finds in its Dockerfile."""

from __future__ import annotations

from pathlib import Path

import pytest

from overlaykit import DockerfileError, open_store

TEXT = b"FROM scratch AS Base\nCOPY x $NOWHERE/y\nCOPY z /\nFROM scratch\nMAINTAINER nobody\nFROM base\nENV A b\n"


def context(path: Path) -> Path:
    for name in ("x", "z"):
        (path / name).write_text(name)
    (path / ".dockerignore").write_text("*.tmp\n")
    return path


def test_a_build_says_what_the_lint_finds(tmp_path: Path) -> None:
    with open_store(driver="memory") as store:
        warnings = store.build(context(tmp_path), dockerfile=TEXT).warnings
    assert [(one.place, one.rule) for one in warnings] == [
        ("Dockerfile:1", "StageNameCasing"),
        ("Dockerfile:2", "UndefinedVar"),
        ("Dockerfile:7", "LegacyKeyValueFormat"),
    ]


def test_a_finding_fails_a_build_that_wants_it(tmp_path: Path) -> None:
    with open_store(driver="memory") as store:
        with pytest.raises(DockerfileError, match=r"^Dockerfile:2:20: StageNameCasing: .*because of check=error=true$"):
            store.build(context(tmp_path), dockerfile=b"# check=error=true\n" + TEXT.replace(b"AS", b"   AS"))
        assert store.images() == []
        assert store.build(context(tmp_path), dockerfile=b"# check=error=true;skip=all\n" + TEXT).warnings == ()


def test_files_that_are_left_out_are_told_before_they_are_missed(tmp_path: Path) -> None:
    (context(tmp_path) / ".dockerignore").write_text("z\n")
    text = b"# check=error=true\nFROM scratch\nCOPY x z /\n"
    with open_store(driver="memory") as store, pytest.raises(DockerfileError, match=r"CopyIgnoredFile.*\"z\""):
        store.build(tmp_path, dockerfile=text)
