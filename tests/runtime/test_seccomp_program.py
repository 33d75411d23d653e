"""Seccomp profiles as programs: what each answers, against a plain reading of it, and what the kernel makes of it."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testkit.busybox import Box, make_root

from overlaykit import errors
from overlaykit.runtime import compile_seccomp
from overlaykit.runtime._capabilities import DEFAULT
from overlaykit.runtime._own import OwnRunner
from overlaykit.runtime._seccomp import default_profile
from overlaykit.runtime._syscalls import ARCHITECTURES, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ALLOW, KILL = 0x7FFF0000, 0x80000000
X86_64 = ARCHITECTURES["SCMP_ARCH_X86_64"]
NAMES = ("read", "write", "close", "socket", "personality", "clone", "ioctl", "futex")


def error(number: int) -> int:
    return 0x00050000 | number


def answer(program: bytes, architecture: int, number: int, arguments: Sequence[int] = ()) -> int:
    """Run a program as the kernel does (seccomp_filter.rst)."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = value = 0
    while True:
        kind, true, false, constant = code[at]
        at += 1
        if kind == 0x20:
            (value,) = struct.unpack_from("=I", data, constant)
        elif kind == 0x54:
            value &= constant
        elif kind == 0x05:
            at += constant
        elif kind == 0x06:
            return int(constant)
        else:
            tests: dict[int, Callable[[int, int], bool]] = {
                0x15: int.__eq__,
                0x25: int.__gt__,
                0x35: int.__ge__,
            }
            at += true if tests[kind](value, constant) else false


def reading(profile: Mapping[str, Any], name: str, arguments: Sequence[int]) -> int:
    """Read a profile as its specification says: the rule that fits, those with conditions first; else the default."""

    def value(action: str, number: int | None) -> int:
        return ALLOW if action == "SCMP_ACT_ALLOW" else error(1 if number is None else number)

    def holds(one: Mapping[str, Any]) -> bool:
        given, wanted = arguments[one["index"]], one["value"]
        return {
            "SCMP_CMP_EQ": given == wanted,
            "SCMP_CMP_NE": given != wanted,
            "SCMP_CMP_LT": given < wanted,
            "SCMP_CMP_LE": given <= wanted,
            "SCMP_CMP_GT": given > wanted,
            "SCMP_CMP_GE": given >= wanted,
            "SCMP_CMP_MASKED_EQ": given & wanted == one["valueTwo"],
        }[one["op"]]

    fitting = [rule for rule in profile["syscalls"] if name in rule["names"]]
    for rule in sorted(fitting, key=lambda rule: not rule.get("args")):
        if all(map(holds, rule.get("args", ()))):
            return value(rule["action"], rule.get("errnoRet"))
    return value(profile["defaultAction"], profile.get("defaultErrnoRet"))


edges = st.sampled_from([0, 1, 2, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (1 << 63), (1 << 64) - 1]) | st.integers(
    0, 2**64 - 1
)
operators = st.sampled_from(["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"])
conditions = st.builds(
    lambda index, value, two, op: {"index": index, "value": value, "valueTwo": two & value, "op": f"SCMP_CMP_{op}"},
    st.integers(0, 5),
    edges,
    edges,
    operators,
)
rules = st.builds(
    lambda names, action, args, number: {"names": names, "action": action, "errnoRet": number, "args": args},
    st.lists(st.sampled_from([*NAMES, "no_such_call"]), min_size=1, unique=True),
    st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]),
    st.lists(conditions, max_size=3, unique_by=lambda one: one["index"]),
    st.integers(0, 200),
)
profiles = st.builds(
    lambda action, found: {"defaultAction": action, "defaultErrnoRet": 38, "syscalls": found},
    st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]),
    st.lists(rules, max_size=8),
)


@given(profiles, st.lists(edges, min_size=6, max_size=6), st.data())
def test_a_program_answers_as_its_profile_reads(
    profile: dict[str, Any], arguments: list[int], data: st.DataObject
) -> None:
    program = compile_seccomp(profile, "x86_64")
    assert program is not None
    # Values right at the conditions are where a mistake would show.
    for rule in profile["syscalls"]:
        for one in rule["args"]:
            near = (one["value"] + data.draw(st.integers(-1, 1))) % (1 << 64)
            if data.draw(st.booleans()):
                arguments[one["index"]] = near
    for name in (*NAMES, "lseek"):
        number = numbers("SCMP_ARCH_X86_64")[name]
        assert answer(program, X86_64, number, arguments) == reading(profile, name, arguments), name


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_default_profile(machine: str) -> None:
    profile = default_profile(DEFAULT, machine)
    program = compile_seccomp(profile, machine)
    assert program is not None
    native = f"SCMP_ARCH_{machine.upper()}"
    for name, number in numbers(native).items():
        for arguments in ([0] * 6, [40] + [0] * 5, [0x10000000] + [0] * 5):
            assert answer(program, ARCHITECTURES[native], number, arguments) == reading(profile, name, arguments), name
    assert answer(program, 0x1234, 0) == KILL
    assert answer(program, ARCHITECTURES[native], 5000) == error(1)


def test_other_interfaces_of_the_same_machine() -> None:
    program = compile_seccomp(default_profile(DEFAULT, "x86_64"), "x86_64")
    assert program is not None
    i386 = ARCHITECTURES["SCMP_ARCH_X86"]
    assert answer(program, i386, numbers("SCMP_ARCH_X86")["read"]) == ALLOW
    assert answer(program, i386, numbers("SCMP_ARCH_X86")["reboot"]) == error(1)
    # x32, by which a call could be made that no rule has looked at.
    assert answer(program, X86_64, 0x40000000 | numbers("SCMP_ARCH_X86_64")["read"]) == error(1)


@pytest.mark.parametrize(
    ("name", "header"),
    [("SCMP_ARCH_X86_64", "asm/unistd_64.h"), ("SCMP_ARCH_X86", "asm/unistd_32.h"), ("SCMP_ARCH_AARCH64", "")],
)
def test_the_numbers_are_the_kernels(name: str, header: str) -> None:
    """Where this machine has the kernel's headers for it; the others are checked by what must be so."""
    table = numbers(name)
    path = Path("/usr/include/x86_64-linux-gnu", header)
    if header and path.is_file():
        defined = {one: int(number) for one, number in re.findall(r"__NR_(\w+) (\d+)", path.read_text())}
        assert {one: table.get(one) for one in defined} == defined
    assert len(set(table.values())) == len(table)
    assert (table["pidfd_open"], table["openat2"], table["close_range"]) == (434, 437, 436)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(OwnRunner(), make_root(tmp_path / "root"))


def _only(name: str, action: str, **more: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [name], "action": action, **more}]}


@pytest.mark.native
@pytest.mark.parametrize("restricted", [False, True])
def test_the_kernel_takes_the_default_profile(box: Box, restricted: bool) -> None:
    from overlaykit.runtime._seccomp import seccomp_section

    box.linux |= {"seccomp": seccomp_section("default", DEFAULT)}
    box.process = {"noNewPrivileges": restricted}
    seen = box.sh("grep -E '^Seccomp:' /proc/self/status; ls / >/dev/null && echo works; unshare -U true; true")
    assert seen.lines == ["Seccomp:\t2", "works"]
    assert "Operation not permitted" in seen.err


@pytest.mark.native
def test_the_kernel_does_what_a_profile_says(box: Box) -> None:
    assert "Linux" in box.run("uname").out
    box.linux |= {"seccomp": _only("uname", "SCMP_ACT_ERRNO", errnoRet=7)}
    assert "Linux" not in box.run("uname").out
    box.linux |= {"seccomp": _only("uname", "SCMP_ACT_KILL_PROCESS")}
    assert box.run("uname").code == 159
    condition = {"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}
    box.linux |= {"seccomp": _only("kill", "SCMP_ACT_ERRNO", errnoRet=1, args=[condition])}
    seen = box.sh("sleep 100 & kill -10 $!; kill -12 $! && echo other")
    assert "not permitted" in seen.err
    assert seen.lines == ["other"]


@pytest.mark.native
@pytest.mark.parametrize(
    "profile",
    [_only("uname", "SCMP_ACT_NOTIFY"), {**_only("uname", "SCMP_ACT_ERRNO"), "flags": ["SECCOMP_FILTER_FLAG_LOG"]}],
)
def test_what_no_filter_can_do_is_refused(box: Box, profile: dict[str, Any]) -> None:
    box.linux |= {"seccomp": profile}
    with pytest.raises(errors.RunError, match="seccomp profile"):
        box.run("true")
