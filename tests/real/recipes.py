"""What is built on the real base: Dockerfiles with their contexts, and what the images say when they run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EXAMPLE", "RECIPES", "Recipe"]

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
COPY --from=build --chown=1234:1234 /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER app
WORKDIR /home/app
CMD ["greet"]
"""

WHEEL = """FROM ubuntu:20.04
RUN --mount=type=bind,from=wheels,target=/wheels python -m venv /tools && /tools/bin/python -m pip \\
    install --no-index --no-cache-dir --find-links /wheels scikit-build-core cffi cmake ninja
COPY . /source
RUN --mount=type=cache,target=/cache PATH=/tools/bin:$PATH PIP_CACHE_DIR=/cache \\
    /tools/bin/python -m pip wheel --no-build-isolation --no-deps --no-index --wheel-dir /dist /source
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


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image to build.

    :param text: the Dockerfile.
    :param fill: makes the context, and returns the named contexts.
    :param words: what to run in it, after the image's name.
    :param says: what that says.
    :param cwd: where to run it, where it is not where the image says.
    :param apt: where packages come from: ``"machine"``, the base's own sources, or ``"here"``, a repository on
        loopback.
    """

    text: str
    fill: Callable[[Path], dict[str, Path]]
    words: tuple[str, ...]
    says: str
    cwd: str | None = None
    apt: str = ""


def _example(context: Path) -> dict[str, Path]:
    (context / "app.py").write_text("import sys, os\nprint('hello from', sys.version_info.major, os.getcwd())\n")
    return {}


def _stages(context: Path) -> dict[str, Path]:
    (context / "greet.h").write_text("void greet(const char *name);\n")
    (context / "greet.c").write_text('#include <stdio.h>\nvoid greet(const char *n) { printf("hello %s\\n", n); }\n')
    (context / "main.c").write_text('#include "greet.h"\nint main(int c, char **v) { greet(c > 1 ? v[1] : "C"); }\n')
    (context / "Makefile").write_text("hello: main.c greet.c\n\tgcc -O2 -static -o hello main.c greet.c\n")
    return {}


def _python(context: Path) -> dict[str, Path]:
    """Write a wheel by hand, as a package index would have it."""
    (context / "wheels").mkdir()
    name, info = "greeting", "greeting-1.0.dist-info"
    with zipfile.ZipFile(context / "wheels/greeting-1.0-py3-none-any.whl", "w") as out:
        out.writestr(f"{name}.py", "import getpass\n\ndef main():\n    print('greeting by', getpass.getuser())\n")
        out.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/entry_points.txt", "[console_scripts]\ngreet = greeting:main\n")
        out.writestr(f"{info}/RECORD", "".join(f"{one},,\n" for one in [*out.namelist(), f"{info}/RECORD"]))
    return {}


def _wheel(context: Path) -> dict[str, Path]:
    """Copy this project, and download what its build needs."""
    for name in ("overlaykit", "drivers", "native", "pyproject.toml", "README.md", "LICENSE"):
        source = TOP / name
        if source.is_dir():
            shutil.copytree(source, context / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
        else:
            shutil.copy2(source, context / name)
    wheels, venv = context.with_name("wheels"), context.with_name("venv")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    words = ["-m", "pip", "download", "--quiet", "--dest", wheels, "--only-binary=:all:"]
    words += ["--python-version=3.11", "scikit-build-core", "cffi", "cmake", "ninja"]
    subprocess.run([venv / "bin/python", *words], check=True)
    shutil.rmtree(venv)
    return {"wheels": wheels}


def _same(context: Path) -> dict[str, Path]:
    (context / "sub").mkdir()
    (context / "sub/file").write_text("file\n")
    (context / "one.txt").write_text("one\n")
    (context / "one.txt").chmod(0o600)
    os.symlink("one.txt", context / "link")
    os.link(context / "one.txt", context / "hard")
    (context / "run.sh").write_text("#!/bin/sh\n")
    (context / "run.sh").chmod(0o755)
    return {}


_IMPORT = (
    "/tools/bin/python -m pip install --quiet --no-deps --no-index /dist/overlaykit-*-cp311-abi3-linux_*.whl && "
    "/tools/bin/python -c 'import overlaykit.linux as linux; print(linux.available())'"
)

RECIPES = {
    "example": Recipe(EXAMPLE, _example, (), "hello from 3 /app\n", "/app", "machine"),
    "example-here": Recipe(EXAMPLE, _example, (), "hello from 3 /app\n", "/app", "here"),
    "stages": Recipe(STAGES, _stages, ("somebody",), "hello somebody\n"),
    "python": Recipe(PYTHON, _python, (), "greeting by app\n"),
    "wheel": Recipe(WHEEL, _wheel, ("sh", "-c", _IMPORT), "True\n"),
    "same": Recipe(SAME, _same, (), "hello world\n"),
}
"""All of them, by names that images get too."""
