"""Images from mirrors: real registries stand for Docker Hub, which is never asked, and for those that are nowhere."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from testkit.loops import need_tool
from testkit.registries import Fault, free_port, front, run_registry, signing_key

from overlaykit import errors
from overlaykit.image.registry import Credentials, Mirror, Options, pull, pull_all, push, tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testkit.registries import Front

    from overlaykit.image import ImageStore

NOWHERE = "registry.invalid"
UBUNTU = "docker.io/library/ubuntu:20.04"
NAME, SECRET = "user", "s3cret-of-tests"


@pytest.fixture
def hub(source: ImageStore, registry: str) -> Iterator[Front]:
    """A registry that has Docker Hub's ubuntu:20.04, and tells what it was asked."""
    push(source, "app:1", f"{registry}/library/ubuntu:20.04")
    with front(registry) as one:
        yield one


@pytest.fixture
def options(options: Options) -> Options:
    """Options that wait for nothing and try each request once."""
    return replace(options, retries=0)


def write(path: Path, text: str) -> str:
    """Write a configuration file."""
    path.write_text(text)
    return str(path)


def closed() -> str:
    """Return a host where nobody listens."""
    return f"127.0.0.1:{free_port()}"


def test_a_short_name_comes_from_a_mirror(
    source: ImageStore, store: ImageStore, hub: Front, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = pull(store, "ubuntu:20.04", options=replace(options, mirrors=[f"docker.io={hub.host}"]))
    assert got.image.references == (UBUNTU,)
    assert got.image.digest == source.image("app:1").digest
    assert got.source == f"{hub.host}/library/ubuntu"
    assert hub.count("GET", "/v2/library/ubuntu/manifests/20.04") == 1
    assert store.image("ubuntu:20.04").digest == got.image.digest
    by_digest = f"docker.io/library/ubuntu@{got.image.digest}"
    monkeypatch.setenv("OVERLAYKIT_MIRRORS", f"ghcr.io={closed()}, docker.io/library={hub.host}/library")
    again = pull(store, by_digest, options=options)
    assert (again.moved, again.image.references) == (0, tuple(sorted((by_digest, UBUNTU))))
    assert hub.count("GET", f"/v2/library/ubuntu/manifests/{got.image.digest}") == 1


@pytest.mark.parametrize("broken", ["nobody", "missing", "failing", "damaged", "cut off", "web page"])
def test_the_next_place_is_asked(store: ImageStore, hub: Front, options: Options, broken: str) -> None:
    """Whatever is wrong with the first mirror, at its manifest or in the middle of a blob."""
    digests = {
        "nobody": (closed(), []),
        "missing": (f"{hub.host}/none", []),
        "failing": (f"{hub.host}", [Fault("GET", "manifests", "status", status=500)]),
        "damaged": (f"{hub.host}", [Fault("GET", "blobs", "corrupt")]),
        "cut off": (f"{hub.host}", [Fault("GET", "blobs", "cut", after=10, times=1)]),
        "web page": (f"{hub.host}", [Fault("GET", "manifests", "header", headers={"Content-Type": "text/html"})]),
    }
    location, faults = digests[broken]
    hub.faults += faults
    # As the name of the second mirror is another one, it is another place.
    second = f"localhost:{hub.host.rpartition(':')[2]}"
    one_by_one = replace(options, parallel=1, mirrors=[f"docker.io={location}", Mirror("docker.io", second)])
    got = pull(store, "ubuntu:20.04", options=one_by_one)
    assert got.source == f"{second}/library/ubuntu"
    assert got.image.layers == 3
    assert len(store.images()) == 1


def test_the_registry_itself_is_the_last(store: ImageStore, registry: str, pushed: str, options: Options) -> None:
    with front(registry) as one:
        mirrors = [Mirror(registry, f"{one.host}/none"), Mirror(registry, one.host, only="digest")]
        got = pull(store, f"{registry}/{pushed}:1", options=replace(options, mirrors=mirrors))
        assert got.source == f"{registry}/{pushed}"
        assert [path for _, path, _ in one.requests if "manifests" in path] == [f"/v2/none/{pushed}/manifests/1"]
        by_digest = f"{registry}/{pushed}@{got.image.digest}"
        assert pull(store, by_digest, options=replace(options, mirrors=mirrors)).source == f"{one.host}/{pushed}"


def test_an_error_names_mirrors_and_the_registry(store: ImageStore, hub: Front, options: Options) -> None:
    nobody = closed()
    mirrors = [Mirror(NOWHERE, nobody), Mirror(NOWHERE, hub.host)]
    with pytest.raises(errors.RegistryUnavailableError) as caught:
        pull(store, f"{NOWHERE}/app:1", options=replace(options, mirrors=mirrors))
    told = str(caught.value)
    assert told.startswith(f"{NOWHERE}/app:1 comes from nowhere: the mirror {nobody}/app: the registry {nobody} does")
    assert f"; the mirror {hub.host}/app: the registry {hub.host} has no image app:1: check the name; " in told
    assert f"; the registry {NOWHERE} does not answer: its name is not known" in told
    assert caught.value.strerror == caught.value.message == told
    assert "\n" not in told
    assert store.images() == []
    # The kind is that of what the registry itself says.
    with pytest.raises(errors.NotFoundError, match=f"the mirror {nobody}/app: .* has no image app:1"):
        pull(store, f"{hub.host}/app:1", options=replace(options, mirrors=[Mirror(hub.host, nobody)]))


def test_all_platforms(source: ImageStore, store: ImageStore, hub: Front, options: Options) -> None:
    (got,) = pull_all(store, "ubuntu:20.04", options=replace(options, mirrors=[f"docker.io={hub.host}"]))
    assert (got.image.digest, got.image.references) == (source.image("app:1").digest, (UBUNTU,))


def test_nothing_is_pushed_to_a_mirror(
    source: ImageStore, store: ImageStore, hub: Front, registry: str, options: Options
) -> None:
    mirrored = replace(options, mirrors=[Mirror(registry, hub.host), f"docker.io={hub.host}"])
    push(source, "app:1", f"{registry}/t/pushed:1", options=mirrored)
    with pytest.raises(errors.RegistryUnavailableError):
        push(source, "app:1", f"{NOWHERE}/pushed:1", options=replace(mirrored, mirrors=[Mirror(NOWHERE, hub.host)]))
    assert hub.requests == []
    assert pull(store, f"{registry}/t/pushed:1").image.layers == 3


def test_tags_are_not_asked_of_a_mirror(
    hub: Front, registry: str, pushed: str, options: Options, tmp_path: Path
) -> None:
    mirrored = replace(options, mirrors=[Mirror(registry, hub.host)])
    assert tags(f"{registry}/{pushed}", options=mirrored) == ["1", "2"]
    assert hub.requests == []
    # Where the registry really is somewhere else, they are asked for there.
    moved = write(tmp_path / "moved.conf", f'[[registry]]\nprefix = "{NOWHERE}/team"\nlocation = "{hub.host}/t"\n')
    name = f"{NOWHERE}/team/{pushed.partition('/')[2]}"
    assert tags(name, options=replace(options, registries_conf=moved)) == ["1", "2"]
    assert hub.count("GET", f"/v2/{pushed}/tags/list") == 1


def test_what_is_blocked(source: ImageStore, store: ImageStore, hub: Front, options: Options, tmp_path: Path) -> None:
    text = f'[[registry]]\nprefix = "{hub.host}/library"\nblocked = true\n[[registry]]\nlocation = "{hub.host}"\n'
    file = write(tmp_path / "blocked.conf", text)
    blocked = replace(options, registries_conf=file, mirrors=[Mirror(hub.host, hub.host)])
    name = f"{hub.host}/library/ubuntu:20.04"
    for ask in (
        lambda: pull(store, name, options=blocked),
        lambda: push(source, "app:1", name, options=blocked),
        lambda: tags(name, options=blocked),
    ):
        with pytest.raises(
            errors.RegistryAccessError, match=f"{name} is blocked: {file} says so of {hub.host}/library"
        ):
            ask()
    assert hub.requests == []
    with pytest.raises(errors.NotFoundError):
        pull(store, f"{hub.host}/other", options=blocked)


# -- who asks, and how ------------------------------------------------------------------------------------------------


def htpasswd(path: Path) -> str:
    """Return what makes a registry ask for the name and its password."""
    line = subprocess.run([need_tool("htpasswd"), "-nbB", NAME, SECRET], check=True, capture_output=True).stdout
    (path / "htpasswd").write_bytes(line)
    return f"  htpasswd:\n    realm: tests\n    path: {path}/htpasswd\n"


def login(path: Path, host: str) -> None:
    """Keep the password for a host."""
    (path / "docker").mkdir(exist_ok=True)
    pair = base64.b64encode(f"{NAME}:{SECRET}".encode()).decode()
    (path / "docker/config.json").write_text(json.dumps({"auths": {host: {"auth": pair}}}))


def test_the_credentials_are_the_mirrors(
    source: ImageStore, store: ImageStore, registry: str, options: Options, tmp_path: Path
) -> None:
    with run_registry(tmp_path / "private", auth=htpasswd(tmp_path)) as private:
        given = replace(options, credentials=Credentials(NAME, SECRET))
        push(source, "app:1", f"{private}/library/ubuntu:20.04", options=given)
        mirrored = replace(options, mirrors=[f"docker.io={private}", f"{NOWHERE}={private}/library"])
        login(tmp_path, "https://index.docker.io/v1/")
        with pytest.raises(errors.RegistryUnavailableError, match=f"{private} wants credentials"):
            pull(store, f"{NOWHERE}/ubuntu:20.04", options=mirrored)
        # What was given for the registry that the name says is nothing for a mirror.
        with pytest.raises(errors.RegistryUnavailableError, match=f"{private} wants credentials"):
            pull(store, f"{NOWHERE}/ubuntu:20.04", options=replace(mirrored, credentials=Credentials(NAME, SECRET)))
        login(tmp_path, private)
        assert pull(store, "ubuntu:20.04", options=mirrored).source == f"{private}/library/ubuntu"
    with front(registry) as other:
        with pytest.raises(errors.OverlaykitError):
            pull(store, f"{NOWHERE}/x:1", options=replace(options, mirrors=[Mirror(NOWHERE, other.host)]))
        assert other.requests
        assert not [one for _, _, one in other.requests if "Authorization" in one]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that stands for this machine, and does not look like it."""
    found = socket.getaddrinfo

    def look_up(host: str, *arguments: object, **more: object) -> object:
        return found("127.0.0.1" if host == "mirror.invalid" else host, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return "mirror.invalid"


def test_plain_http_is_for_loopback_or_what_is_insecure(
    store: ImageStore, hub: Front, options: Options, elsewhere: str, tmp_path: Path
) -> None:
    there = f"{elsewhere}:{hub.host.rpartition(':')[2]}"
    mirrors = [f"docker.io={there}", Mirror(NOWHERE, f"{there}/library")]
    # That the registry itself may be insecure says nothing of the mirror.
    strict = replace(options, mirrors=mirrors, insecure=True, registries_conf=_moved_hub(tmp_path))
    for name in ("ubuntu:20.04", f"{NOWHERE}/ubuntu:20.04"):
        with pytest.raises(errors.RegistryUnavailableError, match=f"mirror {there}/library/ubuntu: .* TLS failed"):
            pull(store, name, options=strict)
    assert [one for one in hub.requests if one[0] == "GET"] == []
    got = pull(store, "ubuntu:20.04", options=replace(options, mirrors=[f"docker.io=http://{there}"]))
    assert got.source == f"{there}/library/ubuntu"
    text = f'[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "{there}"\ninsecure = true\n'
    file = write(tmp_path / "insecure.conf", text)
    assert pull(store, "ubuntu:20.04", options=replace(options, registries_conf=file)).moved == 0


def _moved_hub(path: Path) -> str:
    """Let Docker Hub be nowhere, so that no test asks it."""
    return write(path / "hub.conf", f'[[registry]]\nprefix = "docker.io"\nlocation = "{NOWHERE}"\n')


def test_a_mirror_with_a_certificate(
    source: ImageStore, store: ImageStore, options: Options, elsewhere: str, tmp_path: Path
) -> None:
    certificate, key = signing_key(tmp_path)
    with run_registry(tmp_path / "tls", tls=(certificate, key)) as host:
        trusting = replace(options, ca=str(certificate))
        push(source, "app:1", f"{host}/library/ubuntu:20.04", options=trusting)
        mirror = f"localhost:{host.rpartition(':')[2]}"
        got = pull(store, "ubuntu:20.04", options=replace(trusting, mirrors=[f"docker.io=https://{mirror}/"]))
        assert got.source == f"{mirror}/library/ubuntu"
        doubtful = replace(options, mirrors=[f"docker.io={mirror}"], registries_conf=_moved_hub(tmp_path))
        with pytest.raises(errors.RegistryUnavailableError, match=f"mirror {mirror}/.* certificate is refused"):
            pull(store, "ubuntu:20.04", options=doubtful)
        other = f"{elsewhere}:{host.rpartition(':')[2]}"
        careless = replace(options, mirrors=[Mirror("docker.io", other, insecure=True)])
        assert pull(store, "ubuntu:20.04", options=careless).source == f"{other}/library/ubuntu"


def test_a_mirror_is_not_waited_for_as_long_as_a_registry(
    store: ImageStore, hub: Front, make_store: Callable[[], ImageStore], waits: list[float], options: Options
) -> None:
    patient = replace(options, retries=5)
    nobody = Mirror(hub.host, closed())
    assert pull(store, f"{hub.host}/library/ubuntu:20.04", options=replace(patient, mirrors=[nobody])).moved > 0
    assert len(waits) == 1
    hub.faults.append(Fault("GET", "manifests", "status", times=3))
    pull(make_store(), f"{hub.host}/library/ubuntu:20.04", options=patient)
    assert len(waits) == 4
