"""Images travel to and from a real registry, whole, and what is there already does not."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from testkit.loops import need_tool
from testkit.registries import run_registry, signing_key
from testkit.waits import PATIENCE

from overlaykit import errors
from overlaykit.image.registry import Options, pull, pull_all, push, push_all
from overlaykit.store import LABEL_BLOB, LABEL_MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testkit.registries import Front

    from overlaykit.image import ImageStore, ProgressEvent


def test_what_was_pushed_is_pulled(source: ImageStore, store: ImageStore, registry: str, pushed: str) -> None:
    events: list[ProgressEvent] = []
    got = pull(store, f"{registry}/{pushed}:1", progress=events.append)
    assert got.image.digest == source.image("app:1").digest
    assert got.image.references == (f"{registry}/{pushed}:1",)
    assert got.shared == 0
    assert got.moved > 3_000_000
    assert {event.action for event in events} >= {"download", "unpack", "done"}
    with store.container(got.image) as box:
        assert (box.tree / "b").read_bytes() == b"2"


def test_only_changed_layers_travel(
    source: ImageStore, store: ImageStore, registry: str, pushed: str, broken: Front
) -> None:
    pull(store, f"{registry}/{pushed}:1")
    got = pull(store, f"{broken.host}/{pushed}:2")
    assert got.moved < 1000
    assert got.shared > 3_000_000
    assert broken.count("GET", "/blobs/") == 2  # the new layer and the configuration
    sent = push(source, "app:2", f"{registry}/{pushed}:again")
    assert sent.moved == 0
    assert sent.shared > 3_000_000


def test_a_digest_names_it(source: ImageStore, store: ImageStore, registry: str, pushed: str) -> None:
    digest = source.image("app:2").digest
    assert pull(store, f"{registry}/{pushed}@{digest}").image.digest == digest
    with pytest.raises(errors.NotFoundError, match="has no image"):
        pull(store, f"{registry}/{pushed}@sha256:{'0' * 64}")
    with pytest.raises(errors.NotFoundError, match="has no image"):
        pull(store, f"{registry}/{pushed}:none")
    with pytest.raises(errors.DigestMismatchError):
        push(source, "app:1", f"{registry}/{pushed}@{digest}")


def test_blobs_are_mounted_from_where_they_are_known_to_be(
    store: ImageStore, registry: str, pushed: str, broken: Front
) -> None:
    pull(store, f"{broken.host}/{pushed}:1")
    broken.requests.clear()
    sent = push(store, f"{broken.host}/{pushed}:1", f"{broken.host}/{pushed}-copy:1")
    assert sent.moved == 0
    assert broken.count("POST", "mount=") == 4
    assert pull(store, f"{registry}/{pushed}-copy:1").image.references


def test_a_mount_that_is_not_granted_is_an_upload(store: ImageStore, pushed: str, broken: Front) -> None:
    pull(store, f"{broken.host}/{pushed}:1")
    store.tag(f"{broken.host}/{pushed}:1", f"{broken.host}/elsewhere/nothing:1")
    assert push(store, f"{broken.host}/{pushed}:1", f"{broken.host}/{pushed}-far:1").moved > 3_000_000


def test_an_index_is_selected_from(
    source: ImageStore, make_store: Callable[[], ImageStore], registry: str, pushed: str, tmp_path: Path
) -> None:
    ones = [source.image("app:1"), source.image("app:2")]
    entries = [
        {
            "mediaType": one.media_type,
            "digest": one.digest,
            "size": len(source.manifest(one).raw),
            "platform": {"os": "linux", "architecture": architecture, **more},
        }
        for one, architecture, more in ((ones[0], "amd64", {}), (ones[1], "arm", {"variant": "v7"}))
    ]
    entries += [
        {**entries[0], "digest": f"sha256:{n:064x}", "platform": {"os": "unknown", "architecture": f"a{n}"}}
        for n in range(10_000)
    ]
    _put_index(registry, pushed, entries[:2], "index")
    store = make_store()
    name = f"{registry}/{pushed}:index"
    assert pull(store, name, platform="linux/arm/v7").image.digest == ones[1].digest
    assert pull(store, name, platform="linux/arm").image.digest == ones[1].digest
    assert pull(store, name, platform="linux/amd64").image.digest == ones[0].digest
    with pytest.raises(errors.NotFoundError, match="linux/amd64, linux/arm/v7"):
        pull(store, name, platform="windows/amd64")
    with store.container(name) as box:
        assert box.info.image == ones[0].digest


@pytest.fixture
def index(source: ImageStore, registry: str, pushed: str) -> tuple[str, str]:
    """An index of both images, for two platforms: its name and its digest."""
    entries = [_entry(source, "app:1", "amd64"), _entry(source, "app:2", "arm64")]
    return f"{registry}/{pushed}:index", _put_index(registry, pushed, entries, "index")


def _entry(source: ImageStore, name: str, architecture: str, os: str = "linux") -> dict[str, object]:
    one = source.image(name)
    size = len(source.manifest(one).raw)
    platform = {"os": os, "architecture": architecture}
    return {"mediaType": one.media_type, "digest": one.digest, "size": size, "platform": platform}


def test_an_index_is_kept(
    source: ImageStore, store: ImageStore, index: tuple[str, str], registry: str, pushed: str
) -> None:
    got = pull(store, index[0], platform="linux/arm64").image
    kept = store.index(got)
    assert kept is not None
    assert kept.descriptor.digest == index[1]
    assert len(kept.manifests) == 2
    store.prune()
    assert store.index(got) == kept
    pull(store, f"{registry}/{pushed}:1")
    assert store.index(f"{registry}/{pushed}:1") is None
    pull(store, index[0])
    store.remove_image(got.digest)
    assert store.index(index[0]) == kept
    with pytest.raises(errors.NotFoundError, match=r"not here for linux/arm64: pull it with --all-platforms"):
        push_all(store, index[0], f"{registry}/{pushed}:other")
    for image in store.images():
        store.remove_image(image.digest, force=True)
    assert list(store.content.walk()) == []


def test_an_index_goes_on(
    store: ImageStore, make_store: Callable[[], ImageStore], index: tuple[str, str], registry: str, pushed: str
) -> None:
    everything = pull_all(store, index[0])
    assert [one.image.references for one in everything] == [(index[0],), ()]
    assert all(store.index(one.image) is not None for one in everything)
    *sent, last = push_all(store, index[0], f"{registry}/{pushed}-copy:1")
    assert last.digest == index[1]
    assert [one.digest for one in sent] == [one.image.digest for one in everything]
    assert sum(one.moved for one in sent) == 0  # mounted
    again = make_store()
    assert {one.image.digest for one in pull_all(again, f"{registry}/{pushed}-copy:1")} == {one.digest for one in sent}
    assert pull(again, f"{registry}/{pushed}-copy@{index[1]}").image.digest == everything[0].image.digest
    with pytest.raises(errors.DigestMismatchError):
        push_all(store, index[0], f"{registry}/{pushed}-copy@sha256:{'0' * 64}")


def test_what_came_alone_goes_alone(source: ImageStore, registry: str, pushed: str) -> None:
    (sent,) = push_all(source, "app:1", f"{registry}/{pushed}:alone")
    assert sent.digest == source.image("app:1").digest


def test_attestations_stay_where_they_are(source: ImageStore, store: ImageStore, registry: str, pushed: str) -> None:
    entries = [_entry(source, "app:1", "amd64"), _entry(source, "app:2", "unknown", "unknown")]
    digest = _put_index(registry, pushed, entries, "attested")
    (got,) = pull_all(store, f"{registry}/{pushed}:attested")
    *_, last = push_all(store, f"{registry}/{pushed}:attested", f"{registry}/{pushed}-bare:1")
    assert last.digest != digest
    again = pull(store, f"{registry}/{pushed}-bare:1", platform="linux/amd64").image
    assert again.digest == got.image.digest
    kept = store.index(again)
    assert kept is not None
    assert [str(one.platform) for one in kept.manifests] == ["linux/amd64"]


def test_an_image_that_comes_alone_is_for_what_was_asked_for(store: ImageStore, registry: str, pushed: str) -> None:
    name = f"{registry}/{pushed}:1"
    with pytest.raises(errors.NotFoundError, match="is for linux/amd64, and linux/arm64 was asked for"):
        pull(store, name, platform="linux/arm64")
    assert store.images() == []
    assert list(store.layer_snapshots()) == []
    assert pull(store, name, platform="linux/amd64").image.platform == "linux/amd64"


def test_layers_know_their_media_types(source: ImageStore, store: ImageStore, registry: str, pushed: str) -> None:
    image = pull(store, f"{registry}/{pushed}:1").image
    told = {info.labels[LABEL_BLOB]: info.labels[LABEL_MEDIA_TYPE] for info in store.layer_snapshots()}
    assert told == {layer.digest: layer.media_type for layer in store.manifest(image).layers}


def _put_index(registry: str, name: str, entries: list[dict[str, object]], tag: str) -> str:
    import http.client

    media_type = "application/vnd.oci.image.index.v1+json"
    document = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries})
    connection = http.client.HTTPConnection(registry, timeout=PATIENCE)
    connection.request("PUT", f"/v2/{name}/manifests/{tag}", document, {"Content-Type": media_type})
    answer = connection.getresponse()
    assert answer.status == 201
    connection.close()
    return answer.headers["Docker-Content-Digest"]


def test_skopeo_reads_what_we_push(source: ImageStore, registry: str, pushed: str, tmp_path: Path) -> None:
    skopeo = need_tool("skopeo")
    where = f"docker://{registry}/{pushed}:1"
    text = subprocess.run(
        [skopeo, "inspect", "--tls-verify=false", where], check=True, capture_output=True, timeout=60
    ).stdout
    assert json.loads(text)["Digest"] == source.image("app:1").digest
    copy = [skopeo, "--insecure-policy", "copy", "-q", "--src-tls-verify=false", where, f"oci:{tmp_path}/out:x"]
    subprocess.run(copy, check=True, timeout=60, capture_output=True)
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert index["manifests"][0]["digest"] == source.image("app:1").digest


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_we_read_what_skopeo_pushes(
    source: ImageStore, store: ImageStore, registry: str, pushed: str, tmp_path: Path, form: str
) -> None:
    skopeo = need_tool("skopeo")
    source.save("app:2", tmp_path / "app.tar")
    command = [skopeo, "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "--format", form]
    where = f"{registry}/{pushed}:{form}"
    subprocess.run(
        [*command, f"oci-archive:{tmp_path}/app.tar", f"docker://{where}"], check=True, timeout=60, capture_output=True
    )
    got = pull(store, where)
    assert ("docker" in got.image.media_type) == (form == "v2s2")
    again = push(store, where, f"{registry}/{pushed}:{form}-again")
    assert again.digest == got.image.digest
    with store.container(got.image) as box:
        assert (box.tree / "c").read_bytes() == b"3"


def test_tls_with_an_authority_of_ones_own(source: ImageStore, store: ImageStore, tmp_path: Path) -> None:
    certificate, key = signing_key(tmp_path)
    quick = Options(retries=1, sleep=lambda _: None)
    with run_registry(tmp_path / "registry", tls=(certificate, key)) as host:
        trusting = Options(ca=str(certificate))
        push(source, "app:1", f"{host}/app:1", options=trusting)
        assert pull(store, f"{host}/app:1", options=trusting).moved > 3_000_000
        assert pull(store, f"{host}/app:1", options=Options(insecure=True)).moved < 10_000
        with pytest.raises(errors.RegistryUnavailableError, match="certificate is refused"):
            pull(store, f"{host}/app:1", options=quick)


def test_store_methods(source: ImageStore, store: ImageStore, registry: str, pushed: str) -> None:
    assert store.pull(f"{registry}/{pushed}:1").image.digest == source.image("app:1").digest
    assert store.push(f"{registry}/{pushed}:1").moved == 0


def test_a_store_on_disk_goes_on_with_a_broken_pull(registry: str, pushed: str, broken: Front, tmp_path: Path) -> None:
    from testkit.registries import Fault

    from overlaykit.image import open_store

    hasty = Options(retries=0, sleep=lambda _: None)
    broken.faults.append(Fault("GET", "/blobs/", "cut", times=9, after=2_000_000))
    with open_store(tmp_path / "store", driver="directory") as store:
        with pytest.raises(errors.RegistryUnavailableError):
            pull(store, f"{broken.host}/{pushed}:1", options=hasty)
        assert store.images() == []
        broken.faults.clear()
        broken.requests.clear()
        got = pull(store, f"{broken.host}/{pushed}:1", options=hasty)
    assert [one["Range"] for one in broken.headers("GET", "/blobs/") if "Range" in one] != []
    assert got.moved < 2_500_000
    assert os.listdir(tmp_path / "store" / "content" / "ingest") == []
