"""What a store knows of images, in its database: images by digest, references by name."""

from __future__ import annotations

import datetime

from .. import errors
from ..values import value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

__all__ = [
    "Image",
    "check_tables",
    "create_tables",
    "delete_image",
    "delete_reference",
    "find",
    "images",
    "index_of",
    "name_image",
    "put",
    "put_index",
    "references",
]

_VERSION = 2
"""Of these tables; 1 had no indexes, and said no version."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS image_schema (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS images (
    digest TEXT PRIMARY KEY,
    media_type TEXT NOT NULL,
    config TEXT NOT NULL,
    platform TEXT NOT NULL,
    top TEXT NOT NULL,
    size INTEGER NOT NULL,
    layers INTEGER NOT NULL,
    added REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS image_references (
    name TEXT PRIMARY KEY,
    digest TEXT NOT NULL REFERENCES images(digest)
) STRICT;
CREATE TABLE IF NOT EXISTS image_indexes (
    image TEXT PRIMARY KEY REFERENCES images(digest),
    digest TEXT NOT NULL
) STRICT;
"""


@value_class
class Image:
    """An image in a store.

    :param digest: of its manifest.
    :param media_type: of its manifest.
    :param config: the digest of its configuration, which Docker calls the image's id.
    :param platform: as ``linux/amd64``.
    :param top: the name of the snapshot of its topmost layer; ``None`` for an image without layers.
    :param size: bytes of its blobs.
    :param layers: how many it has.
    :param added: when it came, time zone aware, UTC.
    :param references: its names, in order.
    """

    digest: str
    media_type: str
    config: str
    platform: str
    top: str | None
    size: int
    layers: int
    added: datetime.datetime
    references: tuple[str, ...] = ()


_COLUMNS = "digest, media_type, config, platform, top, size, layers, added"


def check_tables(connection: sqlite3.Connection) -> bool:
    """Tell whether the tables are there and as they are written here.

    :raises StoreVersionError: they are of a later version.
    """
    if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'image_schema'").fetchone()[0]:
        return False
    (version,) = connection.execute("SELECT version FROM image_schema").fetchone()
    if version > _VERSION:
        raise errors.StoreVersionError(
            f"the store's tables of images have version {version} and this overlaykit knows up to {_VERSION}: "
            "use a newer overlaykit"
        )
    return bool(version == _VERSION)


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing."""
    for statement in _SCHEMA.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO image_schema (only, version) VALUES (1, ?)", (_VERSION,))


def put(connection: sqlite3.Connection, image: Image) -> None:
    """Record an image, and give it its names; each is taken from the image that had it."""
    connection.execute(
        f"INSERT OR IGNORE INTO images ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
        (
            image.digest,
            image.media_type,
            image.config,
            image.platform,
            image.top or "",
            image.size,
            image.layers,
            image.added.timestamp(),
        ),
    )
    name_image(connection, image.digest, image.references)


def put_index(connection: sqlite3.Connection, image: str, index: str) -> None:
    """Record which index an image was chosen from, both by their digests."""
    connection.execute("INSERT OR REPLACE INTO image_indexes (image, digest) VALUES (?, ?)", (image, index))


def index_of(connection: sqlite3.Connection, image: str) -> str | None:
    """Return the digest of the index that an image was chosen from last, ``None`` where it came alone."""
    row = connection.execute("SELECT digest FROM image_indexes WHERE image = ?", (image,)).fetchone()
    return None if row is None else str(row[0])


def name_image(connection: sqlite3.Connection, digest: str, names: Iterable[str]) -> None:
    """Give an image names."""
    connection.executemany(
        "INSERT INTO image_references (name, digest) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET digest = excluded.digest",
        [(name, digest) for name in names],
    )


def references(connection: sqlite3.Connection) -> dict[str, str]:
    """Return all names, each with the digest of what it names."""
    return dict(connection.execute("SELECT name, digest FROM image_references ORDER BY name"))


def images(connection: sqlite3.Connection) -> list[Image]:
    """Return all images, the newest first."""
    names: dict[str, list[str]] = {}
    for name, digest in references(connection).items():
        names.setdefault(digest, []).append(name)
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM images ORDER BY added DESC, digest"  # noqa: S608 - a constant
    )
    return [_image(row, tuple(names.get(row[0], ()))) for row in found]


def _image(row: tuple[object, ...], names: tuple[str, ...]) -> Image:
    digest, media_type, config, platform, top, size, layers, added = row
    assert isinstance(size, int)
    assert isinstance(layers, int)
    assert isinstance(added, float)
    moment = datetime.datetime.fromtimestamp(added, datetime.UTC)
    return Image(
        str(digest), str(media_type), str(config), str(platform), str(top) or None, size, layers, moment, names
    )


def find(connection: sqlite3.Connection, digest: str) -> Image | None:
    """Return an image by its manifest's digest."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM images WHERE digest = ?",  # noqa: S608 - a constant
        (digest,),
    ).fetchone()
    if row is None:
        return None
    names = connection.execute("SELECT name FROM image_references WHERE digest = ? ORDER BY name", (digest,))
    return _image(row, tuple(name for (name,) in names))


def delete_reference(connection: sqlite3.Connection, name: str) -> None:
    """Take a name away."""
    connection.execute("DELETE FROM image_references WHERE name = ?", (name,))


def delete_image(connection: sqlite3.Connection, digest: str) -> None:
    """Forget an image, names and all."""
    connection.execute("DELETE FROM image_references WHERE digest = ?", (digest,))
    connection.execute("DELETE FROM image_indexes WHERE image = ?", (digest,))
    connection.execute("DELETE FROM images WHERE digest = ?", (digest,))
