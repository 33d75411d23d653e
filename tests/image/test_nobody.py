"""A whole life of an image without root gives the same bytes as with root."""

from __future__ import annotations

import hashlib
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from testkit.images import make_image, write_layout
from testkit.layer_model import archive, block, char, d, f, fifo, h, s, w
from testkit.loops import need_root
from testkit.parity import look
from testkit.rich import run_as

import overlaykit

if TYPE_CHECKING:
    from pathlib import Path

    from overlaykit.image import ImageStore

pytestmark = pytest.mark.native

BASE = archive(
    [
        d("./", mode=0o751, uid=3, gid=4),
        d("etc"),
        f("etc/shadow", "secret", mode=0o640, gid=42),
        f("etc/none", "", mode=0),
        d("bin", mode=0o755),
        f("bin/su", "#!", mode=0o4755, xattrs=(("user.note", "set-uid"),)),
        f("bin/ping", "#!", xattrs=(("security.capability", "\1\0\0\2\0\4" + "\0" * 14),)),
        h("bin/ping6", "bin/ping"),
        s("sh", "bin/su", uid=5, gid=6),
        d("home", mode=0o2775, uid=1000, gid=1000),
        f("home/file", "mine", uid=1000, gid=1000),
        d("tmp", mode=0o1777),
        d("closed", mode=0, uid=7),
        f("closed/in", "in", uid=70_000),
        d("dev"),
        char("dev/null", 1, 3),
        block("dev/sda", 8, 0),
        fifo("dev/pipe"),
    ]
)
NEXT = archive([w("home/file"), f("home/other", "o", uid=1001), d("closed", mode=0o700, uid=8), f("etc/none", "now")])


def _life(root: Path, driver: str) -> None:
    """Load, look, change, diff, commit, save and load what was saved; note what can be seen of it."""
    seen: dict[str, Any] = {}
    with overlaykit.open_store(
        None if driver == "memory" else root / "store", driver=driver, durability="none"
    ) as store:
        [image] = store.load(root.parent / "layout")
        seen["loaded"] = _tree(store, image.top or "")
        box = store.create_container("some:1", "box")
        tree = box.tree
        tree.write_text("etc/new", "new")
        for path in ("etc/shadow", "home/other"):
            tree.chmod(path, 0o600)
        tree.chown("home/other", 12, 13)
        tree.unlink("bin/ping6")
        tree.rename("closed", "moved")
        tree.setxattr("bin/su", "user.note", b"changed")
        tree.symlink("etc/new", "link")
        tree.mkdir("made", 0o700)
        tree.rmtree("dev")
        for path in ("etc/new", "link", "made", "etc", ".", "bin"):
            tree.utime(path, ns=(10**18, 10**18), follow_symlinks=False)
        seen["changes"] = [(str(change.kind), change.path, str(change.aspects)) for change in box.changes()]
        made = box.commit("made:1", epoch=1_700_000_000, message="by somebody")
        seen["manifest"] = store.manifest(made).raw
        box.close()
        seen["committed"] = _tree(store, made.top or "")
        seen["container"] = _tree(store, "box")
        store.save("made:1", root / "saved.tar")
        store.save("made:1", root / "saved.docker.tar", form="docker-archive", compression="gzip")
        store.remove_container("box")
        store.remove_image("made:1")
        store.remove_image("some:1")
        assert store.images() == []
        assert list(store.content.walk()) == []
        for name in ("saved.tar", "saved.docker.tar"):
            [again] = store.load(root / name)
            assert again.digest == made.digest
            seen[f"{name} loaded"] = _tree(store, again.top or "")
            store.remove_image("made:1")
            seen[name] = hashlib.sha256((root / name).read_bytes()).hexdigest()
    (root / "seen").write_bytes(pickle.dumps(seen))


def _tree(store: ImageStore, key: str) -> dict[bytes, tuple[object, ...]]:
    with store.tree(key, readonly=True) as tree:
        return look(tree)


def test_the_same_without_root(reachable: Path) -> None:
    need_root()
    write_layout(reachable / "layout", {"some:1": make_image([BASE, NEXT])})
    results = {}
    for driver in ("overlayfs", "directory", "memory"):
        for user in ("own", "nobody"):
            root = reachable / f"{driver}-{user}"
            run_as(user, root, lambda place, driver=driver: _life(place, driver))  # type: ignore[misc]
            results[driver, user] = pickle.loads((root / "seen").read_bytes())
    wanted = results["overlayfs", "own"]
    assert wanted["loaded"][b"closed/in"][2] == 70_000
    assert wanted["loaded"][b"bin/su"][1] == 0o4755
    # There what a user makes is that user's, without root too; only what was loaded can be the same.
    made = results["memory", "nobody"]
    results["memory", "nobody"] = {**wanted, "loaded": made["loaded"], "changes": made["changes"]}
    wrong = [
        f"{who}: {what}: {_difference(wanted[what], found[what])}"
        for who, found in results.items()
        for what in wanted
        if found[what] != wanted[what]
    ]
    assert not wrong, "\n".join(wrong)


def _difference(wanted: Any, found: Any) -> str:
    if isinstance(wanted, dict):
        keys = [key for key in sorted(wanted.keys() | found.keys()) if wanted.get(key) != found.get(key)]
        return "; ".join(f"{key!r} wanted {wanted.get(key)} found {found.get(key)}" for key in keys)[:900]
    if isinstance(wanted, list):
        return f"{sorted(set(wanted) ^ set(found))}"[:900]
    return f"wanted {wanted!r:.600} found {found!r:.600}"
