"""A base image as tests from Dockerfiles need one: Debian with Python and a C compiler, in a registry on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from isal import igzip

from testkit.images import OCI_MANIFEST, digest
from testkit.loops import need_root, need_tool
from testkit.peers import skopeo
from testkit.registries import run_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "BASE",
    "PACKAGES",
    "BaseRegistry",
    "base_registry",
    "make_base_layout",
    "make_busybox_root",
    "make_root_archive",
    "mirror_conf",
]

BASE = "docker.io/library/ubuntu:20.04"
"""What Dockerfiles of the tests begin with; what it is in truth does not matter to them."""

PACKAGES = ("python-is-python3", "python3-venv", "python3-dev", "gcc", "libc6-dev")

_CONFIG = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/bash"]}
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class BaseRegistry:
    """A registry that has the base image.

    :param host: its host and port.
    :param conf: a ``registries.conf`` that says that Docker Hub's images are there.
    """

    host: str
    conf: Path

    @property
    def environment(self) -> dict[str, str]:
        """What lets programs, ours and others, have Docker Hub's images from it."""
        return {"CONTAINERS_REGISTRIES_CONF": str(self.conf), "OVERLAYKIT_REGISTRIES_CONF": str(self.conf)}


def make_root_archive(path: Path, packages: Sequence[str] = PACKAGES) -> None:
    """Make a Debian of this machine's own release, from its own package sources, as a tar archive."""
    need_root()
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    # It mounts and unmounts below the directory, which is no business of this machine's other processes.
    command = [need_tool("unshare"), "--mount", "--propagation=private", need_tool("mmdebstrap"), "--quiet"]
    command += ["--mode=root", "--variant=minbase", "--format=tar", f"--include={','.join(packages)}"]
    # An image's /dev is empty: what is in it is the runtime's business.
    command += ["--skip=output/mknod", release, str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": "1600000000"})


def make_base_layout(path: Path, archive: Path) -> None:
    """Write an OCI layout of one image with one layer."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)
    inflated = hashlib.sha256()
    with archive.open("rb") as source, igzip.IGzipFile(path / "layer", "wb", 1) as out:  # type: ignore[no-untyped-call]
        while data := source.read(_PIECE):
            inflated.update(data)
            out.write(data)  # type: ignore[no-untyped-call]
    with (path / "layer").open("rb") as file:
        blob = hashlib.file_digest(file, "sha256").hexdigest()
    size = (path / "layer").stat().st_size
    (path / "layer").rename(blobs / blob)
    diff_id = f"sha256:{inflated.hexdigest()}"
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "2020-09-13T12:26:40Z",
        "config": _CONFIG,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "2020-09-13T12:26:40Z", "created_by": "mmdebstrap"}],
    }

    def put(document: object, media_type: str) -> dict[str, object]:
        data = json.dumps(document).encode()
        (blobs / digest(data).removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": f"sha256:{blob}", "size": size}
    described = put(config, "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": [layer]}
    named = {**put(manifest, OCI_MANIFEST), "annotations": {"org.opencontainers.image.ref.name": "base"}}
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))


def make_busybox_root(root: Path) -> None:
    """Make a directory in which a static busybox can run."""
    for name in ("bin", "proc", "dev", "sys", "etc", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy2(need_tool("busybox"), root / "bin/busybox")
    for name in ("true", "sh"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")


def mirror_conf(path: Path, host: str) -> Path:
    """Write a ``registries.conf`` that has Docker Hub's images at a registry of loopback."""
    path.write_text(
        'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "disabled"\n'
        f'[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "{host}"\ninsecure = true\n'
    )
    return path


@pytest.fixture(scope="session")
def base_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseRegistry]:
    """A registry with the base image, made once in a session of tests.

    Where ``OVERLAYKIT_TEST_BASE`` names a directory, the image is kept there for the next session.
    """
    need_root()
    work = tmp_path_factory.mktemp("base")
    kept = os.environ.get("OVERLAYKIT_TEST_BASE")
    layout = Path(kept) if kept else work / "layout"
    try:
        if not layout.exists():
            make_root_archive(work / "root.tar")
            make_base_layout(work / "made", work / "root.tar")
            (work / "root.tar").unlink()
            shutil.move(work / "made", layout)
        with run_registry(work / "registry") as host:
            target = f"docker://{host}/{BASE.partition('/')[2]}"
            skopeo("copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:base", target)
            if not kept:
                shutil.rmtree(layout)
            yield BaseRegistry(host, mirror_conf(work / "registries.conf", host))
    finally:
        shutil.rmtree(work)
