"""The story of Docker's layers, played for real: every claim is checked as it is made."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...driver import ChangeKind, SnapshotKind
from ...tree import tree_digest
from .._text import size
from ._rootfs import APP, PYTHON, grow, make_root, settle

if TYPE_CHECKING:
    from pathlib import Path

    from ...driver import Change, Usage
    from ...store import Store
    from ...tree import Tree
    from ._narrator import Narrator

__all__ = ["Story"]

_LAYERS = ("base", "python", "app")
_WORDS = {SnapshotKind.COMMITTED: "layer", SnapshotKind.ACTIVE: "container", SnapshotKind.VIEW: "view"}


@dataclass(slots=True)
class Figures:
    """What was measured."""

    digests: dict[str, str] = field(default_factory=dict)
    opening: dict[str, float] = field(default_factory=dict)
    changes: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    usage: dict[str, Usage] = field(default_factory=dict)
    seen: int = 0


class Story:
    """Plays the chapters one after the other on one store.

    :param store: an empty store.
    :param scratch: an empty directory for what is imported.
    :param narrator: tells it.
    """

    def __init__(self, store: Store, scratch: Path, narrator: Narrator) -> None:
        self._store = store
        self._scratch = scratch
        self._tell = narrator
        self.figures = Figures()

    def play(self) -> None:
        """Play all of it."""
        self._base_layer()
        self._two_more_layers()
        self._the_image()
        self._two_containers()
        self._differences()
        self._keep_one_drop_one()
        self._layers_unchanged()
        self._what_it_cost()

    def summary(self) -> dict[str, Any]:
        """Return the figures for a JSON document; times are in seconds."""
        figures = self.figures
        return {
            "layers": [
                {"key": key, "digest": figures.digests[key], "bytes": figures.usage[key].bytes} for key in _LAYERS
            ],
            "containers": [
                {
                    "key": key,
                    "opened_in": seconds,
                    "bytes": figures.usage[key].bytes,
                    "changes": [{"kind": kind, "path": path} for kind, path in figures.changes[key]],
                }
                for key, seconds in figures.opening.items()
            ],
            "bytes_seen": figures.seen,
        }

    # -- chapters --------------------------------------------------------------------------------------------------

    def _base_layer(self) -> None:
        self._tell.chapter("A base layer")
        make_root(self._scratch)
        self._store.import_tree(self._scratch, "base")
        self._note("base")
        usage = self.figures.usage["base"]
        self._tell.say(
            f"We import a small made-up root file system: {size(usage.bytes)}, {usage.inodes} files and directories. "
            "It is a layer now, named base, and will never change again."
        )
        with self._store.tree("base") as tree:
            self._tell.check("its files are in the layer", tree.read_bytes("etc/hostname") == b"box\n")
            self._tell.check("writing to the layer is refused", _refuses(tree, "etc/hostname"))

    def _two_more_layers(self) -> None:
        self._tell.chapter("Two more layers on top")
        self._tell.say(
            "Each layer holds only what differs from the one below it. The first adds an interpreter; the second adds "
            "an application and deletes a cache that the base layer brought."
        )
        with self._store.snapshot("base") as work:
            grow(work.tree, PYTHON)
            settle(work.tree, {"usr", "usr/bin", "usr/lib"})
            work.commit("python")
        with self._store.snapshot("python") as work:
            grow(work.tree, APP)
            work.tree.rmtree("var/cache/packages")
            settle(work.tree, {"var/cache", "etc", "srv", ""})
            work.commit("app")
        for key in ("python", "app"):
            self._note(key)
        self._tell.changes("what the layer app is made of", list(self._store.changes("app")))
        with self._store.tree("app") as tree:
            self._tell.check("what app deleted is gone", not tree.exists("var/cache/packages"))
            self._tell.check("what base brought is still seen", tree.read_bytes("etc/hostname") == b"box\n")
        with self._store.tree("base") as tree:
            self._tell.check("base itself still has what app deleted", tree.exists("var/cache/packages/index"))

    def _the_image(self) -> None:
        self._tell.chapter("An image is a stack of layers")
        self._tell.say("Whoever opens app sees all three at once, merged into one tree:")
        rows = [
            (
                key,
                size(self.figures.usage[key].bytes),
                f"digest {self.figures.digests[key][:12]}",
                _counted(list(self._store.changes(key))),
            )
            for key in reversed(_LAYERS)
        ]
        self._tell.stack(rows)

    def _two_containers(self) -> None:
        self._tell.chapter("Two containers over the same layers")
        self._tell.say(
            "A container is one more layer on top, empty and writable. Both see the same files; each writes only into "
            "its own layer."
        )
        for key in ("web-1", "web-2"):
            start = time.perf_counter()
            self._store.prepare(key, "app")
            self._store.tree(key).close()
            self.figures.opening[key] = time.perf_counter() - start
        self._draw()
        with self._store.tree("web-1") as one, self._store.tree("web-2") as two:
            self._write(one, two)
            self._look(one, two)

    def _write(self, one: Tree, two: Tree) -> None:
        self._tell.commands(
            (
                "echo 'GET / 200' > /var/log/app.log",
                "sed -i s/8080/9090/ /etc/app.conf",
                "rm -r /usr/share/doc",
            ),
            "web-1",
        )
        one.write_text("var/log/app.log", "GET / 200\n")
        one.write_text("etc/app.conf", one.read_text("etc/app.conf").replace("8080", "9090"))
        one.rmtree("usr/share/doc")
        self._tell.commands(
            (
                "sed -i 's/debug = no/debug = yes/' /etc/app.conf",
                "mv /srv/app/templates /srv/app/views",
                "rm /etc/motd",
            ),
            "web-2",
        )
        two.write_text("etc/app.conf", two.read_text("etc/app.conf").replace("debug = no", "debug = yes"))
        two.rename("srv/app/templates", "srv/app/views")
        two.unlink("etc/motd")

    def _look(self, one: Tree, two: Tree) -> None:
        check = self._tell.check
        check("web-1 sees its own port and no debugging", one.read_text("etc/app.conf") == "port = 9090\ndebug = no\n")
        check(
            "web-2 sees its debugging and the old port", two.read_text("etc/app.conf") == "port = 8080\ndebug = yes\n"
        )
        check("web-2 does not see web-1's log", not two.exists("var/log/app.log"))
        check("web-2 still has the documents", two.exists("usr/share/doc/bash/README"))
        check(
            "web-1 still has the greeting and the templates", one.exists("etc/motd") and one.exists("srv/app/templates")
        )

    def _differences(self) -> None:
        self._tell.chapter("What each container changed")
        self._tell.say("A for added, M for modified, D for deleted; in brackets what of it is not as in the layers.")
        expected = {
            "web-1": {
                ("modified", "etc/app.conf"),
                ("deleted", "usr/share/doc"),
                ("modified", "usr/share"),
                ("modified", "var/log"),
                ("added", "var/log/app.log"),
            },
            "web-2": {
                ("modified", "etc"),
                ("modified", "etc/app.conf"),
                ("deleted", "etc/motd"),
                ("modified", "srv/app"),
                ("deleted", "srv/app/templates"),
                ("added", "srv/app/views"),
                ("added", "srv/app/views/error.html"),
                ("added", "srv/app/views/index.html"),
            },
        }
        for key, paths in expected.items():
            changes: list[Change] = list(self._store.changes(key))
            self.figures.usage[key] = self._store.usage(key)
            self.figures.changes[key] = [(change.kind.value, change.path) for change in changes]
            self._tell.changes(key, changes)
            self._tell.check(f"exactly what {key} did, nothing else", set(self.figures.changes[key]) == paths)

    def _keep_one_drop_one(self) -> None:
        self._tell.chapter("One is kept, one is thrown away")
        self._tell.say("web-1 becomes a layer named app-patched. web-2 is removed, and what it wrote with it.")
        with self._store.tree("web-1") as tree:
            before = tree_digest(tree)
        self._store.commit("web-1", "app-patched")
        self._store.remove("web-2")
        self._draw()
        with self._store.tree("app-patched") as tree:
            self._tell.check("app-patched is what web-1 was", tree_digest(tree) == before)
        with self._store.snapshot("app-patched") as new, self._store.snapshot("app") as old:
            self._tell.check(
                "a new container on app-patched has port 9090", "9090" in new.tree.read_text("etc/app.conf")
            )
            self._tell.check("a new container on app has port 8080", "8080" in old.tree.read_text("etc/app.conf"))

    def _layers_unchanged(self) -> None:
        self._tell.chapter("The layers below have not changed")
        self._tell.say("A digest over every name, mode, owner, time and byte of the merged tree, before and after:")
        rows = []
        for key in _LAYERS:
            with self._store.tree(key) as tree:
                after = tree_digest(tree)
            before = self.figures.digests[key]
            rows.append((key, before[:12], "=" if before == after else "IS NOT", after[:12]))
            self._tell.checks.append((f"the layer {key} is unchanged", before == after))
        self._tell.rows(rows)
        self._tell.check("all three are as they were", all(row[2] == "=" for row in rows))

    def _what_it_cost(self) -> None:
        self._tell.chapter("What it cost")
        with self._store.tree("app") as tree:
            self.figures.seen = _bytes_seen(tree)
        rows = [
            (
                key,
                f"opened in {seconds * 1000:.2f} ms",
                f"sees {size(self.figures.seen)}",
                f"takes {size(self.figures.usage[key].bytes)}",
            )
            for key, seconds in self.figures.opening.items()
        ]
        self._tell.rows(rows)
        own = sum(self.figures.usage[key].bytes for key in self.figures.opening)
        seen = self.figures.seen * len(self.figures.opening)
        if own < seen:
            self._tell.say(
                f"Of {size(seen)} that the two see, {size(seen - own)} are shared and {size(own)} are their own."
            )
        else:
            self._tell.say(f"This driver copies: the two take {size(own)} to see {size(seen)}.")

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _note(self, key: str) -> None:
        self.figures.usage[key] = self._store.usage(key)
        with self._store.tree(key) as tree:
            self.figures.digests[key] = tree_digest(tree)

    def _draw(self) -> None:
        infos = {info.key: info for info in self._store.walk()}
        self._tell.tree(
            sorted(key for key, info in infos.items() if info.parent is None),
            lambda key: sorted(child for child, info in infos.items() if info.parent == key),
            lambda key: f"{_WORDS[infos[key].kind]}, {size(self._store.usage(key).bytes)}",
        )


def _refuses(tree: Tree, path: str) -> bool:
    try:
        tree.write_text(path, "changed")
    except OSError:
        return tree.read_bytes(path) == b"box\n"
    return False


def _bytes_seen(tree: Tree) -> int:
    return sum(entry.stat(follow_symlinks=False).st_size for _, _, files in tree.walk() for entry in files)


def _counted(changes: list[Change]) -> str:
    counts = [(kind, sum(change.kind is kind for change in changes)) for kind in ChangeKind]
    return ", ".join(f"{count} {kind}" for kind, count in counts if count)
