"""Images made by hand, without overlaykit: json, tarfile and gzip alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MadeImage",
    "descriptor",
    "digest",
    "layer",
    "make_image",
    "pack",
    "write_docker_archive",
    "write_layout",
]

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


def digest(data: bytes) -> str:
    """Return the digest of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(files: Mapping[str, bytes | None]) -> bytes:
    """Return an uncompressed layer.

    :param files: content by path; ``None`` for a directory, a path that begins with ``.wh.`` for a whiteout.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.mtime = 1_600_000_000
            info.mode = 0o755 if content is None else 0o644
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


@dataclass(frozen=True)
class MadeImage:
    """An image: its manifest, configuration and layers, as they are and as the manifest has them."""

    manifest: bytes
    config: bytes
    plain: tuple[bytes, ...]
    layers: tuple[bytes, ...]
    media_type: str = OCI_MANIFEST
    platform: tuple[str, str] = ("linux", "amd64")

    @property
    def blobs(self) -> dict[str, bytes]:
        """All of it by digest."""
        return {digest(data): data for data in (self.manifest, self.config, *self.layers)}


def descriptor(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """Return the descriptor of some bytes."""
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def make_image(
    layers: Sequence[bytes],
    *,
    compression: str = "gzip",
    platform: tuple[str, str] = ("linux", "amd64"),
    config: Mapping[str, Any] | None = None,
) -> MadeImage:
    """Make an OCI image.

    :param layers: uncompressed layers, the lowest first.
    :param compression: ``"gzip"`` or ``"none"``.
    :param config: what else the configuration has.
    """
    document = {
        "architecture": platform[1],
        "os": platform[0],
        "created": "2020-01-01T00:00:00Z",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in layers]},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": f"COPY {n}"} for n in range(len(layers))],
        **(config or {}),
    }
    data = json.dumps(document).encode()
    packed = [gzip.compress(one, mtime=0) if compression == "gzip" else one for one in layers]
    suffix = "+gzip" if compression == "gzip" else ""
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(data, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(one, f"application/vnd.oci.image.layer.v1.tar{suffix}") for one in packed],
    }
    return MadeImage(json.dumps(manifest).encode(), data, tuple(layers), tuple(packed), platform=platform)


def write_layout(path: Path, images: Mapping[str, MadeImage], *, annotation: str = "ref.name") -> Path:
    """Write an OCI layout directory.

    :param images: by their names, ``""`` for none.
    :param annotation: how names are written: ``"ref.name"`` or ``"containerd"``.
    """
    key = "org.opencontainers.image.ref.name" if annotation == "ref.name" else "io.containerd.image.name"
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = []
    for name, image in images.items():
        for one, data in image.blobs.items():
            (blobs / one.removeprefix("sha256:")).write_bytes(data)
        more = {"annotations": {key: name}} if name else {}
        entries.append(descriptor(image.manifest, image.media_type, **more))
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return path


def pack(directory: Path, archive: Path, mode: str = "w") -> Path:
    """Write an archive of what is in a directory, as ``tar -C DIRECTORY .`` does.

    :param mode: as :func:`tarfile.open` has it, ``"w:gz"`` to compress.
    """
    with tarfile.open(archive, mode, format=tarfile.GNU_FORMAT) as out:  # type: ignore[call-overload]
        for name in sorted(os.listdir(directory)):
            out.add(directory / name, f"./{name}")
    return archive


def write_docker_archive(path: Path, images: Mapping[str, MadeImage]) -> Path:
    """Write a docker archive of the old form: a directory a layer, a symbolic link where one comes again."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as out:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))

        listed: list[dict[str, Any]] = []
        places: dict[bytes, str] = {}
        repositories: dict[str, dict[str, str]] = {}
        for number, (name, image) in enumerate(images.items()):
            names = []
            for position, plain in enumerate(image.plain):
                own = hashlib.sha256(f"{number} {position}".encode()).hexdigest()
                directory = tarfile.TarInfo(own)
                directory.type = tarfile.DIRTYPE
                out.addfile(directory)
                add(f"{own}/VERSION", b"1.0")
                add(f"{own}/json", b"{}")
                if plain in places:
                    link = tarfile.TarInfo(f"{own}/layer.tar")
                    link.type = tarfile.SYMTYPE
                    link.linkname = f"../{places[plain]}/layer.tar"
                    out.addfile(link)
                else:
                    places[plain] = own
                    add(f"{own}/layer.tar", plain)
                names.append(f"{own}/layer.tar")
            config = digest(image.config).removeprefix("sha256:") + ".json"
            if config not in {entry["Config"] for entry in listed}:
                add(config, image.config)
            listed.append({"Config": config, "RepoTags": [name] if name else None, "Layers": names})
            if name:
                repository, _, tag = name.rpartition(":")
                repositories.setdefault(repository, {})[tag] = "x"
        add("manifest.json", json.dumps(listed).encode())
        add("repositories", json.dumps(repositories).encode())
    return path
