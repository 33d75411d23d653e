"""Real Dockerfiles on a real base, built and run: the first example there is, C in stages, Python, our own wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.bases import BaseRegistry, base_registry
from testkit.buildah import Buildah, Entry, buildah, layout_layers, put_over, without_mount_points
from testkit.peers import Containerd, Podman, containerd, podman

from overlaykit import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from overlaykit.image import ImageStore

__all__ = ["base_registry", "buildah", "containerd", "podman"]

pytestmark = pytest.mark.real

TOP = Path(__file__).parents[2]

EXAMPLE = """FROM ubuntu:20.04
RUN apt-get update
COPY . /app
CMD ["python", "app.py"]
"""

STAGES = """FROM ubuntu:20.04 AS build
WORKDIR /src
COPY *.c *.h Makefile ./
RUN make 2>/dev/null || gcc -O2 -static -o hello main.c greet.c
FROM scratch
COPY --from=build /src/hello /hello
ENTRYPOINT ["/hello"]
"""

PYTHON = """FROM ubuntu:20.04 AS build
RUN python -m venv /opt/venv
COPY wheels /wheels
RUN /opt/venv/bin/python -m pip install --no-index --no-cache-dir --find-links /wheels greeting
FROM ubuntu:20.04
RUN useradd --create-home --uid 1234 app
COPY --from=build --chown=app:app /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
USER app
WORKDIR /home/app
CMD ["greet"]
"""

SETUP = """[build-system]
requires = []
build-backend = "backend"
"""

SAME = """FROM ubuntu:20.04
ARG WHO=world
ENV GREETING=hello
COPY . /app
COPY --chown=7:8 --chmod=640 one.txt /owned/by/somebody
RUN mkdir -p /made/by/run && echo "$GREETING $WHO" > /made/by/run/file && ln -s file /made/by/run/link \\
    && ln /made/by/run/file /made/by/run/hard && chmod 4755 /made/by/run/hard && mkfifo /made/pipe
RUN rm -r /usr/share/doc/gcc /etc/motd && mv /etc/issue /etc/issue.old && chown 5:6 /etc/hostname.old || true
RUN rm -r /app/sub && mkdir /app/sub && echo new > /app/sub/other
LABEL made=by-test
CMD ["cat", "/made/by/run/file"]
"""


@pytest.fixture(scope="module")
def store(base_registry: BaseRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageStore]:
    """A store that finds the base image."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in base_registry.environment.items():
            patch.setenv(name, value)
        with open_store(tmp_path_factory.mktemp("build") / "store", durability="none") as one:
            yield one


def build(store: ImageStore, context: Path, text: str, tag: str) -> int:
    """Build an image, and return how many of its steps were cached."""
    (context / "Dockerfile").write_text(text)
    result = store.build(context, tags=tag)  # type: ignore[attr-defined]
    return int(result.cached)


def output(store: ImageStore, name: str, *args: str, **options: object) -> str:
    """Run a program in a new container, and return what it says."""
    with store.container(name) as box:
        done = box.run(list(args) or None, capture_output=True, text=True, **options)  # type: ignore[call-overload]
        assert done.returncode == 0, (done.stdout, done.stderr)
        return str(done.stdout)


def test_the_first_example(store: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import sys, os\nprint('hello from', sys.version_info.major, os.getcwd())\n")
    assert build(store, tmp_path, EXAMPLE, "example:1") == 0
    # Where it says no WORKDIR, the program is looked for at the root: Docker does the same.
    assert output(store, "example:1", cwd="/app") == "hello from 3 /app\n"
    assert build(store, tmp_path, EXAMPLE, "example:2") == 2
    assert store.image("example:1").digest == store.image("example:2").digest
    (tmp_path / "app.py").write_text("print('changed')\n")
    assert build(store, tmp_path, EXAMPLE, "example:3") == 1
    assert output(store, "example:3", cwd="/app") == "changed\n"
    layers = store.manifest("example:1").layers, store.manifest("example:3").layers
    assert layers[0][:2] == layers[1][:2]


def test_c_in_two_stages(store: ImageStore, podman: Podman, containerd: Containerd, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "greet.h").write_text("void greet(const char *name);\n")
    (context / "greet.c").write_text('#include <stdio.h>\nvoid greet(const char *n) { printf("hello %s\\n", n); }\n')
    (context / "main.c").write_text('#include "greet.h"\nint main(int c, char **v) { greet(c > 1 ? v[1] : "C"); }\n')
    (context / "Makefile").write_text("hello: main.c greet.c\n\tgcc -O2 -static -o hello main.c greet.c\n")
    build(store, context, STAGES, "docker.io/library/stages:1")
    image = store.image("stages:1")
    assert image.layers == 1
    with store.tree(image.top or "") as tree:
        assert [entry.name for entry in tree.scandir(".")] == ["hello"]
    with store.container("stages:1") as box:
        assert box.run(None, capture_output=True, text=True).stdout == "hello C\n"
    store.save(["stages:1"], tmp_path / "stages.tar")
    podman.load(tmp_path / "stages.tar")
    limits = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
    assert podman("run", "--rm", "--network", "none", *limits, "stages:1", "podman") == "hello podman\n"
    containerd("image", "import", "--snapshotter", "native", tmp_path / "stages.tar")
    assert containerd.digests() == {"docker.io/library/stages:1": image.digest}


def _wheel(directory: Path) -> None:
    """Write a wheel by hand, as a package index would have it."""
    import zipfile

    directory.mkdir(parents=True)
    name, info = "greeting", "greeting-1.0.dist-info"
    with zipfile.ZipFile(directory / "greeting-1.0-py3-none-any.whl", "w") as out:
        out.writestr(f"{name}.py", "import getpass\n\ndef main():\n    print('greeting by', getpass.getuser())\n")
        out.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/entry_points.txt", "[console_scripts]\ngreet = greeting:main\n")
        out.writestr(f"{info}/RECORD", "".join(f"{one},,\n" for one in [*out.namelist(), f"{info}/RECORD"]))


def test_python_as_images_have_it(store: ImageStore, tmp_path: Path) -> None:
    """A virtual environment from one stage, a package from a local wheel, and a user without rights."""
    _wheel(tmp_path / "wheels")
    build(store, tmp_path, PYTHON, "python:1")
    assert output(store, "python:1") == "greeting by app\n"
    assert output(
        store, "python:1", "sh", "-c", "id -u; pwd; touch x && ls -n /opt/venv/bin/greet | cut -d' ' -f3,4"
    ) == ("1234\n/home/app\n1234 1234\n")


WHEEL = """FROM ubuntu:20.04
RUN --mount=type=bind,from=wheels,target=/wheels python -m venv /tools && /tools/bin/python -m pip \\
    install --no-index --no-cache-dir --find-links /wheels scikit-build-core cffi cmake ninja
COPY . /source
RUN --mount=type=cache,target=/cache --network=none PATH=/tools/bin:$PATH PIP_CACHE_DIR=/cache \\
    /tools/bin/python -m pip wheel --no-build-isolation --no-deps --no-index --wheel-dir /dist /source
"""


def test_the_wheel_of_this_project(store: ImageStore, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for name in ("overlaykit", "drivers", "native", "pyproject.toml", "README.md", "LICENSE"):
        source = TOP / name
        if source.is_dir():
            shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
        else:
            shutil.copy2(source, context / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    words = ["-m", "pip", "download", "--quiet", "--dest", context / "wheels", "--only-binary=:all:"]
    words += ["--python-version=3.11", "scikit-build-core", "cffi", "cmake", "ninja"]
    subprocess.run([tmp_path / "venv/bin/python", *words], check=True)
    (context / ".dockerignore").write_text("wheels\n")
    # What the file leaves out is not there for mounts either: the wheels are a context of their own.
    (context / "Dockerfile").write_text(WHEEL)
    store.build(context, tags="wheel:1", named_contexts={"wheels": context / "wheels"})  # type: ignore[attr-defined]
    listed = output(store, "wheel:1", "sh", "-c", "ls /dist; ls -A /source | sort | tr '\\n' ' '")
    assert listed.startswith("overlaykit-0.1.0-cp311-abi3-linux_")
    assert "wheels" not in listed
    script = "python -m zipfile -l /dist/*.whl | grep -o 'overlaykit/_native[^ ]*so'"
    assert output(store, "wheel:1", "sh", "-c", script) == "overlaykit/_native.abi3.so\n"


def test_the_same_layers_as_buildah(
    store: ImageStore, base_registry: BaseRegistry, buildah: Buildah, tmp_path: Path
) -> None:
    context = tmp_path / "context"
    (context / "sub").mkdir(parents=True)
    (context / "sub/file").write_text("file\n")
    (context / "one.txt").write_text("one\n")
    (context / "one.txt").chmod(0o600)
    os.symlink("one.txt", context / "link")
    os.link(context / "one.txt", context / "hard")
    (context / "run.sh").write_text("#!/bin/sh\n")
    (context / "run.sh").chmod(0o755)
    build(store, context, SAME, "docker.io/library/same:1")
    store.save(["same:1"], tmp_path / "ours", form="oci")
    buildah.build(context, "localhost/same:1", tmp_path / "theirs", base_registry)
    ours, theirs = layout_layers(tmp_path / "ours"), layout_layers(tmp_path / "theirs")
    assert len(ours) == len(theirs) == 6
    assert ours[0] == theirs[0]
    trees = dict(ours[0]), dict(theirs[0])
    for number, (mine, others) in enumerate(zip(ours[1:], theirs[1:], strict=True), 1):
        other = without_mount_points(others)
        put_over(trees[0], mine)
        put_over(trees[1], other)
        # A directory that was replaced is opaque there, and has whiteouts here: the trees tell that it is the same.
        for one, two in ((_shown(mine), _shown(other)), trees):
            wrong = {path: (one.get(path), two.get(path)) for path in one | two if one.get(path) != two.get(path)}
            assert not wrong, f"layer {number}: {wrong}"
    assert "app/sub/other" in trees[0]
    assert "app/sub/file" not in trees[0]


def _shown(layer: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return what a layer adds."""
    return {path: one for path, one in layer.items() if not path.rpartition("/")[2].startswith(".wh.")}
