"""Writes the page that shows an analysis: one file that asks nobody for anything."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ._encode import encoded

if TYPE_CHECKING:
    from ._model import Analysis

__all__ = ["page_text", "write_page"]

_SCRIPTS = (
    "format.js",
    "model.js",
    "view.js",
    "stack.js",
    "files.js",
    "treemap.js",
    "details.js",
    "lists.js",
    "main.js",
)
"""In the order in which they build on each other; they share one scope."""


def _file(name: str) -> str:
    return resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """Return the hash of an inline script or style as a content security policy has it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page_text(analysis: Analysis) -> str:
    """Return the page.

    What comes of the image is compressed and in base64, and is only ever put into the document as text. Over that, the
    page's content security policy takes no script and no style but its own, and no connection at all.
    """
    style = _file("style.css")
    script = '"use strict";\n(() => {\n' + "\n".join(map(_file, _SCRIPTS)) + "\n})();\n"
    data = json.dumps(encoded(analysis), separators=(",", ":")).encode()
    packed = base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()
    policy = (
        f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    name = analysis.container or analysis.name or analysis.image.digest
    safe = html.escape(name.encode("utf-8", "backslashreplace").decode())
    text = _file("page.html")
    for mark, value in (
        ("{{policy}}", html.escape(policy)),
        ("{{title}}", safe),
        ("{{style}}", style),
        ("{{script}}", script),
        ("{{data}}", packed),
    ):
        text = text.replace(mark, value)
    return text


def write_page(analysis: Analysis, target: str | os.PathLike[str] | TextIO) -> int:
    """Write a page to browse an analysis with: one HTML file without references to anything outside.

    :param target: a path, which is written whole or not at all, or a text file.
    :returns: how many bytes the page has.
    :raises OSError: it cannot be written.
    """
    text = page_text(analysis)
    data = text.encode("utf-8")
    if not isinstance(target, str | os.PathLike):
        target.write(text)
        return len(data)
    path = Path(target)
    if path.exists() and not path.is_file():  # a device or a pipe
        path.write_bytes(data)
        return len(data)
    part = path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return len(data)
