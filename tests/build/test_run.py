"""RUN: what it sees, what it leaves, and what comes of it where it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.waits import PATIENCE, until

import overlaykit
from overlaykit import errors

if TYPE_CHECKING:
    from .conftest import Builder


def test_a_run_sees_environment_arguments_directory_and_shell(builder: Builder) -> None:
    result = builder.build(
        """\
FROM base
ENV E=env
ARG G=arg
WORKDIR /w
RUN echo $FROM_BASE $E $G $PWD > out
SHELL ["/bin/sh", "-xc"]
RUN echo more >> out
RUN ["/bin/busybox", "touch", "$E"]
"""
    )
    assert builder.read(result, "w/out") == "yes env arg /w\nmore\n"
    assert builder.read(result, "w/$E") == ""
    assert builder.history(result)[-4] == ("RUN |1 G=arg /bin/sh -c echo $FROM_BASE $E $G $PWD > out # buildkit", True)
    assert "+ echo more" in builder.output()


def test_a_run_leaves_what_it_did_and_nothing_else(builder: Builder) -> None:
    before = builder.build("FROM base\n")
    after = builder.build("FROM base\nRUN true\nRUN echo x > /new\nRUN true\n")
    assert [made for _, made in builder.history(after)[4:]] == [False, True, False]
    with builder.store.tree(before.image.top or "") as old, builder.store.tree(after.image.top or "") as new:
        names = [sorted(entry.name for entry in tree.scandir()) for tree in (old, new)]
    assert names[1] == sorted([*names[0], "new"])


def test_here_documents_are_scripts_and_files(builder: Builder) -> None:
    result = builder.build(
        """\
FROM base
ENV W=world
RUN <<EOF
echo hello > /a
echo $W >> /a
EOF
RUN busybox cat > /b <<"EOF"
literal $W
EOF
RUN <<EOF
#!/bin/busybox sh
echo program > /c
EOF
COPY <<one <<"two" /d/
$W
one
$W
two
"""
    )
    found = [builder.read(result, path) for path in ("a", "b", "c", "d/one", "d/two")]
    assert found == ["hello\nworld\n", "literal $W\n", "program\n", "world\n", "$W\n"]


def test_secrets_are_seen_and_nowhere_kept(builder: Builder) -> None:
    secret = "s3cr3t-" + os.urandom(8).hex()
    text = (
        "FROM base\nRUN --mount=type=secret,id=token busybox wc -c < /run/secrets/token > /size\n"
        'RUN --mount=type=secret,id=token,env=TOKEN busybox test -n "$TOKEN"\n'
    )
    result = builder.build(text, secrets={"token": secret})
    assert builder.read(result, "size") == f"{len(secret)}\n"
    with builder.store.tree(result.image.top or "") as tree:
        assert not tree.exists("run")
    assert builder.build(text, secrets={"token": "another"}).cached == 2
    root = builder.store.path
    assert root is not None
    files = [path for path in root.rglob("*") if path.is_file()]
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    required = "FROM base\nRUN --mount=type=secret,id=no,required=true true\n"
    with pytest.raises(errors.BuildError, match="'no' is required"):
        builder.build(required)


def test_cache_mounts_last_and_are_in_no_layer(builder: Builder) -> None:
    work = "echo {n} >> /cache/log; busybox wc -l < /cache/log > /n"
    text = f"FROM base\nRUN --mount=type=cache,target=/cache{{more}} {work}\n"
    for sharing in ("", ",sharing=locked,id=l", ",sharing=private,id=p"):
        counts = [builder.read(builder.build(text.format(more=sharing, n=n)), "n").strip() for n in range(3)]
        assert counts == ["1", "2", "3"]
    with builder.store.tree(builder.build(text.format(more="", n=0)).image.top or "") as tree:
        assert not tree.exists("cache")
    builder.store.prune(build_cache=True)
    assert builder.read(builder.build(text.format(more="", n=9)), "n") == "1\n"


def test_a_new_cache_begins_as_what_it_is_from(builder: Builder) -> None:
    builder.put("seed", "1")
    text = (
        "FROM scratch AS seed\nCOPY seed /s/seed\nFROM base\n"
        "RUN --mount=type=cache,target=/c,from=seed,source=/s,mode=0700 busybox cp /c/seed /out; "
        "busybox stat -c %a /c > /mode\n"
    )
    result = builder.build(text)
    assert (builder.read(result, "out"), builder.read(result, "mode")) == ("1", "700\n")


def test_bind_mounts_of_contexts_stages_and_images(builder: Builder) -> None:
    builder.put("dir/file", "context")
    builder.put("left-out", "")
    builder.put(".dockerignore", "left-out\n")
    text = """\
FROM base AS one
RUN echo stage > /f
FROM base
RUN --mount=type=bind,target=/ctx --mount=type=bind,from=one,source=/f,target=/f2 \\
    --mount=from=base,target=/image \\
    busybox cat /ctx/dir/file /f2 > /out; ! busybox test -e /ctx/left-out; busybox test -e /image/bin/sh
RUN --mount=from=one,target=/rw,rw echo over > /rw/f && busybox cat /rw/f >> /out
RUN --mount=type=tmpfs,target=/t busybox touch /t/x
"""
    result = builder.build(text)
    assert builder.read(result, "out") == "contextstage\nover\n"
    assert builder.build(text).cached == 4
    builder.put("dir/file", "changed")
    assert builder.build(text).cached == 1
    with pytest.raises(errors.BuildStepError, match="Read-only"):
        builder.build("FROM base\nRUN --mount=target=/ctx busybox touch /ctx/new\n")


def test_a_run_without_network(builder: Builder) -> None:
    text = "FROM base\nRUN --network=none busybox ls /sys/class/net > /net\n"
    assert builder.read(builder.build(text), "net").split() == ["lo"]


def test_a_failing_run_says_all_that_is_needed(builder: Builder) -> None:
    builder.put("a", "1")
    text = "FROM base\nCOPY a /a\nRUN echo about to; \\\n  echo fail >&2; exit 7\n"
    with pytest.raises(errors.BuildStepError) as caught:
        builder.build(text, tags="no")
    error = caught.value
    assert (error.exit_code, error.output, error.place) == (7, b"about to\nfail\n", "Dockerfile:3")
    assert "exit code 7: fail" in str(error)
    assert "--debug" in str(error)
    assert error.layer is not None
    with builder.store.tree(error.layer) as tree:
        assert tree.read_text("a") == "1"
    with pytest.raises(errors.NotFoundError):
        builder.store.image("no")
    assert builder.build("FROM base\nCOPY a /a\n").cached == 1
    with pytest.raises(errors.BuildStepError) as caught:
        builder.build('FROM base\nRUN ["/nothing"]\n')
    assert caught.value.exit_code == 127


def test_a_shell_where_it_failed(builder: Builder) -> None:
    seen: list[tuple[int, int]] = []

    def debug(error: errors.BuildStepError, shell: object) -> None:
        assert callable(shell)
        seen.append((error.exit_code, shell()))

    reader, writer = os.pipe()
    saved = os.dup(0)
    try:
        os.write(writer, b'[ "$A" = 1 ] && [ -e /before ] && [ $PWD = /w ] && exit 42\n')
        os.close(writer)
        os.dup2(reader, 0)
        with pytest.raises(errors.BuildStepError):
            builder.build("FROM base\nENV A=1\nWORKDIR /w\nRUN echo x > /before\nRUN exit 3\n", debug=debug)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reader)
    assert seen == [(3, 42)]
    assert [info.key for info in builder.store.walk(kind="active")] == []


def test_bytes_that_an_owner_doubles_are_warned_of(builder: Builder) -> None:
    builder.put("large", "x" * (3 << 20))
    result = builder.build("FROM base\nCOPY large /large\nRUN busybox chmod 600 /large\nRUN echo y > /y\n")
    [warning] = result.warnings
    assert (warning.rule, warning.place) == ("DuplicatedFiles", "Dockerfile:3")
    assert "3.0 MiB" in warning.message
    assert "COPY --chown" in warning.message


def test_stages_run_at_the_same_time(builder: Builder) -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one processor")
    # Each waits for the other by way of a cache mount that both see.
    wait = "i=0; while ! busybox test -e /c/{}; do busybox sleep 0.02; i=$((i+1)); [ $i -lt 6000 ] || exit 1; done"
    text = f"""\
FROM base AS one
RUN --mount=type=cache,id=meet,target=/c busybox touch /c/one; {wait.format("two")}; echo 1 > /1
FROM base AS two
RUN --mount=type=cache,id=meet,target=/c busybox touch /c/two; {wait.format("one")}; echo 2 > /2
FROM scratch
COPY --from=one /1 /
COPY --from=two /2 /
"""
    result = builder.build(text)
    assert builder.read(result, "1") + builder.read(result, "2") == "1\n2\n"


def test_two_builds_at_once_share_the_work(builder: Builder) -> None:
    text = "FROM base\nRUN busybox sleep 0.3; busybox head -c 8 /dev/urandom > /r\n"
    found: list[overlaykit.BuildResult] = []
    threads = [
        threading.Thread(target=lambda: found.append(builder.store.build(builder.context, dockerfile=text.encode())))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.image.digest for one in found}) == 1
    assert sorted(one.cached for one in found) == [0, 1, 1]


_PROGRAM = """\
import sys, overlaykit
with overlaykit.open_store(sys.argv[1], durability="none") as store:
    print(store.build(None, dockerfile=sys.argv[2].encode(), progress=lambda e: print(e.kind, flush=True)).image.digest)
"""

# Another run of the same tests may have its own.
LONG = f"600{os.getpid()}"
SLOW = f"FROM base\nRUN busybox date +%s%N > /one\nRUN echo begun; busybox sleep {LONG}\n"


def _begin(store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(store), SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _sleepers() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"sleep\x00" + LONG.encode() in line:
                found.append(entry.name)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_leaves_what_was_done_and_nothing_else(builder: Builder, number: int) -> None:
    root = builder.store.path
    assert root is not None
    before = _sleepers()
    process = _begin(root)
    try:
        until(lambda: len(_sleepers()) > len(before))
        process.send_signal(number)
        said = process.communicate(timeout=PATIENCE)[1]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -number, said
    until(lambda: _sleepers() == before)
    builder.store.cleanup()
    assert [info.key for info in builder.store.walk(kind="active")] == []
    again = builder.build(SLOW.replace(f"echo begun; busybox sleep {LONG}", "true"))
    assert again.cached == 1
