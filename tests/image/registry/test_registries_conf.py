"""Where names lead to: registries.conf as skopeo reads it, in the places where it lies, and what can be none."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from testkit.loops import need_tool
from testkit.registries import Quiet, serving

from overlaykit import errors
from overlaykit.image import Reference
from overlaykit.image.registry import Mirror
from overlaykit.image.registry._config import environment_mirrors, read_rules
from overlaykit.image.registry._mirrors import find_places, find_rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIGEST = "sha256:" + "0" * 64

PAGE = """
unqualified-search-registries = ["search.example"]

[[registry]]
prefix = "example.com/foo"
insecure = false
blocked = false
location = "internal.example.net/bar"

[[registry.mirror]]
location = "mirror-0.local/mirror-for-foo"

[[registry.mirror]]
location = "mirror-1.local/mirrors/foo"
insecure = true

[[registry]]
location = "registry.com"

[[registry.mirror]]
location = "mirror.registry.com"

[[registry]]
prefix = "*.wild.example"

[[registry.mirror]]
location = "wild.local/all"

[[registry]]
prefix = "docker.io/library/ubuntu:20.04"
location = "docker.io/library/ubuntu:20.04"

[[registry.mirror]]
location = "base.local/focal:1"
pull-from-mirror = "tag-only"

[[registry.mirror]]
location = "base.local/ubuntu"

[[registry]]
location = "digests.example"
mirror-by-digest-only = true

[[registry.mirror]]
location = "mirror.digests"

[aliases]
"ubuntu" = "search.example/ubuntu"
"""


def places(path: Path, name: str, *mirrors: Mirror, insecure: bool = False) -> list[str]:
    """Return where a name leads to."""
    where = Reference.parse(name)
    rule = find_rule(read_rules(str(path)), where)
    found = find_places(where, rule, [mirrors], insecure=insecure)
    assert [one.mirror for one in found] == [True] * (len(found) - 1) + [False]
    return [str(one.reference) + ("!" if one.insecure else "") for one in found]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "example.com/foo/image",
            [
                "mirror-0.local/mirror-for-foo/image:latest",
                "mirror-1.local/mirrors/foo/image:latest!",
                "internal.example.net/bar/image:latest",
            ],
        ),
        (
            "example.com/foo:1",
            ["mirror-0.local/mirror-for-foo:1", "mirror-1.local/mirrors/foo:1!", "internal.example.net/bar:1"],
        ),
        ("example.com/foobar:1", ["example.com/foobar:1"]),
        ("registry.com/a/b:1", ["mirror.registry.com/a/b:1", "registry.com/a/b:1"]),
        ("registry.com:80/a/b:1", ["registry.com:80/a/b:1"]),
        ("a.b.wild.example/c:1", ["wild.local/all/c:1", "a.b.wild.example/c:1"]),
        ("wild.example/c:1", ["wild.example/c:1"]),
        ("ubuntu:20.04", ["base.local/focal:1", "base.local/ubuntu:20.04", "docker.io/library/ubuntu:20.04"]),
        ("ubuntu:20.041", ["docker.io/library/ubuntu:20.041"]),
        (f"ubuntu@{DIGEST}", [f"docker.io/library/ubuntu@{DIGEST}"]),
        ("digests.example/a:1", ["digests.example/a:1"]),
        (f"digests.example/a@{DIGEST}", [f"mirror.digests/a@{DIGEST}", f"digests.example/a@{DIGEST}"]),
        # Short names are Docker Hub's, whatever the file says.
        ("other", ["docker.io/library/other:latest"]),
    ],
)
def test_the_page_of_the_manual(tmp_path: Path, name: str, expected: list[str]) -> None:
    (tmp_path / "registries.conf").write_text(PAGE)
    assert places(tmp_path / "registries.conf", name) == expected


def test_mirrors_that_are_asked_for_come_first_and_the_best_prefix_counts(tmp_path: Path) -> None:
    (tmp_path / "registries.conf").write_text(PAGE)
    mirrors = [
        Mirror("registry.com", "whole.example"),
        Mirror("registry.com/a", "first.example/x", insecure=True),
        Mirror("registry.com/a", "second.example", only="digest"),
        Mirror("registry.com/a", "mirror.registry.com/a"),
    ]
    expected = ["first.example/x/b:1!", "mirror.registry.com/a/b:1", "registry.com/a/b:1!"]
    assert places(tmp_path / "registries.conf", "registry.com/a/b:1", *mirrors, insecure=True) == expected
    assert places(tmp_path / "registries.conf", "registry.com/ab:1", *mirrors)[0] == "whole.example/ab:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("docker.io=127.0.0.1:5000", Mirror("docker.io", "127.0.0.1:5000")),
        ("docker.io=http://m.example", Mirror("docker.io", "m.example", insecure=True)),
        ("docker.io=https://m.example/", Mirror("docker.io", "m.example")),
        ("docker.io/library/ubuntu=[::1]:5000/u", Mirror("docker.io/library/ubuntu", "[::1]:5000/u")),
        ("localhost/a=m", Mirror("localhost/a", "m")),
    ],
)
def test_mirrors_as_text(text: str, expected: Mirror) -> None:
    assert Mirror.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("docker.io", "is no mirror: write PREFIX=LOCATION"),
        ("=m", "'' is no prefix"),
        ("ubuntu=m", "'ubuntu' begins with no registry: write docker.io/library/ubuntu"),
        ("docker.io=", "'' is no location"),
        ("docker.io=user:password@m", "no location"),
        ("docker.io=ftp://m", "no location"),
        ("docker.io/Big=m", "no prefix"),
        ("*.a.example/b=m", "no prefix"),
        ("a.*.example=m", "no prefix"),
        ("docker.io=m.example/a b", "no location"),
        ("docker.io=m.example/../a", "no location"),
        ("docker.io=*.m.example", "no location"),
    ],
)
def test_what_is_no_mirror(monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    with pytest.raises(errors.RegistryConfigError, match=message):
        Mirror.parse(text)
    if " " not in text:
        monkeypatch.setenv("OVERLAYKIT_MIRRORS", f"docker.io=good.example,{text}")
        with pytest.raises(errors.RegistryConfigError, match=message):
            environment_mirrors()


def test_a_location_that_lacks_the_repository(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("")
    mirror = Mirror.parse("docker.io/library/ubuntu=127.0.0.1:5000")
    with pytest.raises(errors.RegistryConfigError, match=r"write the path .*, as 127\.0\.0\.1:5000/library/ubuntu"):
        places(tmp_path / "none", "ubuntu:20.04", mirror)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[registry", "no TOML"),
        ("x = " + "[" * 100_000, "no TOML"),
        ("registry = 3", "no array of tables"),
        ("[registry]\nprefix = 'a.example'", "no array of tables"),
        ("registry = [1]", "no array of tables"),
        ("[[registry]]", "neither prefix nor location"),
        ("[[registry]]\nprefix = 3", "prefix is no string"),
        ("[[registry]]\nprefix = 'a b'", "'a b' is no prefix"),
        ("[[registry]]\nprefix = 'a.example'\nlocation = 'https://b'", "'https://b' is no location"),
        ("[[registry]]\nlocation = '*.example'\nprefix = 'b'", "no location"),
        ("[[registry]]\nprefix = 'a.example'\nblocked = 'yes'", "blocked is neither true nor false"),
        ("[[registry]]\nprefix = 'a.example'\nmirror = 'b'", "no array of tables: write .*mirror"),
        ("[[registry]]\nprefix = 'a.example'\n[[registry.mirror]]", "'' is no location"),
        (
            "[[registry]]\nprefix = 'a.example'\n[[registry.mirror]]\nlocation = 'b'\ninsecure = 1",
            "insecure is neither",
        ),
        ("[[registry]]\nprefix = 'a.example'\n[[registry.mirror]]\npull-from-mirror = 'x'", "pull-from-mirror is 'x'"),
        (
            (
                "[[registry]]\nprefix='a.example'\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation='b'\n"
                "pull-from-mirror = 'all'"
            ),
            "leave one out",
        ),
        ("[registries.block]\nregistries = ['a.example']", "version 1"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.conf"
    path.write_text(text)
    with pytest.raises(errors.RegistryConfigError, match=message) as caught:
        read_rules(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(errors.RegistryConfigError, match="there is no"):
        read_rules(str(tmp_path / "none"))
    with pytest.raises(errors.RegistryConfigError, match="cannot be read"):
        read_rules(str(tmp_path))
    (tmp_path / "latin").write_bytes(b"# \xe4\n")
    with pytest.raises(errors.RegistryConfigError, match="not in UTF-8"):
        read_rules(str(tmp_path / "latin"))
    (tmp_path / "large").write_bytes(b"#" * (4 << 20) + b"\n")
    with pytest.raises(errors.RegistryConfigError, match="bytes"):
        read_rules(str(tmp_path / "large"))


def test_where_the_files_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def table(prefix: str, location: str) -> str:
        return f'[[registry]]\nprefix = "{prefix}"\nlocation = "{location}"\n'

    def read() -> dict[str, str]:
        return {rule.prefix: rule.location for rule in read_rules() if rule.prefix.endswith(".test")}

    monkeypatch.delenv("OVERLAYKIT_REGISTRIES_CONF")
    own = tmp_path / "home/.config/containers"
    (own / "registries.conf.d").mkdir(parents=True)
    assert read() == {}
    (own / "registries.conf").write_text(table("a.test", "user") + table("b.test", "user"))
    (own / "registries.conf.d/2.conf").write_text(table("b.test", "second"))
    (own / "registries.conf.d/1.conf").write_text(table("b.test", "first") + table("c.test", "first"))
    (own / "registries.conf.d/3.not").write_text("[[")
    assert read() == {"a.test": "user", "b.test": "second", "c.test": "first"}
    (tmp_path / "named.conf").write_text(table("d.test", "named"))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "named.conf"))
    assert read() == {"d.test": "named", "b.test": "second", "c.test": "first"}
    (tmp_path / "only.conf").write_text(table("e.test", "only"))
    monkeypatch.setenv("OVERLAYKIT_REGISTRIES_CONF", str(tmp_path / "only.conf"))
    assert read() == {"e.test": "only"}
    monkeypatch.delenv("OVERLAYKIT_REGISTRIES_CONF")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(tmp_path / "none.conf"))
    with pytest.raises(errors.RegistryConfigError, match="which the environment or an option names"):
        read_rules()


# -- against another reader -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[list[str], list[str]]]:
    """Two servers on loopback that have no image, and what was asked of them."""
    requests: list[str] = []

    class Nothing(Quiet):
        def get(self) -> None:
            if self.path == "/v2/":
                self.answer(200)
                return
            requests.append(f"{self.headers['Host']}{self.path.removeprefix('/v2')}")
            self.answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "none"}]}')

        head = get

    with serving(Nothing) as one, serving(Nothing) as two:
        yield [one, two], requests


LIKE_SKOPEO = """
[[registry]]
prefix = "{one}/team"
location = "{two}/other/team"
insecure = true
[[registry.mirror]]
location = "{two}/m1"
insecure = true
[[registry.mirror]]
location = "{one}/m2/team"
insecure = true
[[registry]]
location = "{one}"
insecure = true
[[registry.mirror]]
location = "{two}"
insecure = true
[[registry]]
prefix = "{one}/digests"
location = "{one}/digests"
insecure = true
mirror-by-digest-only = true
[[registry.mirror]]
location = "{two}/d"
insecure = true
[[registry]]
prefix = "{two}"
insecure = true
location = "{two}"
"""


@pytest.mark.parametrize(
    "name",
    [
        "{one}/team:1",
        "{one}/team/app:1",
        "{one}/team/a/b/c:latest",
        "{one}/team@" + DIGEST,
        "{one}/team2/app:1",
        "{one}/app:1",
        "{one}/digests:1",
        "{one}/digests/a@" + DIGEST,
        "{two}/app:1",
    ],
)
def test_the_same_places_as_skopeo(tmp_path: Path, asked: tuple[list[str], list[str]], name: str) -> None:
    """All but prefixes with a tag or a digest, which the manual has and skopeo 1.9 never finds."""
    hosts, requests = asked
    one, two = hosts
    path = tmp_path / "registries.conf"
    path.write_text(LIKE_SKOPEO.format(one=one, two=two))
    name = name.format(one=one, two=two)
    requests.clear()
    environment = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(path)}
    command = [need_tool("skopeo"), f"--registries-conf={path}", "inspect", "--raw", f"docker://{name}"]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=30)
    assert "manifest" in done.stderr, done.stderr
    ours = []
    for place in places(path, name):
        found = Reference.parse(place.rstrip("!"))
        ours.append(f"{found.registry}/{found.repository}/manifests/{found.digest or found.tag}")
    assert ours == requests
