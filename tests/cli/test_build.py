"""overlaykit build on the command line."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from testkit.loops import need_tool

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli

pytestmark = pytest.mark.native

TEXT = """\
FROM scratch AS base
COPY busybox /bin/busybox
COPY busybox /bin/sh
FROM base
ARG WHO=nobody
RUN --mount=type=secret,id=s echo "$WHO $(busybox cat /run/secrets/s)" && echo $WHO > /who
CMD ["sh"]
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    path.mkdir()
    shutil.copy(need_tool("busybox"), path / "busybox")
    (path / "Dockerfile").write_text(TEXT)
    (path / "secret").write_text("hidden")
    return path


def test_build_and_build_again(cli: Cli, context: Path) -> None:
    words = ["build", str(context), "-t", "app", "--build-arg", "WHO=you", "--secret", f"id=s,src={context}/secret"]
    ran = cli.run(*words, "--label", "a=b")
    digest = ran.stdout.strip()
    lines = ran.stderr.splitlines()
    assert lines[0] == "#1 [internal] load build definition from Dockerfile"
    assert any(line.endswith(" you hidden") for line in lines)
    assert any("[stage-1 2/2] RUN " in line for line in lines)
    again = cli.run(*words, "--label", "a=b")
    assert again.stdout.strip() == digest
    assert sum("CACHED" in line for line in again.stderr.splitlines()) == 3
    quiet = cli.run(*words, "--label", "a=b", "--quiet")
    assert (quiet.stdout.strip(), quiet.stderr) == (digest, "")
    document = cli.json(*words, "--label", "a=b")
    assert (document["digest"], document["cached"], document["steps"]) == (digest, 3, 3)
    events = cli.run(*words, "--progress", "json").stderr.splitlines()
    kinds = [json.loads(line)["build"]["kind"] for line in events]
    assert kinds.count("start") == sum(kinds.count(kind) for kind in ("cached", "done"))


def test_standard_input_is_a_dockerfile_or_a_context(cli: Cli, context: Path) -> None:
    said = cli.run("build", "-", input="FROM scratch\nENV A=1\n").stdout
    assert said.startswith("sha256:")
    assert cli.run("build", str(context), "-f", "-", input="FROM scratch\nCOPY secret /\n").stdout != said
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(context, ".")
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "overlaykit", "build", "-", "--target", "base", "--quiet"],
        input=packed.getvalue(),
        env=cli.environment,
        capture_output=True,
        check=True,
    )
    assert ran.stdout.startswith(b"sha256:")
    assert "either the context or the Dockerfile" in cli.error("build", "-", "-f", "-", code=2)


def test_mistakes_and_failures(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPPY a b\n")
    ran = cli.run("build", str(context), "--quiet", expect=7)
    shown = ["  COPPY a b", "  ^", "overlaykit: Dockerfile:2:1: unknown instruction 'COPPY'; did you mean COPY?"]
    assert ran.stderr.splitlines() == shown
    (context / "Dockerfile").write_text(TEXT.replace("echo $WHO > /who", "exit 9"))
    ran = cli.run("build", str(context), "--quiet", expect=1)
    assert ran.stderr.splitlines()[0].startswith("busybox: can't open" if "busybox:" in ran.stderr else "cat: can't")
    assert "exit code 9" in ran.stderr.splitlines()[-1]
    assert cli.error("build", str(context), "--secret", "nonsense", "--quiet", code=2).startswith("--secret")
    assert "nowhere" in cli.error("build", str(context / "nowhere"), "--quiet", code=7)


def test_a_terminal_shows_each_step(cli: Cli, context: Path) -> None:
    shown = cli.on_terminal("build", str(context), "--target", "base")
    assert "[+] Building" in shown
    assert "[base 2/3] COPY busybox /bin/busybox" in shown


def test_prune_forgets_builds_only_where_it_is_told(cli: Cli, context: Path) -> None:
    cli.run("build", str(context), "--target", "base", "--quiet")
    cli.run("prune")
    assert cli.json("build", str(context), "--target", "base")["cached"] == 2
    cli.run("prune", "--build-cache")
    assert cli.json("build", str(context), "--target", "base")["cached"] == 0


def test_a_check_shows_where_and_fails_and_builds_nothing(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\n# tools: made here\nCMD run it\nMAINTAINER me\n")
    ran = cli.run("build", str(context), "--check", expect=1)
    assert ran.stderr.splitlines() == ["Check complete, 2 warnings have been found!"]
    lines = ran.stdout.splitlines()
    at = lines.index("WARNING: JSONArgsRecommended")
    assert lines[at + 2 : at + 6] == ["Dockerfile:3", "-" * 20, "   3 | >>> CMD run it", "-" * 20]
    document = json.loads(cli.run("build", str(context), "--call=check", "--json", expect=1).stdout)
    assert [one["place"] for one in document["warnings"]] == ["Dockerfile:3", "Dockerfile:4"]
    assert cli.json("images") == {"images": []}
    (context / "Dockerfile").write_text("# check=skip=JSONArgsRecommended,MaintainerDeprecated\nFROM scratch\nCMD a\n")
    ran = cli.run("build", str(context), "--check")
    assert (ran.stdout, ran.stderr) == ("", "Check complete, no warnings found.\n")
    (context / "Dockerfile").write_text("FROM nowhere AS\n")
    assert "  FROM nowhere AS" in cli.run("build", str(context), "--check", expect=7).stderr


def test_a_build_counts_its_warnings_at_its_end(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCMD run it\n")
    lines = cli.run("build", str(context), "--build-arg", "A=1").stderr.splitlines()[-3:]
    assert lines[0] == "2 warnings found (--check shows where):"
    assert lines[1].startswith(" - JSONArgsRecommended: JSON arguments recommended for CMD")
    assert lines[1].endswith("(line 2)")
    assert lines[2].startswith(" - UnusedBuildArg: no ARG declares the build argument A")


def test_targets_and_outlines_are_tables(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "# one the first\nFROM scratch AS one\n# A what it is for\nARG A=1\nFROM one\n"
        "RUN --mount=type=secret,id=key,required=true make\n"
    )
    assert cli.lines("build", str(context), "--call=targets") == [
        "TARGET     DESCRIPTION",
        "one        the first",
        "(default)",
    ]
    assert cli.lines("build", str(context), "--call=outline", "--build-arg", "A=2") == [
        "TARGET: (default)",
        "",
        "BUILD ARG  VALUE  DESCRIPTION",
        "A          2      what it is for",
        "",
        "SECRET  REQUIRED",
        "key     true",
    ]
    assert [one["name"] for one in cli.json("build", str(context), "--call=targets")["targets"]] == ["one", ""]


def test_agents_and_entitlements_are_named(cli: Cli, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/sh\nRUN --security=insecure --mount=type=ssh,required=true true\n"
    )
    words = ["build", str(context), "--quiet"]
    cli.environment.pop("SSH_AUTH_SOCK", None)
    assert cli.error(*words, "--ssh", "default", code=2).startswith("--ssh default: $SSH_AUTH_SOCK is not set")
    assert "--allow security.insecure" in cli.run(*words, expect=7).stderr
    allowed = [*words, "--allow", "network.host,security.insecure"]
    assert "was not given: give it with --ssh default" in cli.error(*allowed, code=7)
    assert "there is no /nowhere" in cli.error(*allowed, "--ssh", "default=/nowhere", code=7)
