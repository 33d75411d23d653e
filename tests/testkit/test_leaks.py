"""The leak check is worth something only if it sees leaks: each is made here on purpose in a test run of its own."""

from __future__ import annotations

import pytest
from testkit.loops import need_root
from testkit.runs import run

LEAKS = {
    "descriptors": """
        import os
        def test_it():
            os.open("/dev/null", os.O_RDONLY)
    """,
    "processes": """
        import subprocess
        def test_it():
            global child
            child = subprocess.Popen(["sleep", "600"])
        def teardown_module():
            child.kill()
            child.wait()
    """,
    "threads": """
        import threading
        stop = threading.Event()
        def test_it():
            threading.Thread(target=stop.wait, daemon=True).start()
        def teardown_module():
            stop.set()
    """,
    "files": """
        import tempfile, pathlib
        def test_it(monkeypatch, request):
            global left
            left = pathlib.Path(tempfile.mkdtemp(prefix="overlaykit-left-"))
        def teardown_module():
            left.rmdir()
    """,
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_leak_fails_the_test(pytester: pytest.Pytester, kind: str) -> None:
    pytester.makepyfile(LEAKS[kind])
    result = run(pytester, "-p", "testkit.leaks")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*left behind:", f"*{kind}: *"])


def test_a_mount_fails_the_test(pytester: pytest.Pytester) -> None:
    need_root()
    pytester.makepyfile("""
        import pytest
        from testkit import syscalls

        @pytest.fixture(scope="session", autouse=True)
        def own_namespace():
            syscalls.private_mount_namespace()

        def test_it(tmp_path):
            syscalls.mount("overlaykit-leak", str(tmp_path), "tmpfs")
    """)
    result = run(pytester, "-p", "testkit.leaks")
    result.stdout.fnmatch_lines(["*left behind:", "*mounts: *(tmpfs)"])
    assert result.ret != 0


def test_a_test_that_leaves_nothing_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import subprocess, tempfile, threading
        def test_it(tmp_path):
            (tmp_path / "file").write_text("kept by pytest")
            subprocess.run(["true"], check=True)
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
            with tempfile.TemporaryDirectory(prefix="overlaykit-"):
                pass
    """)
    run(pytester, "-p", "testkit.leaks").assert_outcomes(passed=1)
