"""The tags of a repository, from a real registry and page by page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from testkit.registries import Quiet, serving

from overlaykit import errors
from overlaykit.changeset import Limits
from overlaykit.image.registry import Options, tags
from overlaykit.image.registry._tags import next_page

if TYPE_CHECKING:
    from testkit.registries import Front


def test_a_real_registry(registry: str, pushed: str, broken: Front, options: Options) -> None:
    assert tags(f"{registry}/{pushed}") == ["1", "2"]
    with pytest.raises(errors.NotFoundError, match="has no repository t/none"):
        tags(f"{broken.host}/t/none", options=options)


class Pages(Quiet):
    """Three tags a page, as many pages as there are."""

    pages = 4

    def get(self) -> None:
        if self.path == "/v2/":
            self.answer(200)
            return
        page = int(self.path.partition("last=")[2] or 0)
        body = json.dumps({"name": "app", "tags": [f"t{page * 3 + n}" for n in range(3)]}).encode()
        more = {"Link": f'</v2/app/tags/list?n=3&last={page + 1}>; rel="next"'} if page + 1 < self.pages else {}
        self.answer(200, body, **more)


def test_pages(options: Options) -> None:
    with serving(Pages) as host:
        assert tags(f"{host}/app", options=options) == sorted(f"t{n}" for n in range(12))
        with pytest.raises(errors.LimitError, match="more tags"):
            tags(f"{host}/app", options=options, limits=Limits(entries=10))


def test_pages_that_go_round(options: Options) -> None:
    class Round(Quiet):
        def get(self) -> None:
            self.answer(200, b'{"tags": ["a"]}', Link='<?last=a>; rel="next"')

    with serving(Round) as host, pytest.raises(errors.RegistryError, match="without an end"):
        tags(f"{host}/app", options=options)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"tags": null}', None),
        (b"{}", None),
        (b"[]", "no list of tags"),
        (b'{"tags": [1]}', "no list of tags"),
        (b'{"tags": {"a": 1}}', "no list of tags"),
        (b"[" * 100_000, "no list of tags"),
        (b"<html>", "a web page"),
        (b" " * 200_001, "more bytes"),
    ],
)
def test_answers(options: Options, body: bytes, error: str | None) -> None:
    class One(Quiet):
        def get(self) -> None:
            self.answer(200, b"" if self.path == "/v2/" else body)

    with serving(One) as host:
        if error is None:
            assert tags(f"{host}/app", options=options) == []
            return
        with pytest.raises(OSError, match=error) as caught:
            tags(f"{host}/app", options=options, limits=Limits(document=200_000))
        assert len(str(caught.value)) < 500


def test_a_page_elsewhere_is_not_gone_to(options: Options) -> None:
    class Elsewhere(Quiet):
        def get(self) -> None:
            self.answer(200, b'{"tags": ["a"]}', Link='<file:///etc/passwd>; rel="next"')

    with serving(Elsewhere) as host, pytest.raises(errors.RegistryError, match="not safe"):
        tags(f"{host}/app", options=options)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", ""),
        ('</a>; rel="next"', "/a"),
        ("</a>; rel=next", "/a"),
        ('</a>; REL="Next"', "/a"),
        ('</p>; rel="prev", </n?a=b,c>; title="x; y"; rel="next"', "/n?a=b,c"),
        ('</p>; rel="prev"', ""),
        ('</p>; rel="first next"', "/p"),
        ('</p>; rel="nextish"', ""),
        ("</p", ""),
        ("<" * 9000, ""),
        ("</p>" + '; a="' * 2000, ""),
    ],
)
def test_links(header: str, expected: str) -> None:
    assert next_page(header) == expected
