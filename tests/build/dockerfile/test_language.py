"""What Dockerfiles say, as BuildKit understands it."""

from __future__ import annotations

import pickle
from typing import TypeVar

import pytest

from overlaykit import DockerfileError
from overlaykit.build import dockerfile as df

T = TypeVar("T", bound=df.Instruction)


def one(text: str, kind: type[T], *, head: str = "FROM a\n") -> T:
    """Return the one instruction of a stage."""
    [instruction] = df.parse(head + text).stages[0].instructions
    assert isinstance(instruction, kind)
    return instruction


# -- lines -------------------------------------------------------------------------------------------------------------


def test_directives_are_read_from_the_top_only() -> None:
    parsed = df.parse("# Syntax = docker/dockerfile:1 \n#escape=`\n# check=skip=A,B;error=true\nFROM a\n# escape=\\\n")
    assert parsed.directives.syntax == "docker/dockerfile:1"
    assert parsed.directives.escape == "`"
    assert parsed.directives.check == df.Check(skip=frozenset("AB"), error=True)


@pytest.mark.parametrize("first", ["\n", "# a comment\n", "# unknown=1\n", "FROM a\n"])
def test_directives_end_with_the_first_line_that_is_none(first: str) -> None:
    assert df.parse(f"{first}# escape=`\nFROM a").directives.escape == "\\"


def test_a_shebang_may_stand_before_directives() -> None:
    assert df.parse("#!/usr/bin/env overlaykit\n# escape=`\nFROM a").directives.escape == "`"


def test_the_lint_is_told_by_a_directive() -> None:
    check = df.parse("# check=skip=all;experimental=X, Y\nFROM a").directives.check
    assert check == df.Check(skip_all=True, experimental=frozenset("XY"))


def test_case_and_indentation_mean_nothing() -> None:
    parsed = df.parse("  from a As Base\n\tRun  ls   -l \n")
    assert parsed.stages[0].name == "base"
    [run] = parsed.stages[0].instructions
    assert isinstance(run, df.Run)
    assert run.command.words == ("ls   -l",)
    assert (run.place, run.keyword) == (df.Place(2, 2), "Run")


def test_lines_go_on_over_comments_and_empty_lines() -> None:
    parsed = df.parse("FROM a\nRUN a \\\n# comment \\\n\n   # another\n  && b \\ \t\n&& c\nUSER x")
    run, user = parsed.stages[0].instructions
    assert isinstance(run, df.Run)
    assert run.command.script == "a   && b && c"
    assert (run.place.line, run.last_line, run.empty) == (2, 7, df.Place(4, 1))
    assert user.place == df.Place(8, 1)
    assert run.command.words[0].at(run.command.script.index("b")) == df.Place(6, 6)


def test_an_escaped_escape_character_ends_the_line() -> None:
    parsed = df.parse("FROM a\nRUN a \\\\\nUSER x")
    assert [type(one) for one in parsed.stages[0].instructions] == [df.Run, df.User]


def test_a_line_may_go_on_into_nothing() -> None:
    assert one("RUN a \\\n", df.Run).command.script == "a"


def test_the_escape_character_may_be_a_backtick() -> None:
    parsed = df.parse("# escape=`\nFROM a\nCOPY a `\n  C:\\x\\\n")
    [copy] = parsed.stages[0].instructions
    assert isinstance(copy, df.Copy)
    assert (copy.sources, copy.target) == (("a",), "C:\\x\\")


def test_a_byte_order_mark_and_carriage_returns_mean_nothing() -> None:
    parsed = df.parse(b'\xef\xbb\xbf# escape=`\r\nFROM a\r\nRUN x `\r\n  y\r\nCMD ["z"]\r\n')
    run, cmd = parsed.stages[0].instructions
    assert isinstance(run, df.Run)
    assert run.command.script == "x   y"
    assert isinstance(cmd, df.Cmd)
    assert cmd.command.argv([]) == ["z"]


def test_what_is_no_utf_8_may_stand_in_comments() -> None:
    assert df.parse(b"# caf\xe9\nFROM a").stages[0].base.image == "a"


# -- forms of commands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("ls -l", ["sh", "-c", "ls -l"]),
        ('["ls", "-l"]', ["ls", "-l"]),
        ('[ "a\\n\\u00e9" , "b\\"c" ]  ', ["a\né", 'b"c']),
        ("['ls']", ["sh", "-c", "['ls']"]),
        ('["ls" "-l"]', ["sh", "-c", '["ls" "-l"]']),
        ('["ls",]', ["sh", "-c", '["ls",]']),
        ('["ls"] && x', ["sh", "-c", '["ls"] && x']),
        ('["\\ud800"]', ["\ufffd"]),
        ("[ -e /x ]", ["sh", "-c", "[ -e /x ]"]),
        ("echo $HOME '$x'", ["sh", "-c", "echo $HOME '$x'"]),
    ],
)
def test_what_is_no_list_in_json_is_for_the_shell(text: str, argv: list[str]) -> None:
    assert one(f"RUN {text}", df.Run).command.argv(["sh", "-c"]) == argv
    assert one(f"CMD {text}", df.Cmd).command.argv(["sh", "-c"]) == argv
    assert one(f"ENTRYPOINT {text}", df.Entrypoint).command.argv(["sh", "-c"]) == argv


def test_a_list_may_be_empty_where_nothing_runs() -> None:
    assert one("CMD []", df.Cmd).command == df.Command((), shell=False)
    assert one("ENTRYPOINT [ ]", df.Entrypoint).command.argv(["sh"]) == []


def test_deep_brackets_are_no_list() -> None:
    assert one("RUN " + "[" * 100_000, df.Run).command.shell


# -- here-documents ----------------------------------------------------------------------------------------------------


def test_a_heredoc_alone_is_the_script() -> None:
    command = one("RUN <<EOF\necho $A\n # no comment\nEOF\n", df.Run).command
    assert command.alone
    assert command.program is None
    assert command.argv(["sh", "-c"]) == ["sh", "-c", "echo $A\n # no comment\n"]


def test_a_heredoc_that_begins_with_a_shebang_is_a_program() -> None:
    command = one("RUN <<-GO\n\t#!/usr/bin/python3\n\tprint()\n\tGO\n", df.Run).command
    assert command.program is command.heredocs[0]
    assert command.program.body == "#!/usr/bin/python3\nprint()\n"
    assert command.argv(["sh", "-c"]) == ["sh", "-c", f"{df.PIPES}/GO"]


def test_a_heredoc_for_a_program_goes_through_the_shell() -> None:
    command = one("RUN <<EOF python3 > /x\nprint()\nEOF\n", df.Run).command
    assert not command.alone
    assert command.script == "<<EOF python3 > /x\nprint()\nEOF"


def test_several_heredocs_are_read_in_their_order() -> None:
    command = one("RUN cat <<A 3<<-B\nB\nA\n\tA\n\tB\n", df.Run).command
    assert [(one.name, one.body, one.descriptor) for one in command.heredocs] == [("A", "B\n", 0), ("B", "A\n", 3)]
    assert command.script == "cat <<A 3<<-B\nB\nA\n\tA\nB"


@pytest.mark.parametrize(
    ("opening", "name", "expand"),
    [
        ("<<EOF", "EOF", True),
        ("<< EOF", "EOF", True),
        ("<<'EOF'", "EOF", False),
        ('<<"EOF"', "EOF", False),
        ("<<E'O'F", "EOF", False),
        ("<<eo\\'f", "eo'f", True),
        ("<<'e'o\\'f", "eo'f", False),
        ("<<'one two'", "one two", False),
        ("<<$EOF", "$EOF", True),
        ("<<a-b.c", "a-b.c", True),
    ],
)
def test_names_of_heredocs(opening: str, name: str, expand: bool) -> None:
    [document] = one(f"RUN cat {opening}\nx\n{name}\n", df.Run).command.heredocs
    assert (document.name, document.expand) == (name, expand)


@pytest.mark.parametrize(
    "text", ['RUN "<<EOF"', 'RUN ["<<EOF"]', "RUN cat <<<EOF", "RUN echo $((1<<2))", "RUN it's <<EOF", "CMD <<EOF"]
)
def test_what_is_no_heredoc(text: str) -> None:
    parsed = df.parse(f"FROM a\n{text}\nUSER x")
    assert [type(one) for one in parsed.stages[0].instructions][1:] == [df.User]


def test_heredocs_are_files_for_copy() -> None:
    copy = one("COPY --chmod=644 <<a.txt x <<'b' /y/\nA\na.txt\nB\nb\n", df.Copy)
    assert copy.sources == ("x",)
    assert [(one.name, one.body, one.expand) for one in copy.documents] == [("a.txt", "A\n", True), ("b", "B\n", False)]
    assert copy.target == "/y/"


def test_carriage_returns_stay_in_heredocs() -> None:
    assert one("COPY <<A /x\r\nb\r\nA\r\n", df.Copy).documents[0].body == "b\r\n"


# -- instructions ------------------------------------------------------------------------------------------------------


def test_from() -> None:
    parsed = df.parse("ARG V=1\nARG W\nFROM --platform=$BUILDPLATFORM a:$V AS Build\nFROM scratch")
    assert [argument.name for one in parsed.arguments for argument in one.arguments] == ["V", "W"]
    first, second = parsed.stages
    assert (first.base.image, first.base.alias, first.base.platform) == ("a:$V", "Build", "$BUILDPLATFORM")
    assert (first.name, second.name, second.index) == ("build", "", 1)


def test_run_has_mounts_a_network_and_a_security() -> None:
    run = one(
        "RUN --mount=type=cache,target=/c --network=none --mount=type=secret,id=s --security=insecure -- x", df.Run
    )
    assert (run.network, run.security) == ("none", "insecure")
    assert [mount.written for mount in run.mounts] == ["type=cache,target=/c", "type=secret,id=s"]
    assert run.command.script == "x"


def test_flags_may_be_quoted() -> None:
    copy = one("""COPY --chown="a b":c --from='x' d e""", df.Copy)
    assert (copy.owner, copy.origin) == ("a b:c", "x")


def test_copy_has_its_flags() -> None:
    flags = "--from=b --chown=1:2 --chmod=u+x --link --parents=true --exclude=*.a --exclude=*.b"
    copy = one(f'COPY {flags} ["c d", "e", "/f/"]', df.Copy)
    assert (copy.origin, copy.owner, copy.mode, copy.link, copy.parents) == ("b", "1:2", "u+x", True, True)
    assert (copy.exclude, copy.sources, copy.target) == (("*.a", "*.b"), ("c d", "e"), "/f/")


def test_add_has_its_flags() -> None:
    add = one("ADD --keep-git-dir --unpack=false --link=false --checksum=sha256:x u/ v /w", df.Add)
    assert (add.keep_git_dir, add.unpack, add.link, add.checksum) == (True, False, False, "sha256:x")
    assert one("ADD a b", df.Add).unpack is None


@pytest.mark.parametrize(
    ("text", "pairs", "legacy"),
    [
        ("A=1 B='x y' C=\"z\" D=", [("A", "1"), ("B", "'x y'"), ("C", '"z"'), ("D", "")], False),
        ("A=x\\ y B=2", [("A", "x\\ y"), ("B", "2")], False),
        ("A  b  c=d ", [("A", "b  c=d")], True),
        ('A "b" \'c', [("A", '"b" \'c')], True),
        ("A=b=c", [("A", "b=c")], False),
    ],
)
def test_env_and_label(text: str, pairs: list[tuple[str, str]], legacy: bool) -> None:
    env, label = one(f"ENV {text}", df.Env), one(f"LABEL {text}", df.Label)
    assert (list(env.pairs), env.legacy) == (pairs, legacy)
    assert (list(label.pairs), label.legacy) == (pairs, legacy)


def test_arg() -> None:
    arguments = one("ARG A B= C='x y'", df.Arg).arguments
    assert [(one.name, one.default) for one in arguments] == [("A", None), ("B", ""), ("C", "'x y'")]


def test_single_words() -> None:
    assert one("WORKDIR /a b", df.Workdir).path == "/a b"
    assert one("USER a:b", df.User).user == "a:b"
    assert one("STOPSIGNAL SIGUSR1", df.Stopsignal).signal == "SIGUSR1"
    assert one("MAINTAINER A <b@c>", df.Maintainer).author == "A <b@c>"
    assert one("VOLUME /a /b", df.Volume).paths == ("/a", "/b")
    assert one('VOLUME ["/a b"]', df.Volume).paths == ("/a b",)
    assert one('SHELL ["bash", "-c"]', df.Shell).words == ("bash", "-c")
    assert one("EXPOSE 80 $P/udp", df.Expose).ports == ("80", "$P/udp")


def test_healthcheck() -> None:
    times = "--interval=1m30s --timeout=1.5s --start-period=2h --start-interval=500ms --retries=3"
    check = one(f"HEALTHCHECK {times} CMD curl x", df.Healthcheck)
    assert check.command == df.Command(("curl x",), shell=True)  # type: ignore[arg-type]
    assert (check.interval, check.timeout) == (90 * 10**9, 1_500_000_000)
    assert (check.start_period, check.start_interval, check.retries) == (7200 * 10**9, 500_000_000, 3)
    assert one("healthcheck none", df.Healthcheck).command is None
    listed = one('HEALTHCHECK CMD ["a", "--b"]', df.Healthcheck).command
    assert listed is not None
    assert listed.argv([]) == ["a", "--b"]
    shell = one("HEALTHCHECK CMD --b", df.Healthcheck).command
    assert shell is not None
    assert shell.script == "--b"


def test_onbuild_keeps_the_text_and_the_instruction() -> None:
    trigger = one("ONBUILD copy --from=b <<E c /d/\nx\nE\n", df.Onbuild)
    assert trigger.trigger == "copy --from=b <<E c /d/\nx\nE"
    assert isinstance(trigger.instruction, df.Copy)
    [again] = df.parse_triggers([trigger.trigger], image="i")
    assert isinstance(again, df.Copy)
    assert (again.origin, again.sources, again.target) == ("b", ("c",), "/d/")
    assert [document.body for document in again.documents] == ["x\n"]


def test_comments_above_an_instruction_belong_to_it() -> None:
    parsed = df.parse("# first\n\n# base is good\nFROM a AS base\n# x\n#y\nRUN ls")
    assert parsed.stages[0].base.comments == ("base is good",)
    assert parsed.stages[0].instructions[0].comments == ("x", "y")


def test_a_dockerfile_is_a_value() -> None:
    text = "FROM a\nRUN --mount=type=cache,target=/x <<E\ny\nE\n"
    parsed = df.parse(text)
    again = pickle.loads(pickle.dumps(parsed))
    assert again == parsed == df.parse(text.encode())
    assert again.stages[0].instructions[0].place == df.Place(2, 1)


def test_errors_after_pickling_still_show_the_line() -> None:
    parsed = pickle.loads(pickle.dumps(df.parse("FROM a\nSTOPSIGNAL x")))
    scope = df.Globals(parsed).scope(parsed.stages[0], environment={})
    with pytest.raises(DockerfileError) as caught:
        scope.resolve(parsed.stages[0].instructions[0])
    assert caught.value.shown() == "STOPSIGNAL x\n           ^"
