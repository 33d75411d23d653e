"""RUN --mount=type=ssh: a real ssh-agent, seen from a container by way of a real ssh-add of this machine."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.loops import need_tool
from testkit.waits import until

from overlaykit import errors
from overlaykit.build._agents import forwarded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from overlaykit.build import BuildStore

    from .conftest import Builder


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key without a passphrase."""
    path = tmp_path / "key"
    subprocess.run([need_tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "ours", "-f", path], check=True)
    return path


@pytest.fixture
def agent(tmp_path: Path, key: Path) -> Iterator[Path]:
    """The socket of an agent that has that key."""
    path = tmp_path / "a"
    process = subprocess.Popen([need_tool("ssh-agent"), "-D", "-a", "a"], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        # Its socket is there before it takes connections.
        until(lambda: process.poll() is not None or _ran(path, "-l").returncode != _NOBODY_THERE)
        _ssh_add(path, "-q", str(key))
        yield path
    finally:
        process.terminate()
        process.wait()


_NOBODY_THERE = 2
"""What ssh-add ends with where it cannot reach an agent."""


def _ran(agent: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # The name of a socket is short, wherever it is.
    return subprocess.run(
        [need_tool("ssh-add"), *words],
        cwd=agent.parent,
        env={**os.environ, "SSH_AUTH_SOCK": agent.name},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def _ssh_add(agent: Path, *words: str, expect: int = 0) -> str:
    ran = _ran(agent, *words)
    assert ran.returncode == expect, ran
    return ran.stdout + ran.stderr


def _tool(builder: Builder) -> str:
    """Put ssh-add and what it needs into the context; return what copies it."""
    program = need_tool("ssh-add")
    found = re.findall(r"(/\S+\.so\S*)", subprocess.check_output(["ldd", program], text=True))
    for path in (program, *found):
        target = builder.context / "tool" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path).read_bytes())
        target.chmod(0o755)
    return f"FROM base\nCOPY tool /\nCOPY passwd /etc/passwd\nENV ADD={program}\n"


def test_a_run_sees_the_keys_of_the_agent(builder: Builder, agent: Path) -> None:
    builder.put("passwd", "root:x:0:0::/:/bin/sh\n")
    text = _tool(builder) + (
        "RUN --mount=type=ssh $ADD -l > /keys && echo $SSH_AUTH_SOCK > /where\n"
        "RUN --mount=type=ssh,id=two,target=/sock,mode=0640 --mount=type=ssh "
        "busybox stat -c '%a %F' /sock > /mode; echo $SSH_AUTH_SOCK >> /mode\n"
    )
    result = builder.build(text, agents={"default": str(agent), "two": agent})
    assert "ours (ED25519)" in builder.read(result, "keys")
    assert builder.read(result, "where") == "/run/buildkit/ssh_agent.0\n"
    assert builder.read(result, "mode") == "640 socket\n/sock\n"
    with builder.store.tree(result.image.top or "") as tree:
        assert not tree.exists("run")
        assert not tree.exists("sock")
    # Which agent it was makes no difference to what was built.
    assert builder.build(text).cached == 4
    path = builder.store.path
    assert path is not None
    assert os.listdir(path / "build" / "scratch") == []


def test_an_agent_is_made_of_keys(builder: Builder, key: Path) -> None:
    builder.put("passwd", "root:x:0:0::/:/bin/sh\n")
    text = _tool(builder) + "RUN --mount=type=ssh $ADD -l > /keys\n"
    assert "ours (ED25519)" in builder.read(builder.build(text, agents={"default": (key,)}), "keys")


def test_without_an_agent(builder: Builder) -> None:
    text = 'FROM base\nRUN --mount=type=ssh{} echo "[$SSH_AUTH_SOCK]" > /x\n'
    assert builder.read(builder.build(text.format("")), "x") == "[]\n"
    with pytest.raises(errors.BuildError, match="'default' is required and was not given: give it with --ssh default"):
        builder.build(text.format(",required=true"), no_cache=True)
    with pytest.raises(errors.BuildError, match="there is no /nowhere: give a socket or private keys"):
        builder.build(text.format(",mode=0666"), agents={"default": "/nowhere"}, no_cache=True)


@pytest.fixture
def socket_of(any_builder: Builder, agent: Path) -> Iterator[Path]:
    with forwarded(any_builder.store, "default", agent, 0o600, (0, 0)) as path:
        yield path


def test_an_agent_lists_and_signs_and_no_more(socket_of: Path, agent: Path, key: Path, tmp_path: Path) -> None:
    assert "ours (ED25519)" in _ssh_add(socket_of, "-l")
    assert _ssh_add(socket_of, "-T", f"{key}.pub") == ""
    _ssh_add(socket_of, "-D", expect=1)
    _ssh_add(socket_of, "-x", expect=1)
    _ssh_add(socket_of, "-q", str(key), expect=1)
    assert "ours (ED25519)" in _ssh_add(agent, "-l")


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\0", b"\xff\xff\xff\xff\x0b", b"\0\0\0\x05\x0b"])
def test_what_is_no_message_ends_its_connection_alone(socket_of: Path, data: bytes) -> None:
    directory = os.open(socket_of.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(f"/proc/self/fd/{directory}/{socket_of.name}")
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(1) == b""
    finally:
        os.close(directory)
    assert "ours" in _ssh_add(socket_of, "-l")


def test_connections_that_nobody_ends_end_with_the_step(any_builder: Builder, agent: Path) -> None:
    with contextlib.ExitStack() as held:
        path = held.enter_context(forwarded(any_builder.store, "default", agent, 0o600, (0, 0)))
        one = socket.socket(socket.AF_UNIX)
        directory = os.open(path.parent, os.O_PATH)
        one.connect(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)
        one.sendall(b"\0\0\0\x01\x0b")
        assert len(one.recv(4)) == 4
    assert not path.exists()
    one.close()


@pytest.mark.parametrize("passphrase", ["secret", ""])
def test_keys_that_cannot_be_taken(store_in_memory: BuildStore, tmp_path: Path, passphrase: str) -> None:
    path = tmp_path / "key"
    if passphrase:
        words = ["-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
        subprocess.run([need_tool("ssh-keygen"), *words], check=True)
    else:
        path.write_text("no key")
        path.chmod(0o600)
    with (
        pytest.raises(errors.BuildError, match=f"the key {path} cannot be taken: .*; give a private key without"),
        forwarded(store_in_memory, "default", (path,), 0o600, (0, 0)),
    ):
        pass


@pytest.fixture
def store_in_memory() -> Iterator[BuildStore]:
    from overlaykit import open_store

    with open_store(driver="memory") as store:
        yield store
