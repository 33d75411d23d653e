"""Images and containers in a store: names, sharing, collecting, committing."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest
from testkit.images import MadeImage, descriptor, digest, layer, make_image

import overlaykit
from overlaykit import errors
from overlaykit.image import Descriptor, ImageStore, ProgressEvent, fetch_image, send_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from overlaykit.image import Fetched

BASE = layer({"etc": None, "etc/motd": b"hello\n", "bin": None, "bin/sh": b"#!\n" * 1000})
APP = layer({"app": None, "app/main": b"run\n", "etc/.wh.motd": b""})
TOOL = layer({"tool": b"other\n"})


class Source:
    """An image in memory, which counts what is asked for."""

    def __init__(self, image: MadeImage, *, parallel: int = 1) -> None:
        self.image = image
        self.parallel = parallel
        self.blobs = dict(image.blobs)
        self.asked: list[str] = []
        self.stopped = False

    def manifest(self, descriptor: Descriptor) -> bytes:
        self.asked.append(descriptor.digest)
        return self.blobs[descriptor.digest]

    def stop(self) -> None:
        self.stopped = True

    def open(self, descriptor: Descriptor, offset: int = 0) -> BinaryIO:
        self.asked.append(descriptor.digest)
        return io.BytesIO(self.blobs[descriptor.digest][offset:])

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.image.media_type, digest(self.image.manifest), len(self.image.manifest))


@pytest.fixture(params=["memory", "directory", "overlayfs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImageStore]:
    """A store over each driver that works here."""
    path = None if request.param == "memory" else tmp_path / "store"
    try:
        made = overlaykit.open_store(path, driver=request.param, durability="none")
    except errors.DriverUnavailableError as error:
        pytest.skip(f"no driver {request.param}: {error}")
    with made:
        yield made


def fetch(store: ImageStore, image: MadeImage, *names: str, parallel: int = 1) -> Fetched:
    """Bring an image in."""
    source = Source(image, parallel=parallel)
    return fetch_image(store, source, source.descriptor, references=names)


def snapshots(store: ImageStore) -> set[str]:
    """Return the keys of all snapshots."""
    return {info.key for info in store.walk()}


@pytest.mark.parametrize("parallel", [1, 3])
def test_an_image_comes_and_is_what_it_was(store: ImageStore, parallel: int) -> None:
    made = make_image([BASE, APP])
    fetched = fetch(store, made, "app:1", parallel=parallel)
    assert fetched.image.references == ("docker.io/library/app:1",)
    assert fetched.image.digest == digest(made.manifest)
    assert fetched.image.platform == "linux/amd64"
    assert store.image("app:1") == store.image(fetched.image.digest) == fetched.image
    assert store.image(fetched.image.digest.removeprefix("sha256:")[:12]) == fetched.image
    assert store.manifest("app:1").raw == made.manifest
    assert store.config("app:1").raw == made.config
    assert fetched.image.top is not None
    with store.tree(fetched.image.top) as tree:
        assert sorted(tree.listdir()) == ["app", "bin", "etc"]
        assert tree.listdir("etc") == []


def test_what_is_here_does_not_travel(store: ImageStore) -> None:
    first = fetch(store, make_image([BASE, APP]), "app:1")
    second_image = make_image([BASE, TOOL])
    source = Source(second_image)
    second = fetch_image(store, source, source.descriptor, references=["app:2"])
    assert digest(second_image.layers[0]) not in source.asked
    assert second.shared >= len(second_image.layers[0])
    assert second.moved == len(second_image.layers[1])
    assert first.image.layers == 2
    again = Source(second_image)
    third = fetch_image(store, again, again.descriptor, references=["app:3"])
    assert third.moved == 0
    assert third.image.references == ("docker.io/library/app:2", "docker.io/library/app:3")
    base = next(one for one in store.layers() if one.parent is None)
    assert len(base.images) == 2
    assert base.saved == base.bytes > 0


def test_events_name_every_layer(store: ImageStore) -> None:
    image, events = make_image([BASE, APP]), list[ProgressEvent]()
    source = Source(image)
    fetch_image(store, source, source.descriptor, progress=events.append)
    assert {digest(one) for one in image.layers} == {event.digest for event in events if event.action == "done"}
    fetch_image(store, source, source.descriptor, progress=events.append)
    assert {digest(one) for one in image.layers} == {event.digest for event in events if event.action == "exists"}


def test_names_move_and_go(store: ImageStore) -> None:
    one, two = fetch(store, make_image([BASE]), "a:1").image, fetch(store, make_image([BASE, APP]), "a:2").image
    store.tag("a:1", "b", "localhost:5000/c/d:x")
    assert store.image("b:latest").digest == one.digest
    store.tag(two, "b")
    assert store.image("b").digest == two.digest
    with pytest.raises(errors.ImageReferenceError):
        store.tag("a:1", "Not A Name")
    with pytest.raises(errors.NotFoundError, match="nothing"):
        store.image("nothing")
    assert store.remove_image("b").images == ()
    with pytest.raises(errors.LayerInUseError, match="names"):
        store.remove_image(one.digest)
    assert store.remove_image(one.digest, force=True).images == (one.digest,)
    assert [image.digest for image in store.images()] == [two.digest]
    with store.tree(two.top or "") as tree:
        assert tree.read_bytes("bin/sh")


def test_removing_an_image_keeps_what_another_one_uses(store: ImageStore) -> None:
    fetch(store, make_image([BASE, APP]), "app")
    tool = fetch(store, make_image([BASE, TOOL]), "tool").image
    done = store.remove_image("app")
    assert len(done.layers) == 1
    assert done.bytes > 0
    assert len(list(store.layer_snapshots())) == 2
    assert store.manifest(tool).layers[0].digest in set(store.content.walk())
    store.remove_image("tool")
    assert list(store.content.walk()) == []
    assert snapshots(store) == set()


def test_prune_removes_exactly_what_nothing_uses(store: ImageStore) -> None:
    keep = fetch(store, make_image([BASE, APP]), "keep").image
    unnamed = fetch(store, make_image([TOOL])).image
    used = fetch(store, make_image([layer({"x": b"x"})])).image
    box = store.create_container(used, "box")
    with store.snapshot() as working:
        working.tree.write_bytes("mine", b"mine")
        working.commit("mine")
    below = fetch(store, make_image([layer({"y": b"y"})])).image
    store.prepare("over", below.top)
    stray = store.content.add(b"stray")
    store.prepare("user", "mine")
    done = store.prune()
    assert set(done.images) == {unnamed.digest, below.digest}
    assert done.layers == (unnamed.top,)
    assert stray in done.blobs
    assert {keep.top, used.top, below.top, "mine", "box", "over", "user"} <= snapshots(store)
    assert store.prune() == type(done)()
    box.close()
    store.remove_container("box")
    store.remove("over")
    assert set(store.prune().layers) == {used.top, below.top}
    assert snapshots(store) == {keep.top, next(iter(store.layers())).chain_id, "mine", "user"}


def test_an_image_of_a_container_is_not_removed(store: ImageStore) -> None:
    fetch(store, make_image([BASE]), "base")
    store.create_container("base", "box").close()
    with pytest.raises(errors.LayerInUseError, match="box"):
        store.remove_image("base")
    store.remove_container("box")
    assert store.remove_image("base").images


def test_a_container_ends_with_its_with_unless_kept(store: ImageStore) -> None:
    fetch(store, make_image([BASE]), "base")
    with store.container("base", "gone") as box:
        box.tree.write_bytes("new", b"new")
        assert ("added", "new") in {(change.kind, change.path) for change in box.changes()}
        assert [info.name for info in store.containers()] == ["gone"]
    assert store.containers() == []
    with store.container("base", "stays") as box:
        box.tree.write_bytes("new", b"new")
        box.keep()
        assert box.tree.read_bytes("new") == b"new"
    assert [info.name for info in store.containers()] == ["stays"]
    with store.open_container("stays") as again:
        assert again.tree.read_bytes("new") == b"new"
    store.remove_container("stays")
    with pytest.raises(errors.NotFoundError, match="stays"):
        store.remove_container("stays")


def test_a_commit_is_one_new_layer_and_the_container_goes_on(store: ImageStore) -> None:
    base = fetch(store, make_image([BASE, APP]), "base").image
    with store.container("base") as box:
        box.tree.write_bytes("etc/new", b"new")
        box.tree.unlink("bin/sh")
        image = box.commit("base:patched", author="me", message="why", config={"Cmd": ["run"], "Env": None})
        box.tree.write_bytes("later", b"later")
        assert {change.path for change in box.changes()} >= {"bin/sh", "etc/new", "later"}
    before, after = store.config(base), store.config(image)
    assert after.diff_ids[:2] == before.diff_ids
    assert len(after.diff_ids) == 3
    assert store.manifest(image).layers[:2] == store.manifest(base).layers
    assert after.document["config"] == {"Cmd": ["run"]}
    assert after.document["author"] == "me"
    newest = store.history(image)[0]
    assert (newest.author, newest.comment, newest.empty_layer) == ("me", "why", False)
    assert newest.digest == store.manifest(image).layers[2].digest
    with store.tree(image.top or "") as tree:
        assert tree.read_bytes("etc/new") == b"new"
        assert tree.listdir("bin") == []
        assert "later" not in tree.listdir()


def test_a_commit_with_an_epoch_is_the_same_each_time(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(store, make_image([BASE]), "base")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    digests = set()
    for _ in range(2):
        with store.container("base") as box:
            box.tree.write_bytes("new", b"new")
            digests.add(box.commit().digest)
    assert len(digests) == 1
    config = store.config(digests.pop())
    assert config.created == "2020-09-13T12:26:40Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with store.container("base") as box, pytest.raises(errors.ChangesetError, match="SOURCE_DATE_EPOCH"):
        box.commit()


def test_history_pairs_layers_with_instructions(store: ImageStore) -> None:
    entries = [
        {"created_by": "ADD base"},
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "COPY app"},
    ]
    made = make_image([BASE, APP], config={"history": entries})
    fetch(store, made, "app")
    history = store.history("app")
    assert [entry.created_by for entry in history] == ["COPY app", "ENV A=1", "ADD base"]
    assert [entry.empty_layer for entry in history] == [False, True, False]
    assert [entry.digest for entry in history if not entry.empty_layer] == [digest(one) for one in made.layers[::-1]]


def test_files_go_in_and_out_with_their_attributes(store: ImageStore, tmp_path: Path) -> None:
    fetch(store, make_image([BASE]), "base")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_bytes(b"content")
    os.chmod(tree / "sub/file", 0o640)
    os.utime(tree / "sub/file", ns=(5, 1_500_000_000_123_456_789))
    os.link(tree / "sub/file", tree / "again")
    os.symlink("sub/file", tree / "link")
    with store.container("base") as box:
        box.copy_in(tree, "/etc")
        box.copy_in(tree, "etc/other")
        box.copy_in(tree / "link", "bin/")
        assert box.tree.readlink("bin/link") == "sub/file"
        for place in ("etc/tree", "etc/other"):
            status = box.tree.stat(f"{place}/sub/file")
            assert stat.S_IMODE(status.st_mode) == 0o640
            assert status.st_mtime_ns == 1_500_000_000_123_456_789
            assert status.st_nlink == 2
        assert box.tree.read_bytes("etc/motd") == b"hello\n"
        box.copy_out("/etc/tree", tmp_path / "out")
        box.copy_out("etc/motd", tmp_path)
        assert (tmp_path / "motd").read_bytes() == b"hello\n"
        assert (tmp_path / "out/sub/file").stat().st_mtime_ns == 1_500_000_000_123_456_789
        assert os.path.samefile(tmp_path / "out/again", tmp_path / "out/sub/file")
        archive = io.BytesIO()
        box.copy_out("etc/tree", archive)
        with tarfile.open(fileobj=io.BytesIO(archive.getvalue())) as opened:
            assert sorted(set(opened.getnames()) - {"."}) == [
                "tree",
                "tree/again",
                "tree/link",
                "tree/sub",
                "tree/sub/file",
            ]
        box.tree.mkdir("srv")
        box.copy_in(io.BytesIO(archive.getvalue()), "/srv")
        assert box.tree.read_bytes("srv/tree/link") == b"content"
        for wrong in ("nowhere/at/all", "etc/missing/"):
            with pytest.raises(errors.NotFoundError):
                box.copy_in(tree / "link", wrong)
        with pytest.raises(errors.NotFoundError):
            box.copy_out("missing", tmp_path)
        with pytest.raises(errors.NotFoundError):
            box.copy_in(tmp_path / "missing", "/")
        box.tree.mkdir("srv/link")
        with pytest.raises(errors.ExistsError):
            box.copy_in(tree / "link", "srv")
    assert {info.key for info in store.walk() if info.kind == "active"} == set()


def test_the_export_is_the_flat_tree(store: ImageStore) -> None:
    fetch(store, make_image([BASE, APP]), "base")
    with store.container("base", "box") as box:
        box.tree.write_bytes("new", b"new")
        out = io.BytesIO()
        store.export("box", out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
    assert {"app/main", "bin/sh", "etc", "new"} <= names
    assert not any(".wh." in name or "motd" in name for name in names)


def test_a_plain_snapshot_becomes_an_image(store: ImageStore) -> None:
    for name, parent in (("one", None), ("two", "one")):
        with store.snapshot(parent) as working:
            working.tree.write_bytes(name, name.encode())
            working.commit(name)
    image = store.create_image("two", "mine", config={"Cmd": ["one"]}, platform="linux/arm64", epoch=1_600_000_000)
    assert (image.layers, image.platform) == (2, "linux/arm64")
    assert store.config("mine").document["config"] == {"Cmd": ["one"]}
    assert store.create_image("two", epoch=1_600_000_000, config={"Cmd": ["one"]}, platform="linux/arm64") == image
    with store.container("mine") as box:
        assert sorted(box.tree.listdir()) == ["one", "two"]
    store.remove_image("mine")
    assert snapshots(store) == {"one", "two"}


@pytest.mark.parametrize("driver", ["directory", "overlayfs"])
def test_a_killed_fetch_leaves_nothing_wrong(tmp_path: Path, driver: str) -> None:
    made = make_image([BASE, APP])
    try:
        overlaykit.open_store(tmp_path / "store", driver=driver, durability="none").close()
    except errors.DriverUnavailableError as error:
        pytest.skip(f"no driver {driver}: {error}")
    process = os.fork()
    if not process:
        try:
            child = overlaykit.open_store(tmp_path / "store", durability="none")
            source = Source(made)

            def die(event: ProgressEvent) -> None:
                if event.digest == digest(made.layers[1]):
                    os.kill(os.getpid(), 9)

            fetch_image(child, source, source.descriptor, references=["app"], progress=die)
        finally:
            os._exit(1)
    assert os.waitpid(process, 0)[1] == 9
    with overlaykit.open_store(tmp_path / "store", durability="none") as store:
        assert store.images() == []
        assert store.damaged == []
        assert fetch(store, made, "app").image.layers == 2
        store.remove_image("app")
        assert snapshots(store) == set()
        assert list(store.content.walk()) == []


# -- what goes wrong -----------------------------------------------------------------------------------------------


def broken(change: Callable[[dict[str, object]], object]) -> MadeImage:
    """Return an image whose manifest was changed."""
    made = make_image([BASE])
    document = json.loads(made.manifest)
    change(document)
    return MadeImage(json.dumps(document).encode(), made.config, made.plain, made.layers)


MANY = [descriptor(b"x", "application/vnd.oci.image.layer.v1.tar")] * 10_000
WRONG: dict[str, tuple[Callable[[dict[str, object]], object], type[errors.OverlaykitError]]] = {
    "10,000 layers": (lambda it: it.update(layers=MANY), errors.LimitError),
    "too few layers": (lambda it: it.update(layers=[]), errors.ImageFormatError),
    "layers no list": (lambda it: it.update(layers={}), errors.ImageFormatError),
    "no config": (lambda it: it.pop("config"), errors.ImageFormatError),
    "config of another kind": (
        lambda it: it["config"].update(mediaType="application/wasm"),  # type: ignore[attr-defined]
        errors.MediaTypeError,
    ),
    "unknown layer": (lambda it: it["layers"][0].update(mediaType="text/plain"), errors.MediaTypeError),  # type: ignore[index]
    "foreign layer": (
        lambda it: it["layers"][0].update(  # type: ignore[index]
            mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        ),
        errors.MediaTypeError,
    ),
    "nondistributable layer": (
        lambda it: it["layers"][0].update(  # type: ignore[index]
            mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        ),
        errors.MediaTypeError,
    ),
    "no digest": (lambda it: it["layers"][0].update(digest="sha256:../../x"), errors.ImageFormatError),  # type: ignore[index]
    "negative size": (lambda it: it["layers"][0].update(size=-1), errors.ImageFormatError),  # type: ignore[index]
    "size no number": (lambda it: it["layers"][0].update(size="9"), errors.ImageFormatError),  # type: ignore[index]
    "schema 1": (lambda it: it.update(schemaVersion=1), errors.MediaTypeError),
    "another manifest": (lambda it: it.update(mediaType="text/html"), errors.MediaTypeError),
    "config too large": (lambda it: it["config"].update(size=1 << 40), errors.LimitError),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_manifest_is_refused_and_leaves_nothing(store: ImageStore, case: str) -> None:
    change, kind = WRONG[case]
    with pytest.raises(kind) as caught:
        fetch(store, broken(change), "bad")
    assert "\n" not in str(caught.value)
    assert store.images() == []
    assert snapshots(store) == set()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"schemaVersion": NaN}',
        b'{"schemaVersion": ' + b"9" * 100_000 + b"}",
    ],
    ids=["empty", "lists", "objects", "list", "null", "no text", "NaN", "digits"],
)
def test_no_json_is_refused(store: ImageStore, data: bytes) -> None:
    made = make_image([BASE])
    with pytest.raises(errors.ImageFormatError):
        fetch(store, MadeImage(data, made.config, made.plain, made.layers), "bad")
    assert store.images() == []


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("fault", ["exchanged", "cut", "longer", "diff id", "config"])
def test_a_damaged_layer_leaves_no_image(store: ImageStore, fault: str, parallel: int) -> None:
    made = make_image([BASE, APP])
    if fault == "diff id":
        wrong = {"rootfs": {"type": "layers", "diff_ids": [digest(BASE), digest(BASE)]}}
        made = make_image([BASE, APP], config=wrong)
    source = Source(made, parallel=parallel)
    top = digest(made.layers[1])
    data = source.blobs[top]
    source.blobs[top] = {"exchanged": data[:-9] + b"123456789", "cut": data[:-5], "longer": data + b"x"}.get(
        fault, data
    )
    if fault == "config":
        source.blobs[digest(made.config)] = made.config.replace(b"bin", b"nib")
    with pytest.raises((errors.DigestMismatchError, errors.LayerFormatError)):
        fetch_image(store, source, source.descriptor, references=["bad"])
    assert store.images() == []
    store.prune()
    assert snapshots(store) == set()
    assert list(store.content.walk()) == []
    fetch(store, make_image([BASE, APP]), "good")


def test_an_unknown_name_is_refused_before_anything_travels(store: ImageStore) -> None:
    source = Source(make_image([BASE]))
    with pytest.raises(errors.ImageReferenceError):
        fetch_image(store, source, source.descriptor, references=["UPPER CASE"])
    assert source.asked == []


def test_an_image_is_sent_with_what_the_target_lacks(store: ImageStore) -> None:
    made = make_image([BASE, APP])
    image = fetch(store, made, "app").image
    there = {digest(made.layers[0]): made.layers[0]}

    class Target:
        parallel = 1

        def stop(self) -> None:
            raise AssertionError("nothing fails")

        def has(self, descriptor: Descriptor) -> bool:
            return descriptor.digest in there

        def put(self, descriptor: Descriptor, open: Callable[[int], BinaryIO]) -> int:
            with open(0) as file:
                there[descriptor.digest] = file.read()
            return descriptor.size

        def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
            there[descriptor.digest] = data

    sent = send_image(store, image, Target())
    assert there == made.blobs
    assert sent.digest == image.digest
    assert sent.shared == len(made.layers[0])


def test_loads_and_prunes_at_once(store: ImageStore) -> None:
    made = [make_image([BASE, layer({f"f{n}": b"x" * n})]) for n in range(6)]
    failed: list[BaseException] = []

    def load(image: MadeImage, name: str) -> None:
        try:
            fetch(store, image, name)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=load, args=(image, f"image:{n}")) for n, image in enumerate(made)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        store.prune()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(store.images()) == 6
    for image in store.images():
        with store.tree(image.top or "") as tree:
            assert tree.read_bytes("bin/sh")


def test_a_later_version_of_the_tables_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with overlaykit.open_store(tmp_path / "store", driver="directory") as store:
        fetch(store, make_image([BASE]), "base:1")
    connection = sqlite3.connect(tmp_path / "store" / "metadata.db")
    with connection:
        connection.execute("UPDATE image_schema SET version = 99")
    connection.close()
    with (
        overlaykit.open_store(tmp_path / "store") as store,
        pytest.raises(errors.StoreVersionError, match=r"version 99 .* use a newer overlaykit"),
    ):
        store.images()


def test_tables_of_the_first_version_are_brought_up(tmp_path: Path) -> None:
    import sqlite3

    with overlaykit.open_store(tmp_path / "store", driver="directory") as store:
        digest = fetch(store, make_image([BASE]), "base:1").image.digest
    connection = sqlite3.connect(tmp_path / "store" / "metadata.db")
    with connection:
        connection.executescript("DROP TABLE image_schema; DROP TABLE image_indexes")
    connection.close()
    with overlaykit.open_store(tmp_path / "store") as store:
        assert [one.digest for one in store.images()] == [digest]
        assert store.index(digest) is None
        assert store.remove_image(digest, force=True).images == (digest,)


def test_nothing_is_collected_while_it_is_sent(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overlaykit.image._lock._WAIT", 0.2)
    image = fetch(store, make_image([BASE]), "base:1").image
    refused: list[str] = []

    class Target:
        parallel = 2

        def has(self, descriptor: Descriptor) -> bool:
            return False

        def stop(self) -> None:
            raise AssertionError("nothing fails")

        def put(self, descriptor: Descriptor, open: Callable[[int], BinaryIO]) -> int:
            if not refused:
                with pytest.raises(errors.StoreBusyError, match="sent"):
                    store.remove_image(image.digest, force=True)
                refused.append(descriptor.digest)
            with open(0) as file:
                return len(file.read())

        def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
            with pytest.raises(errors.StoreBusyError):
                store.prune()

    assert send_image(store, image, Target()).moved > 0
    assert refused
    store.remove_image(image.digest, force=True)
