"""Variables: what they are replaced by, and where."""

from __future__ import annotations

import time
from typing import Any

import pytest

from overlaykit import DockerfileError
from overlaykit.build import dockerfile as df


class Stage:
    """The first stage of a Dockerfile, resolved."""

    def __init__(self, text: str, *, environment: dict[str, str] | None = None, **options: Any) -> None:
        self.parsed = df.parse(text)
        self.globals = df.Globals(self.parsed, **options)
        self.scope = self.globals.scope(self.parsed.stages[0], environment=environment or {})
        self.made = [self.scope.resolve(one) for one in self.parsed.stages[0].instructions]


def label(word: str, **variables: str) -> str:
    """Return what a word is expanded to."""
    env = "".join(f"ENV {name}='{value}'\n" for name, value in variables.items())
    made = Stage(f'FROM a\n{env}LABEL "x"={word}').made[-1]
    assert isinstance(made, df.Label)
    return str(made.pairs[0][1])


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("$A", "one"),
        ("${A}", "one"),
        ("x${A}y$A", "xoneyone"),
        ("$N", ""),
        ("$A-b", "one-b"),
        ("$A_b", ""),
        ("a$", "a$"),
        ("$.x", "$.x"),
        ("$1x", "x"),
        # quotes and escapes
        ("'$A'", "$A"),
        ('"$A"', "one"),
        ("\\$A", "$A"),
        ('"\\$A"', "$A"),
        ("'a'\"b\"c", "abc"),
        ('"a\\b\\"c"', 'a\\b"c'),
        ("'a\\b'", "a\\b"),
        ("a\\ b", "a b"),
        ("a\\bc", "abc"),
        # with a default, instead, or not at all
        ("${A:-w}", "one"),
        ("${N:-w}", "w"),
        ("${E:-w}", "w"),
        ("${E-w}", ""),
        ("${N-w}", "w"),
        ("${N:-${A}x}", "onex"),
        ("${N:-$A}", "one"),
        ('"${N:-a b}"', "a b"),
        ("${N:-'}'}", "}"),
        ("${A:+w}", "w"),
        ("${E:+w}", ""),
        ("${E+w}", "w"),
        ("${N+w}", ""),
        ("${A:?w}", "one"),
        ("${E?w}", ""),
        # patterns
        ("${P#*/}", "b/c.tar.gz"),
        ("${P##*/}", "c.tar.gz"),
        ("${P%.*}", "a/b/c.tar"),
        ("${P%%.*}", "a/b/c"),
        ("${P%/*}", "a/b"),
        ("${P#?}", "/b/c.tar.gz"),
        ("${P#x}", "a/b/c.tar.gz"),
        ("${P#$P}", ""),
        ("${P%.gz}", "a/b/c.tar"),
        ("${S#\\*}", "b*c"),
        ("${S%%\\**}", ""),
        ("${N#x}", ""),
        # replacing
        ("${P/\\//-}", "a-b/c.tar.gz"),
        ("${P//\\//-}", "a-b-c.tar.gz"),
        ("${P/*\\//}", "c.tar.gz"),
        ("${P//[ab]/x}", "a/b/c.tar.gz"),
        ("${P//?ar/X}", "a/b/c.X.gz"),
        ("${A//o/$P}", "a/b/c.tar.gzne"),
        ("${A/x/y}", "one"),
        ("${A//*/y}", "y"),
    ],
)
def test_forms(word: str, result: str) -> None:
    assert label(word, A="one", E="", P="a/b/c.tar.gz", S="*b*c") == result


def test_the_escape_character_is_the_directives() -> None:
    [made] = Stage('# escape=`\nFROM a\nLABEL a=`$X b=\\$X c=`"').made
    assert isinstance(made, df.Label)
    assert [value for _, value in made.pairs] == ["$X", "\\", '"']


def test_which_instructions_expand() -> None:
    text = """FROM a
ENV V=/v N=5
ADD --chown=$N --chmod=75$N --checksum=sha256:$H --exclude=$V $V/x $V/
COPY --chown=$N --chmod=75$N --exclude=$V $V/x ["no"]
COPY --chown=$N ["$V", "$V/"]
LABEL $V=$V
WORKDIR $V
USER u$N
VOLUME $V ["no"]
EXPOSE 8$N 1$N-1$N/udp
STOPSIGNAL $N
RUN --mount=type=cache,target=$V,uid=$N echo $V
CMD $V
ENTRYPOINT ["$V"]
SHELL ["$V"]
HEALTHCHECK CMD $V
ONBUILD RUN $V
MAINTAINER $V
"""
    digest = "0" * 64
    made = {type(one): one for one in Stage(text, environment={"H": digest}).made}
    by = lambda kind: made[kind]  # noqa: E731 - a table of one column
    add, copy, run = by(df.Add), by(df.Copy), by(df.Run)
    assert (add.owner, add.mode, add.checksum) == ("5", "755", f"sha256:{digest}")
    assert (add.exclude, add.sources, add.target) == (("/v",), ("/v/x",), "/v/")
    assert (copy.sources, copy.target) == (("/v",), "/v/")
    assert by(df.Label).pairs == (("/v", "/v"),)
    assert by(df.Workdir).path == "/v"
    assert by(df.User).user == "u5"
    assert by(df.Volume).paths == ("/v", "[no]")
    assert by(df.Expose).ports == ("85/tcp", "15/udp")
    assert by(df.Stopsignal).signal == "5"
    assert (run.mounts[0].target, run.mounts[0].uid, run.command.script) == ("/v", 5, "echo $V")
    assert by(df.Cmd).command.script == "$V"
    assert by(df.Entrypoint).command.words == ("$V",)
    assert by(df.Shell).words == ("$V",)
    assert by(df.Healthcheck).command.script == "$V"
    assert by(df.Onbuild).trigger == "RUN $V"
    assert by(df.Maintainer).author == "$V"


def test_env_uses_the_values_from_before_it() -> None:
    stage = Stage("FROM a\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc")
    assert stage.scope.environment == {"abc": "bye", "def": "hello", "ghi": "bye"}


def test_arg_uses_those_before_it_in_the_same_line() -> None:
    stage = Stage("FROM a\nARG A=1 B=$A$A C", build_args={"C": "$A"})
    assert stage.scope.arguments == {"A": "1", "B": "11", "C": "$A"}


def test_a_default_that_is_not_used_may_be_wrong() -> None:
    assert Stage("FROM a\nARG A=${B:?no}", build_args={"A": "1"}).scope.arguments == {"A": "1"}
    with pytest.raises(DockerfileError, match=r"^Dockerfile:2:7: B: no$"):
        Stage("FROM a\nARG A=${B:?no}")


def test_args_before_the_first_from_are_for_from_until_declared_again() -> None:
    text = "ARG V=1\nARG W=${V}2\nFROM a:$W\nLABEL v=$V\nARG V\nARG W=own\nLABEL v=$V w=$W"
    stage = Stage(text)
    assert stage.globals.base(stage.parsed.stages[0]).image == "a:12"
    labels = [one.pairs for one in stage.made if isinstance(one, df.Label)]
    assert labels == [(("v", ""),), (("v", "1"), ("w", "own"))]
    stage = Stage(text, build_args={"V": "7", "W": "8"})
    assert stage.globals.base(stage.parsed.stages[0]).image == "a:8"
    assert stage.scope.arguments == {"V": "7", "W": "8"}


def test_what_comes_later_of_arg_and_env_counts() -> None:
    early = Stage("FROM a\nARG A=1\nENV A=2\nLABEL x=$A", build_args={"A": "3"})
    assert (early.scope.environment, early.scope.arguments) == ({"A": "2"}, {})
    assert early.made[-1].pairs[0][1] == "2"  # type: ignore[attr-defined]
    late = Stage("FROM a\nARG A=1\nLABEL x=$A", environment={"A": "base"})
    assert (late.scope.environment, late.scope.arguments) == ({"A": "base"}, {"A": "1"})
    assert late.made[-1].pairs[0][1] == "1"  # type: ignore[attr-defined]
    none = Stage("FROM a\nARG A\nLABEL x=$A", environment={"A": "base"})
    assert (none.scope.arguments, none.scope.declared) == ({}, {"A": "base"})
    assert none.made[-1].pairs[0][1] == "base"  # type: ignore[attr-defined]


def test_env_may_take_an_arg_over() -> None:
    stage = Stage("FROM a\nARG V\nENV V=${V:-v1.0.0}")
    assert stage.scope.environment == {"V": "v1.0.0"}
    assert stage.scope.declared == {"V": "v1.0.0"}
    assert Stage("FROM a\nARG V\nENV V=${V:-v1.0.0}", build_args={"V": "2"}).scope.environment == {"V": "2"}


def test_a_stage_inherits_the_args_of_the_one_it_begins_with() -> None:
    parsed = df.parse("FROM a AS b\nARG A=1\nENV E=2\nFROM b\nLABEL x=$A$E")
    known = df.Globals(parsed)
    first = known.scope(parsed.stages[0], environment={"P": "/"})
    for one in parsed.stages[0].instructions:
        first.resolve(one)
    second = first.copy(environment=first.environment)
    made = second.resolve(parsed.stages[1].instructions[0])
    assert isinstance(made, df.Label)
    assert made.pairs[0][1] == "12"
    assert second.arguments == {"A": "1"}
    second.resolve(df.parse("FROM a\nARG A=9").stages[0].instructions[0])
    assert first.arguments == {"A": "1"}


def test_platforms_are_there_for_from_and_where_declared() -> None:
    text = (
        "FROM --platform=$BUILDPLATFORM a:$TARGETARCH$TARGETVARIANT AS x\nLABEL a=$TARGETOS\nARG TARGETOS TARGETSTAGE"
    )
    stage = Stage(text, platform="linux/arm/v7", build_platform="linux/amd64")
    base = stage.globals.base(stage.parsed.stages[0])
    assert (base.platform, base.image) == ("linux/amd64", "a:armv7")
    assert stage.made[0].pairs[0][1] == ""  # type: ignore[attr-defined]
    assert stage.scope.arguments == {"TARGETOS": "linux", "TARGETSTAGE": "x"}
    assert Stage("FROM a\nARG TARGETARCH=mine").scope.arguments == {"TARGETARCH": "mine"}


def test_predefined_arguments_need_no_arg_and_no_place_in_the_cache() -> None:
    given = {"HTTP_PROXY": "p", "no_proxy": "q", "OTHER": "r"}
    stage = Stage("FROM a", build_args=given)
    assert (stage.scope.arguments, stage.scope.hidden) == ({}, {"HTTP_PROXY": "p", "no_proxy": "q"})
    stage = Stage("FROM a\nARG HTTP_PROXY", build_args=given)
    assert (stage.scope.arguments, stage.scope.hidden) == ({"HTTP_PROXY": "p"}, {"no_proxy": "q"})
    assert stage.globals.unused == ["OTHER"]


def test_heredocs_of_copy_expand_but_keep_their_quotes() -> None:
    text = 'FROM a\nENV A=1\nCOPY <<X <<"Y" /\n"$A" \'${A}\' \\$A \\\\ ${N:-d}\nX\n$A\nY\nRUN <<Z\n$A\nZ\n'
    _, copy, run = Stage(text).made
    assert isinstance(copy, df.Copy)
    assert [one.body for one in copy.documents] == ["\"1\" '1' $A \\ d\n", "$A\n"]
    assert isinstance(run, df.Run)
    assert run.command.script == "$A\n"


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", ["80/tcp"]),
        ("80/TCP 53/udp", ["80/tcp", "53/udp"]),
        ("8-10/sctp", ["8/sctp", "9/sctp", "10/sctp"]),
        ("$P", ["1/tcp", "2/udp"]),
        ('"$P"', None),
        ("127.0.0.1:80:8080", ["8080/tcp"]),
    ],
)
def test_ports(text: str, ports: list[str] | None) -> None:
    if ports is None:
        with pytest.raises(DockerfileError, match="is no port"):
            Stage(f"FROM a\nEXPOSE {text}", environment={"P": "1 2/udp"})
        return
    [made] = Stage(f"FROM a\nEXPOSE {text}", environment={"P": "1 2/udp"}).made
    assert isinstance(made, df.Expose)
    assert list(made.ports) == ports


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("target=/t", (df.BindMount, {"target": "/t", "source": "/", "origin": None, "readonly": True})),
        ("type=bind,from=b,src=/s,dst=t,rw", (df.BindMount, {"source": "/s", "origin": "b", "readonly": False})),
        ("type=bind,target=/t,ro=false", (df.BindMount, {"readonly": False})),
        ("type=cache,target=/t", (df.CacheMount, {"id": "/t", "sharing": "shared", "mode": 0o755, "readonly": False})),
        (
            "type=cache,id=i,destination=/t,sharing=locked,mode=0700,uid=1,gid=2,readonly",
            (df.CacheMount, {"id": "i", "sharing": "locked", "mode": 0o700, "uid": 1, "gid": 2, "readonly": True}),
        ),
        ("type=tmpfs,target=/t,size=1.5m", (df.TmpfsMount, {"size": 3 << 19})),
        ("type=tmpfs,target=/t,size=2GiB", (df.TmpfsMount, {"size": 2 << 30})),
        ("type=secret,id=s", (df.SecretMount, {"id": "s", "target": None, "mode": 0o400, "required": False})),
        ("type=secret,target=/a/s,required", (df.SecretMount, {"id": "s", "required": True})),
        ("type=secret,id=s,env=S,mode=0444", (df.SecretMount, {"env": "S", "mode": 0o444})),
        ("type=ssh", (df.SshMount, {"id": "default", "mode": 0o600})),
        ("TYPE=CACHE,TARGET=/t", (df.CacheMount, {"target": "/t"})),
        ("type=$T,target=$D", (df.CacheMount, {"target": "/d"})),
    ],
)
def test_mounts(text: str, mount: tuple[type[df.Mount], dict[str, Any]]) -> None:
    [made] = Stage(f"FROM a\nRUN --mount={text} x", environment={"T": "cache", "D": "/d"}).made
    assert isinstance(made, df.Run)
    [found] = made.mounts
    kind, values = mount
    assert type(found) is kind
    assert {name: getattr(found, name) for name in values} == values


def test_words_that_grow_without_end_are_refused() -> None:
    doubling = "".join(f"ENV A=$A$A{'' if count else 'x'}\n" for count in range(60))
    with pytest.raises(DockerfileError, match="longer than 128 KiB"):
        Stage(f"FROM a\nENV A=x\n{doubling}")


def test_no_pattern_takes_long() -> None:
    began = time.process_time()
    text = "a" * 20_000
    for form in ("${A#*a*a*a*a*a*a*a*b}", "${A%%*a*a*a*a*a*a*b}", "${A//a*a*a*a*b/x}", "${A##*b*a*a*a}"):
        assert label(form, A=text) == text
    assert label("${A//a/bb}", A=text) == "b" * 40_000
    assert time.process_time() - began < 20


def test_depth_has_an_end() -> None:
    with pytest.raises(DockerfileError, match="in each other"):
        label("${N:-" * 5000 + "}" * 5000)
