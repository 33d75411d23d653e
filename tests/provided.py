"""Run a command with a Btrfs, or with an open /dev/fuse: see :mod:`testkit.provided`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "helpers"))

from testkit.provided import main

sys.exit(main())
