"""What an image may waste before a build fails."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..values import value_class

if TYPE_CHECKING:
    import os

    from ._model import Analysis

__all__ = ["Broken", "Rules", "parse_bytes", "read_rules"]

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]i?|)b?", re.IGNORECASE)
_OFF = frozenset(("", "disabled", "off", "false"))


def parse_bytes(text: str) -> int:
    """Read a number of bytes: ``20MB`` is 20,000,000 of them, ``20MiB`` is 20,971,520, ``20M`` is ``20MB``.

    :raises ValueError: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:100]!r} is no number of bytes: write it as 20MB, 1.5GiB or 4096")
    unit = found[2].lower()
    return int(float(found[1]) * (_UNITS[unit] if unit in _UNITS else _BINARY[unit]))


def _ratio(text: str) -> float:
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"{text[:100]!r} is no ratio: write it as 0.95 or 95%")
    return value


@value_class
class Broken:
    """A rule that an image breaks.

    :param rule: its name, as the option has it.
    :param message: one line: what is, and what may be.
    """

    rule: str
    message: str


@value_class(kw_only=True)
class Rules:
    """Thresholds; ``None`` switches one off. The names, and the defaults, are those of dive.

    :param lowest_efficiency: what :attr:`Analysis.efficiency` must reach.
    :param highest_wasted_bytes: what :attr:`Analysis.wasted` must not exceed.
    :param highest_user_wasted_percent: what :attr:`Analysis.user_wasted` must not exceed; a ratio in spite of the name.
    """

    lowest_efficiency: float | None = 0.9
    highest_wasted_bytes: int | None = None
    highest_user_wasted_percent: float | None = 0.1

    def broken(self, analysis: Analysis) -> list[Broken]:
        """Return the rules that an image breaks."""
        found = []
        least, most, share = self.lowest_efficiency, self.highest_wasted_bytes, self.highest_user_wasted_percent
        if least is not None and analysis.efficiency < least:
            found.append(
                Broken(
                    "lowest-efficiency", f"the efficiency is {_percent(analysis.efficiency)}, below {_percent(least)}"
                )
            )
        if most is not None and analysis.wasted > most:
            found.append(Broken("highest-wasted-bytes", f"{analysis.wasted} bytes are wasted, more than {most}"))
        if share is not None and analysis.user_wasted > share:
            found.append(
                Broken(
                    "highest-user-wasted-percent",
                    f"the wasted bytes are {_percent(analysis.user_wasted)} of what the layers above the lowest store, "
                    f"more than {_percent(share)}",
                )
            )
        return found


def _percent(ratio: float) -> str:
    return "infinitely much" if ratio == float("inf") else f"{ratio * 100:.6g}%"


_NAMES = {
    "lowest-efficiency": ("lowest_efficiency", _ratio),
    "highest-wasted-bytes": ("highest_wasted_bytes", parse_bytes),
    "highest-user-wasted-percent": ("highest_user_wasted_percent", _ratio),
}

#: What dive calls them in its .dive-ci.
_DIVE = {
    "lowestEfficiency": "lowest-efficiency",
    "lowestEfficiencyThreshold": "lowest-efficiency",
    "lowest-efficiency-threshold": "lowest-efficiency",
    "highestWastedBytes": "highest-wasted-bytes",
    "highestUserWastedPercent": "highest-user-wasted-percent",
}


def read_rules(options: dict[str, str | None], file: str | os.PathLike[str] | None = None) -> Rules:
    """Make rules of what a command line and a file say; the command line counts.

    A file is TOML with the options' names as keys, at its top or in a table ``rules``; or dive's ``.dive-ci``, of which
    the lines ``key: value`` below ``rules:`` are understood. The value ``disabled`` switches a rule off.

    :param options: by the names of the options; ``None`` where one was not given.
    :param file: the file.
    :raises ValueError: a rule is not known, or its value is none.
    :raises OSError: the file cannot be read.
    """
    told: dict[str, str] = {}
    if file is not None:
        for key, value in _read(Path(file)).items():
            name = _DIVE.get(key, key)
            if name not in _NAMES:
                raise ValueError(f"{file}: there is no rule {key[:100]!r}: there are {', '.join(_NAMES)}")
            told[name] = str(value).lower() if isinstance(value, bool) else str(value)
    told.update({name: value for name, value in options.items() if value is not None})
    values: dict[str, Any] = {}
    for name, text in told.items():
        field, parse = _NAMES[name]
        try:
            values[field] = None if text.strip().lower() in _OFF else parse(text.strip())
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return Rules(**values)


_LINE = re.compile(r"\s*([A-Za-z-]+)\s*:\s*(?:\"([^\"]*)\"|'([^']*)'|([^#\"']*?))\s*(?:#.*)?")


def _read(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    matched = [_LINE.fullmatch(line) for line in lines]
    if lines and all(matched):
        found = {one[1]: next(value for value in one.groups()[1:] if value is not None) for one in matched if one}
        if found.get("rules") == "":
            del found["rules"]
        return found
    import tomllib

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: this is neither TOML nor lines of the form key: value ({error})") from None
    rules = document.get("rules", document)
    if not isinstance(rules, dict):
        raise ValueError(f"{path}: rules is no table")
    return rules
