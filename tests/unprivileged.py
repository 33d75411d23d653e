"""Run a command without privileges: ``python tests/unprivileged.py -- COMMAND``; see :mod:`testkit.unprivileged`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "helpers"))

from testkit.unprivileged import main

sys.exit(main())
