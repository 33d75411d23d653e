"""Whatever bytes come, there is a Dockerfile or a DockerfileError, and soon."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overlaykit import DockerfileError
from overlaykit.build import dockerfile as df

WORDS = [
    *("FROM a", "FROM a AS b", "FROM b", "FROM $A", "RUN x", "COPY a b", "ADD a b", "ENV A=1", "ENV A 1", "LABEL a=b"),
    *("ARG A", "ARG A=$A", "WORKDIR /", "USER a", "EXPOSE 80", "VOLUME /a", "ENTRYPOINT a", 'CMD ["a"]', "SHELL []"),
    *("STOPSIGNAL 9", "HEALTHCHECK CMD a", "HEALTHCHECK NONE", "ONBUILD RUN a", "MAINTAINER a", "# escape=`", "#"),
    *(
        "--mount=",
        "type=cache,",
        "target=/x",
        "--from=b",
        "--chmod=7",
        "--interval=1s",
        "<<E",
        "<<-'E'",
        "E",
        "$",
        "${",
    ),
    *(
        "}",
        "A",
        ":-",
        ":?",
        "#",
        "%",
        "/",
        "*",
        "?",
        "'",
        '"',
        "\\",
        "`",
        "[",
        "]",
        ",",
        "=",
        "-",
        "--",
        "\t",
        "\r",
        "\0",
    ),
    *(" ", "\n", "\n\n", "\\\n", "é", "\u2028", "\x85", "\ud800", "#!", "123", "/tcp", ":"),
]
PIECES = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=40).map("".join)
LINES = st.lists(PIECES, max_size=6).map(lambda lines: "FROM a\n" + "\n".join(lines))


ENVIRONMENTS: dict[int, dict[str, str]] = {index: {} for index in range(99)}


def read(text: str | bytes) -> None:
    parsed = df.parse(text)
    known = df.Globals(parsed)
    df.lint(parsed, known, environments=ENVIRONMENTS, ignored=lambda path: "a" in path)
    for one in df.plan(parsed, known).stages:
        scope = known.scope(one.stage, environment={"PATH": "/bin"})
        for instruction in one.stage.instructions:
            made = scope.resolve(instruction)
            if isinstance(made, df.Onbuild):
                df.parse_triggers([str(made.trigger)], image="i")


def understand(text: str | bytes) -> None:
    """Read a Dockerfile; if that fails, see that the error can be shown."""
    failed: DockerfileError | None = None
    try:
        read(text)
    except DockerfileError as error:
        failed = error
    if failed is not None:
        line, caret = failed.shown().split("\n")
        assert failed.line >= 1
        assert 1 <= failed.column == len(caret) <= len(line) + 1
        assert caret.strip() == "^"
        assert str(failed).isprintable()
        line.encode()


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(LINES | PIECES)
def test_any_text(text: str) -> None:
    understand(text)


@settings(max_examples=150, deadline=None, database=None)
@given(st.binary(max_size=200) | LINES.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes(text: bytes) -> None:
    understand(text)


@settings(max_examples=150, deadline=None, database=None)
@given(st.lists(st.sampled_from(["a", "b", "*", "?", "\n"]), max_size=8).map("".join), st.text("ab\n", max_size=12))
def test_patterns_match_as_a_slow_matcher_says(pattern: str, value: str) -> None:
    def matches(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return matches(pattern[1:], text) or (bool(text) and text[0] != "\n" and matches(pattern, text[1:]))
        wild = pattern[0] == "?" and text[:1] not in ("", "\n")
        return bool(text) and (wild or pattern[0] == text[0]) and matches(pattern[1:], text[1:])

    source = df.parse("FROM a\nARG V\nARG P\nLABEL a=${V#$P} b=${V##$P} c=${V%$P} d=${V%%$P}")
    known = df.Globals(source, build_args={"V": value, "P": pattern})
    scope = known.scope(source.stages[0], environment={})
    [*_, label] = [scope.resolve(one) for one in source.stages[0].instructions]
    assert isinstance(label, df.Label)
    # Two signs in a row at the front would be the longest match: patterns here have neither # nor %.
    fronts = [value[at:] for at in range(len(value) + 1) if matches(pattern, value[:at])]
    backs = [value[:at] for at in range(len(value), -1, -1) if matches(pattern, value[at:])]
    wanted = [*((fronts[0], fronts[-1]) if fronts else (value, value))]
    wanted += [*((backs[0], backs[-1]) if backs else (value, value))]
    assert [str(text) for _, text in label.pairs] == wanted


BIG = 30_000


@pytest.mark.parametrize(
    "text",
    [
        "RUN a \\\n" * BIG,
        "RUN x\n" * BIG,
        "ENV " + "A=1 " * BIG,
        "ENV A=" + "'x'" * BIG,
        "LABEL a=" + "$PATH" * 10_000,
        "LABEL a=" + "${" * BIG,
        "LABEL a=" + "${A:-" * BIG,
        "COPY " + "<<E " * BIG + "/x\n" + "E\n" * BIG,
        "COPY " + "a " * BIG + "/x",
        "RUN " + "--mount=target=/x " * 10_000 + "x",
        "RUN " + "[" * BIG,
        'RUN ["' + "\\u0041" * BIG,
        "RUN [" + '"a",' * BIG,
        "RUN " + "<<" * BIG,
        "RUN " + "\\" * BIG,
        "RUN " + "\\ " * BIG + "x",
        "RUN x" + " " * BIG + "y \\",
        "#\n" * BIG,
        "RUN <<E\n" + "\t\n" * BIG,
        "ONBUILD " * BIG,
        "RUN --mount=" + "," * BIG + " x",
        "EXPOSE " + "1-65535 " * 20,
        "\\\n" * BIG,
        "RUN a \\\n" + "\n" * BIG + "b",
    ],
    ids=range(24),
)
def test_large_ones_take_no_longer_than_they_are_large(text: str) -> None:
    began = time.process_time()
    understand(f"FROM a\n{text}")
    # Some hundred times what it takes; what grows with the square takes minutes.
    assert time.process_time() - began < 15
