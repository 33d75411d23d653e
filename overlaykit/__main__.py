"""``python -m overlaykit``: the command line where the script is not on the path."""

from __future__ import annotations

from overlaykit.cli import program

if __name__ == "__main__":
    raise SystemExit(program())
