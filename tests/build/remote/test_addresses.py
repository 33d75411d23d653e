"""Which sources are addresses, and of what."""

from __future__ import annotations

import pytest

from overlaykit import errors
from overlaykit.build.remote import GitAddress, file_name, is_http, without_password

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a/b", False),
        ("http://h/x", True),
        ("HTTPS://h/x", True),
        ("https://h/x.git/y", True),
        ("https://h/x.git?a=b", False),
        ("https://h/x.git#v1", False),
        ("a://b", False),
        ("git@h:x", False),
    ],
)
def test_files_by_http_are_told_from_all_else(source: str, expected: bool) -> None:
    assert is_http(source) is expected


@pytest.mark.parametrize("source", ["ftp://h/x", "FILE:///etc/passwd", "sftp://u:p@h/x"])
def test_other_addresses_are_refused(source: str) -> None:
    with pytest.raises(errors.BuildError, match="is not fetched here") as raised:
        is_http(source)
    assert "u:p" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://h/x.git", ("https://h/x.git", "", "")),
        ("https://h/x.git#main", ("https://h/x.git", "main", "")),
        ("http://h/a/x.git#v1:sub/dir", ("http://h/a/x.git", "v1", "sub/dir")),
        ("https://h/x.git#:/sub//dir/", ("https://h/x.git", "", "sub/dir")),
        ("git://h/x#feature/one", ("git://h/x", "feature/one", "")),
        ("ssh://git@h:22/x", ("ssh://git@h:22/x", "", "")),
        ("git@h.example:team/x.git#v2", ("git@h.example:team/x.git", "v2", "")),
        (f"https://h/x.git#{COMMIT}", ("https://h/x.git", COMMIT, "")),
    ],
)
def test_repositories(source: str, expected: tuple[str, str, str]) -> None:
    found = GitAddress.parse(source)
    assert found is not None
    assert (found.remote, found.ref, found.directory) == expected
    assert found.commit == (COMMIT if expected[1] == COMMIT else "")


@pytest.mark.parametrize("source", ["a", "a@b", "dir@2:x://y", "https://h/x", "http://h/x.git/y", "@h:x", "a b@h:x"])
def test_what_is_no_repository(source: str) -> None:
    assert GitAddress.parse(source) is None


@pytest.mark.parametrize("fragment", ["--upload-pack=x", "v:../up", "v:a/../../b", "v:.git/hooks", "v\n:x"])
def test_what_no_reference_may_say(fragment: str) -> None:
    with pytest.raises(errors.BuildError, match="REPOSITORY#REF:DIRECTORY"):
        GitAddress.parse(f"https://h/x.git#{fragment}")


def test_names_of_files() -> None:
    assert file_name("http://h/a%20file?x=/y#z") == "a file"
    assert file_name("http://h/dir/") == "index.html"
    for address in ("http://h/a/..", "http://h/%2e%2e", "http://h/a%2Fb%00", "http://[x/a"):
        with pytest.raises(errors.BuildError):
            file_name(address)


def test_a_message_has_no_password() -> None:
    assert without_password("https://me:secret@h/x@y") == "https://h/x@y"
    assert str(GitAddress("https://me:secret@h/x.git", "v1", "d")) == "https://h/x.git#v1:d"
