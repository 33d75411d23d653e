"""``overlaykit inspect``: everything about an image or a container, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._containers import docker_state, state_json
from .._image import as_json, container_json

if TYPE_CHECKING:
    import argparse

    from ...image import Index
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="an image or a container")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write a JSON document: a container's where there is one of this name, else an image's."""
    from ...errors import NotFoundError
    from ...image import chain_ids
    from ...runtime import DetachedContainer

    output = context.output
    with context.open_store() as store:
        try:
            container = store.open_container(arguments.name)
        except NotFoundError:
            image = store.image(arguments.name)
            manifest, config = store.manifest(image), store.config(image)
            document = as_json(image)
            document["config_document"] = dict(config.document)
            document["annotations"] = dict(manifest.annotations)
            index = store.index(image)
            document["index"] = None if index is None else _index(index)
            document["layers"] = [
                {**layer.document(), "diff_id": diff_id, "chain_id": chain_id}
                for layer, diff_id, chain_id in zip(
                    manifest.layers, config.diff_ids, chain_ids(config.diff_ids), strict=True
                )
            ]
        else:
            usage = store.usage(container.name)
            state = DetachedContainer(store, container.name).status
            document = {
                **container_json(container.info),
                "parent": store.stat(container.name).parent,
                "state": state_json(state),
                "State": docker_state(state),
                "usage": {"bytes": usage.bytes, "inodes": usage.inodes},
            }
    if output.json or not output.terminal:
        output.document(document)
    else:
        import json

        from .._text import printable

        for line in json.dumps(document, indent=2).splitlines():
            output.line(printable(line))
    return 0


def _index(index: Index) -> dict[str, object]:
    own = index.descriptor
    return {
        "media_type": own.media_type,
        "digest": own.digest,
        "platforms": [str(one.platform) for one in index.manifests if one.platform is not None],
        "annotations": dict(index.annotations),
    }
