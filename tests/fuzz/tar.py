"""Fuzz the tar reader: ``python tests/fuzz/tar.py [SECONDS [SEED]]``, best with the native module under sanitizers.

The archive being read stands in a file, so that it is there when the interpreter dies of it.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from testkit.tars import fuzz


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    last = Path(tempfile.gettempdir()) / f"overlaykit-fuzz-{seed}.tar"
    print(f"seed {seed}; the last archive stands in {last}", flush=True)
    with last.open("wb", buffering=0) as file:

        def note(data: bytes) -> None:
            file.seek(0)
            file.truncate()
            file.write(data)

        count = fuzz(seconds, seed, note)
    last.unlink()
    print(f"{count} archives read in {seconds:.0f} s")


if __name__ == "__main__":
    main()
