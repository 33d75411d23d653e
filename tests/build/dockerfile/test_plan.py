"""What a target needs, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from overlaykit.build import dockerfile as df

TEXT = """ARG BASE=debian:12
FROM $BASE AS build
RUN make
FROM --platform=linux/arm64 alpine AS tools
FROM build AS test
RUN --mount=from=tools,target=/t --mount=type=cache,from=scratch,target=/c make test
FROM scratch
COPY --from=build /out /
COPY --from=1 /bin/x /
COPY --from=busybox:1 /bin/y /
COPY z /
"""


def planned(text: str, target: str | None = None, **options: Any) -> df.Plan:
    parsed = df.parse(text)
    return df.plan(parsed, df.Globals(parsed), target=target, **options)


def test_stages_that_nothing_needs_are_left_out() -> None:
    plan = planned(TEXT)
    assert [(one.stage.index, sorted(one.needs)) for one in plan.stages] == [(0, []), (1, []), (3, [0, 1])]
    assert plan.target == 3
    assert [one.base for one in plan.stages] == [
        df.ImageOrigin("debian:12"),
        df.ImageOrigin("alpine", "linux/arm64"),
        df.ScratchOrigin(),
    ]
    assert plan.stages[-1].origins == {
        "build": df.StageOrigin(0),
        "1": df.StageOrigin(1),
        "busybox:1": df.ImageOrigin("busybox:1"),
    }


@pytest.mark.parametrize(("target", "indexes"), [("TEST", [0, 1, 2]), ("build", [0]), ("1", [1]), (None, [0, 1, 3])])
def test_a_target_is_a_name_or_a_number(target: str | None, indexes: list[int]) -> None:
    plan = planned(TEXT, target)
    assert [one.stage.index for one in plan.stages] == indexes
    assert plan.stages[-1].stage.index == plan.target


def test_mounts_need_stages_too() -> None:
    [*_, test] = planned(TEXT, "test").stages
    assert test.origins == {"tools": df.StageOrigin(1), "scratch": df.ScratchOrigin()}
    assert test.base == df.StageOrigin(0)
    assert test.needs == {0, 1}


def test_named_contexts_come_before_stages_and_images() -> None:
    plan = planned("FROM a\nFROM base AS b\nCOPY --from=A x y", "0", named_contexts=["a"])
    assert plan.stages[0].base == df.ContextOrigin("a")
    plan = planned("FROM x AS b\nFROM y\nCOPY --from=b x y\nCOPY --from=0 x y", named_contexts=["B", "0"])
    assert plan.stages[-1].origins == {"b": df.ContextOrigin("B"), "0": df.ContextOrigin("0")}
    assert [one.stage.index for one in plan.stages] == [1]


def test_a_stage_may_be_called_as_an_image_and_again_as_a_stage() -> None:
    plan = planned("FROM python AS python\nFROM python AS python\nFROM python\nCOPY --from=python / /")
    assert [one.base for one in plan.stages] == [df.ImageOrigin("python"), df.StageOrigin(0), df.StageOrigin(1)]
    assert plan.stages[-1].origins == {"python": df.StageOrigin(1)}


def test_triggers_need_stages_too() -> None:
    triggers = {1: df.parse_triggers(["COPY --from=tools /x /"], image="i")}
    plan = planned("FROM a AS tools\nFROM i", triggers=triggers)
    assert [one.stage.index for one in plan.stages] == [0, 1]
    assert plan.stages[1].origins == {"tools": df.StageOrigin(0)}


def test_many_stages_are_no_deep_recursion() -> None:
    text = "FROM a AS s0\n" + "".join(f"FROM s{count} AS s{count + 1}\n" for count in range(5000))
    assert len(planned(text).stages) == 5001
