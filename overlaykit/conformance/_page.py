"""The report as a page: one HTML file that asks nobody for anything, and begins with what failed."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

from ._result import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["report_page"]

#: What each outcome is called on the page, and the sign that stands for it where there is little room.
_WORDS = {
    Outcome.PASSED: ("passed", "\u2713"),
    Outcome.FAILED: ("failed", "\u2717"),
    Outcome.ERROR: ("error", "\u2717"),
    Outcome.KNOWN: ("known failure", "~"),
    Outcome.SKIPPED: ("skipped", "?"),
    Outcome.ABSENT: ("capability absent", "\u2013"),
    Outcome.OFFERED: ("capability offered", "\u00b7"),
}
_SIGNS = {"-": "minus", "+": "plus", "!": "differs"}


def report_page(document: Mapping[str, Any]) -> str:
    """Return a report as a page.

    It has no script, and its content security policy takes no style but its own and no connection at all: what a driver
    says can do nothing there.

    :param document: as :func:`report_document` returns it, or read from a file of the same schema version.
    """
    style = resources.files(__package__).joinpath("page", "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    names = ", ".join(driver["name"] for driver in document["drivers"])
    conforming = sum(driver["ok"] for driver in document["drivers"])
    if len(document["drivers"]) == 1:
        verdict = f"{names} {'conforms' if conforming else 'does not conform'}"
    else:
        verdict = f"{conforming} of {len(document['drivers'])} drivers conform"
    lines = [
        "<!doctype html>",
        '<html lang="en" data-ready="1">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{_text(names)}: overlaykit conformance</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        f"<h1>{_text(verdict)}</h1>",
        '<p class="dim">What overlaykit asks of every snapshot driver, rule by rule.</p>',
        *_failures(document),
        *_drivers(document),
        *_known(document),
        *_matrix(document),
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    # Surrogates stand for bytes that are no UTF-8; a file has no place for them.
    return escape(str(value).encode("utf-8", "backslashreplace").decode())


def _tag(outcome: str, *, short: bool = False) -> str:
    word, sign = _WORDS[Outcome(outcome)]
    text = f'<span title="{word}">{sign}</span>' if short else word
    return f'<span class="tag {outcome}">{text}</span>'


# -- what failed -----------------------------------------------------------------------------------------------------


def _failures(document: Mapping[str, Any]) -> Iterator[str]:
    failed = [
        (driver, test) for driver in document["drivers"] for test in driver["tests"] if Outcome(test["outcome"]).bad
    ]
    broken = [driver for driver in document["drivers"] if driver["error"]]
    if not failed and not broken:
        return
    yield f'<section id="failures"><h2>Failures ({len(failed) + len(broken)})</h2>'
    for driver in broken:
        yield f"<article><h3>{_text(driver['name'])}: the suite could not be run</h3>"
        yield f"<p>{_text(driver['error'])}</p></article>"
    rules = {rule["id"]: rule for rule in document["rules"]}
    for driver, test in failed:
        yield from _failure(driver, test, rules[test["rule"]])
    yield "</section>"


def _failure(driver: Mapping[str, Any], test: Mapping[str, Any], rule: Mapping[str, Any]) -> Iterator[str]:
    yield "<article>"
    yield f"<h3>{_tag(test['outcome'])} {_text(driver['name'])}: {_text(test['id'])}</h3>"
    # What was left behind, or could not be set up, is not what the test itself is about.
    word = "In the test of: " if test["outcome"] == Outcome.ERROR else ""
    yield f"<p>{word}<strong>{_text(rule['text'])}</strong></p>"
    yield f"<dl><dt>from</dt><dd>{'<br>'.join(map(_source, rule['sources']))}</dd>"
    if rule["capability"]:
        what = "not declared" if rule["refusal"] else "declared"
        yield f"<dt>capability</dt><dd>{_text(rule['capability'])}, {what} by the driver</dd>"
    yield f"<dt>because</dt><dd><code>{_text(test['message'])}</code></dd>"
    if test["at"]:
        yield f"<dt>at</dt><dd><code>{'<br>'.join(map(_text, test['at']))}</code></dd>"
    yield "</dl>"
    if test["difference"]:
        yield f'<pre class="trees">{chr(10).join(map(_drawn, test["difference"]))}</pre>'
    if test["replay"]:
        yield f'<p class="dim">To run this one case again:</p><pre class="replay">{_text(test["replay"])}</pre>'
    if test["detail"]:
        yield f'<details class="more"><summary>what pytest says</summary><pre>{_text(test["detail"])}</pre></details>'
    yield "</article>"


def _drawn(line: str) -> str:
    kind = _SIGNS.get(line[:1], "")
    return f'<span class="{kind}">{_text(line)}</span>' if kind else _text(line)


def _source(source: Mapping[str, str]) -> str:
    return f"{_text(source['document'])}, <em>{_text(source['section'])}</em>"


# -- who was tested --------------------------------------------------------------------------------------------------


def _drivers(document: Mapping[str, Any]) -> Iterator[str]:
    shown = [outcome for outcome in Outcome if any(driver["counts"].get(outcome) for driver in document["drivers"])]
    yield '<section id="drivers"><h2>Drivers</h2><div class="panel"><table><thead><tr><th>driver</th><th></th>'
    yield "".join(f"<th>{_WORDS[outcome][0]}</th>" for outcome in shown)
    yield "<th>capabilities</th><th>where</th></tr></thead><tbody>"
    for driver in document["drivers"]:
        environment = driver["environment"]
        origin = f"{driver['distribution']} {driver['version']}".strip()
        options = "".join(f" {name}={value}" for name, value in driver["options"].items())
        verdict = "passed" if driver["ok"] else "failed"
        yield f"<tr><td><strong>{_text(driver['name'] + options)}</strong><br>"
        yield f'<span class="dim">{_text(origin)}</span></td>'
        yield f'<td><span class="tag {verdict}">{"conforms" if driver["ok"] else "fails"}</span><br>'
        yield f'<span class="dim">level {_text(driver["level"])}</span></td>'
        yield "".join(f'<td class="number">{driver["counts"].get(outcome, 0)}</td>' for outcome in shown)
        yield f"<td>{_text(', '.join(driver['capabilities']) or 'none')}</td>"
        where = ", ".join(filter(None, (driver["filesystem"], environment.get("user"), environment.get("system"))))
        versions = f"overlaykit {environment.get('overlaykit', '?')}, Python {environment.get('python', '?')}"
        how = f"{driver['seconds']:.1f} s; seed {driver['seed']}, {driver['examples']} examples"
        yield f'<td>{_text(where)}<br><span class="dim">{_text(versions)}<br>{_text(how)}</span></td></tr>'
    yield "</tbody></table></div></section>"


def _known(document: Mapping[str, Any]) -> Iterator[str]:
    known = [
        (driver["name"], test)
        for driver in document["drivers"]
        for test in driver["tests"]
        if test["outcome"] == Outcome.KNOWN
    ]
    if not known:
        return
    yield f'<section id="known"><h2>Known failures ({len(known)})</h2><div class="panel"><table><tbody>'
    for name, test in known:
        yield f"<tr><td>{_text(name)}</td><td><code>{_text(test['id'])}</code></td>"
        yield f"<td>{_text(test['message'])}</td></tr>"
    yield "</tbody></table></div></section>"


# -- rules by drivers ------------------------------------------------------------------------------------------------


def _matrix(document: Mapping[str, Any]) -> Iterator[str]:
    names = [driver["name"] for driver in document["drivers"] if not driver["error"]]
    themes: dict[str, list[Mapping[str, Any]]] = {}
    for rule in document["rules"]:
        themes.setdefault(rule["id"].partition(".")[0], []).append(rule)
    if not themes:
        return
    yield f'<section id="rules"><h2>Rules ({len(document["rules"])})</h2>'
    yield f'<p class="dim">{" ".join(f"{_tag(outcome, short=True)} {_WORDS[outcome][0]}" for outcome in Outcome)}</p>'
    for theme, rules in themes.items():
        yield from _theme(theme.replace("_", " "), rules, names)
    yield "</section>"


def _theme(theme: str, rules: list[Mapping[str, Any]], names: Iterable[str]) -> Iterator[str]:
    outcomes = [Outcome(outcome) for rule in rules for outcome in rule["outcomes"].values()]
    bad = sum(outcome.bad for outcome in outcomes)
    said = f'<span class="tag failed">{bad} failed</span>' if bad else '<span class="tag passed">\u2713</span>'
    yield f'<details class="theme"{" open" if bad else ""}><summary>{_text(theme)} '
    yield f'<span class="dim">{len(rules)} rules</span> {said}</summary><table><thead><tr><th>rule</th>'
    yield "".join(f"<th>{_text(name)}</th>" for name in names) + "</tr></thead><tbody>"
    for rule in rules:
        capability = f" \u00b7 {_text(rule['capability'])}" if rule["capability"] else ""
        yield f'<tr><td>{_text(rule["text"])}<br><span class="dim"><code>{_text(rule["id"])}</code>{capability} \u00b7 '
        yield f"{'; '.join(map(_source, rule['sources']))}</span></td>"
        for name in names:
            outcome = rule["outcomes"].get(name)
            yield f'<td class="cell">{_tag(outcome, short=True) if outcome is not None else ""}</td>'
        yield "</tr>"
    yield "</tbody></table></details>"
