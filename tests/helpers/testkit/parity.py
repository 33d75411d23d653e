"""Stacks of layers with all rules of their semantics, and a tree described in the same words as the model's."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from testkit.layer_model import Entry, block, char, d, f, fifo, h, o, s, w

if TYPE_CHECKING:
    from overlaykit.tree import Tree

__all__ = ["AS_ROOT", "STACKS", "Stack", "look"]

Stack = list[list[Entry]]

BASE = [
    d("d", mode=0o750),
    f("d/old", "old"),
    d("d/sub"),
    f("d/sub/deep", "deep"),
    f("b.txt", "lower"),
    f("plain", "p", mode=0o600, mtime=1_400_000_000.25),
    s("lnk", "d"),
    s("abs", "/d/sub"),
    s("up", "../../d"),
    s("gone", "not/there"),
    s("loop1", "loop2"),
    s("loop2", "loop1"),
    f("one", "linked"),
    h("two", "one"),
    fifo("pipe"),
]

LONG = "n" * 255
DEEP = "/".join(["deep" * 12] * 100)

#: Every rule of the semantics, its corners, and what breaks out of roots.
STACKS: dict[str, Stack] = {
    # whiteouts
    "whiteout-of-a-file": [BASE, [w("b.txt")]],
    "whiteout-of-a-directory": [BASE, [w("d")]],
    "whiteout-of-a-symlink-hides-the-link-alone": [BASE, [w("lnk")]],
    "whiteout-of-one-name-of-a-hard-link": [BASE, [w("one")]],
    "whiteout-of-nothing-there": [BASE, [w("missing"), w("d/missing"), w("no/such/thing")]],
    "whiteout-below-a-file": [BASE, [w("b.txt/x")]],
    "whiteout-through-a-symlink": [BASE, [w("lnk/old")]],
    "whiteout-through-an-absolute-symlink": [BASE, [w("abs/deep")]],
    "whiteout-through-a-dangling-symlink": [BASE, [w("gone/x")]],
    "whiteout-first-then-the-file": [BASE, [w("b.txt"), f("b.txt", "new")]],
    "the-file-first-then-its-whiteout": [BASE, [f("b.txt", "new"), w("b.txt")]],
    "whiteout-and-a-directory-made-again": [BASE, [w("d"), d("d"), f("d/new", "n")]],
    "a-directory-made-again-and-then-its-whiteout": [BASE, [d("d"), f("d/new", "n"), w("d")]],
    "whiteout-and-an-implicit-directory": [BASE, [w("d"), f("d/new", "n")]],
    "an-implicit-directory-and-then-its-whiteout": [BASE, [f("d/new", "n"), w("d")]],
    "implicit-below-and-then-the-whiteout-above": [BASE, [f("d/sub/new", "n"), w("d")]],
    "whiteout-of-a-parent-and-of-its-child": [BASE, [w("d"), w("d/old")]],
    "whiteout-of-a-child-and-then-its-parent": [BASE, [w("d/sub"), w("d")]],
    "whiteout-and-another-type": [BASE, [w("d"), f("d", "file now")]],
    "another-type-and-then-the-whiteout": [BASE, [s("d", "b.txt"), w("d")]],
    "whiteout-in-a-directory-of-this-layer": [BASE, [d("fresh"), w("fresh/x"), f("fresh/y", "y")]],
    "whiteout-that-is-a-directory": [BASE, [Entry("directory", b".wh.d", mode=0o755)]],
    "whiteout-twice": [BASE, [w("b.txt"), w("b.txt")]],
    "whiteout-in-the-middle-layer-then-again": [BASE, [w("d")], [d("d"), f("d/third", "3")]],
    "whiteout-of-an-ancestor-then-made-again-later": [BASE, [w("d")], [f("d/sub/back", "b")]],
    "whiteout-over-a-whiteout": [BASE, [w("b.txt")], [w("b.txt")]],
    "all-of-the-root-whited-out": [[f("x", "1"), d("y"), f("y/z", "2")], [w("x"), w("y")]],
    "whiteout-of-what-the-base-does-not-have": [[w("x"), f("y", "y")]],
    "hidden-and-linked-from-elsewhere": [BASE, [h("three", "two"), w("two")]],
    "whiteout-of-a-symlink-and-a-path-through-it": [BASE, [w("lnk"), f("lnk/t", "t")]],
    "a-path-through-a-symlink-and-then-its-whiteout": [BASE, [f("lnk/t", "t"), w("lnk")]],
    # opaque
    "opaque-first": [BASE, [d("d"), o("d"), f("d/new", "n")]],
    "opaque-last": [BASE, [d("d"), f("d/new", "n"), o("d")]],
    "opaque-alone": [BASE, [o("d")]],
    "opaque-with-an-implicit-child-before": [BASE, [f("d/sub/x", "x"), o("d")]],
    "opaque-with-an-implicit-child-after": [BASE, [o("d"), f("d/sub/x", "x")]],
    "opaque-and-a-whiteout-in-it": [BASE, [o("d"), w("d/old"), f("d/k", "k")]],
    "opaque-and-its-whiteout": [BASE, [o("d"), w("d"), f("d/k", "k")]],
    "opaque-in-a-new-directory": [BASE, [d("fresh"), o("fresh"), f("fresh/x", "x")]],
    "opaque-where-nothing-is": [BASE, [o("missing")]],
    "opaque-on-a-file": [BASE, [o("b.txt")]],
    "opaque-through-a-symlink": [BASE, [o("lnk"), f("lnk/n", "n")]],
    "opaque-root": [BASE, [o(), f("only", "o")]],
    "opaque-root-last-with-a-directory-kept": [BASE, [d("d"), f("d/n", "n"), o()]],
    "opaque-then-another-layer": [BASE, [o("d"), f("d/n", "n")], [f("d/m", "m"), w("d/n")]],
    "opaque-then-a-lower-child-made-again": [BASE, [o("d")], [d("d/sub"), f("d/sub/y", "y")]],
    # types and clashes
    "file-over-directory": [BASE, [f("d", "file")]],
    "file-over-directory-and-back": [BASE, [f("d", "file")], [d("d"), f("d/x", "x")]],
    "directory-over-file": [BASE, [d("b.txt"), f("b.txt/x", "x")]],
    "directory-over-symlink": [BASE, [d("lnk"), f("lnk/x", "x")]],
    "symlink-over-directory": [BASE, [s("d", "b.txt")]],
    "fifo-over-file": [BASE, [fifo("b.txt")]],
    "file-over-fifo": [BASE, [f("pipe", "file")]],
    "directory-over-directory-merges": [BASE, [d("d", mode=0o711, uid=5, gid=6), f("d/n", "n")]],
    "attributes-of-a-directory-alone": [BASE, [d("d", mode=0o700, mtime=1_300_000_000)]],
    "implicit-parent-over-a-file": [BASE, [f("b.txt/x", "x")]],
    "implicit-parents-that-are-nowhere": [BASE, [f("a/b/c", "c")]],
    "implicit-parents-keep-what-they-have": [BASE, [f("d/sub/n", "n")]],
    "devices": [BASE, [char("null", 1, 3), block("sda", 8, 0)]],
    "device-over-a-file": [BASE, [char("b.txt", 1, 5)]],
    "character-device-0-0": [BASE, [char("null", 0, 0)]],
    "block-device-0-0": [BASE, [block("zero", 0, 0)]],
    # hard links
    "link-to-a-file-of-this-layer": [BASE, [f("x", "x"), h("y", "x"), h("z", "y")]],
    "link-to-a-file-of-below": [BASE, [h("y", "b.txt")]],
    "link-to-one-of-two-names-of-below": [BASE, [h("y", "two")]],
    "link-to-a-symlink": [BASE, [h("y", "lnk")]],
    "link-to-a-new-symlink": [BASE, [s("q", "d"), h("y", "q"), f("y/through", "t")]],
    "link-to-a-fifo": [BASE, [h("y", "pipe")]],
    "link-into-a-directory-of-below": [BASE, [h("d/sub/y", "b.txt")]],
    "link-from-a-directory-of-below": [BASE, [h("y", "d/sub/deep")]],
    "link-with-an-absolute-target": [BASE, [h("y", "/d/old")]],
    "link-that-climbs": [BASE, [h("y", "../../../../d/old")]],
    "link-through-a-symlink": [BASE, [h("y", "lnk/old")]],
    "link-to-nothing": [BASE, [h("y", "missing")]],
    "link-to-what-comes-later": [BASE, [h("y", "x"), f("x", "x")]],
    "link-to-what-is-whited-out": [BASE, [w("b.txt"), h("y", "b.txt")]],
    "link-to-what-is-whited-out-later": [BASE, [h("y", "b.txt"), w("b.txt")]],
    "link-to-a-directory": [BASE, [h("y", "d")]],
    "link-to-itself": [BASE, [f("x", "x"), h("x", "x")]],
    "link-over-the-parent-of-its-target": [BASE, [h("d", "d/sub/deep")]],
    "link-to-the-root": [BASE, [h("y", "/")]],
    "link-over-a-file": [BASE, [h("b.txt", "plain")]],
    "link-over-a-directory": [BASE, [h("d", "plain")]],
    "link-replaced": [BASE, [h("y", "b.txt"), f("y", "mine")]],
    "link-of-below-then-a-new-file-at-its-target": [BASE, [h("y", "b.txt"), f("b.txt", "mine")]],
    "linked-names-in-three-layers": [BASE, [h("y", "one")], [h("z", "y"), w("one")]],
    # symbolic links and escapes
    "path-through-a-symlink": [BASE, [f("lnk/t", "t")]],
    "path-through-an-absolute-symlink": [BASE, [f("abs/t", "t")]],
    "path-through-a-symlink-that-climbs": [BASE, [f("up/t", "t")]],
    "path-through-a-dangling-symlink": [BASE, [f("gone/t", "t")]],
    "path-through-a-loop": [BASE, [f("loop1/t", "t")]],
    "path-through-a-new-symlink": [BASE, [s("new", "d/sub"), f("new/t", "t")]],
    "path-through-a-symlink-out-of-the-root": [BASE, [s("out", "/../../../tmp"), f("out/escaped", "x")]],
    "path-through-etc": [BASE, [s("e", "/etc"), f("e/passwd", "mine")]],
    "a-symlink-swapped-for-a-directory": [BASE, [d("x"), f("x/1", "1"), s("x", "/tmp"), f("x/2", "2")]],
    "a-directory-swapped-for-a-symlink-and-back": [BASE, [s("x", "d"), d("x"), f("x/2", "2")]],
    "dots-that-climb": [BASE, [f("../../../evil", "e"), f("d/../../evil2", "e")]],
    "absolute-names": [BASE, [f("/abs-name", "a"), d("/d/"), f("//d///two-slashes", "a")]],
    "dots-inside": [BASE, [f("./d/./sub/../inside", "i")]],
    "dots-at-the-end": [BASE, [d("d/sub/..", mode=0o701)]],
    "file-at-the-root": [BASE, [f("./", "x")]],
    "symlink-over-the-root": [BASE, [s("/", "d")]],
    "symlink-at-dot-dot": [BASE, [s("d/..", "x")]],
    "hard-link-out-of-the-root": [BASE, [h("shadow", "/etc/shadow")]],
    "whiteout-that-climbs": [BASE, [w("../../b.txt")]],
    # invalid whiteouts
    "whiteout-of-no-name": [BASE, [f(".wh.")]],
    "whiteout-of-dot": [BASE, [f(".wh..")]],
    "whiteout-of-dot-dot": [BASE, [f("d/.wh...")]],
    "a-path-below-a-whiteout": [BASE, [f(".wh.d/x", "x")]],
    "what-aufs-kept-for-itself": [BASE, [f(".wh..wh.aufs"), d(".wh..wh.plnk"), f(".wh..wh.plnk/1.2", "x")]],
    # the root
    "root-attributes": [[d("./", mode=0o700, uid=3, gid=4, mtime=1_200_000_000), f("x", "x")], [f("y", "y")]],
    "root-attributes-changed-above": [BASE, [d(".", mode=0o711)]],
    "no-root-entry-and-no-files": [[]],
    "an-empty-layer-over-others": [BASE, []],
    # names
    "names-of-all-kinds": [
        [f(n, n) for n in ("a:b", "c,d", "e\\f", "-g", "h i", "j\nk", "l\tm", "'", '"', "*", "\x7f")]
    ],
    "names-not-utf-8": [[f(b"caf\xe9", "x"), d(b"\xff\xfe"), f(b"\xff\xfe/\x80", "y")], [w(b"caf\xe9")]],
    "names-of-255-bytes": [[f(LONG, "x"), d("d/" + LONG), f(f"d/{LONG}/{LONG}", "y")]],
    "names-of-256-bytes": [BASE, [f("n" * 256, "x")]],
    "a-path-of-5000-bytes": [[f(DEEP + "/file", "deep")], [w(DEEP + "/file"), f(DEEP + "/other", "o")]],
    "names-that-look-like-others": [[f(".whx", "1"), f("wh.x", "2"), f("x.wh.y", "3"), f("..x", "4"), f("...", "5")]],
    # attributes
    "times-before-1970": [[f("x", "x", mtime=-1.5), d("y", mtime=-100)]],
    "times-with-fractions": [[f("x", "x", mtime=1.000000001), s("y", "x", mtime=2.5), d("z", mtime=3.25)]],
    "owners": [[f("x", "x", uid=1000, gid=2000), d("y", uid=70000), s("z", "x", uid=3, gid=4), f("y/f", "", gid=5)]],
    "owners-beyond-31-bits": [[f("x", "x", uid=4294967294, gid=4294967294)]],
    "modes": [[f(f"m{mode:o}", "x", mode=mode) for mode in (0, 0o7, 0o444, 0o4755, 0o2755, 0o1777, 0o6711, 0o7777)]],
    "modes-of-directories": [[d(f"m{mode:o}", mode=mode) for mode in (0o1777, 0o2775, 0o500, 0o555, 0o700)]],
    "a-closed-directory-with-children": [[d("c", mode=0o500), f("c/x", "x"), d("c/y", mode=0), f("c/y/z", "z")]],
    "xattrs": [[f("x", "x", xattrs=(("user.a", "1"), ("user.empty", ""))), d("y", xattrs=(("user.b", "2"),))]],
    "xattrs-replaced": [[d("y", xattrs=(("user.b", "2"),))], [d("y", xattrs=(("user.c", "3"),))]],
    "xattrs-of-an-implicit-parent": [[d("y", xattrs=(("user.b", "2"),))], [f("y/n", "n")]],
    # duplicates
    "the-last-of-two-files": [BASE, [f("x", "1"), f("x", "second"), f("y", "1"), f("y", "")]],
    "a-file-then-a-directory": [BASE, [f("x", "1"), d("x"), f("x/y", "y")]],
    "a-directory-then-a-file": [BASE, [d("x"), f("x/y", "y"), f("x", "1")]],
    "a-directory-twice": [BASE, [d("x", mode=0o700), f("x/y", "y"), d("x", mode=0o711)]],
    "a-file-over-a-lower-directory-then-a-directory": [BASE, [f("d", "1"), d("d"), f("d/y", "y")]],
    "below-a-file-of-the-same-layer": [BASE, [f("x", "1"), f("x/y", "y")]],
    "symlinks-one-over-the-other": [BASE, [s("x", "d"), s("x", "b.txt")]],
    # many
    "ten-layers": [[d("k"), f(f"k/{i}", str(i)), *([w(f"k/{i - 1}")] if i % 2 else [])] for i in range(10)],
}

#: What needs privileges that the matrix cannot lend to a user without any.
AS_ROOT: dict[str, Stack] = {
    "overlays-own-attributes-are-data": [
        [d("t", xattrs=(("trusted.overlay.opaque", "y"), ("trusted.overlay.redirect", "/etc")))],
        [d("t", xattrs=(("trusted.overlay.opaque", "y"),)), f("t/n", "n")],
    ],
    "trusted-attributes": [[f("x", "x", xattrs=(("trusted.a", "1"),))]],
    "set-uid-stays-with-an-owner": [[f("x", "x", mode=0o4755, uid=5, xattrs=(("user.a", "1"),))]],
}


def look(tree: Tree) -> dict[bytes, tuple[object, ...]]:
    """Return the tree as the model describes it."""
    found: dict[bytes, tuple[object, ...]] = {}
    first: dict[tuple[int, int], bytes] = {}
    pending = [b"."]
    while pending:
        path = pending.pop()
        status = tree.stat(path, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        name = path if kind == stat.S_IFDIR else first.setdefault((status.st_dev, status.st_ino), path)
        content: object = (0, 0)
        if kind == stat.S_IFREG:
            content = tree.read_bytes(path)
        elif kind == stat.S_IFLNK:
            content = os.fsencode(tree.readlink(path))
        elif kind == stat.S_IFDIR:
            content = None
            before = b"" if path == b"." else path + b"/"
            names = sorted((os.fsencode(entry.name) for entry in tree.scandir(path)), reverse=True)
            pending += [before + child for child in names]
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            content = (os.major(status.st_rdev), os.minor(status.st_rdev))
        xattrs = tuple(
            (key, tree.getxattr(path, key, follow_symlinks=False))
            for key in tree.listxattr(path, follow_symlinks=False)
        )
        mode = 0o777 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode)
        found[path] = (kind, mode, status.st_uid, status.st_gid, status.st_mtime_ns, xattrs, content, name)
    return found
