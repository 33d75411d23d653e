"""BuildKit's build checks, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from overlaykit.build import dockerfile as df
from overlaykit.image import Platform


def found(text: str, **options: Any) -> list[tuple[str, int, int, str]]:
    options.setdefault("environments", {index: {"PATH": "/bin"} for index in range(9)})
    findings = df.lint(df.parse(text), **options)
    return [(one.rule, one.place.line, one.place.column, one.message) for one in findings]


#: The rule; the Dockerfile; line, column and message; a Dockerfile that is right.
CASES = [
    ("StageNameCasing", "FROM a AS Base", (1, 11), "Stage name 'Base' should be lowercase", "FROM a AS base"),
    ("FromAsCasing", "FROM a as b", (1, 8), "'as' and 'FROM' keywords' casing do not match", "from a as b"),
    (
        "NoEmptyContinuation",
        "FROM a\nRUN x && \\\n\n y",
        (3, 1),
        "Empty continuation line",
        "FROM a\nRUN x \\\n# c\n y",
    ),
    (
        "ConsistentInstructionCasing",
        "FROM a\nrun x",
        (2, 1),
        "Command 'run' should match the case of the command majority (uppercase)",
        "from a\nrun x",
    ),
    (
        "ConsistentInstructionCasing",
        "from a\nrun x\nUSER y",
        (3, 1),
        "Command 'USER' should match the case of the command majority (lowercase)",
        "FROM a\nRUN x\nUSER y",
    ),
    (
        "ConsistentInstructionCasing",
        "From a",
        (1, 1),
        "Command 'From' should match the case of the command majority (uppercase)",
        "FROM a",
    ),
    (
        "DuplicateStageName",
        "FROM a AS b\nFROM a AS b",
        (2, 11),
        'Duplicate stage name "b", stage names should be unique',
        "FROM a AS b\nFROM a AS c\nFROM a\nFROM a",
    ),
    (
        "ReservedStageName",
        "FROM a AS scratch",
        (1, 11),
        'Stage name should not use the same name as reserved stage "scratch"',
        "FROM scratch AS a",
    ),
    (
        "JSONArgsRecommended",
        "FROM a\nCMD x",
        (2, 1),
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        'FROM a AS b\nSHELL ["bash", "-c"]\nCMD x\nFROM b\nENTRYPOINT x',
    ),
    (
        "MaintainerDeprecated",
        "FROM a\nMAINTAINER x",
        (2, 1),
        "Maintainer instruction is deprecated in favor of using label",
        "FROM a\nLABEL maintainer=x",
    ),
    (
        "UndefinedArgInFrom",
        "ARG VERSION=1\nFROM a:${VERSOIN:-2}x$VERSIN",
        (2, 22),
        "FROM argument 'VERSIN' is not declared (did you mean VERSION?)",
        "ARG V\nFROM a:${V:-1}-$TARGETARCH",
    ),
    (
        "WorkdirRelativePath",
        "FROM a\nWORKDIR x",
        (2, 9),
        'Relative workdir "x" can have unexpected results if the base image changes',
        "FROM a AS b\nWORKDIR /x\nWORKDIR y\nFROM b\nWORKDIR z",
    ),
    (
        "UndefinedVar",
        "FROM a\nENV NAME=1\nCOPY x \\\n  /y$NAEM",
        (4, 5),
        "Usage of undefined variable '$NAEM' (did you mean $NAME?)",
        "FROM a\nARG B\nLABEL x=$PATH$B${C:-}${D+x}",
    ),
    (
        "UndefinedVar",
        "FROM scratch\nCOPY <<E /x\n$NOBODY\nE",
        (2, 8),
        "Usage of undefined variable '$NOBODY'",
        "FROM scratch\nCOPY <<'E' /x\n$NOBODY\nE",
    ),
    (
        "MultipleInstructionsDisallowed",
        'FROM a\nCMD ["x"]\nUSER y\nCMD ["z"]',
        (2, 1),
        "Multiple CMD instructions should not be used in the same stage because only the last one will be used",
        'FROM a AS b\nCMD ["x"]\nENTRYPOINT ["x"]\nFROM b\nCMD ["z"]',
    ),
    (
        "LegacyKeyValueFormat",
        "FROM a\nENV A b",
        (2, 1),
        '"ENV key=value" should be used instead of legacy "ENV key value" format',
        "FROM a\nENV A=b",
    ),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=linux/arm64 a",
        (1, 17),
        'FROM --platform flag should not use constant value "linux/arm64"',
        "FROM --platform=linux/arm64 a AS for-arm64\nFROM --platform=$BUILDPLATFORM a",
    ),
    (
        "RedundantTargetPlatform",
        "FROM --platform=$TARGETPLATFORM a",
        (1, 17),
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        "FROM a",
    ),
    (
        "SecretsUsedInArgOrEnv",
        "FROM a\nARG X GITHUB_TOKEN",
        (2, 7),
        'Do not use ARG or ENV instructions for sensitive data (ARG "GITHUB_TOKEN")',
        "FROM a\nENV PUBLIC_KEY=x TOKENS=y KEY_FILE=z KEYBOARD=de",
    ),
    (
        "SecretsUsedInArgOrEnv",
        "FROM a\nENV password=1",
        (2, 5),
        'Do not use ARG or ENV instructions for sensitive data (ENV "password")',
        "FROM a\nENV secretary=1",
    ),
    (
        "InvalidDefaultArgInFrom",
        "ARG TAG\nFROM busybox:$TAG",
        (2, 6),
        "Default value for ARG busybox:$TAG results in empty or invalid base image name",
        "ARG TAG=1\nFROM busybox:$TAG",
    ),
    (
        "ExposeProtoCasing",
        "FROM a\nEXPOSE 80 81/TCP",
        (2, 11),
        "Defined protocol '81/TCP' in EXPOSE instruction should be lowercase",
        "FROM a\nEXPOSE 81/tcp",
    ),
    (
        "ExposeInvalidFormat",
        "FROM a\nEXPOSE 127.0.0.1:80:80",
        (2, 8),
        "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
        "FROM a\nEXPOSE 80",
    ),
    (
        "InvalidDefinitionDescription",
        "# check=experimental=InvalidDefinitionDescription\n\n# the base\nFROM a AS base",
        (4, 1),
        "Comment for FROM should follow the format: `# base <description>`",
        "# check=experimental=all\n\n# base is good\nFROM a AS base\n# about what follows\n\nARG X",
    ),
]


@pytest.mark.parametrize(
    ("rule", "text", "place", "message", "right"), CASES, ids=[f"{at}-{one[0]}" for at, one in enumerate(CASES)]
)
def test_a_rule(rule: str, text: str, place: tuple[int, int], message: str, right: str) -> None:
    assert found(text) == [(rule, *place, message)]
    assert found(right) == []


def test_every_rule_has_a_case() -> None:
    elsewhere = {"CopyIgnoredFile", "InvalidBaseImagePlatform"}
    assert {one[0] for one in CASES} | elsewhere == set(df.RULES)


def test_what_dockerignore_leaves_out() -> None:
    text = "FROM a\nCOPY x ./y/ ../z /t/\nADD https://h/x k /t/\nCOPY --from=b x /\nCOPY . /"
    left_out = {"x", "k", "z"}
    assert found(text, ignored=left_out.__contains__) == [
        ("CopyIgnoredFile", 2, 6, 'Attempting to Copy file "x" that is excluded by .dockerignore'),
        ("CopyIgnoredFile", 2, 13, 'Attempting to Copy file "z" that is excluded by .dockerignore'),
        ("CopyIgnoredFile", 3, 17, 'Attempting to Add file "k" that is excluded by .dockerignore'),
    ]
    assert found("FROM a\nCOPY . /", ignored=lambda path: True) == [
        ("CopyIgnoredFile", 2, 6, 'Attempting to Copy file "." that is excluded by .dockerignore')
    ]


def test_the_base_is_of_another_platform() -> None:
    wanted, there = Platform("linux", "amd64"), Platform("linux", "arm64")
    message = 'Base image a was pulled with platform "linux/arm64", expected "linux/amd64" for current build'
    assert found("FROM a", platforms={0: (wanted, there)}) == [("InvalidBaseImagePlatform", 1, 6, message)]
    assert found("FROM a", platforms={0: (wanted, wanted)}) == []


def test_directives_leave_rules_out() -> None:
    text = "FROM a AS B\nMAINTAINER x"
    assert [one[0] for one in found(text)] == ["StageNameCasing", "MaintainerDeprecated"]
    assert [one[0] for one in found(f"# check=skip=StageNameCasing\n{text}")] == ["MaintainerDeprecated"]
    assert found(f"# check=skip=all\n{text}") == []


def test_experimental_rules_are_off() -> None:
    assert found("# the base\nFROM a AS base") == []


def test_of_a_base_that_is_not_known_no_variable_is_undefined() -> None:
    assert found("FROM a\nLABEL x=$A", environments={}) == []
    assert [one[0] for one in found("FROM scratch AS b\nFROM b\nLABEL x=$A", environments={})] == ["UndefinedVar"]


def test_stages_that_are_not_built_are_not_looked_into() -> None:
    assert found("FROM a\nMAINTAINER x\nFROM a", only={1}) == []


def test_a_stage_inherits_what_is_set() -> None:
    assert found("FROM a AS b\nARG X=1\nENV Y=1\nFROM b\nLABEL z=$X$Y") == []


def test_build_arguments_count() -> None:
    parsed = df.parse("ARG V=1\nFROM a:$V\nARG V\nLABEL x=$V")
    assert df.lint(parsed, df.Globals(parsed, build_args={"V": "2"}), environments={0: {}}) == []


def test_where_a_build_would_fail_the_lint_says_what_it_can() -> None:
    assert [one[0] for one in found("FROM a\nMAINTAINER x\nENV A=${B:?no}\nMAINTAINER y")] == ["MaintainerDeprecated"]
