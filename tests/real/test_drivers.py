"""Building and running on the real base with each driver, whoever runs this."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.loops import need_root
from testkit.unprivileged import command

from overlaykit import open_store
from overlaykit.errors import CapabilityError

if TYPE_CHECKING:
    from testkit.bases import BaseRegistry

    from overlaykit.image import ImageStore

GIVEN = "OVERLAYKIT_TEST_MIRROR"
EPOCH = 1_700_000_000

pytestmark = pytest.mark.real

COPIED = b"""FROM ubuntu:20.04
COPY app.py /app/
ENV GREETING=hello
CMD ["python", "/app/app.py"]
"""

RUN = COPIED + b"RUN rm -r /usr/share/doc && mkdir /made && python /app/app.py > /made/file && chmod 4711 /made/file\n"


@pytest.fixture(scope="session")
def mirror(request: pytest.FixtureRequest) -> None:
    """Know where the base image is: from whoever started this, else from the registry."""
    if GIVEN not in os.environ:
        request.getfixturevalue("environment")


@pytest.fixture(scope="session")
def digests() -> set[str]:
    """Digests of the image that is copied together, of whatever driver."""
    return set()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """The build context."""
    path = tmp_path / "context"
    path.mkdir()
    (path / "app.py").write_text("import os\nprint(os.environ['GREETING'], os.getuid())\n")
    return path


def build(store: ImageStore, context: Path, text: bytes, tag: str) -> None:
    store.build(context, dockerfile=text, tags=tag, epoch=EPOCH)  # type: ignore[attr-defined]


@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_build_and_run(mirror: None, digests: set[str], driver: str, context: Path, tmp_path: Path) -> None:
    place = None if driver == "memory" else tmp_path / "store"
    with open_store(place, driver=driver, durability="none") as store:
        build(store, context, COPIED, "copied:1")
        assert store.config("copied:1").document["config"]["Env"][-1] == "GREETING=hello"
        with store.tree(store.image("copied:1").top or "") as tree:
            assert tree.read_text("app/app.py") == (context / "app.py").read_text()
            assert tree.exists("usr/bin/python3")
        digests.add(store.image("copied:1").digest)
        assert len(digests) == 1, "another driver makes another image"
        if driver == "memory":
            with pytest.raises(CapabilityError, match="RUN needs a snapshot that is a directory"):
                build(store, context, RUN, "made:1")
            return
        build(store, context, RUN, "made:1")
        with store.container("made:1") as box:
            done = box.run(capture_output=True, text=True)
            assert (done.returncode, done.stdout) == (0, "hello 0\n"), done.stderr
            assert box.tree.read_text("made/file") == "hello 0\n"
            assert box.tree.stat("made/file").st_mode & 0o7777 == 0o4711
            assert not box.tree.exists("usr/share/doc")


def test_all_of_it_without_privileges(base_registry: BaseRegistry) -> None:
    need_root()
    variables = {key: value for key, value in os.environ.items() if key != "OVERLAYKIT_REQUIRE_TOOLS"}
    variables |= {GIVEN: "yes", **base_registry.environment}
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "real",
        "-k",
        "build_and_run",
        __file__,
    ]
    done = subprocess.run(
        command(*words, need=(base_registry.conf.parent,)), capture_output=True, text=True, check=False, env=variables
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "3 passed" in done.stdout
