"""docs/hooks.md lists every hook with its arguments and what it returns, as the hook specifications have them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from overlaykit.plugin import _hookspecs

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text()


def hooks() -> dict[str, dict[str, str]]:
    """Return what each hook specification says: the annotations by argument, and ``returns``."""
    found = inspect.getmembers(_hookspecs, lambda value: hasattr(value, "overlaykit_spec"))
    signatures = {name: inspect.signature(value) for name, value in found}
    return {
        name: {key: argument.annotation for key, argument in signature.parameters.items()}
        | {"returns": signature.return_annotation}
        for name, signature in signatures.items()
    }


def test_every_hook_is_in_the_table_at_the_top() -> None:
    table = PAGE.partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \|$", table, re.MULTILINE)) == set(hooks())


def test_every_hook_has_a_section_with_its_arguments() -> None:
    listed = {}
    for section in PAGE.split("\n## ")[1:]:
        name = section.partition("\n")[0]
        rows = re.findall(r"^\| (?:`(\w+)`|\*(returns)\*) \| `((?:[^`|\\]|\\\|)+)` \|", section, re.MULTILINE)
        if rows:
            listed[name] = {argument or returns: kind.replace("\\|", "|") for argument, returns, kind in rows}
    assert listed == hooks()
    assert len(listed) >= 4
