"""Images in and out by the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from testkit.images import digest, layer, make_image, write_layout

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli

IMAGE = make_image([layer({"etc": None, "etc/motd": b"hello"}), layer({"app": b"1"})])
NAME = "docker.io/library/app:1"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A layout with one image."""
    return write_layout(tmp_path / "made", {NAME: IMAGE})


def test_an_image_goes_in_and_out(cli: Cli, layout: Path, tmp_path: Path) -> None:
    assert cli.run("load", str(layout), "--quiet").stdout == f"{NAME}\n"
    saved = tmp_path / "saved.tar"
    cli.run("save", "app:1", "--output", str(saved), "--form", "docker-archive", "--compress", "gzip")
    again = cli.json("load", str(saved))
    assert [(one["digest"], one["references"], one["moved"]) for one in again] == [(digest(IMAGE.manifest), [NAME], 0)]
    streamed = cli.run("save", "app:1", encoding=None, errors=None).stdout
    (tmp_path / "streamed").write_bytes(streamed)
    with open(tmp_path / "streamed", "rb") as file:
        assert cli.run("load", "-", "--name", "other", "--quiet", stdin=file).stdout.split() == [
            NAME,
            "docker.io/library/other:latest",
        ]


def test_progress_is_lines_or_json_or_nothing(cli: Cli, layout: Path) -> None:
    words = ["load", str(layout)]
    assert "unpacking" in cli.run(*words).stderr
    assert cli.run(*words, "--quiet").stderr == ""
    events = [json.loads(line)["progress"] for line in cli.run(*words, "--progress", "json").stderr.splitlines()]
    assert {event["action"] for event in events} == {"exists"}
    assert {event["digest"] for event in events} == {digest(one) for one in IMAGE.layers}


def test_what_is_no_image_is_one_line(cli: Cli, layout: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert "is empty" in cli.error("load", str(tmp_path / "empty"), code=7)
    assert "no such" in cli.error("load", str(tmp_path / "missing"), code=3).lower()
    cli.run("load", str(layout), "--quiet")
    assert "no image" in cli.error("save", "nothing", "-o", str(tmp_path / "x"), code=3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "no OCI layout" in cli.error("save", "app:1", "--form", "oci", "-o", str(tmp_path / "full"), code=4)
