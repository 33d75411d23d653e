"""What a container wrote is kept, found again and bounded."""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlaykit.runtime._logs import LogLimits, LogReader, LogWriter
from overlaykit.runtime._times import format_time, parse_moment, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    made = LogWriter(tmp_path / "log", LogLimits())
    yield made
    made.close()


def read(directory: Path, **options: int | None) -> bytes:
    with LogReader(directory, **options) as reader:
        return b"".join(entry.data for entry in reader.entries())


def test_lines_of_both_streams_come_back_in_order(writer: LogWriter, tmp_path: Path) -> None:
    writer.write("stdout", b"one\ntwo\n")
    writer.write("stderr", b"oops\n")
    with LogReader(tmp_path / "log") as reader:
        found = list(reader.entries())
    assert [(entry.stream, entry.data) for entry in found] == [
        ("stdout", b"one\n"),
        ("stdout", b"two\n"),
        ("stderr", b"oops\n"),
    ]
    assert all(abs(entry.time - time.time_ns()) < 60_000_000_000 for entry in found)


def test_a_prompt_is_seen_before_its_line_ends(writer: LogWriter, tmp_path: Path) -> None:
    writer.write("stdout", b"name? ")
    assert writer.pending
    assert read(tmp_path / "log") == b""
    writer.flush()
    assert not writer.pending
    with LogReader(tmp_path / "log") as reader:
        assert [entry.data for entry in reader.entries()] == [b"name? "]
        writer.write("stdout", b"Ada\nhello\n")
        assert [(entry.data, entry.begins) for entry in reader.entries()] == [(b"Ada\n", False), (b"hello\n", True)]


def test_the_last_line_is_kept_though_it_has_no_end(writer: LogWriter, tmp_path: Path) -> None:
    writer.write("stdout", b"first\nlast")
    writer.close()
    assert read(tmp_path / "log") == b"first\nlast"
    assert read(tmp_path / "log", tail=1) == b"last"


@given(
    pieces=st.lists(st.binary(max_size=200) | st.sampled_from([b"\n", b"\r\n", b"x" * 40_000, b"a\nb"]), max_size=12)
)
def test_any_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    directory = tmp_path_factory.mktemp("log")
    writer = LogWriter(directory, LogLimits())
    for number, piece in enumerate(pieces):
        writer.write("stdout", piece)
        if number % 3 == 0:
            writer.flush()
    writer.close()
    assert read(directory) == b"".join(pieces)


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 500])
def test_the_last_lines(writer: LogWriter, tmp_path: Path, count: int) -> None:
    lines = [f"line {number}\n".encode() for number in range(10)]
    for line in lines:
        writer.write("stdout", line)
    assert read(tmp_path / "log", tail=count) == b"".join(lines[len(lines) - min(count, 10) :])


def test_the_last_lines_go_over_blocks_and_files(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, LogLimits(size=100_000, files=4))
    lines = [f"{number} {'x' * (number % 300)}\n".encode() for number in range(2000)]
    for line in lines:
        writer.write("stdout", line)
    writer.close()
    assert len(os.listdir(tmp_path)) == 4
    for count in (1, 400, 900):
        assert read(tmp_path, tail=count) == b"".join(lines[-count:])


def test_a_long_line_is_one_line(writer: LogWriter, tmp_path: Path) -> None:
    writer.write("stdout", b"first\n" + b"y" * 100_000 + b"\n")
    assert read(tmp_path / "log", tail=1) == b"y" * 100_000 + b"\n"


def test_the_log_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, LogLimits(size=10_000, files=3))
    for number in range(5000):
        writer.write("stdout", f"line {number}\n".encode())
    writer.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 30_000
    assert read(tmp_path).endswith(b"line 4998\nline 4999\n")


def test_a_reader_follows_over_files(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, LogLimits(size=1_000, files=1000))
    lines = [f"line {number}\n".encode() for number in range(300)]
    with LogReader(tmp_path) as reader:
        found = []
        for number, line in enumerate(lines):
            writer.write("stdout", line)
            if number % 37 == 0:
                found += [entry.data for entry in reader.entries()]
        found += [entry.data for entry in reader.entries()]
    writer.close()
    assert found == lines


def test_a_reader_that_was_too_slow_goes_on_with_what_is_left(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, LogLimits(size=1_000, files=2))
    with LogReader(tmp_path) as reader:
        writer.write("stdout", b"first\n")
        assert [entry.data for entry in reader.entries()] == [b"first\n"]
        for number in range(300):
            writer.write("stdout", f"line {number}\n".encode())
        found = [entry.data for entry in reader.entries()]
    writer.close()
    assert found[-1] == b"line 299\n"
    assert found == [f"line {number}\n".encode() for number in range(int(found[-1 - len(found) + 1][5:]), 300)] or (
        found[0].startswith(b"line 0")
    )


def test_what_a_killed_writer_left_is_passed_over(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, LogLimits())
    writer.write("stdout", b"whole\n")
    writer.close()
    with open(tmp_path / "00000001", "ab") as file:
        file.write(b"2026-01-02T15:04:05.000000000Z stdout F ha")
    assert read(tmp_path, tail=1) == b"whole\n"
    writer = LogWriter(tmp_path, LogLimits())
    writer.write("stdout", b"next\n")
    writer.close()
    assert read(tmp_path) == b"whole\nnext\n"
    assert read(tmp_path, tail=2) == b"whole\nnext\n"


def test_since_and_until(writer: LogWriter, tmp_path: Path) -> None:
    writer.write("stdout", b"before\n")
    between = time.time_ns()
    while time.time_ns() <= between:
        pass
    writer.write("stdout", b"after\n")
    assert read(tmp_path / "log", since=between) == b"after\n"
    assert read(tmp_path / "log", until=between) == b"before\n"


def test_a_full_disk_loses_lines_and_says_so(tmp_path: Path) -> None:
    # The limit on a file's size stands for the disk: write(2) writes a part, and then fails.
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            import signal

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            writer = LogWriter(tmp_path, LogLimits())
            writer.write("stdout", b"before\n")
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
            writer.write("stdout", b"lost, as it is too long for what is left of the limit: " + b"x" * 100 + b"\n")
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            writer.write("stdout", b"after\n")
            writer.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    before, note, after = read(tmp_path).splitlines()
    assert (before, after) == (b"before", b"after")
    assert note.startswith(b"[overlaykit: ")
    assert b"bytes of the log are lost" in note


def test_thousands_of_lines_take_little_time(writer: LogWriter, tmp_path: Path) -> None:
    began = time.process_time()
    for number in range(1000):
        writer.write("stdout", f"line {number}\n".encode())
    assert sum(line.endswith(b"\n") for line in read(tmp_path / "log").splitlines(keepends=True)) == 1000
    # Of a second in which 1,000 lines come, most is the container's.
    assert time.process_time() - began < 1


@given(st.integers(min_value=0, max_value=4_000_000_000_000_000_000))
def test_times_are_exact(moment: int) -> None:
    assert parse_time(format_time(moment)) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("12.5", 12_500_000_000),
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T01:00:01.25+01:00", 1_250_000_000),
        ("10s", 90_000_000_000),
        ("1m30s", 10_000_000_000),
        ("500ms", 99_500_000_000),
    ],
)
def test_what_users_say_of_time(text: str, expected: int) -> None:
    assert parse_moment(text, now=100_000_000_000) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "10 minutes", "-5m", "2026-13-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        parse_moment(text)
