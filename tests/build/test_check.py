"""What is said of a Dockerfile without building it, and of bases for other platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from testkit.registries import run_registry

from overlaykit import DockerfileError, errors, open_store
from overlaykit.build.dockerfile import OutlineArgument, Target
from overlaykit.image import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.build import BuildStore

OTHER = "linux/riscv64"

TEXT = b"""# tools what all others need
FROM scratch AS tools
# VERSION of the tools
ARG VERSION=1
RUN --mount=type=secret,id=token,required=true --mount=type=ssh make
FROM tools AS app
ARG VERSION
ARG MODE
CMD run
"""


@pytest.fixture
def store() -> Iterator[BuildStore]:
    with open_store(driver="memory") as store:
        yield store


def test_checks_are_made_and_nothing_else(store: BuildStore) -> None:
    found = store.check_build(None, dockerfile=TEXT)
    assert [(one.rule, one.place, one.source) for one in found] == [("JSONArgsRecommended", "Dockerfile:9", "CMD run")]
    assert store.images() == []
    assert list(store.walk()) == []
    assert store.build_cache.records() == []
    assert store.check_build(None, dockerfile=TEXT, target="tools") == ()


def test_an_error_of_the_directive_is_a_finding_like_others_for_a_check(store: BuildStore) -> None:
    assert len(store.check_build(None, dockerfile=b"# check=error=true\n" + TEXT)) == 1
    assert store.check_build(None, dockerfile=b"# check=skip=JSONArgsRecommended\n" + TEXT) == ()
    with pytest.raises(DockerfileError, match="there is no stage 'no'"):
        store.check_build(None, dockerfile=TEXT, target="no")


def test_a_build_argument_says_what_the_directive_says(store: BuildStore) -> None:
    text = b"# check=skip=all\nFROM scratch AS Up\nMAINTAINER me\n"
    name = "BUILDKIT_DOCKERFILE_CHECK"
    assert store.check_build(None, dockerfile=text) == ()
    told = store.check_build(None, dockerfile=text, build_args={name: "skip=StageNameCasing"})
    assert [one.rule for one in told] == ["MaintainerDeprecated"]
    with pytest.raises(
        DockerfileError, match=r"^Dockerfile:2:17: StageNameCasing: .*; MaintainerDeprecated \(line 3\);"
    ):
        store.build(None, dockerfile=text, build_args={name: "error=true"})
    with pytest.raises(DockerfileError, match=r"^--build-arg BUILDKIT_DOCKERFILE_CHECK:1:1: 'nonsense'"):
        store.check_build(None, dockerfile=text, build_args={name: "nonsense"})
    assert store.build(None, dockerfile=text, build_args={name: "skip=all"}).warnings == ()


def test_a_base_that_came_alone_for_another_platform_is_taken_and_told(store: BuildStore) -> None:
    store.build(None, dockerfile=b"FROM scratch\nENV A=1\n", tags="base", platform=OTHER)
    for warnings in (
        store.check_build(None, dockerfile=b"FROM base\n"),
        store.build(None, dockerfile=b"FROM base\n").warnings,
    ):
        [warning] = warnings
        assert (warning.rule, warning.place) == ("InvalidBaseImagePlatform", "Dockerfile:1")
        assert warning.message == (
            f'Base image base was pulled with platform "{OTHER}", expected "{Platform.here()}" for current build'
        )
    asked = f"ARG P={OTHER}\nFROM --platform=$P base\n".encode()
    assert store.check_build(None, dockerfile=asked) == ()


def test_of_an_image_of_a_registry_a_check_fetches_no_layer(store: BuildStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    with run_registry(tmp_path / "registry") as host:
        name = f"{host}/base:1"
        text = b"FROM scratch\nCOPY file /\nENV KNOWN=1\n"
        store.build(tmp_path, dockerfile=text, tags=name, platform=OTHER)
        store.push(name)
        with open_store(driver="memory") as other:
            dockerfile = f"FROM {name}\nENV X=$KNOWN Y=$UNKNOWN\n".encode()
            rules = [one.rule for one in other.check_build(None, dockerfile=dockerfile)]
            assert rules == ["InvalidBaseImagePlatform", "UndefinedVar"]
            assert other.images() == []
            assert list(other.walk()) == []
            # A build takes it too, and says the same.
            built = other.build(None, dockerfile=dockerfile)
            assert [one.rule for one in built.warnings] == rules
        missing = f"FROM {host}/none:1\n".encode()
        with pytest.raises(errors.NotFoundError, match="none"):
            store.check_build(None, dockerfile=missing)
        with pytest.raises(errors.NotFoundError, match="not to be pulled"):
            store.check_build(None, dockerfile=missing, pull="never")


def test_targets_are_listed_with_what_comments_say(store: BuildStore) -> None:
    assert store.build_targets(None, dockerfile=TEXT) == [
        Target("tools", False, "what all others need", "scratch"),
        Target("app", True, "", "tools"),
    ]


def test_an_outline_says_what_a_target_takes(store: BuildStore) -> None:
    found = store.outline_build(None, dockerfile=TEXT, build_args={"VERSION": "2"})
    assert found.target.name == "app"
    assert found.arguments == (OutlineArgument("VERSION", "2", "of the tools"), OutlineArgument("MODE", None, ""))
    assert (found.secrets, found.agents) == ((("token", True),), (("default", False),))
    tools = store.outline_build(None, dockerfile=b"ARG BASE=scratch\n" + TEXT, target="tools")
    assert [(one.name, one.value) for one in tools.arguments] == [("BASE", "scratch"), ("VERSION", "1")]
