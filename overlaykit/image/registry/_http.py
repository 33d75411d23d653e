"""HTTP on urllib3: one request to one address, without retries, redirects or credentials of its own."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote, urlsplit

from ... import errors
from ._connection import Sockets, pool_classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import urllib3

    from ._options import Options

__all__ = ["Http", "is_loopback", "origin"]

_BLOCK = 128 << 10
"""Bytes that are sent at once: a timeout is one for all of them, so that slow lines need small ones."""


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

    :param options: certificates, patience, and how many connections to one host.
    :raises NotFoundError: the file with certificates is not there.
    :raises RegistryError: it has no certificates.
    """

    def __init__(self, options: Options) -> None:
        self._verify = not options.insecure
        self._ca = options.ca
        self._timeout = options.timeout
        self._parallel = options.parallel
        self._slowest = options.slowest
        self._sockets = Sockets()
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._pools: dict[tuple[str, bool], urllib3.PoolManager] = {}
        if self._ca is not None:
            self._tls()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | BinaryIO | None = None,
        patience: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request; the caller reads the answer, and closes or releases it.

        :param patience: seconds until the answer begins; as everything else where that is ``None``.
        """
        import urllib3

        return self._pool(url).request(
            method,
            url,
            headers=dict(headers),
            body=body,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(connect=self._timeout, read=patience or self._timeout),
        )

    def close(self) -> None:
        """Close all connections that nobody uses."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.clear()

    def cut(self) -> None:
        """End all that is under way, in whatever thread."""
        self._sockets.cut()

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = _proxy(url)
        # Loading the system's authorities takes longer than many a request: not before somebody needs them.
        secure = urlsplit(url).scheme == "https" or proxy.startswith("https:")
        with self._lock:
            if (proxy, secure) not in self._pools:
                self._pools[proxy, secure] = self._make_pool(proxy, secure=secure)
            return self._pools[proxy, secure]

    def _make_pool(self, proxy: str, *, secure: bool) -> urllib3.PoolManager:
        import urllib3

        keywords: dict[str, Any] = {"maxsize": self._parallel + 1, "blocksize": _BLOCK}
        if secure:
            keywords["ssl_context"] = self._tls()
        made: urllib3.PoolManager
        if proxy:
            parts = urlsplit(proxy)
            headers = None
            if parts.username:
                pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                headers = urllib3.make_headers(proxy_basic_auth=pair)
            bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            made = urllib3.ProxyManager(bare, proxy_headers=headers, **keywords)
        else:
            made = urllib3.PoolManager(**keywords)
        made.pool_classes_by_scheme = pool_classes(self._sockets, self._timeout, self._slowest, verify=self._verify)
        return made

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            context = ssl.create_default_context()
            if self._ca is not None:
                try:
                    context.load_verify_locations(self._ca)
                except ssl.SSLError:
                    raise errors.RegistryError(
                        f"{self._ca} has no certificates of authorities in PEM: name another file"
                    ) from None
                except FileNotFoundError:
                    raise errors.NotFoundError(
                        f"there is no {self._ca} with certificates of authorities: check the path", filename=self._ca
                    ) from None
                except OSError as error:
                    raise errors.RegistryError(f"{self._ca} cannot be read: {error.strerror}; check it") from None
            if not self._verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._context = context
        return self._context


def _proxy(url: str) -> str:
    """Return the proxy that the environment names for an address, ``""`` for none.

    :raises RegistryError: it is no proxy of HTTP.
    """
    import urllib.request

    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if is_loopback(host) or urllib.request.proxy_bypass_environment(host):  # type: ignore[attr-defined]
        return ""
    known = urllib.request.getproxies_environment()
    proxy = known.get(parts.scheme) or known.get("all") or ""
    if not proxy:
        return ""
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        told = urlsplit(proxy)
        good = told.scheme in ("http", "https") and bool(told.hostname) and told.port != 0
    except ValueError:
        good = False
    if not good:
        # Not shown: it may have a password in it.
        raise errors.RegistryError(
            f"the proxy that the environment names for {parts.scheme} is none of HTTP: mend {parts.scheme}_proxy"
        )
    return proxy
