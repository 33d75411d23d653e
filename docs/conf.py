"""How Sphinx makes the author's guide of these pages: ``tox -e docs``."""

from __future__ import annotations

import importlib
import re
import sys
from typing import TYPE_CHECKING

from sphinx.util.nodes import make_refnode

import overlaykit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "overlaykit"
author = "The overlaykit developers"
version = release = overlaykit.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"overlaykit {release}"
html_show_copyright = False
html_copy_source = False

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 90

nitpicky = True

_NOTHING = object()


def _name_files_by_path(app: Sphinx, page: str, source: list[str]) -> None:
    """Give links to files of the repository that are no pages as the path: the book is read without the repository."""
    source[0] = re.sub(r"\[[^\]]+\]\(\.\./([^)]+)\)", r"`\1`", source[0])


def _no_factories(app: Sphinx, what: str, name: str, obj: object, options: object, given: str, returned: str) -> Any:
    """Write a default that is made anew each time as ``...``: what Python shows is no expression."""
    return (given.replace("<factory>", "..."), returned) if given else None


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement) -> nodes.Node | None:
    """Find what Sphinx does not where it looks: names without their module, and with that of a private one.

    What has no place in these pages, such as what Python brings, must exist and is no link.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    name = re.sub(r"^overlaykit\.(\w+\.)*_\w+\.", "", target)
    owner, _, attribute = name.rpartition(".")
    objects = env.domains.python_domain.objects
    full = _documented(name, objects)
    if full is None and owner:
        # A field of a value, which stands among its parameters.
        full = _documented(owner, objects)
        full = full if full is not None and _exists(f"{full}.{attribute}") else None
    if full is not None:
        entry = objects[full]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, full)
    homes = ["builtins", "collections.abc", "typing", "types", "pathlib", "contextlib"]
    homes += [module for module in sys.modules if module.startswith(f"{node.get('py:module')}._")]
    return content if any(map(_exists, (target, *(f"{home}.{target}" for home in homes)))) else None


def _documented(name: str, objects: Mapping[str, object]) -> str | None:
    """Return the full name of the one object of a name, if there is one."""
    found = [full for full in objects if full == name or full.endswith(f".{name}")]
    return found[0] if len(found) == 1 else None


def _exists(name: str) -> bool:
    """Tell whether an importable module has something of this name."""
    words = name.split(".")
    for at in range(len(words), 0, -1):
        try:
            found: object = importlib.import_module(".".join(words[:at]))
        except ImportError:
            continue
        return all((found := getattr(found, word, _NOTHING)) is not _NOTHING for word in words[at:])
    return False


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _name_files_by_path)
    app.connect("autodoc-process-signature", _no_factories)
    app.connect("missing-reference", _resolve)
