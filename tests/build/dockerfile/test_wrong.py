"""Wrong Dockerfiles: each says what is wrong and the way out, and shows the place."""

from __future__ import annotations

import pickle

import pytest

from overlaykit import DockerfileError
from overlaykit.build.dockerfile import Globals, parse, parse_triggers, plan


def understand(text: str | bytes, **options: str) -> None:
    """Read a Dockerfile to the end, as a build does."""
    dockerfile = parse(text)
    known = Globals(dockerfile)
    planned = plan(dockerfile, known, **options)
    for one in planned.stages:
        scope = known.scope(one.stage, environment={"PATH": "/bin"})
        for instruction in one.stage.instructions:
            scope.resolve(instruction)


ZEROS = "0" * 64

#: The Dockerfile; line, column and what stands above the caret to the end of the line; the message.
CASES = [
    # -- the file
    ("", 1, 1, "", "there is no FROM: begin with FROM IMAGE or FROM scratch"),
    ("# nothing\n\n", 1, 1, "# nothing", "there is no FROM: begin with FROM IMAGE or FROM scratch"),
    ("ARG A=1\n", 1, 1, "ARG A=1", "there is no FROM: begin with FROM IMAGE or FROM scratch"),
    ("RUN ls\nFROM a", 1, 1, "RUN ls", "RUN stands before the first FROM: only ARG may"),
    ("ARG A\n  COPY a b\nFROM a", 2, 3, "COPY a b", "COPY stands before the first FROM: only ARG may"),
    (b"\xff\xfeF\0R\0", 1, 1, "", "this is UTF-16: save the file as UTF-8"),
    (b"FROM a\nRUN caf\xe9", 2, 8, "?", "this is not UTF-8: save the file as UTF-8"),
    (b"FROM a\nRUN <<E\n\xe9\nE", 3, 1, "?", "this is not UTF-8: save the file as UTF-8"),
    (b"FROM a\nRUN a\0b", 2, 6, "\0b", "this is a NUL: remove it"),
    # -- directives
    ("# escape=x\nFROM a", 1, 10, "x", "'x' is no escape character: take \\ or `"),
    ("#syntax=a\n#SYNTAX=b\nFROM a", 2, 2, "SYNTAX=b", "the directive syntax is there twice: leave one out"),
    ("# check=foo\nFROM a", 1, 9, "foo", "'foo' is nothing to check: write skip=RULE,... or error=true"),
    ("# check=skip=all;error=maybe\nFROM a", 1, 18, "error=maybe", "error is true or false, not 'maybe'"),
    # -- instructions
    ("FORM a", 1, 1, "FORM a", "unknown instruction 'FORM'; did you mean FROM?"),
    ("FROM a\n\tRUM ls", 2, 2, "RUM ls", "unknown instruction 'RUM'; did you mean RUN?"),
    ("FROM a\nentrypont ls", 2, 1, "entrypont ls", "unknown instruction 'entrypont'; did you mean ENTRYPOINT?"),
    (
        "FROM a\nRUN a &&\n  b",
        3,
        3,
        "b",
        "unknown instruction 'b'; an instruction is a word such as RUN or COPY at the line's beginning",
    ),
    ("FROM a\n\\\n", 2, 1, "\\", "nothing follows the escape character: remove it"),
    # -- FROM
    ("FROM", 1, 1, "FROM", "FROM takes one or three arguments: write FROM IMAGE or FROM IMAGE AS NAME"),
    ("FROM a b", 1, 8, "b", "FROM takes one or three arguments: write FROM IMAGE or FROM IMAGE AS NAME"),
    ("FROM a AS", 1, 8, "AS", "FROM takes one or three arguments: write FROM IMAGE or FROM IMAGE AS NAME"),
    (
        "FROM a AS 1st",
        1,
        11,
        "1st",
        "'1st' is no name of a stage: a letter, then letters, digits, . _ or -",
    ),
    ("FROM --plattform=x a", 1, 6, "--plattform=x a", "unknown flag --plattform; did you mean --platform?"),
    (
        "FROM --platform=linux a",
        1,
        17,
        "linux a",
        "'linux' is no platform: write it as linux/amd64 or linux/arm/v7",
    ),
    (
        "FROM $A",
        1,
        6,
        "$A",
        "the base's name is empty after $A was expanded: set it with an ARG before the FROM",
    ),
    (
        "FROM Debian",
        1,
        6,
        "Debian",
        "'Debian' is no reference",
    ),
    # -- RUN
    ("FROM a\nRUN", 2, 1, "RUN", "RUN needs at least one argument: write RUN COMMAND"),
    ("FROM a\nRUN []", 2, 5, "[]", "the list is empty: RUN needs a program to run"),
    ('FROM a\nRUN ["ls", 1]', 2, 12, "1]", "a list in JSON has only strings here: put it in double quotes"),
    ("FROM a\nRUN --mont=type=bind ls", 2, 5, "--mont=type=bind ls", "unknown flag --mont; did you mean --mount?"),
    ("FROM a\nRUN --mount ls", 2, 5, "--mount ls", "the flag --mount has no value: write --mount=VALUE"),
    (
        "FROM a\nRUN --mount=type=cach,target=/x ls",
        2,
        13,
        "type=cach,target=/x ls",
        "type is bind, cache, tmpfs, secret, ssh, not 'cach'; did you mean cache?",
    ),
    (
        "FROM a\nRUN --mount=type=cache ls",
        2,
        13,
        "type=cache ls",
        "a mount of type cache has no target: write target=PATH",
    ),
    (
        "FROM a\nRUN --mount=type=tmpfs,target=/ ls",
        2,
        24,
        "target=/ ls",
        "nothing can be mounted over /: mount it below",
    ),
    (
        "FROM a\nRUN --mount=type=bind,tarjet=/x ls",
        2,
        23,
        "tarjet=/x ls",
        "a mount has no option 'tarjet'; did you mean target?",
    ),
    (
        "FROM a\nRUN --mount=type=tmpfs,target=/x,mode=1 ls",
        2,
        34,
        "mode=1 ls",
        "a mount of type tmpfs has no mode; it has target, size, readonly, readwrite",
    ),
    (
        "FROM a\nRUN --mount=type=cache,target=/x,sharing=own ls",
        2,
        34,
        "sharing=own ls",
        "sharing is shared, private, locked, not 'own'",
    ),
    (
        "FROM a\nRUN --mount=type=cache,target=/x,mode=9 ls",
        2,
        34,
        "mode=9 ls",
        "mode is an octal number, not '9'",
    ),
    (
        "FROM a\nRUN --mount=type=tmpfs,target=/x,size=big ls",
        2,
        34,
        "size=big ls",
        "size is a number of bytes, as 64m or 1g, not 'big'",
    ),
    ("FROM a\nRUN --mount=type=secret ls", 2, 13, "type=secret ls", "a secret has no id: write id=ID"),
    (
        "FROM a\nRUN --mount=type=bind,target=/x,rw=perhaps ls",
        2,
        33,
        "rw=perhaps ls",
        "readwrite is true or false, not 'perhaps'",
    ),
    (
        "FROM a\nRUN --mount=from=$X,target=/x ls",
        2,
        18,
        "$X,target=/x ls",
        "from= has no variables: name a stage with FROM $NAME AS, and take that",
    ),
    ("FROM a\nRUN --network=off ls", 2, 15, "off ls", "--network is default, none, host, not 'off'"),
    ("FROM a\nRUN --security=no ls", 2, 16, "no ls", "--security is sandbox, insecure, not 'no'"),
    (
        "FROM a\nRUN --network=none --network=host ls",
        2,
        20,
        "--network=host ls",
        "the flag --network is there twice: leave one out",
    ),
    (
        "FROM a\nRUN <<EOF\nls\n",
        2,
        5,
        "<<EOF",
        "the here-document EOF does not end: write EOF in a line of its own",
    ),
    # -- COPY and ADD
    ("FROM a\nCOPY a", 2, 6, "a", "COPY needs a source and a target: write COPY SOURCE TARGET"),
    ("FROM a\nADD", 2, 1, "ADD", "ADD needs a source and a target: write ADD SOURCE TARGET"),
    ('FROM a\nCOPY ["a"]', 2, 8, 'a"]', "COPY needs a source and a target: write COPY SOURCE TARGET"),
    (
        "FROM a\nCOPY a <<E\nE",
        2,
        8,
        "<<E",
        "a here-document is no target: write COPY <<NAME TARGET",
    ),
    (
        "FROM a\nADD --from=b c d",
        2,
        5,
        "--from=b c d",
        "unknown flag --from; there is --chown, --chmod, --checksum, --link, --keep-git-dir, --unpack, --exclude",
    ),
    (
        "FROM a\nCOPY --from=$B c d",
        2,
        13,
        "$B c d",
        "variables are not expanded in --from: write FROM $NAME AS ALIAS, and copy from that",
    ),
    ("FROM a\nCOPY --from=7 c d", 2, 13, "7 c d", "there is no stage 7: they count from 0 to 0"),
    ("FROM a\nCOPY --link=yes c d", 2, 13, "yes c d", "--link is true or false, not 'yes'"),
    ("FROM a\nCOPY --chmod=888 c d", 2, 14, "888 c d", "'888' is no mode: write it as 755 or u=rwX,go=rX"),
    (
        "FROM a\nCOPY --chown=a:b:c c d",
        2,
        14,
        "a:b:c c d",
        "'a:b:c' is no owner: write it as USER or USER:GROUP, by name or number",
    ),
    (
        "FROM a\nADD --checksum=md5:1 http://x/y /z",
        2,
        16,
        "md5:1 http://x/y /z",
        "'md5:1' is no digest: write sha256: and 64 hexadecimal digits",
    ),
    (
        'FROM a\nCOPY "a b" c',
        2,
        6,
        '"a b" c',
        'the quote " does not end: write another one, or escape it',
    ),
    # -- ENV, LABEL, ARG
    ("FROM a\nENV", 2, 1, "ENV", "ENV needs at least one argument: write ENV NAME=VALUE"),
    ("FROM a\nENV A", 2, 5, "A", "ENV has a name and a value: write A=VALUE"),
    ("FROM a\nENV A=1 B", 2, 9, "B", "there is no = in 'B': write NAME=VALUE, and quote blanks"),
    ("FROM a\nLABEL =x", 2, 7, "=x", "there is no name before the =: LABEL takes NAME=VALUE"),
    ("FROM a\nENV --x A=1", 2, 5, "--x A=1", "unknown flag --x; there is none here"),
    ("FROM a\nARG", 2, 1, "ARG", "ARG needs at least one argument: write ARG NAME or ARG NAME=DEFAULT"),
    ("FROM a\nARG =1", 2, 5, "=1", "there is no name before the =: ARG takes NAME or NAME=DEFAULT"),
    ("FROM a\nENV $A=1", 2, 5, "$A=1", "the name is empty after $A was expanded: set the variable"),
    # -- variables
    ("FROM a\nENV A=${B", 2, 7, "${B", "${ does not end: write } after the name"),
    ("FROM a\nENV A=x${}", 2, 8, "${}", "there is no name after ${: write ${NAME}"),
    (
        "FROM a\nENV A=${B:?so it goes}",
        2,
        15,
        "it goes}",
        "there is no = in 'it': write NAME=VALUE, and quote blanks",
    ),
    ('FROM a\nENV A="${B:?so it goes}"', 2, 8, '${B:?so it goes}"', "B: so it goes"),
    ("FROM a\nENV A=${B?}", 2, 7, "${B?}", "B: it is not set"),
    ("FROM a\nENV B=\nENV A=${B:?}", 3, 7, "${B:?}", "B: it is empty"),
    (
        "FROM a\nENV A=${B^^}",
        2,
        7,
        "${B^^}",
        "${B^ is no form that there is: see -, +, ?, #, % and / in the reference",
    ),
    ("FROM a\nENV A=${B:-c", 2, 7, "${B:-c", "${ does not end: there is no }"),
    ("FROM a\nENV A=${B/c}", 2, 7, "${B/c}", "${ does not end: there is no /"),
    (
        "FROM a\nENV A=${PATH#\\x}",
        2,
        7,
        "${PATH#\\x}",
        "\\x in a pattern: only *, ?, \\, / and } need a backslash",
    ),
    ("FROM a\nWORKDIR it's", 2, 11, "'s", "the quote ' does not end: write another one, or escape it"),
    ("FROM a\nENV A=1 \\\n  B='x", 3, 5, "'x", "the quote ' does not end: write another one, or escape it"),
    ("FROM a\nCOPY <<E /x\na\n${\nE", 4, 1, "${", "there is no name after ${: write ${NAME}"),
    # -- the rest
    ("FROM a\nWORKDIR", 2, 1, "WORKDIR", "WORKDIR needs at least one argument: write WORKDIR PATH"),
    ("FROM a\nWORKDIR $X", 2, 9, "$X", "the path is empty after $X was expanded: set the variable"),
    ("FROM a\nUSER", 2, 1, "USER", "USER needs at least one argument: write USER NAME"),
    ("FROM a\nEXPOSE", 2, 1, "EXPOSE", "EXPOSE needs at least one argument: write EXPOSE PORT"),
    ("FROM a\nEXPOSE 80 http", 2, 11, "http", "'http' is no port: write it as 80, 53/udp or 8000-8005/tcp"),
    ("FROM a\nEXPOSE 70000", 2, 8, "70000", "there is no port 70000: the last is 65535"),
    ("FROM a\nEXPOSE 9-8", 2, 8, "9-8", "the range 9-8 goes backwards: write 8-9"),
    ("FROM a\nEXPOSE 80/icmp", 2, 8, "80/icmp", "there is no protocol 'icmp': take tcp, udp or sctp"),
    ("FROM a\nVOLUME []", 2, 1, "VOLUME []", "VOLUME needs at least one argument: write VOLUME PATH"),
    ('FROM a\nVOLUME ["/x", " "]', 2, 16, ' "]', "the path of a VOLUME is empty: write VOLUME PATH"),
    (
        "FROM a\nSHELL /bin/sh -c",
        2,
        7,
        "/bin/sh -c",
        'SHELL takes a list of strings in JSON: write SHELL ["/bin/sh", "-c"]',
    ),
    ("FROM a\nSTOPSIGNAL SIGFOO", 2, 12, "SIGFOO", "there is no signal 'SIGFOO': write it as SIGTERM or 15"),
    ("FROM a\nCMD", 2, 1, "CMD", "CMD needs at least one argument: write CMD COMMAND"),
    ("FROM a\nENTRYPOINT --x", 2, 12, "--x", "unknown flag --x; there is none here"),
    (
        "FROM a\nHEALTHCHECK",
        2,
        1,
        "HEALTHCHECK",
        "HEALTHCHECK needs at least one argument: write HEALTHCHECK CMD COMMAND or HEALTHCHECK NONE",
    ),
    ("FROM a\nHEALTHCHECK CMD", 2, 13, "CMD", "nothing follows HEALTHCHECK CMD: write a command"),
    ("FROM a\nHEALTHCHECK NONE x", 2, 18, "x", "HEALTHCHECK NONE takes no arguments: leave them out"),
    (
        "FROM a\nHEALTHCHECK curl x",
        2,
        13,
        "curl x",
        "there is no HEALTHCHECK curl; write HEALTHCHECK CMD COMMAND or HEALTHCHECK NONE",
    ),
    ("FROM a\nHEALTHCHECK --interval=5 CMD x", 2, 24, "5 CMD x", "'5' is no time: write it as 30s or 1m30s"),
    (
        "FROM a\nHEALTHCHECK --timeout=5us CMD x",
        2,
        23,
        "5us CMD x",
        "5us is less than a millisecond: take 1ms at least",
    ),
    ("FROM a\nHEALTHCHECK --retries=-1 CMD x", 2, 23, "-1 CMD x", "--retries is a number, not '-1'"),
    ("FROM a\nONBUILD", 2, 1, "ONBUILD", "ONBUILD needs at least one argument: write ONBUILD INSTRUCTION"),
    ("FROM a\nONBUILD FROM b", 2, 9, "FROM b", "FROM is not allowed as a trigger of ONBUILD: leave it out"),
    (
        "FROM a\nONBUILD ONBUILD RUN x",
        2,
        9,
        "ONBUILD RUN x",
        "ONBUILD is not allowed as a trigger of ONBUILD: leave it out",
    ),
    ("FROM a\nONBUILD CPY a b", 2, 9, "CPY a b", "unknown instruction 'CPY'; did you mean COPY?"),
    ("FROM a\nMAINTAINER", 2, 1, "MAINTAINER", "MAINTAINER needs at least one argument: write MAINTAINER NAME"),
    # -- stages
    ("FROM a AS b\nCOPY --from=b x y", 2, 13, "b x y", "stages need each other in a circle: b needs b; break it"),
    (
        "FROM a AS b\nCOPY --from=c x y\nFROM b AS c",
        3,
        6,
        "b AS c",
        "stages need each other in a circle: b needs c needs b; break it",
    ),
    (
        "FROM a AS x\nRUN --mount=from=z,target=/m ls\nFROM a AS y\nCOPY --from=x / /\nFROM a AS z\nCOPY --from=1 / /",
        4,
        13,
        "x / /",
        "stages need each other in a circle: x needs z needs y needs x; break it",
    ),
    (
        "FROM a AS b\nCOPY --from=c x y\nFROM a AS c\nFROM b",
        2,
        13,
        "c x y",
        "the stage c comes after this one: move it before it",
    ),
]


@pytest.mark.parametrize(("text", "line", "column", "shown", "message"), CASES, ids=range(len(CASES)))
def test_it_says_what_and_where(text: str | bytes, line: int, column: int, shown: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        understand(text)
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert str(error).startswith(f"Dockerfile:{line}:{column}: {message}")
    assert "\n" not in str(error)
    above, caret = error.shown().split("\n")
    assert above[len(caret) - 1 :] == shown
    assert caret.strip() == "^"
    assert pickle.loads(pickle.dumps(error)).shown() == error.shown()


def test_there_are_enough_of_them() -> None:
    assert len({(text, message) for text, *_, message in CASES}) >= 60


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("biuld", "there is no stage 'biuld' to build; did you mean build?"),
        ("2", "there is no stage '2' to build; there is build"),
        ("", "there is no stage '' to build; there is build"),
    ],
)
def test_a_target_that_there_is_not(target: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=f"^Dockerfile:2:1: {message[:-1]}."):
        understand("FROM a AS build\nFROM b", target=target)


def test_a_stage_that_there_is_not_is_an_image_or_a_slip() -> None:
    with pytest.raises(DockerfileError, match=r"did you mean builder\?$"):
        understand("FROM a AS builder\nFROM b\nCOPY --from=Bilder x y")


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        ("FROM x", "ONBUILD of img:1:1: FROM is not allowed as a trigger of ONBUILD"),
        ("ONBUILD RUN x", "ONBUILD of img:1:1: ONBUILD is not allowed as a trigger of ONBUILD"),
        ("RUN x\nRUN y", "ONBUILD of img:1:1: a trigger is one instruction, not 2: build img again"),
        ("", "ONBUILD of img:1:1: a trigger is one instruction, not 0: build img again"),
        ("RUN", "ONBUILD of img:1:1: RUN needs at least one argument: write RUN COMMAND"),
    ],
)
def test_a_wrong_trigger_names_its_image(trigger: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_triggers([trigger], image="img")
    assert str(caught.value) == message


def test_the_caret_stands_right_below_tabs() -> None:
    with pytest.raises(DockerfileError) as caught:
        understand("FROM a\n\tEXPOSE\tx")
    assert caught.value.shown() == "\tEXPOSE\tx\n\t      \t^"


def test_the_file_is_called_as_the_caller_says() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("X", name="docker/app.Dockerfile")
    assert caught.value.file == "docker/app.Dockerfile"
    assert str(caught.value).startswith("docker/app.Dockerfile:1:1: ")
