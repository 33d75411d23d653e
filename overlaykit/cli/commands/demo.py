"""``overlaykit demo``: the story of layers, narrated, in a store that is gone at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...errors import DriverUnavailableError
from .._exit import ExitCode, UsageError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from ...plugin import Choice
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare no arguments: there are none."""


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Play the story on the best driver that works here, or on that of ``--driver``.

    :returns: 0, or 1 where a check failed.
    """
    from ...store import open_store
    from ..demo import Narrator, Story, temporary_directory

    output, options = context.output, context.options
    if options.store is not None:
        raise UsageError("demo has a temporary store of its own; $TMPDIR says where, without --store")
    narrator = Narrator(output)
    start = time.perf_counter()
    with temporary_directory() as directory:
        scratch = directory / "root"
        scratch.mkdir(mode=0o755)
        choice = _choose(context, directory)
        spec = choice.driver.spec
        narrator.say(f"Docker's layers, played with the driver {spec.name}: {choice.why}.")
        with open_store(
            directory / "store" if spec.needs_path else None,
            driver=spec.name,
            # Nobody will miss this store after a power cut.
            durability=options.durability or "none",
            options=options.options or None,
        ) as store:
            story = Story(store, scratch, narrator)
            story.play()
            for info in sorted(store.walk(), key=lambda info: info.created, reverse=True):
                store.remove(info.key)
    seconds = time.perf_counter() - start
    if output.json:
        output.document(
            {
                "driver": spec.name,
                "why": choice.why,
                "ok": not narrator.failed,
                "checks": [{"claim": claim, "holds": holds} for claim, holds in narrator.checks],
                "seconds": seconds,
                **story.summary(),
            }
        )
    elif not narrator.failed:
        output.line()
        output.line(
            f"All {len(narrator.checks)} checks hold. Played in {seconds:.1f} s; the store is gone, nothing is left."
        )
    return ExitCode.OTHER if narrator.failed else ExitCode.OK


def _choose(context: Context, directory: Path) -> Choice:
    plugins, name = context.plugins(), context.options.driver
    if name != "auto":
        needs_path = plugins.get(name).spec.needs_path
        return plugins.choose(name, directory if needs_path else None)
    try:
        return plugins.choose(name, directory)
    except DriverUnavailableError as error:
        from ...plugin import Choice

        # For a story, one that keeps nothing on the disk does as well.
        choice = plugins.choose(name, None)
        return Choice(choice.driver, choice.probe, f"{choice.why}; {error.reason}")
