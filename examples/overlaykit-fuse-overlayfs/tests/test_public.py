"""The driver uses nothing of overlaykit that is not public."""

from __future__ import annotations

import ast
from pathlib import Path

import overlaykit_fuse_overlayfs
import pytest

PUBLIC = {
    f"overlaykit.{name}" for name in ("directories", "driver", "errors", "inodes", "linux", "plugin", "tree", "values")
} | {"overlaykit"}
PACKAGE = Path(overlaykit_fuse_overlayfs.__file__).parent


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_imports_are_public(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level and str(node.module).split(".")[0] == "overlaykit":
            assert node.module in PUBLIC
            assert not [alias.name for alias in node.names if alias.name.startswith("_")]
        elif isinstance(node, ast.Import):
            assert {alias.name for alias in node.names if alias.name.split(".")[0] == "overlaykit"} <= PUBLIC
