"""What comes of a Dockerfile: the tree, the configuration, the history."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors

if TYPE_CHECKING:
    from .conftest import Builder


def test_each_instruction_is_a_layer_or_a_line_of_history(any_builder: Builder) -> None:
    any_builder.put("app.py", "print()")
    result = any_builder.build(
        """\
FROM base
WORKDIR /srv/app
COPY app.py .
ENV A=1 B="two words"
LABEL one=1
EXPOSE 80 53/udp
VOLUME /data
USER 1000:1000
STOPSIGNAL SIGINT
ENTRYPOINT ["python"]
CMD ["app.py"]
"""
    )
    assert any_builder.history(result)[4:] == [
        ("WORKDIR /srv/app", True),
        ("COPY app.py . # buildkit", True),
        ("ENV A=1 B=two words", False),
        ("LABEL one=1", False),
        ("EXPOSE map[53/udp:{} 80/tcp:{}]", False),
        ("VOLUME [/data]", False),
        ("USER 1000:1000", False),
        ("STOPSIGNAL SIGINT", False),
        ('ENTRYPOINT ["python"]', False),
        ('CMD ["app.py"]', False),
    ]
    inner = any_builder.inner(result)
    assert inner["Env"] == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "FROM_BASE=yes",
        "A=1",
        "B=two words",
    ]
    assert inner["WorkingDir"] == "/srv/app"
    assert inner["Labels"] == {"one": "1"}
    assert inner["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert inner["Volumes"] == {"/data": {}}
    assert (inner["User"], inner["StopSignal"]) == ("1000:1000", "SIGINT")
    assert (inner["Entrypoint"], inner["Cmd"]) == (["python"], ["app.py"])
    assert any_builder.read(result, "/srv/app/app.py") == "print()"
    assert len(any_builder.store.config(result.image).diff_ids) == result.image.layers == 4


def test_an_entrypoint_takes_an_inherited_command_away_and_not_one_of_its_own(any_builder: Builder) -> None:
    inherited = any_builder.inner(any_builder.build('FROM base\nENTRYPOINT ["x"]\n'))
    assert "Cmd" not in inherited
    own = any_builder.inner(any_builder.build('FROM base\nCMD ["y"]\nENTRYPOINT ["x"]\n'))
    assert own["Cmd"] == ["y"]


def test_shell_forms_use_the_shell_that_was_set(any_builder: Builder) -> None:
    inner = any_builder.inner(any_builder.build('FROM base\nSHELL ["/bin/ash", "-ec"]\nCMD exec me\n'))
    assert (inner["Shell"], inner["Cmd"]) == (["/bin/ash", "-ec"], ["/bin/ash", "-ec", "exec me"])


def test_a_healthcheck_in_both_forms_and_none(any_builder: Builder) -> None:
    text = "FROM base\nHEALTHCHECK --interval=90s --retries=3 CMD curl -f x\n"
    result = any_builder.build(text)
    assert any_builder.inner(result)["Healthcheck"] == {
        "Test": ["CMD-SHELL", "curl -f x"],
        "Interval": 90_000_000_000,
        "Retries": 3,
    }
    said = any_builder.history(result)[-1]
    assert said == ('HEALTHCHECK &{["CMD-SHELL" "curl -f x"] "1m30s" "0s" "0s" "0s" \'\\x03\'}', False)
    assert any_builder.inner(any_builder.build("FROM base\nHEALTHCHECK NONE\n"))["Healthcheck"] == {"Test": ["NONE"]}


def test_a_working_directory_that_is_there_makes_no_layer(any_builder: Builder) -> None:
    result = any_builder.build("FROM base\nWORKDIR /bin\nWORKDIR /new\nWORKDIR sub\n")
    assert any_builder.history(result)[4:] == [
        ("WORKDIR /bin", False),
        ("WORKDIR /new", True),
        ("WORKDIR /new/sub", True),
    ]


def test_only_the_stages_that_the_target_needs_are_built(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    text = """\
FROM base AS one
COPY a /one
FROM base AS two
COPY missing /two
FROM scratch AS three
COPY --from=one /one /three
"""
    result = any_builder.build(text)
    assert any_builder.read(result, "three") == "1"
    assert result.image.layers == 1
    assert not [event.name for event in any_builder.events if "two" in event.name]
    assert any_builder.build(text, target="one").image.layers == 3
    with pytest.raises(errors.BuildError, match="Dockerfile:4: there is no 'missing' to copy"):
        any_builder.build(text, target="two")


def test_a_stage_goes_on_from_another_one(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    result = any_builder.build("FROM base AS one\nENV X=1\nCOPY a /a\nFROM one\nENV Y=2\n")
    assert any_builder.inner(result)["Env"][-2:] == ["X=1", "Y=2"]
    assert [text for text, _ in any_builder.history(result)[4:]] == ["ENV X=1", "COPY a /a # buildkit", "ENV Y=2"]


def test_triggers_of_the_base_run_in_the_next_build_alone(any_builder: Builder) -> None:
    any_builder.put("a", "1")
    any_builder.build("FROM base\nONBUILD COPY a /triggered\nONBUILD ENV T=1\n", tags="parent")
    child = any_builder.build("FROM parent\nENV U=2\n", tags="child")
    assert any_builder.read(child, "triggered") == "1"
    assert any_builder.inner(child)["Env"][-2:] == ["T=1", "U=2"]
    assert "OnBuild" not in any_builder.inner(child)
    grandchild = any_builder.build("FROM child\n")
    assert grandchild.image.layers == child.image.layers


def test_names_and_labels(any_builder: Builder) -> None:
    result = any_builder.build("FROM base\nLABEL a=1 b=2\n", tags=["one:1", "two"], labels={"b": "3"})
    assert result.image.references == ("docker.io/library/one:1", "docker.io/library/two:latest")
    assert any_builder.inner(result)["Labels"] == {"a": "1", "b": "3"}
    with pytest.raises(errors.ImageReferenceError):
        any_builder.build("FROM base\n", tags="NO!")


def test_build_arguments(any_builder: Builder) -> None:
    text = "FROM base\nARG V=1\nENV GOT=$V\n"
    assert any_builder.inner(any_builder.build(text))["Env"][-1] == "GOT=1"
    other = any_builder.build(text, build_args={"V": "2", "NOBODY": "x"})
    assert any_builder.inner(other)["Env"][-1] == "GOT=2"
    assert [one.rule for one in other.warnings] == ["UnusedBuildArg"]
    assert any_builder.history(other)[-2] == ("ARG V=2", False)


def test_named_contexts_are_directories_and_images(any_builder: Builder) -> None:
    any_builder.put("other/f", "from the directory")
    result = any_builder.build(
        "FROM mine\nCOPY --from=dir f /f\nCOPY --from=base /bin/sh /again\n",
        named_contexts={"dir": any_builder.context / "other", "mine": "docker-image://base"},
    )
    assert any_builder.read(result, "f") == "from the directory"
    assert result.image.layers == 4
    with pytest.raises(errors.BuildError, match="of a kind that is not known"):
        any_builder.build("FROM x\n", named_contexts={"x": "ftp://x"})


def test_a_context_may_be_a_tar_archive_or_nothing(any_builder: Builder) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in (("Dockerfile", b"FROM base\nCOPY f /f\n"), ("f", b"packed")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    packed.seek(0)
    before = [one.key for one in any_builder.store.walk(labels={})]
    result = any_builder.store.build(packed)
    assert any_builder.read(result, "f") == "packed"
    after = [one.key for one in any_builder.store.walk(labels={})]
    assert len(after) == len(before) + 1
    assert any_builder.store.build(None, dockerfile=b"FROM base\nENV A=1\n").image.layers == 2
    with pytest.raises(errors.BuildError, match="no tar archive"):
        any_builder.store.build(io.BytesIO(b"nonsense"))


def test_what_is_not_there_is_said(any_builder: Builder) -> None:
    with pytest.raises(errors.BuildError, match="there is no Dockerfile in the context"):
        any_builder.store.build(any_builder.context)
    with pytest.raises(errors.BuildError, match="cannot be read"):
        any_builder.store.build(any_builder.context / "nowhere", dockerfile=b"FROM base\nCOPY a /\n")
    with pytest.raises(errors.NotFoundError, match="was not to be pulled"):
        any_builder.build("FROM nowhere.example/x\n", pull="never")
    assert [one.references for one in any_builder.store.images()] == [("docker.io/library/base:latest",)]


def test_run_needs_a_directory_of_this_machine(any_builder: Builder) -> None:
    if any_builder.store.path is not None:
        assert any_builder.build("FROM base\nRUN true\n").steps == 1
        return
    with pytest.raises(errors.CapabilityError, match=r"Dockerfile:2: RUN needs .* directory of this machine"):
        any_builder.build("FROM base\nRUN true\n")


def test_an_image_in_which_nothing_was_made(any_builder: Builder) -> None:
    one = any_builder.build("FROM scratch\nENV A=1\n")
    two = any_builder.build("FROM scratch\nENV A=1\n", no_cache=True)
    assert one.image.digest == two.image.digest
    assert (one.image.layers, one.image.top) == (0, None)
