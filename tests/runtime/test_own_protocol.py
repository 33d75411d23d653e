"""Both sides of the runner's protocol state the same numbers, and it takes no plan that is damaged."""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from testkit.rich import run_as_nobody

from overlaykit import linux
from overlaykit.runtime import _own_protocol as protocol
from overlaykit.runtime._own_errors import Step
from overlaykit.runtime._own_protocol import Bind, Kind, Message, Operation, PlanWriter

pytestmark = pytest.mark.native

HEADER = Path(__file__).parents[2] / "native" / "runner" / "protocol.h"


def _constants(prefix: str) -> dict[str, int]:
    """Return what the enumerations of the header give, by name without the prefix."""
    every: dict[str, int] = {}
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    for body in re.findall(r"enum[^{]*\{([^}]*)\}", text):
        number = 0
        for entry in filter(None, (one.strip() for one in body.split(","))):
            name, _, value = (part.strip() for part in entry.partition("="))
            if value:
                number = int(value) if value.isdecimal() else every[value]
            every[name] = number
            number += 1
    return {
        name.removeprefix(prefix): number
        for name, number in every.items()
        if name.startswith(prefix) and not name.endswith("_LAST")
    }


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [("OP_", Operation), ("HOW_", Bind), ("MESSAGE_", Kind), ("STEP_", Step)],
    ids=["operations", "how", "kinds", "steps"],
)
def test_both_sides_have_the_same_numbers(prefix: str, kind: type) -> None:
    assert _constants(prefix) == {name: int(getattr(kind, name)) for name in dir(kind) if name.isupper()}


def test_both_sides_have_the_same_frame() -> None:
    text = HEADER.read_text()
    assert f'RUNNER_MAGIC "{protocol.MAGIC.decode().strip()}\\n"' in text
    assert f"RUNNER_PLAN = {protocol.PLAN}, RUNNER_STATUS = {protocol.STATUS}" in text
    assert Message.SIZE == 4 * 4 + 240


def test_a_text_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="null byte"):
        PlanWriter().add(Operation.ARGUMENTS, (), ["a\0b"])


def _answer(plan: bytes) -> tuple[int, list[Message]]:
    """Give the runner a plan, and return its exit code and what it says."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, open(os.memfd_create("plan"), "wb") as file:
        file.write(plan)
        file.flush()
        actions = [
            (os.POSIX_SPAWN_DUP2, file.fileno(), 203),
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), 204),
            (os.POSIX_SPAWN_DUP2, 203, 3),
            (os.POSIX_SPAWN_DUP2, 204, 4),
        ]
        environment = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
        program = linux.open_runner()
        try:
            pid = os.posix_spawn(f"/proc/self/fd/{program}", ["runner"], environment, file_actions=actions)
        finally:
            os.close(program)
        theirs.close()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        messages = []
        while data := ours.recv(Message.SIZE):
            messages.append(Message.unpack(data))
    return code, messages


def _whole_plan() -> bytes:
    plan = PlanWriter()
    plan.add(Operation.LIMIT, (7, 10, 10))
    plan.add(Operation.FILE, (0o444, 0, 0, 0, 0), ("/secret", b"a\0b"))
    plan.add(Operation.ENVIRONMENT, (), ["A=b", "C="])
    plan.add(Operation.ARGUMENTS, (), ["/nonexistent/program"])
    return bytes(plan)


def test_a_whole_plan_is_understood() -> None:
    code, [*_, last] = _answer(_whole_plan())
    assert (code, last.kind, last.step) == (127, Kind.FAILED, Step.EXEC)
    assert last.path == "/nonexistent/program"


def test_a_plan_that_is_cut_is_refused() -> None:
    plan = _whole_plan()
    ends = {len(protocol.MAGIC)}
    at = len(protocol.MAGIC)
    for size in (12 + 24, 12 + 40 + 4 + 8 + 4 + 4, 12 + 4 + 4 + 4 + 3):
        at += size
        ends.add(at)
    for length in range(0, len(plan), 3):
        if length not in ends:
            code, messages = _answer(plan[:length])
            assert (code, [(one.kind, one.step) for one in messages]) == (125, [(Kind.FAILED, Step.PLAN)]), length


@pytest.mark.parametrize(
    "record",
    [
        struct.pack("=III", 0, 0, 0),
        struct.pack("=III", 9999, 0, 0),
        struct.pack("=III", Operation.LIMIT, 2, 0) + bytes(16),
        struct.pack("=III", Operation.HOSTNAME, 0, 0),
        struct.pack("=III", Operation.LIMIT, 0xFFFFFFFF, 0) + bytes(64),
        struct.pack("=IIII", Operation.ARGUMENTS, 0, 1, 0xFFFFFFFF) + bytes(64),
        struct.pack("=III", Operation.ARGUMENTS, 0, 0xFFFFFFFF) + bytes(64),
        struct.pack("=IIII", Operation.ARGUMENTS, 0, 1, 3) + b"a\0b\0",
        struct.pack("=IIII", Operation.ARGUMENTS, 0, 1, 1) + b"ab",
    ],
    ids=["zero", "unknown", "few numbers", "few texts", "numbers", "length", "texts", "nul", "end"],
)
def test_a_record_that_is_none_is_refused(record: bytes) -> None:
    code, messages = _answer(protocol.MAGIC + record)
    assert (code, [(one.kind, one.step) for one in messages]) == (125, [(Kind.FAILED, Step.PLAN)])


def test_random_damage_never_crashes_it() -> None:
    """Whatever is changed in a plan, the runner ends by itself and with a code of its own.

    By nobody: what a damaged plan asks for by accident must not reach this machine.
    """
    run_as_nobody(_damage)


def _damage() -> None:
    luck = random.Random(4)
    whole = _whole_plan()
    for _ in range(150):
        plan = bytearray(whole)
        for _ in range(luck.randint(1, 4)):
            plan[luck.randrange(8, len(plan))] = luck.choice((0, 1, 0x7F, 0x80, 0xFF, luck.randrange(256)))
        code, _ = _answer(bytes(plan))
        assert code in (125, 126, 127), bytes(plan)


def test_by_hand_it_says_what_to_do() -> None:
    program = linux.open_runner()
    try:
        path = f"/proc/self/fd/{program}"
        done = subprocess.run([path], pass_fds=[program], capture_output=True, text=True, check=False)
    finally:
        os.close(program)
    assert done.returncode == 125
    assert "overlaykit run" in done.stderr
