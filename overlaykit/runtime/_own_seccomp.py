"""Seccomp profiles, as the runtime specification has them, compiled to the kernel's filter programs.

The program is a search tree over the numbers of the system calls, whose leaves are what is done: some eight comparisons
a call, and none for those that the kernel remembers as always allowed (Linux 5.11). It is the classic BPF of
seccomp_filter.rst, for little-endian machines.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import errors
from ._own_syscalls import numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["compile_filter"]

LONGEST = 4096
"""The most instructions that the kernel takes (BPF_MAXINSNS)."""

_LOAD, _AND, _RETURN, _JUMP = 0x20, 0x54, 0x06, 0x05
_JEQ, _JGT, _JGE = 0x15, 0x25, 0x35
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

#: Machine: its own architecture and the 32-bit one that its kernel also runs (linux/audit.h).
_MACHINES: dict[str, tuple[tuple[str, str, int], ...]] = {
    "x86_64": (("SCMP_ARCH_X86_64", "x86_64", 0xC000003E), ("SCMP_ARCH_X86", "x86", 0x40000003)),
    "aarch64": (("SCMP_ARCH_AARCH64", "aarch64", 0xC00000B7), ("SCMP_ARCH_ARM", "arm", 0x40000028)),
    "riscv64": (("SCMP_ARCH_RISCV64", "riscv64", 0xC00000F3),),
}
#: Calls by the x32 interface have this bit; no kernel of a distribution offers them, and nothing here allows them.
_X32 = 0x40000000

_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # there is one thread
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}
_SPEC_ALLOW = 4


class _Instruction(NamedTuple):
    code: int
    true: int
    false: int
    value: int


@dataclass(frozen=True, slots=True)
class _Rule:
    result: int
    arguments: tuple[Mapping[str, Any], ...]


_Program = list[_Instruction]


@functools.lru_cache(maxsize=8)
def compile_filter(section: str, machine: str | None = None) -> tuple[int, bytes]:
    """Compile a profile.

    :param section: ``linux.seccomp`` as JSON text.
    :param machine: as :func:`os.uname` has it; ``None`` is this one.
    :returns: the flags for seccomp(2), and the program; no program where nothing is filtered.
    :raises RunError: the profile asks for what no filter can do here.
    """
    document = json.loads(section)
    machine = machine or os.uname().machine
    if machine not in _MACHINES:
        raise errors.RunError(
            f"the own runner has no table of the system calls of {machine}: use --runtime crun, or no seccomp profile"
        )
    default = _result(document["defaultAction"], document.get("defaultErrnoRet"))
    wanted = set(document.get("architectures") or ()) | {_MACHINES[machine][0][0]}
    program = [_Instruction(_LOAD, 0, 0, _ARCHITECTURE)]
    for name, table, number in _MACHINES[machine]:
        if name in wanted:
            part = _architecture(_rules(document, table, default), default, table == "x86_64")
            program += _unless(_JEQ, number, part)
    program.append(_return(0))  # SECCOMP_RET_KILL_THREAD, as libseccomp treats a foreign architecture
    if len(program) > LONGEST:
        raise errors.RunError(
            f"the seccomp profile is too long: {len(program)} instructions, the kernel takes {LONGEST}"
        )
    return _flags(document), b"".join(struct.pack("=HBBI", *one) for one in program)


def _flags(document: Mapping[str, Any]) -> int:
    flags = 0
    if "flags" not in document:
        return _SPEC_ALLOW  # what runc does where nothing is said: no needless mitigation
    for name in document["flags"]:
        if name not in _FLAGS:
            raise errors.RunError(f"the own runner does not know the seccomp flag {name}: use --runtime crun")
        flags |= _FLAGS[name]
    return flags


def _result(action: str, number: int | None) -> int:
    """Return what a filter returns for an action (linux/seccomp.h)."""
    data = errno.EPERM if number is None else number
    known = {
        "SCMP_ACT_ALLOW": 0x7FFF0000,
        "SCMP_ACT_LOG": 0x7FFC0000,
        "SCMP_ACT_TRACE": 0x7FF00000 | (data & 0xFFFF),
        "SCMP_ACT_ERRNO": 0x00050000 | (data & 0xFFFF),
        "SCMP_ACT_TRAP": 0x00030000,
        "SCMP_ACT_KILL": 0x00000000,
        "SCMP_ACT_KILL_THREAD": 0x00000000,
        "SCMP_ACT_KILL_PROCESS": 0x80000000,
    }
    if action not in known:
        raise errors.RunError(f"the own runner cannot do the seccomp action {action}: use --runtime crun")
    return known[action]


def _rules(document: Mapping[str, Any], table: str, default: int) -> dict[int, list[_Rule]]:
    """Return what holds for each call, rules with conditions first, without names that the machine does not have."""
    known = numbers(table)
    found: dict[int, list[_Rule]] = {}
    for entry in document.get("syscalls") or ():
        result = _result(entry["action"], entry.get("errnoRet"))
        if result == default:
            continue
        for rule in _alternatives(result, entry.get("args") or ()):
            for name in entry["names"]:
                if name in known:
                    found.setdefault(known[name], []).append(rule)
    return {number: sorted(rules, key=lambda rule: not rule.arguments) for number, rules in found.items()}


def _alternatives(result: int, arguments: Sequence[Mapping[str, Any]]) -> list[_Rule]:
    """Return one rule, all of whose conditions have to hold; where two are about one argument, one for each of them."""
    if len({one["index"] for one in arguments}) == len(arguments):
        return [_Rule(result, tuple(arguments))]
    return [_Rule(result, (one,)) for one in arguments]


def _return(result: int) -> _Instruction:
    return _Instruction(_RETURN, 0, 0, result)


def _unless(code: int, value: int, body: _Program) -> _Program:
    """Return a test that runs into the body where it holds, and over it where not."""
    if len(body) <= 255:
        return [_Instruction(code, 0, len(body), value), *body]
    return [_Instruction(code, 1, 0, value), _Instruction(_JUMP, 0, 0, len(body)), *body]


def _architecture(rules: Mapping[int, Sequence[_Rule]], default: int, x32: bool) -> _Program:
    # Neighbours of which the same is said are one leaf: (first number, what is done).
    leaves: list[tuple[int, _Program]] = [(0, [_return(default)])]
    for number in sorted({*rules, *(number + 1 for number in rules)}):
        body = _body(rules.get(number, ()), default)
        if leaves[-1][0] == number:
            leaves[-1] = (number, body)
        elif leaves[-1][1] != body:
            leaves.append((number, body))
    if x32:
        leaves.append((_X32, [_return(default)]))
    return [_Instruction(_LOAD, 0, 0, _NUMBER), *_tree(leaves)]


def _tree(leaves: Sequence[tuple[int, _Program]]) -> _Program:
    if len(leaves) == 1:
        return list(leaves[0][1])
    middle = len(leaves) // 2
    left, right = _tree(leaves[:middle]), _tree(leaves[middle:])
    border = leaves[middle][0]
    if len(left) <= 255:
        return [_Instruction(_JGE, len(left), 0, border), *left, *right]
    return [_Instruction(_JGE, 0, 1, border), _Instruction(_JUMP, 0, 0, len(left)), *left, *right]


def _body(rules: Sequence[_Rule], default: int) -> _Program:
    program: _Program = []
    for rule in rules:
        if not rule.arguments:
            return [*program, _return(rule.result)]
        program += _conditional(rule)
    return [*program, _return(default)]


def _conditional(rule: _Rule) -> _Program:
    """Return the result where all conditions hold; else run on behind it."""
    program: _Program = [_return(rule.result)]
    for condition in reversed(rule.arguments):
        program = [*_condition(condition, len(program)), *program]
    return program


def _condition(condition: Mapping[str, Any], rest: int) -> _Program:
    """Return a test of an argument of 64 bits that runs on where it holds, and over ``rest`` more where not."""
    operator, index, value = condition["op"], condition["index"], condition["value"] % (1 << 64)
    if not 0 <= index <= 5:
        raise errors.RunError(f"a seccomp profile asks for argument {index} of a system call: there are 0 to 5")
    low = _ARGUMENTS + 8 * index
    high = low + 4

    def load(offset: int) -> _Instruction:
        return _Instruction(_LOAD, 0, 0, offset)

    def test(code: int, number: int, true: int, false: int) -> _Instruction:
        return _Instruction(code, true, false, number)

    top, bottom = value >> 32, value & 0xFFFFFFFF
    if operator == "SCMP_CMP_MASKED_EQ":
        wanted = condition.get("valueTwo", 0) % (1 << 64)
        return [
            load(high),
            _Instruction(_AND, 0, 0, top),
            test(_JEQ, wanted >> 32, 0, rest + 3),
            load(low),
            _Instruction(_AND, 0, 0, bottom),
            test(_JEQ, wanted & 0xFFFFFFFF, 0, rest),
        ]
    if operator == "SCMP_CMP_EQ":
        return [load(high), test(_JEQ, top, 0, rest + 2), load(low), test(_JEQ, bottom, 0, rest)]
    if operator == "SCMP_CMP_NE":
        return [load(high), test(_JEQ, top, 0, 2), load(low), test(_JEQ, bottom, rest, 0)]
    compared = {
        "SCMP_CMP_GT": (_JGT, True),
        "SCMP_CMP_GE": (_JGE, True),
        "SCMP_CMP_LE": (_JGT, False),
        "SCMP_CMP_LT": (_JGE, False),
    }.get(operator)
    if compared is None:
        raise errors.RunError(f"a seccomp profile has the operator {operator}, which is none")
    code, positive = compared
    # The upper halves decide unless they are equal.
    greater, smaller = (3, rest + 2) if positive else (rest + 3, 2)
    last = test(code, bottom, 0, rest) if positive else test(code, bottom, rest, 0)
    return [load(high), test(_JGT, top, greater, 0), test(_JEQ, top, 0, smaller), load(low), last]
