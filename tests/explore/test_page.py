"""The page in a real browser: clicked through, its figures compared to the analysis, and looked at."""

from __future__ import annotations

import io
import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from testkit.chromium import pixels, start_browser

from overlaykit.explore import Cause, analyse, page_text, write_page
from overlaykit.tree import ChangeKind

from .conftest import archive, link, member, symlink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testkit.chromium import Browser, Page

    from overlaykit.explore import Analysis
    from overlaykit.image import ImageStore

EVIL = (
    "</script><b>x",
    '"quotes"\'',
    "line\nbreak",
    "esc\x1b[31m",
    "<img src=x onerror=alert(1)>",
    "\u202egpj.exe",
    "日本",
)
BASE = archive(
    member("etc"),
    member("etc/motd", b"hello\n"),
    member("etc/conf", b"c" * 4000),
    member("usr/lib/big", b"b" * 300_000),
    link("usr/lib/again", "usr/lib/big"),
    member("usr/lib/gone", b"g" * 100_000),
    member("usr/share/doc/a", b"1" * 40_000),
    member("usr/share/doc/b", b"2" * 60_000),
    symlink("lib", "usr/lib"),
)
SECOND = archive(
    member("etc/conf", b"c" * 4000, mode=0o600),
    member("usr/lib/.wh.gone", b""),
    member("usr/share/.wh.doc", b""),
    member("app"),
    member("app/data", b"d" * 200_000),
    member("app/copy", b"b" * 300_000),
    *(member(f"app/{name.replace('/', '|')}", name.encode()) for name in EVIL),
    member(b"app/latin-\xe9", b"x" * 77),
)
THIRD = archive(member("app/data", b"D" * 250_000), member("app/x"), member("app/x/y", b"y" * 9))
HISTORY = [
    {"created_by": "/bin/sh -c #(nop) ADD file:1 in / ", "created": "2020-01-01T00:00:00Z"},
    {"created_by": '/bin/sh -c #(nop)  CMD ["sh"]', "empty_layer": True},
    {"created_by": "RUN </script><script>alert(1)</script>"},
    {"created_by": "COPY data /app # buildkit"},
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests here."""
    browser = start_browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def analysis(load: Callable[..., ImageStore]) -> Analysis:
    """That of an image with three layers and waste."""
    return analyse(load(BASE, SECOND, THIRD, config={"history": HISTORY}), "image:1")


@pytest.fixture
def page(browser: Browser, analysis: Analysis, tmp_path: Path) -> Iterator[Page]:
    """The page of that, open; at the end it has neither asked for anything nor complained."""
    write_page(analysis, tmp_path / "page.html")
    with browser.page((tmp_path / "page.html").as_uri()) as page:
        yield page
        check_quiet(page)


def check_quiet(page: Page) -> None:
    asked = [event["request"]["url"] for event in page.events("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in asked) == 1
    assert page.events("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []
    assert page.events("Page.javascriptDialogOpening") == []


def size(count: int) -> str:
    from overlaykit.cli._text import size

    return size(count)


def rows(page: Page) -> list[str]:
    """Return the names in the tree, without what follows them."""
    return page.texts("#rows .row .text")


def test_the_figures_are_those_of_the_analysis(page: Page, analysis: Analysis) -> None:
    assert page.evaluate("document.title") == "image:1 · layers"
    figures = page.texts("#figures dd:not(.note)")
    assert figures == [
        f"{analysis.efficiency * 100:.1f}%",
        size(analysis.stored),
        size(analysis.wasted),
        size(analysis.duplicated),
    ]
    shown = page.texts("#stack .layer .size")
    assert shown == [size(layer.stored) for layer in reversed(analysis.layers)]
    for layer in analysis.layers:
        counts = [f"+{layer.count(ChangeKind.ADDED)}", f"~{layer.count(ChangeKind.MODIFIED)}"]
        counts.append(f"−{layer.count(ChangeKind.DELETED)}")
        assert page.texts(f"#layer-{layer.index} .n") == counts
        note = page.texts(f"#layer-{layer.index} .lostnote")
        assert note == ([f"{size(layer.wasted)} wasted"] if layer.wasted else [""])
    assert page.texts("#stack .step") == ['CMD ["sh"]']
    assert page.texts("#stack .layer .title")[1] == "RUN </script><script>alert(1)</script>"


def test_clicking_through_the_layers(page: Page, analysis: Analysis) -> None:
    for layer in analysis.layers:
        page.click(f"#layer-{layer.index}")
        assert page.texts("#about h2") == [f"Layer {layer.index}"]
        assert page.evaluate("location.hash") == f"#layer={layer.index}"
        assert page.evaluate(f"document.getElementById('layer-{layer.index}').ariaSelected") == "true"
        tally = page.texts("#tally")[0]
        assert f"stored {size(layer.stored)}" in tally
        if layer.hidden:
            assert f"hides {size(layer.hidden)}" in tally
    page.click("#layer-1")
    expected = sorted({path.split("/")[0] for path in (one.path for one in analysis.layers[1].changes)})
    top = page.texts("#rows .row[aria-level='1'] .text")
    assert sorted(name.rstrip("/") for name in top) == [name for name in expected if name != "."]


def open_directory(page: Page, name: str) -> None:
    row = (
        "[...document.querySelectorAll('#rows .row')]"
        f".find(row => row.querySelector('.text').innerText === {json.dumps(name + '/')})"
    )
    number, expanded = page.evaluate(f"(row => [row.dataset.path, row.ariaExpanded])({row})")
    if expanded == "false":
        page.click(f"#row-{number} .twist")
    assert page.evaluate(f"document.getElementById('row-{number}').ariaExpanded") == "true"


def test_the_tree_and_its_filters(page: Page, analysis: Analysis) -> None:
    page.click("#layer-1")
    page.click("#sort-name")
    open_directory(page, "app")
    page.click("#rows .row[aria-level='1'] .twist")
    assert rows(page) == ["app/", "etc/", "usr/"]
    open_directory(page, "etc")
    open_directory(page, "usr")
    assert rows(page) == ["app/", "etc/", "conf", "usr/", "lib/", "share/"]
    assert page.texts("#rows .row.changed .tag:not(.wasted)") == ["mode"]
    page.click("#filter-changed")
    assert rows(page) == ["etc/", "conf"]
    page.click("#filter-changed")
    page.click("#filter-removed")
    open_directory(page, "lib")
    open_directory(page, "share")
    open_directory(page, "doc")
    assert rows(page) == ["usr/", "lib/", "gone", "share/", "doc/", "a", "b"]
    assert "hides 195.3 KiB" in page.texts("#tally")[0]
    page.click("#filter-removed")
    page.click("#filter-wasted")
    open_directory(page, "app")
    assert rows(page) == ["app/", "data"]
    assert page.evaluate("location.hash").startswith("#layer=1&show=wasted")
    page.click("#filter-wasted")
    page.click("#filter-hidden")
    assert rows(page) == ["etc/", "conf", "usr/", "lib/", "gone", "share/", "doc/", "a", "b"]
    assert "hides 199.2 KiB" in page.texts("#tally")[0]
    page.click("#filter-added")
    assert {"app/", "copy", "gone"} <= set(rows(page))
    page.click("#filter-added")
    page.click("#filter-hidden")
    page.click("#sort-main")
    assert rows(page)[:3] == ["app/", "copy", "data"]
    page.click("#sort-main")
    assert rows(page)[-2:] == ["data", "copy"]
    page.click("#sort-lost")
    assert rows(page)[:2] == ["app/", "data"]
    assert analysis.layers[1].stored == 504_000 + 77 + sum(len(name.encode()) for name in EVIL)


def test_the_merged_tree_at_each_layer(page: Page, analysis: Analysis) -> None:
    page.click("#view-merged")
    for layer in analysis.layers:
        page.click(f"#layer-{layer.index}")
        files = {entry.inode: entry.stored for _, entry in layer.root.walk() if not entry.is_directory}
        names = sum(not entry.is_directory for _, entry in layer.root.walk())
        tally = page.texts("#tally")[0]
        assert f"{names} files · size {size(sum(files.values()))}" in tally
    last = sum(entry.stored for entry in {e.inode: e for _, e in analysis.layers[-1].root.walk()}.values())
    assert last == analysis.stored - analysis.wasted
    page.click("#layer-0")
    wasted_later = 4000 + 200_000
    assert f"wasted later {size(wasted_later)}" in page.texts("#tally")[0]


def test_searching(page: Page) -> None:
    page.click("#view-merged")
    page.press("/")
    for character in "lib/b":
        page.press(character)
    page.wait("location.hash.includes('find=lib%2Fb')")
    assert rows(page) == ["usr/", "lib/", "big"]
    page.press("Escape")
    page.wait("!location.hash.includes('find')")
    page.press("/")
    for character in "SCRIPT":
        page.press(character)
    page.wait("location.hash.includes('find=SCRIPT')")
    assert any("<|script><b>x" in name for name in rows(page))
    for character in "zzz":
        page.press(character)
    page.wait("document.querySelector('#rows .nothing') !== null")


def test_odd_names_are_text(page: Page) -> None:
    page.click("#layer-1")
    open_directory(page, "app")
    names = set(rows(page))
    assert {"<|script><b>x", '"quotes"\'', "line\\nbreak", "esc\\x1b[31m", "<img src=x onerror=alert(1)>"} <= names
    assert {"\\u202egpj.exe", "日本", "latin-\\xe9"} <= names
    assert page.evaluate("document.querySelectorAll('img, b, iframe, #rows script').length") == 0
    text = page.texts("pre.instruction")[0]
    assert text == "RUN </script><script>alert(1)</script>"


def test_no_other_script_runs_there_and_nobody_is_asked(browser: Browser, analysis: Analysis, tmp_path: Path) -> None:
    write_page(analysis, tmp_path / "page.html")
    with browser.page((tmp_path / "page.html").as_uri()) as page:
        script = (
            "(() => { const script = document.createElement('script'); script.textContent = 'window.hit = 1';"
            " document.body.append(script); document.body.insertAdjacentHTML('beforeend',"
            ' \'<img src=x onerror="window.hit = 2"><p style="color: red" id=styled>\'); })()'
        )
        page.evaluate(script)
        assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', error => error.name)") == "TypeError"
        refused = page.wait("window.hit === undefined && getComputedStyle(document.getElementById('styled')).color")
        assert refused != "rgb(255, 0, 0)"
        told = " ".join(event["entry"]["text"] for event in page.events("Log.entryAdded"))
        assert told.count("Content Security Policy") >= 4


def test_what_happened_to_a_file(page: Page) -> None:
    page.evaluate("location.hash = '#layer=2&path=app/data'")
    page.wait("document.querySelector('#details h3')?.innerText === 'app/data'")
    assert page.texts("#details .what") == ["~ changed: content", "+ added"]
    assert page.texts("#details .story .lost") == ["195.3 KiB wasted: replaced by layer 2"]
    page.click("#details .story li:last-child button.mark")
    assert page.evaluate("location.hash") == "#layer=1&path=app/data"
    page.evaluate("location.hash = '#layer=0&path=etc/conf'")
    page.wait("document.querySelector('#details h3')?.innerText === 'etc/conf'")
    assert "stored the same content again with another mode" in page.texts("#details .story .lost")[0]
    facts = page.texts("#details .facts-list dd")
    assert facts[1:3] == ["-rw-r--r-- 0644", "0:0"]


def test_the_lists_of_waste(page: Page, analysis: Analysis) -> None:
    page.click("#tab-waste")
    cells = page.texts("#panel-waste tbody td:nth-child(-n+2)")
    assert cells == [text for one in analysis.waste for text in (size(one.bytes), one.path)]
    cards = page.texts("#panel-waste .card strong")
    assert cards == ["195.3 KiB", "195.3 KiB", "3.9 KiB"]
    page.click("#panel-waste tbody tr:nth-child(2) .link")
    assert page.evaluate("location.hash").endswith(f"path={analysis.waste[1].path}")
    page.click("#tab-twice")
    assert page.texts("#panel-twice .places .link") == ["usr/lib/again", "app/copy"]
    assert page.texts("#panel-twice tbody td:first-child") == [size(300_000)]


def test_the_keyboard_is_enough(page: Page) -> None:
    page.click("#layer-0")
    page.evaluate("document.getElementById('tree').focus()")
    page.click("#sort-name")
    page.evaluate("document.getElementById('tree').focus()")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.press(key)
    assert page.texts("#details h3") == ["etc/conf"]
    assert page.evaluate("document.querySelector('#rows .selected').getAttribute('aria-level')") == "2"
    page.press("ArrowLeft")
    assert page.texts("#details h3") == ["etc"]
    page.press("ArrowLeft")
    assert rows(page) == ["etc/", "lib", "usr/"]
    page.press("End")
    page.press("*")
    assert rows(page)[2:5] == ["usr/", "lib/", "again"]
    page.press("[")
    assert page.texts("#about h2") == ["Layer 1"]
    page.press("m")
    assert page.evaluate("document.getElementById('view-merged').ariaChecked") == "true"
    page.press("]")
    assert page.texts("#about h2") == ["Layer 0"]
    page.evaluate("document.getElementById('stack').focus()")
    page.press("ArrowUp")
    assert page.texts("#about h2") == ["Layer 1"]
    named = page.evaluate(
        "[...document.querySelectorAll('button, input, [tabindex=\"0\"]')].filter(e => e.offsetParent && "
        "!(e.innerText.trim() || e.getAttribute('aria-label') || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert named == []


def test_a_link_leads_to_a_layer_and_a_path(browser: Browser, analysis: Analysis, tmp_path: Path) -> None:
    write_page(analysis, tmp_path / "page.html")
    link = f"{(tmp_path / 'page.html').as_uri()}#layer=1&view=merged&path=app/latin-%5Cxe9"
    with browser.page(link) as page:
        assert page.texts("#about h2") == ["Layer 1"]
        assert page.texts("#details h3") == ["app/latin-\\xe9"]
        assert page.evaluate("document.querySelectorAll('#rows .selected').length") == 1
    with browser.page(f"{(tmp_path / 'page.html').as_uri()}#layer=99&path=%E0%A4%A&show=odd") as page:
        assert page.texts("#about h2") == ["Layer 2"]
        check_quiet(page)


def near(color: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 3 for a, b in zip(color, other, strict=True))


def at(page: Page, selector: str, part: float = 0.5) -> tuple[int, int, int]:
    left, top, width, height = page.box(selector)
    return pixels(page.screenshot(x=left + width * part, y=top + height / 2, width=1, height=1))[0][0]


@pytest.mark.parametrize("dark", [False, True])
def test_how_it_looks(browser: Browser, analysis: Analysis, tmp_path: Path, dark: bool) -> None:
    write_page(analysis, tmp_path / "page.html")
    with browser.page((tmp_path / "page.html").as_uri() + "#layer=1", dark=dark) as page:
        picture = page.screenshot()
        folder = os.environ.get("OVERLAYKIT_SCREENSHOTS")
        if folder:
            with open(os.path.join(folder, f"explore-{'dark' if dark else 'light'}.png"), "wb") as file:
                file.write(picture)
        small = pixels(page.screenshot(x=0, y=0, width=1280, height=900, scale=0.125))
        assert (len(small[0]), len(small)) == (160, 113)
        assert len({color for row in small for color in row}) > 150
        background = small[-1][1]
        assert near(background, (13, 18, 24) if dark else (243, 245, 248))
        # copy is the larger of two: added, and not wasted. data is wasted: stripes over the same colour.
        copy, data = (
            page.evaluate(f"document.querySelector('.tile[data-note^=\"app/{name}\"]').dataset.path")
            for name in ("copy", "data")
        )
        assert near(at(page, f".tile[data-path='{copy}']"), (28, 77, 54) if dark else (191, 232, 210))
        left, top, width, height = page.box(f".tile[data-path='{data}']")
        stripes = pixels(page.screenshot(x=left + 4, y=top + height / 2, width=min(40, width - 8), height=1))[0]
        assert len(set(stripes)) > 1
        # The bar of a layer: kept at its left, wasted at its right end.
        assert page.evaluate("document.querySelectorAll('#layer-0 .lost').length") == 1
        kept, wasted = at(page, "#layer-0 .kept"), at(page, "#layer-0 .lost", 0.37)
        assert kept != wasted
        page.click("#theme")
        assert near(
            pixels(page.screenshot(x=2, y=890, width=1, height=1))[0][0], (243, 245, 248) if dark else (13, 18, 24)
        )


@pytest.mark.parametrize("width", [390, 800])
def test_it_fits_narrow_windows(browser: Browser, analysis: Analysis, tmp_path: Path, width: int) -> None:
    write_page(analysis, tmp_path / "page.html")
    with browser.page((tmp_path / "page.html").as_uri(), width=width, height=800) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        check_quiet(page)


def test_forty_thousand_entries(browser: Browser, load: Callable[..., ImageStore], tmp_path: Path) -> None:
    names = [f"usr/lib/python3/dist-packages/package{n % 400}/module_{n}.py" for n in range(40_000)]
    first = archive(*(member(name, b"%d" % n * 20) for n, name in enumerate(names)))
    second = archive(*(member(name, b"%d" % n * 20, mode=0o600) for n, name in enumerate(names[:5000])))
    analysis = analyse(load(first, second), "image:1")
    written = write_page(analysis, tmp_path / "page.html")
    assert written == (tmp_path / "page.html").stat().st_size < 2_000_000
    with browser.page((tmp_path / "page.html").as_uri() + "#layer=0&view=merged") as page:
        assert "40,000 files" in page.texts("#tally")[0]
        drawn = page.evaluate("document.querySelectorAll('*').length")
        assert drawn < 4000
        spent = page.evaluate(
            "(() => { const start = performance.now(); document.getElementById('layer-1').click();"
            " return performance.now() - start; })()"
        )
        assert spent < 3000
        page.evaluate("document.getElementById('tree').focus()")
        page.press("End")
        page.press("*")
        page.evaluate("document.getElementById('tree').scrollTop = 1e9")
        page.wait("[...document.querySelectorAll('#rows .text')].some(e => e.innerText.startsWith('module_'))")
        assert page.evaluate("document.querySelectorAll('#rows .row').length") < 60
        check_quiet(page)


def test_an_image_without_layers(browser: Browser, load: Callable[..., ImageStore], tmp_path: Path) -> None:
    write_page(analyse(load(), "image:1"), tmp_path / "page.html")
    with browser.page((tmp_path / "page.html").as_uri()) as page:
        assert page.texts("#main") == ["The image has no layers."]
        assert page.texts("#efficiency") == ["100.0%"]
        check_quiet(page)


def test_paths_deeper_than_pythons_stack(browser: Browser, load: Callable[..., ImageStore], tmp_path: Path) -> None:
    deep = "/".join(["d"] * 1500)
    # What is below x is never seen: x is a file in the end, in the same archive.
    layer = archive(member(f"{deep}/f", b"deep"), member(f"x/{deep}/f", b"lost"), member("x", b"now a file"))
    analysis = analyse(load(layer, archive(member(".wh.d", b""))), "image:1")
    assert [(one.path, one.cause) for one in analysis.waste] == [
        (f"{deep}/f", Cause.DELETED),
        (f"x/{deep}/f", Cause.DELETED),
    ]
    write_page(analysis, tmp_path / "page.html")
    with browser.page((tmp_path / "page.html").as_uri() + "#layer=0") as page:
        page.evaluate("document.getElementById('tree').focus()")
        for key in ("Home", "*", "End"):
            page.press(key)
        assert page.texts("#tally") == ["2 files · stored 14 B · wasted 4 B · hides 4 B"]
        check_quiet(page)


def test_the_page_is_one_file_that_names_nothing_outside(analysis: Analysis) -> None:
    text = page_text(analysis)
    assert text == page_text(analysis)
    for address in re.findall(r"(?:https?:)?//[a-z0-9.]+", text.replace("http://www.w3.org/2000/svg", "")):
        assert address.startswith("//"), address
        assert not re.search(rf"[\"'(]{re.escape(address)}", text), address
    assert not re.search(r"@import|url\(|\bsrc=|fetch\(|XMLHttpRequest|WebSocket|\beval\(|innerHTML", text)
    assert text.count("<script") == text.count("</script>") == 2
    assert "alert(1)" not in text
    out = io.StringIO()
    assert write_page(analysis, out) == len(text.encode())
    assert out.getvalue() == text


def test_a_page_is_written_whole_or_not_at_all(analysis: Analysis, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("before")
    write_page(analysis, target)
    assert target.read_text().startswith("<!doctype html>")
    with pytest.raises(FileNotFoundError):
        write_page(analysis, tmp_path / "none" / "page.html")
    (tmp_path / "directory").mkdir()
    with pytest.raises(IsADirectoryError):
        write_page(analysis, tmp_path / "directory")
    assert sorted(path.name for path in tmp_path.iterdir() if "layout" not in path.name) == ["directory", "page.html"]


def test_pictures_are_read() -> None:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    lines: list[Any] = [
        b"\x00" + bytes((1, 2, 3, 10, 20, 30)),
        b"\x01" + bytes((1, 1, 1, 1, 1, 1)),
        b"\x02" + bytes((1, 1, 1, 1, 1, 1)),
        b"\x03" + bytes((1, 1, 1, 1, 1, 1)),
        b"\x04" + bytes((1, 1, 1, 1, 1, 1)),
    ]
    header = struct.pack(">IIBBBBB", 2, len(lines), 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(lines)))
    assert pixels(png) == [
        [(1, 2, 3), (10, 20, 30)],
        [(1, 1, 1), (2, 2, 2)],
        [(2, 2, 2), (3, 3, 3)],
        [(2, 2, 2), (3, 3, 3)],
        [(3, 3, 3), (4, 4, 4)],
    ]
