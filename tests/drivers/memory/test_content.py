"""Content in parts against a plain byte string: any writes, cuts and copies, no byte wrong and none shared too much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from overlaykit_memory._content import PART
from overlaykit_memory._node import File

OFFSETS = st.one_of(st.integers(0, 300), st.integers(PART - 3, PART + 3), st.integers(0, 4 * PART))
DATA = st.builds(lambda size, byte: bytes([byte]) * size, st.one_of(st.integers(1, 9), OFFSETS), st.integers(1, 255))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), OFFSETS, DATA),
        st.tuples(st.just("truncate"), OFFSETS, st.none()),
        st.tuples(st.just("replace"), st.none(), DATA),
        st.tuples(st.just("settle"), st.none(), st.none()),
        st.tuples(st.just("copy"), st.none(), st.none()),
    ),
    max_size=12,
)


@given(STEPS)
def test_bytes_are_bytes(steps: list[tuple[str, int, bytes]]) -> None:
    file = File(1, 0o100644, 0, 0, 0, (1, "f"))
    expected = b""
    frozen: list[tuple[File, bytes]] = []
    for what, offset, data in steps:
        if what == "write":
            file.write(offset, memoryview(data))
            expected = expected.ljust(offset, b"\0")
            expected = expected[:offset] + data + expected[offset + len(data) :]
        elif what == "truncate":
            file.truncate(offset)
            expected = expected[:offset].ljust(offset, b"\0")
        elif what == "replace":
            file.replace(data)
            expected = data
        elif what == "settle":
            file.settle()
        else:
            frozen.append((file, expected))
            file = file.copy()
        assert file.size == len(expected)
        assert file.content() == expected
    for copy, content in [*frozen, (file, expected)]:
        assert copy.content() == content
        assert copy.read(5, 7) == content[5:12]
        assert copy.read(PART - 2, PART) == content[PART - 2 : 2 * PART - 2]
        assert 0 <= copy.blocks * 512 <= len(content) + 4096
        assert copy.same_content(copy.copy())
        other = File(2, 0o100644, 0, 0, 0, (1, "g"))
        other.replace(content)
        assert copy.same_content(other)
        if content:
            other.replace(content[:-1] + bytes([content[-1] ^ 1]))
            assert not copy.same_content(other)
