"""Images for benchmarks, of what real ones are made of: Debian's own packages, as OCI layout directories.

``python benchmarks/make_images.py DIRECTORY [--level N]``, as root, because of mmdebstrap. It makes in DIRECTORY
``five-gzip``, ``five-zstd`` (five layers: minbase, a compiler, libraries, Python, documents), ``one-gzip`` and
``one-zstd`` (all of that and three packages of many small files, in a single layer). What is there is not made again.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from overlaykit.changeset import compressed, new_hash

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

#: The layers above minbase, and the packages whose content each is.
LAYERS = (
    ("gcc-12", "cpp-12", "g++-12", "binutils-x86-64-linux-gnu", "libbinutils"),
    ("libc6-dev", "libstdc++-12-dev", "libgcc-12-dev", "linux-libc-dev", "manpages-dev"),
    ("python3.11", "python3.11-minimal", "libpython3.11-stdlib", "libpython3.11-minimal", "libpython3.11-dev"),
    ("perl", "perl-modules-5.36", "libperl5.36", "perl-doc", "python3.11-doc"),
)
MANY = ("golang-1.19-src", "libpython3.11-testsuite")
FILES, ONE_FILES, BYTES = 8_000, 30_000, 450_000_000


def base(directory: Path) -> Path:
    """Make a minimal Debian of this machine's own release."""
    path = directory / "base.tar"
    if not path.exists():
        release = platform.freedesktop_os_release()["VERSION_CODENAME"]
        new = path.with_suffix(".new.tar")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", release, str(new)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        new.rename(path)
    return path


def download(directory: Path, names: Iterable[str]) -> list[Path]:
    """Get packages as apt does, and return their files."""
    directory.mkdir(exist_ok=True)
    missing = [name for name in names if not list(directory.glob(f"{name}_*.deb"))]
    if missing:
        subprocess.run(["apt-get", "download", "-qq", *missing], check=True, cwd=directory)
    return [next(directory.glob(f"{name}_*.deb")) for name in names]


def headers() -> list[str]:
    """Return the package of the kernel's headers, whose name has a version."""
    lines = subprocess.check_output(["apt-cache", "depends", "linux-headers-amd64"], text=True).splitlines()
    name = next(line.split()[1] for line in lines if "Depends:" in line)
    return [name.removesuffix("-amd64") + "-common"]


class Layer:
    """A tar archive of many others' members, each path once."""

    def __init__(self, path: Path) -> None:
        self._new = path.with_suffix(".new")
        self._path = path
        self._tar = tarfile.open(self._new, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - finish() closes it
        self._names: set[str] = set()

    def add(self, stream: BinaryIO) -> None:
        """Add an archive's members."""
        with tarfile.open(fileobj=stream, mode="r|") as source:
            for member in source:
                name = member.name.removeprefix("./")
                if name in ("", ".") or name in self._names:
                    continue
                self._names.add(name)
                member.name = name
                if member.islnk():
                    member.linkname = member.linkname.removeprefix("./")
                self._tar.addfile(member, source.extractfile(member) if member.isreg() else None)

    def add_package(self, package: Path) -> None:
        """Add a package's files."""
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            self.add(process.stdout)  # type: ignore[arg-type]
            process.stdout.read()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, f"dpkg-deb {package}")

    def finish(self) -> int:
        """Complete it, and return how many members it has."""
        self._tar.close()
        self._new.rename(self._path)
        return len(self._names)


def blob(layout: Path, data: bytes) -> dict[str, object]:
    """Write a small blob and return its descriptor, without a media type."""
    checksum = new_hash()
    checksum.update(data)
    (layout / "blobs/sha256" / checksum.hexdigest()).write_bytes(data)
    return {"digest": f"sha256:{checksum.hexdigest()}", "size": len(data)}


def layout(path: Path, layers: list[Path], compression: str, level: int | None) -> None:
    """Write an OCI layout of some layers."""
    new = path.with_name(f"{path.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    blobs = new / "blobs/sha256"
    blobs.mkdir(parents=True)
    descriptors, diff_ids = [], []
    for layer in layers:
        with open(layer, "rb") as source, open(blobs / "layer", "wb") as out:
            writer = compressed(out, compression, level)
            while data := source.read(1 << 20):
                writer.write(data)
            made = writer.close()
        (blobs / "layer").rename(blobs / made.digest.removeprefix("sha256:"))
        kind = f"application/vnd.oci.image.layer.v1.tar+{compression}"
        descriptors.append({"mediaType": kind, "digest": made.digest, "size": made.size})
        diff_ids.append(made.diff_id)
        print(f"  {made.size / 1e6:6.1f} MB, {made.uncompressed / 1e6:6.1f} MB inflated")
    history = [{"created": "2024-01-01T00:00:00Z", "created_by": f"COPY {layer.stem}"} for layer in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            **blob(new, json.dumps(config).encode()),
        },
        "layers": descriptors,
    }
    described = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        **blob(new, json.dumps(manifest).encode()),
        "annotations": {"org.opencontainers.image.ref.name": "latest"},
    }
    (new / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (new / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    new.rename(path)


def make(directory: Path, level: int) -> None:
    """Make all images that are missing."""
    directory.mkdir(parents=True, exist_ok=True)
    layers = [directory / f"layer{number}.tar" for number in range(5)]
    one = directory / "one.tar"
    if not all(path.exists() for path in (*layers, one)):
        groups = [download(directory / "packages", names) for names in (*LAYERS, (*MANY, *headers()))]
        files, whole = 0, Layer(one)
        for path, packages in zip([*layers, None], [None, *groups], strict=True):
            part = None if path is None else Layer(path)
            for layer in filter(None, (part, whole)):
                if packages is None:
                    with open(base(directory), "rb") as stream:
                        layer.add(stream)
                for package in packages or ():
                    layer.add_package(package)
            files += 0 if part is None else part.finish()
        total, size = whole.finish(), sum(path.stat().st_size for path in layers)
        print(f"five layers: {files} files, {size / 1e6:.0f} MB; one layer: {total} files")
        if files < FILES or size < BYTES or total < ONE_FILES:
            sys.exit(f"too small: wanted {FILES} files, {BYTES / 1e6:.0f} MB and {ONE_FILES} files")
    for name, parts in (("five", layers), ("one", [one])):
        for compression in ("gzip", "zstd"):
            path = directory / f"{name}-{compression}"
            if not path.exists():
                print(path.name)
                layout(path, parts, compression, level if compression == "gzip" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--level", type=int, default=6, help="gzip's level (default: 6, as most images have it)")
    arguments = parser.parse_args()
    make(arguments.directory, arguments.level)


if __name__ == "__main__":
    main()
