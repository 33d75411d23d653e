"""OCI layers: the changesets that turn one tree into another, as tar streams.

What opens a store asks for digests; the rest is imported when a layer is read or written.
"""

from __future__ import annotations

from ..lazy import lazy_names
from ._digest import check_digest, digest_of, new_hash, split_digest

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._apply import Applied, Restart, apply_layer
    from ._below import LowerTree
    from ._channel import Channel, Closed
    from ._compress import CompressedWriter, Output, compressed
    from ._diff import WrittenLayer, write_layer
    from ._inflate import Compression
    from ._limits import Limits
    from ._pack import FilePacker
    from ._stream import LayerStream, StreamResult, Tee
    from ._tar_write import TarHeader

__all__ = [
    "Applied",
    "Channel",
    "Closed",
    "CompressedWriter",
    "Compression",
    "FilePacker",
    "LayerStream",
    "Limits",
    "LowerTree",
    "Output",
    "Restart",
    "StreamResult",
    "TarHeader",
    "Tee",
    "WrittenLayer",
    "apply_layer",
    "check_digest",
    "compressed",
    "digest_of",
    "new_hash",
    "split_digest",
    "write_layer",
]

_LATER = {
    "Applied": "_apply",
    "Channel": "_channel",
    "Closed": "_channel",
    "CompressedWriter": "_compress",
    "Compression": "_inflate",
    "FilePacker": "_pack",
    "LayerStream": "_stream",
    "Limits": "_limits",
    "LowerTree": "_below",
    "Output": "_compress",
    "Restart": "_apply",
    "StreamResult": "_stream",
    "TarHeader": "_tar_write",
    "Tee": "_stream",
    "WrittenLayer": "_diff",
    "apply_layer": "_apply",
    "compressed": "_compress",
    "write_layer": "_diff",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
