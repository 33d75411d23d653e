"""Seccomp profiles as programs for seccomp(2).

libseccomp takes longer to make such a program than a container takes to start. Here the numbers of the system calls
become ranges that have one answer, found by halving: a dozen comparisons instead of hundreds, at every call.
"""

from __future__ import annotations

import functools
import json
import struct

from ._syscalls import ARCHITECTURES, numbers

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = ["compile_seccomp"]

# linux/bpf_common.h
_LOAD, _EQUAL, _GREATER, _AT_LEAST, _AND, _JUMP, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x54, 0x05, 0x06
# struct seccomp_data
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_FARTHEST = 255
_X32 = 0x40000000
_LONGEST = 4096
"""BPF_MAXINSNS."""

_ACTIONS = {
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
}
_KILL_PROCESS = _ACTIONS["SCMP_ACT_KILL_PROCESS"]

Instruction = tuple[int, int, int, int]
"""Code, offset where true, offset where false, constant."""

Answer = int | tuple[tuple[tuple[tuple[int, str, int, int], ...], int], ...]
"""A return value; or pairs of conditions and return value of which the first that holds counts, the last without."""


def compile_seccomp(section: Mapping[str, Any], machine: str) -> bytes | None:
    """Return the program for ``linux.seccomp`` of a bundle.

    Calls of an architecture that the section does not name kill the process, as libseccomp does it; so do those of one
    that has no table here (32-bit ARM). x32 calls have the default answer. Of rules for one call, those with arguments
    come first, in their order.

    :param machine: as :func:`os.uname` has it.
    :returns: an array of ``struct sock_filter``; ``None`` where the section has what this cannot express: another
        machine, actions that need a supervisor, flags, or a program that is too long.
    """
    return _compile(json.dumps(section, sort_keys=True), machine)


@functools.lru_cache(maxsize=16)
def _compile(text: str, machine: str) -> bytes | None:
    section = json.loads(text)
    native = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}.get(machine)
    if native is None or section.get("flags"):
        return None
    try:
        default = _value(section["defaultAction"], section.get("defaultErrnoRet"))
        program = [(_LOAD, 0, 0, _ARCHITECTURE)]
        for name in dict.fromkeys((native, *section.get("architectures", ()))):
            if name not in ARCHITECTURES:
                continue
            block = [(_LOAD, 0, 0, _NUMBER)]
            if name == "SCMP_ARCH_X86_64":
                block += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, default)]
            block += _search(_ranges(_answers(section.get("syscalls", ()), numbers(name), default), default))
            program += [(_EQUAL, 1, 0, ARCHITECTURES[name]), (_JUMP, 0, 0, len(block)), *block]
        program.append((_RETURN, 0, 0, _KILL_PROCESS))
    except _NotHereError:
        return None
    if len(program) > _LONGEST:
        return None
    return b"".join(struct.pack("=HBBI", *one) for one in program)


class _NotHereError(Exception):
    """The section has what this cannot express."""


def _value(action: str, errno: int | None) -> int:
    if action == "SCMP_ACT_ERRNO":
        return 0x00050000 | ((1 if errno is None else errno) & 0xFFFF)
    if action == "SCMP_ACT_TRACE":
        return 0x7FF00000 | ((1 if errno is None else errno) & 0xFFFF)
    try:
        return _ACTIONS[action]
    except KeyError:
        raise _NotHereError from None


def _answers(rules: Sequence[Mapping[str, Any]], table: Mapping[str, int], default: int) -> dict[int, Answer]:
    plain: dict[int, int] = {}
    guarded: dict[int, list[tuple[tuple[tuple[int, str, int, int], ...], int]]] = {}
    for rule in rules:
        value = _value(rule["action"], rule.get("errnoRet"))
        conditions = tuple(
            (int(one["index"]), str(one["op"]), int(one["value"]), int(one.get("valueTwo") or 0))
            for one in rule.get("args") or ()
        )
        for name in rule["names"]:
            number = table.get(name)
            if number is None:  # no such call on this architecture
                continue
            if conditions:
                guarded.setdefault(number, []).append((conditions, value))
            else:
                plain.setdefault(number, value)
    found: dict[int, Answer] = dict(plain)
    for number, entries in guarded.items():
        found[number] = (*entries, ((), plain.get(number, default)))
    return found


def _ranges(answers: Mapping[int, Answer], default: int) -> list[tuple[int, Answer]]:
    """Return where each answer begins; it goes on to the next one."""
    found: list[tuple[int, Answer]] = [(0, default)]
    next_number = 0
    for number in sorted(answers):
        if number > next_number and found[-1][1] != default:
            found.append((next_number, default))
        if found[-1][1] != answers[number]:
            if found[-1][0] == number:
                found.pop()
            found.append((number, answers[number]))
        next_number = number + 1
    if found[-1][1] != default:
        found.append((next_number, default))
    return found


def _search(ranges: Sequence[tuple[int, Answer]]) -> list[Instruction]:
    if len(ranges) == 1:
        return _leaf(ranges[0][1])
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(below) <= _FARTHEST:
        return [(_AT_LEAST, len(below), 0, first), *below, *above]
    return [(_AT_LEAST, 0, 1, first), (_JUMP, 0, 0, len(below)), *below, *above]


def _leaf(answer: Answer) -> list[Instruction]:
    if isinstance(answer, int):
        return [(_RETURN, 0, 0, answer)]
    made: list[Instruction] = []
    for conditions, value in answer:
        # Built from the end: each condition jumps over what is left of its rule where it does not hold.
        rule: list[Instruction] = [(_RETURN, 0, 0, value)]
        for condition in reversed(conditions):
            rule = [*_condition(*condition, len(rule)), *rule]
        made += rule
    return made


def _condition(index: int, op: str, value: int, second: int, skip: int) -> list[Instruction]:
    """Compare a 64-bit argument by its halves, the high one first; fall through where it holds, else skip."""
    if not 0 <= index <= 5 or skip + 8 > _FARTHEST:
        raise _NotHereError
    low = _ARGUMENTS + 8 * index  # both machines are little-endian
    mask = (1 << 64) - 1
    if op == "SCMP_CMP_MASKED_EQ":
        mask, value = value & mask, second
    value &= (1 << 64) - 1
    high_value, low_value = value >> 32, value & 0xFFFFFFFF
    load_high, load_low = (_LOAD, 0, 0, low + 4), (_LOAD, 0, 0, low)
    if op in ("SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"):
        last = [load_low, (_AND, 0, 0, mask & 0xFFFFFFFF), (_EQUAL, 0, skip, low_value)]
        return [load_high, (_AND, 0, 0, mask >> 32), (_EQUAL, 0, len(last) + skip, high_value), *last]
    if op == "SCMP_CMP_NE":
        return [load_high, (_EQUAL, 0, 2, high_value), load_low, (_EQUAL, skip, 0, low_value)]
    # A high half that differs decides; one that is equal leaves it to the low half.
    code, holds = {
        "SCMP_CMP_GT": (_GREATER, True),
        "SCMP_CMP_GE": (_AT_LEAST, True),
        "SCMP_CMP_LE": (_GREATER, False),
        "SCMP_CMP_LT": (_AT_LEAST, False),
    }.get(op, (0, False))
    if not code:
        raise _NotHereError
    final = (code, 0, skip, low_value) if holds else (code, skip, 0, low_value)
    more, less = (3, skip + 2) if holds else (skip + 3, 2)
    return [load_high, (_GREATER, more, 0, high_value), (_EQUAL, 0, less, high_value), load_low, final]
