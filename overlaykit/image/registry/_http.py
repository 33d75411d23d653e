"""HTTP on urllib3: one request to one address, without retries, redirects or credentials of its own."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import urllib3

__all__ = ["Http", "is_loopback", "origin"]

_BLOCK = 1 << 20


def is_loopback(host: str) -> bool:
    """Tell whether a host, with or without a port, is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


class Http:
    """Pools of connections, with and without a proxy; thread-safe.

    :param verify: whether certificates are checked.
    :param ca: a file with the certificates of further authorities.
    :param timeout: seconds for a connection, and without any progress.
    :param parallel: connections to one host.
    """

    def __init__(self, *, verify: bool, ca: str | None, timeout: float, parallel: int) -> None:
        import urllib3

        context = ssl.create_default_context()
        if ca is not None:
            context.load_verify_locations(ca)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._verify = verify
        self._keywords: dict[str, Any] = {
            "ssl_context": context,
            "timeout": urllib3.Timeout(connect=timeout, read=timeout),
            "maxsize": parallel + 1,
            "blocksize": _BLOCK,
        }
        self._lock = threading.Lock()
        self._pools: dict[str, urllib3.PoolManager] = {}

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | BinaryIO | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request; the caller reads the answer, and closes or releases it."""
        return self._pool(url).request(
            method,
            url,
            headers=dict(headers),
            body=body,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
        )

    def close(self) -> None:
        """Close all connections that nobody uses."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        import urllib3

        proxy = _proxy(url)
        with self._lock:
            if proxy not in self._pools:
                make: Callable[..., urllib3.PoolManager] = urllib3.PoolManager
                if proxy:
                    parts = urlsplit(proxy)
                    headers = None
                    if parts.username:
                        headers = urllib3.make_headers(proxy_basic_auth=f"{parts.username}:{parts.password or ''}")
                    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
                    self._pools[proxy] = urllib3.ProxyManager(bare, proxy_headers=headers, **self._keywords)
                else:
                    self._pools[proxy] = make(**self._keywords)
                if not self._verify:
                    self._pools[proxy].pool_classes_by_scheme = _unverified()
            return self._pools[proxy]


def _unverified() -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Return pools that do not warn at each connection of what was asked for."""
    import urllib3
    from urllib3.connection import HTTPSConnection

    class Connection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            self.is_verified = True

    class Pool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Connection

    return {"http": urllib3.HTTPConnectionPool, "https": Pool}


def _proxy(url: str) -> str:
    import urllib.request

    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if is_loopback(host) or urllib.request.proxy_bypass_environment(host):  # type: ignore[attr-defined]
        return ""
    return urllib.request.getproxies_environment().get(parts.scheme, "")
