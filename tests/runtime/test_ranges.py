"""Without root, with the ids of /etc/subuid: containers have all users, and what they own is right everywhere."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from testkit.boxes import busybox_layout
from testkit.loops import need_tool
from testkit.ranges import FIRST, RangedUser
from testkit.unprivileged import NOBODY

from overlaykit import errors, linux
from overlaykit.build import open_store

pytestmark = pytest.mark.native

SCRIPT = """\
set -e
chown ada:crew /etc/group
chown -h 33:34 /bin/ls
mkdir -m 700 /home/ada/closed
echo secret > /home/ada/closed/file
chown -R ada:ada /home/ada
chmod 4600 /home/ada/closed/file
su ada -c 'id -u; echo mine > /tmp/mine; cat /home/ada/closed/file'
tail -n 2 /proc/self/uid_map | wc -l
"""


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = busybox_layout(tmp_path_factory.mktemp("ranges") / "layout")
    path.parent.chmod(0o755)
    return path


def _load(user: RangedUser, layout: Path) -> str:
    """Return what is said on standard error."""
    subprocess.run(["cp", "-r", layout, user.home / "layout"], check=True)
    return user.run("load", str(user.home / "layout")).stderr


def _entries(archive: Path) -> dict[str, tuple[int, int, int]]:
    """Return owner, group and mode of all that is in the topmost layer of an image that was saved."""
    with tarfile.open(archive) as outer:

        def read(digest: str) -> bytes:
            file = outer.extractfile("blobs/" + digest.replace(":", "/"))
            assert file is not None
            return file.read()

        index = outer.extractfile("index.json")
        assert index is not None
        manifest = json.loads(read(json.loads(index.read())["manifests"][0]["digest"]))
        digest = manifest["layers"][-1]["digest"]
        with outer.extractfile("blobs/" + digest.replace(":", "/")) as blob, tarfile.open(fileobj=blob) as layer:  # type: ignore[union-attr]
            return {one.name: (one.uid, one.gid, one.mode) for one in layer}


@pytest.mark.parametrize(
    ("driver", "program"),
    [("overlayfs", "crun"), ("overlayfs", "runc"), ("overlayfs", "own"), ("directory", "own")],
)
def test_a_container_has_all_users(
    ranged_user: RangedUser, layout: Path, driver: str, program: str, tmp_path: Path
) -> None:
    user = ranged_user
    runtime = program if program == "own" else need_tool(program)
    subprocess.run(["cp", "-r", layout, user.home / "layout"], check=True)
    user.run("--driver", driver, "load", str(user.home / "layout"))
    assert json.loads((user.store / "overlaykit.json").read_text())["ids"] == "user-namespace"
    done = user.run(
        "run", "--rm", "--runtime", runtime, "-u", "ada", "box:1", "sh", "-c", "id; : > /tmp/x; ls -ln /tmp"
    )
    assert done.stdout.startswith("uid=1000(ada) gid=1000(ada) groups=1001(crew)")
    assert " 1000     1000 " in done.stdout
    assert done.stderr == ""

    done = user.run("run", "--name", "box", "--runtime", runtime, "box:1", "sh", "-c", SCRIPT)
    assert done.stdout.split() == ["1000", "secret", "2"]
    # On the disk they are the user's own ids; everywhere else, the container's.
    assert user.owners() == {NOBODY, FIRST + 32, FIRST + 999}
    user.run("commit", "box", "made:1")
    user.run("save", "made:1", "-o", str(user.home / "made.tar"))
    found = _entries(user.home / "made.tar")
    assert found["etc/group"][:2] == (1000, 1001)
    assert found["bin/ls"][:2] == (33, 34)
    assert found["home/ada/closed"] == (1000, 1000, 0o700)
    assert found["home/ada/closed/file"] == (1000, 1000, 0o4600)
    assert found["tmp/mine"][:2] == (1000, 1000)
    # Another user's store, root's above all, takes it as it is.
    with open_store(tmp_path / "other", driver=driver, durability="none") as store:
        store.load(user.home / "made.tar")
        with store.container("made:1") as box:
            status = box.tree.lstat("home/ada/closed/file")
            assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1000, 1000, 0o4600)

    assert "closed/file" in user.run("diff", "box").stdout
    assert user.run("run", "--rm", "--runtime", runtime, "-u", "ada", "made:1", "cat", "/home/ada/closed/file").stdout
    user.run("rm", "box")
    user.run("rmi", "made:1")
    user.run("prune")
    assert user.owners() == {NOBODY}


def test_a_detached_one_is_reached_from_other_namespaces(ranged_user: RangedUser, layout: Path, runtime: str) -> None:
    user = ranged_user
    _load(user, layout)
    script = "trap 'echo bye; exit 3' TERM; echo begun; while :; do sleep 0.1; done"
    words = ["--name", "box", "--runtime", runtime, "-u", "ada", "--memory", "64m"]
    done = user.run("run", "-d", *words, "box:1", "sh", "-c", script)
    assert user.run("exec", "box", "id", "-u").stdout == "1000\n"
    # A limit that does not hold is told at once, and remembered.
    assert "the limit of memory does not hold" in done.stderr
    state = json.loads(user.run("inspect", "box").stdout)["state"]
    assert [one in done.stderr for one in state["warnings"]] == [True]
    assert user.run("exec", "-u", "0", "box", "sh", "-c", "chown 77:78 /tmp; stat -c %u:%g /tmp").stdout == "77:78\n"
    user.run("stop", "box")
    assert user.run("wait", "box").stdout == "3\n"
    assert user.run("logs", "box").stdout == "begun\nbye\n"
    user.run("rm", "box")


DOCKERFILE = """\
FROM box:1
COPY --chown=ada:crew file /home/ada/file
RUN echo bob:x:1234:1234::/home/bob:/bin/sh >> /etc/passwd && mkdir -p -m 700 /home/bob/closed && \
    echo x > /home/bob/closed/file && chown -R bob:crew /home/bob
USER bob
RUN id -un > /home/bob/who && test "$(cat /home/bob/closed/file)" = x
"""


def test_a_build_is_roots_to_the_byte(ranged_user: RangedUser, layout: Path, tmp_path: Path) -> None:
    user = ranged_user
    _load(user, layout)
    context = user.home / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "file").write_text("content\n")
    (context / "file").chmod(0o644)
    user.run("build", "-t", "made:1", str(context), SOURCE_DATE_EPOCH="1600000000")
    user.run("save", "made:1", "-o", str(user.home / "made.tar"))
    assert _entries(user.home / "made.tar")["home/bob/who"][:2] == (1234, 1234)
    with open_store(tmp_path / "other", durability="none") as store:
        store.load(layout)
        result = store.build(context, tags=["made:1"], epoch=1_600_000_000)
        theirs = store.load(user.home / "made.tar")[0]
        ours = result.image
        assert store.config(theirs).diff_ids == store.config(ours).diff_ids


def test_without_a_line_it_says_which_and_how(user_without_ranges: RangedUser, layout: Path) -> None:
    user = user_without_ranges
    said = _load(user, layout)
    assert "containers have user 0 alone: /etc/subuid and /etc/subgid have no line" in said
    assert "ids" not in json.loads((user.store / "overlaykit.json").read_text())
    assert user.run("run", "--rm", "box:1", "id", "-u").stdout == "0\n"
    said = user.run("run", "--rm", "-u", "ada", "box:1", "id", expect=125).stderr
    assert said.count("\n") == 1
    assert "/etc/subuid and /etc/subgid have no line for the user nobody" in said
    assert "one, and so have containers: /etc/subuid and /etc/subgid have no line" in user.run("doctor").stdout
    assert re.search(r"usermod --add-subuids (\d+)-\d+ --add-subgids \1-\d+ nobody", said)
    context = user.home / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM box:1\nRUN chown ada /etc/passwd\n")
    said = user.run("build", "--progress", "plain", str(context), expect=1).stderr
    assert "have no line for the user nobody" in said.splitlines()[-1]


def test_a_store_of_the_other_side_says_so(ranged_user: RangedUser, layout: Path) -> None:
    user = ranged_user
    _load(user, layout)
    with pytest.raises(errors.StoreAccessError, match="overlaykit unshare"):
        open_store(user.store)
    library = f"import overlaykit as ok; ok.open_store({str(user.store)!r})"
    assert "overlaykit unshare" in user.python("-c", library, expect=1).stderr
    user.python("-c", f"from overlaykit import linux; linux.enter_user_namespace(); {library}")
    # One that lost its line is told what is missing, and not given a store that it cannot remove.
    lost = RangedUser(user.home, "none")
    assert "have no line for the user nobody" in lost.run("images", expect=6).stderr
    # A store that was made without is used without.
    other = RangedUser(user.home, user.ranges)
    other.run("--store", str(user.home / "plain"), "load", str(user.home / "layout"), OVERLAYKIT_SUBIDS="no")
    assert other.owners() == {NOBODY}
    said = other.run("--store", str(user.home / "plain"), "run", "--rm", "-u", "ada", "box:1", "id", expect=125).stderr
    assert "made without the ids of /etc/subuid" in said


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from overlaykit.linux import _userns

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_userns, "_PLACES", ())
    assert "newuidmap is missing: install the package uidmap" in (linux.missing_ids() or "")
    for name in ("newuidmap", "newgidmap"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert "newuidmap is not set-uid root" in (linux.missing_ids() or "")
