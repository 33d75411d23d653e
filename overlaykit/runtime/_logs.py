"""What a container wrote, kept in files of bounded size, each line with its time and its stream.

The form of a record is that of the Kubernetes container runtime interface (CRI): ``TIME STREAM TAG TEXT``, where the
tag is ``F`` for the end of a line and ``P`` for a part of one that goes on. So a prompt is to be seen although no
line has ended. Files are numbered, and what follows reads one after the other: none is ever renamed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from typing import TYPE_CHECKING, Literal

from ..values import value_class
from ._times import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

__all__ = ["LogEntry", "LogLimits", "LogReader", "LogWriter", "Stream"]

Stream = Literal["stdout", "stderr"]

_LONGEST = 16 * 1024
"""Bytes of a line in one record; as much as Docker and the kubelet take."""

_BLOCK = 64 * 1024

_HEAD = 64
"""Bytes that have a record's time, stream and tag in them."""


@value_class
class LogLimits:
    """How much is kept: the oldest goes first, a file at a time.

    :param size: bytes in one file.
    :param files: how many files, at least 1; the defaults are those of Docker's ``local`` log driver.
    """

    size: int = 20 * 1024 * 1024
    files: int = 5


@value_class
class LogEntry:
    """Something that was written, at most one line.

    :param time: nanoseconds since the epoch.
    :param data: the bytes, with the newline where the line ends.
    :param begins: whether a line begins with it.
    """

    time: int
    stream: Stream
    data: bytes
    begins: bool


class LogWriter:
    """Writes the log. A log that cannot be written never stops the container: what is lost is counted, and noted
    once there is space again.

    :param directory: where the files are; made if it is missing.
    """

    def __init__(self, directory: str | os.PathLike[str], limits: LogLimits) -> None:
        self._directory = os.fspath(directory)
        self._limits = limits
        os.makedirs(self._directory, 0o700, exist_ok=True)
        self._partial: dict[Stream, bytes] = {}
        self._lost = 0
        self._descriptor = -1
        self._size = 0
        numbers = _numbers(self._directory)
        # What a killed writer left may end within a record.
        self._number = numbers[-1] if numbers else 0
        self._open_next()

    @property
    def pending(self) -> bool:
        """Whether the begin of a line waits for its end; :meth:`flush` does not wait."""
        return bool(self._partial)

    def write(self, stream: Stream, data: bytes) -> None:
        """Append what was written to a stream; the last line waits for its end if it has none."""
        lines = (self._partial.pop(stream, b"") + data).split(b"\n")
        rest = lines.pop()
        head = _head(stream)
        records = bytearray()
        for line in lines:
            while len(line) > _LONGEST:
                records += head + b"P " + line[:_LONGEST] + b"\n"
                line = line[_LONGEST:]
            records += head + b"F " + line + b"\n"
        while len(rest) >= _LONGEST:
            records += head + b"P " + rest[:_LONGEST] + b"\n"
            rest = rest[_LONGEST:]
        if rest:
            self._partial[stream] = rest
        if records:
            self._append(bytes(records))

    def flush(self) -> None:
        """Write what waits."""
        partial, self._partial = self._partial, {}
        for stream, data in partial.items():
            self._append(_head(stream) + b"P " + data + b"\n")

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._descriptor >= 0:
            self.flush()
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _append(self, records: bytes) -> None:
        if self._lost:
            note = f"[overlaykit: {self._lost} bytes of the log are lost: they could not be written]"
            records = _head("stderr") + b"F " + note.encode() + b"\n" + records
        lost, self._lost = self._lost, 0
        while records:
            room = self._limits.size - self._size
            # Many short lines that came at once: as much as there is room for, and one in an empty file in any case.
            end = len(records) if len(records) <= room else records.rfind(b"\n", 0, max(room, 0)) + 1
            if not end and self._size:
                try:
                    self._open_next()
                except OSError:
                    self._lost = lost + len(records)
                    return
                continue
            end = end or records.index(b"\n") + 1
            if not self._write(records[:end]):
                self._lost = lost + len(records)
                return
            records, lost = records[end:], 0

    def _write(self, records: bytes) -> bool:
        done = 0
        try:
            while done < len(records):
                done += os.write(self._descriptor, records[done:])
        except OSError:
            # No space left, most likely. Half a record would be taken for the begin of the next one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            return False
        self._size += len(records)
        return True

    def _open_next(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        made = os.open(os.path.join(self._directory, _name(self._number + 1)), flags, 0o600)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._number, self._size = made, self._number + 1, 0
        for number in _numbers(self._directory)[: -self._limits.files]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._directory, _name(number)))


class LogReader:
    """Reads a log, also one that is being written: each call of :meth:`entries` goes on where the last one ended.

    :param tail: begin with so many lines before the end; ``None`` for all there are.
    :param since: leave out what was written before; nanoseconds since the epoch.
    :param until: leave out what was written then and later.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        tail: int | None = None,
        since: int | None = None,
        until: int | None = None,
    ) -> None:
        self._directory = os.fspath(directory)
        self._since = since
        self._until = until
        self._continues: dict[Stream, bool] = {}
        self._file = -1
        self._number = 0
        self._position = 0
        if tail is not None:
            self._seek(tail)

    def entries(self) -> Iterator[LogEntry]:
        """Yield what is there and was not yielded yet."""
        while self._file >= 0 or self._open_after(self._number):
            yield from self._rest()
            if _numbers(self._directory)[-1:] <= [self._number]:
                return
            # Nothing more is written to it now, but something may have been meanwhile.
            yield from self._rest()
            if not self._open_after(self._number):
                return

    def close(self) -> None:
        """Close the file."""
        descriptor, self._file = self._file, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rest(self) -> Iterator[LogEntry]:
        while True:
            data = os.pread(self._file, _BLOCK, self._position)
            end = data.rfind(b"\n") + 1
            if not end:  # a record that is being written, and is read again; a block has room for several
                return
            self._position += end
            for record in data[: end - 1].split(b"\n"):
                entry = self._parse(record)
                if entry is not None:
                    yield entry

    def _open_after(self, number: int) -> bool:
        return any(self._open(found, 0) for found in _numbers(self._directory) if found > number)

    def _open(self, number: int, position: int) -> bool:
        try:
            descriptor = os.open(os.path.join(self._directory, _name(number)), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False  # given up meanwhile
        self.close()
        self._file, self._number, self._position = descriptor, number, position
        return True

    def _parse(self, record: bytes) -> LogEntry | None:
        try:
            stamp, name, tag, text = record.split(b" ", 3)
            moment = parse_time(stamp.decode("ascii"))
        except ValueError:
            return None  # the last one of a writer that was killed
        stream: Stream = "stderr" if name == b"stderr" else "stdout"
        begins = not self._continues.get(stream, False)
        self._continues[stream] = tag == b"P"
        if (self._since is not None and moment < self._since) or (self._until is not None and moment >= self._until):
            return None
        return LogEntry(moment, stream, text if tag == b"P" else text + b"\n", begins)

    def _seek(self, lines: int) -> None:
        """Go to where the last lines begin, reading from the end."""
        after: tuple[int, int] | None = None
        for number in reversed(_numbers(self._directory)):
            with contextlib.suppress(FileNotFoundError), open(self._path(number), "rb", buffering=0) as file:
                for end, head in _backwards(file.fileno()):
                    after = after or (number, end)
                    # A line that has not ended yet is one as well.
                    if head.split(b" ", 3)[2:3] == [b"F"] or end == after[1]:
                        if lines == 0:
                            self._open(number, end)
                            return
                        lines -= 1

    def _path(self, number: int) -> str:
        return os.path.join(self._directory, _name(number))


def _backwards(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """Yield the records of a file from the last one on: where each ends, and how it begins."""
    end = -1
    for newline in itertools.chain(_newlines_backwards(descriptor), (-1,)):
        if end >= 0:
            yield end, os.pread(descriptor, _HEAD, newline + 1)
        end = newline + 1


def _newlines_backwards(descriptor: int) -> Iterator[int]:
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        block = os.pread(descriptor, end - start, start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            yield start + at
        end = start


def _numbers(directory: str) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(directory) if name.isdecimal())
    except FileNotFoundError:
        return []


def _name(number: int) -> str:
    return f"{number:08d}"


def _head(stream: Stream) -> bytes:
    return f"{format_time(time.time_ns())} {stream} ".encode("ascii")
