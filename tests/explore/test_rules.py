"""Thresholds: how they are written, where they come from, and when they are broken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from overlaykit.explore import Rules, analyse, parse_bytes, read_rules

from .conftest import archive, member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from overlaykit.image import ImageStore


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("20MB", 20_000_000),
        ("20 mb", 20_000_000),
        ("20M", 20_000_000),
        ("20MiB", 20 << 20),
        ("1.5GiB", 3 << 29),
        ("7B", 7),
        ("2k", 2000),
        ("1TiB", 1 << 40),
    ],
)
def test_bytes_are_read(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 2", "1XB", "1e3", "٣"])
def test_what_is_no_number_of_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="number of bytes"):
        parse_bytes(text)


def test_the_defaults_are_those_of_dive() -> None:
    assert read_rules({}) == Rules() == Rules(lowest_efficiency=0.9, highest_user_wasted_percent=0.1)


def test_the_command_line_counts_more_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[rules]\nlowest-efficiency = 0.5\nhighest-wasted-bytes = "1MB"\n')
    assert read_rules({"lowest-efficiency": "95%", "highest-wasted-bytes": None}, file) == Rules(
        lowest_efficiency=0.95, highest_wasted_bytes=1_000_000
    )
    file.write_text("highest-user-wasted-percent = false\nlowest-efficiency = 0\n")
    assert read_rules({}, file) == Rules(lowest_efficiency=0.0, highest_user_wasted_percent=None)


def test_a_file_of_dive_is_understood(tmp_path: Path) -> None:
    file = tmp_path / ".dive-ci"
    file.write_text(
        "rules:\n"
        "  # If the efficiency is measured below X%, mark as failed.\n"
        "  lowestEfficiency: 0.95\n"
        '  highestWastedBytes: "20MB"  # or so\n'
        "  highestUserWastedPercent: disabled\n"
    )
    assert read_rules({}, file) == Rules(
        lowest_efficiency=0.95, highest_wasted_bytes=20_000_000, highest_user_wasted_percent=None
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lowest-efficiency: 2\n", "lowest-efficiency: '2' is no ratio"),
        ("lowest-efficiency = -0.1\n", "'-0.1' is no ratio"),
        ("highestWastedBytes: many\n", "highest-wasted-bytes: 'many' is no number of bytes"),
        ("lowest: 1\n", "there is no rule 'lowest': there are lowest-efficiency"),
        ("= nothing\n", "neither TOML nor lines"),
        ("rules = 3\n", "rules is no table"),
        ("lowest-efficiency: nan\n", "is no ratio"),
    ],
)
def test_what_is_wrong_in_a_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "rules"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_rules({}, file)
    with pytest.raises(FileNotFoundError):
        read_rules({}, tmp_path / "none")


def test_a_rule_is_broken_beyond_its_threshold_and_not_at_it(load: Callable[..., ImageStore]) -> None:
    layers = (archive(member("a", b"1" * 300), member("b", b"2" * 600)), archive(member("a", b"3" * 100)))
    analysis = analyse(load(*layers), "image:1")
    assert (analysis.efficiency, analysis.wasted, analysis.user_wasted) == (0.7, 300, 3.0)
    off = Rules(lowest_efficiency=None, highest_user_wasted_percent=None)
    assert off.broken(analysis) == []
    assert Rules(lowest_efficiency=0.7, highest_wasted_bytes=300, highest_user_wasted_percent=3).broken(analysis) == []
    broken = Rules(lowest_efficiency=0.70001, highest_wasted_bytes=299, highest_user_wasted_percent=2.99).broken(
        analysis
    )
    assert [(one.rule, one.message) for one in broken] == [
        ("lowest-efficiency", "the efficiency is 70%, below 70.001%"),
        ("highest-wasted-bytes", "300 bytes are wasted, more than 299"),
        (
            "highest-user-wasted-percent",
            "the wasted bytes are 300% of what the layers above the lowest store, more than 299%",
        ),
    ]
