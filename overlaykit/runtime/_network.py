"""The three files that tell a container where it is: resolv.conf, hosts and hostname."""

from __future__ import annotations

from ._values import FileMount

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._values import Network

__all__ = ["network_files"]

_LOCAL = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


def network_files(network: Network, hostname: str) -> tuple[FileMount, ...]:
    """Return ``/etc/resolv.conf``, ``/etc/hosts`` and ``/etc/hostname``, as Docker puts them over the image's.

    With the machine's network they say what the machine's say.
    """
    resolv, hosts = b"", _LOCAL.encode()
    if network == "host":
        resolv = _read("/etc/resolv.conf")
        hosts = _read("/etc/hosts") or hosts
    if hostname.encode() not in hosts.split():
        hosts += f"127.0.1.1\t{hostname}\n".encode()
    return tuple(
        FileMount(f"/etc/{name}", data, 0o644, readonly=False)
        for name, data in (("resolv.conf", resolv), ("hosts", hosts), ("hostname", f"{hostname}\n".encode()))
    )


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # a machine without one has nothing to say
