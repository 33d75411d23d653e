"""One stage: its instructions one after the other, each a layer or a line of history."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from .. import errors
from ..values import value_class
from . import dockerfile as ast
from ._cache import key_of
from ._history import COMMENT, created_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..store import Working
    from ..tree import Tree
    from ._cache import CacheRecord
    from ._config import StageConfig
    from ._events import Reporter
    from ._inherit import Inherited
    from ._layers import LayerMaker, LayerSource, Stack
    from ._run import RunSteps
    from ._transfer import TransferSteps

__all__ = ["WORK", "StageBuild", "StageResult"]

WORK = (ast.Run, ast.Transfer, ast.Workdir)
"""Instructions that are steps: those that may change the tree."""


@value_class
class StageResult:
    """A stage that is done.

    :param history: its entries and those of what it began with; ``created`` is missing where nothing was made.
    :param foreign: how many entries of the history are those of the image that it began with.
    """

    stack: Stack
    config: StageConfig
    history: tuple[dict[str, Any], ...]
    foreign: int


class StageBuild:
    """A stage that is being built.

    :param name: of steps, before the count: ``build``.
    :param instructions: the triggers of its base, and its own.
    :param inherited: what it begins with.
    :param scope: its variables.
    :param salt: goes into all keys: what the whole build depends on.
    """

    def __init__(
        self,
        name: str,
        planned: ast.PlannedStage,
        instructions: Sequence[ast.Instruction],
        inherited: Inherited,
        scope: ast.Scope,
        maker: LayerMaker,
        runs: RunSteps,
        transfers: TransferSteps,
        reporter: Reporter,
        source_of: Callable[[ast.Instruction], str],
        salt: dict[str, Any],
    ) -> None:
        self.name = name
        self.planned = planned
        self.instructions = instructions
        self.inherited = inherited
        self.scope = scope
        self.maker = maker
        self.runs = runs
        self.transfers = transfers
        self.reporter = reporter
        self.source_of = source_of
        self.salt = salt
        self.stack = inherited.stack
        self.config = inherited.config
        self.history = list(inherited.history)
        self._number = 1

    def run(self) -> StageResult:
        """Do it.

        :raises OSError: what goes wrong.
        """
        for written in self.instructions:
            one = self.scope.resolve(written)
            match one:
                case ast.Run():
                    self._layer(one, self.runs.plan(self, one))
                case ast.Transfer():
                    self._layer(one, self.transfers.plan(self, one))
                case ast.Workdir():
                    self.config.take(one)
                    self._layer(one, self._workdir())
                case ast.Env():
                    self.config.set_environment(self.scope.environment)
                    self._note(one)
                case _:
                    self.config.take(one)
                    self._note(one)
        return StageResult(self.stack, self.config, tuple(self.history), self.inherited.foreign)

    def step_name(self, text: str) -> str:
        """Return what a step is called."""
        total = 1 + sum(isinstance(one, WORK) for one in self.instructions)
        count = f"{self._number:>{len(str(total))}}/{total}"
        return f"[{self.name} {count}] {text}" if self.name else f"[{count}] {text}"

    def text(self, one: ast.Instruction) -> str:
        """Return the ``created_by`` of an instruction."""
        return created_by(one, self.config, self.scope.declared)

    # -- kinds of instructions -----------------------------------------------------------------------------------------

    def _layer(self, one: ast.Instruction, work: Work) -> None:
        self._number += 1
        text = self.text(one)
        look = work.look
        with self.reporter.step(self.step_name(" ".join(str(one.text).split()))) as step:
            key = key_of(work.kind, **self.salt, **work.parts, below=None if work.linked else self.stack.top)
            before = self.stack
            try:
                self.stack, record = self.maker.make(
                    before,
                    key,
                    text,
                    lambda working: work.do(working, step),
                    step,
                    linked=work.linked,
                    pack=work.pack,
                    look=None if look is None else lambda working: look(working, step),
                    history=self.history if isinstance(one, ast.Run) else None,
                )
            except errors.StoreFullError as error:
                raise errors.StoreFullError(
                    f"{self.source_of(one)}: {error}; what was built before it is cached", filename=error.filename
                ) from error
        if self.stack is before:
            self._entry(text, None)
        else:
            self._entry(text, record)

    def _note(self, one: ast.Instruction) -> None:
        self._entry(self.text(one), None)

    def _entry(self, text: str, record: CacheRecord | None) -> None:
        entry: dict[str, Any] = {} if record is None else {"created": record.created}
        entry |= {"created_by": text, "comment": COMMENT}
        if record is None:
            entry["empty_layer"] = True
        self.history.append(entry)

    def _workdir(self) -> Work:
        path, user = self.config.workdir, self.config.user

        def make(working: Working, _: Any) -> None:
            from ..runtime import find_user

            tree = working.tree
            if tree.is_dir(path):
                return
            owner = find_user(tree, user)
            missing = []
            above = path
            while not tree.is_dir(above):
                missing.append(above)
                above = posixpath.dirname(above)
            for one in reversed(missing):
                tree.mkdir(one)
                tree.chmod(one, 0o755)
                if (owner.uid, owner.gid) != (0, 0):
                    tree.chown(one, owner.uid, owner.gid)

        return Work("workdir", {"path": path, "user": user}, make)


@value_class
class Work:
    """What an instruction does to the tree.

    :param kind: part of its key.
    :param parts: all else that its result depends on, but what is below.
    :param do: does it in a snapshot.
    :param linked: it does not depend on what is below.
    :param look: looks at what was done.
    :param pack: returns what writes the layer, given the tree that it goes over and whether that is of no layers; or
        ``None`` where that cannot be told without doing it.
    """

    kind: str
    parts: dict[str, Any]
    do: Callable[[Working, Any], None]
    linked: bool = False
    look: Callable[[Working, Any], None] | None = None
    pack: Callable[[Tree, bool], LayerSource | None] | None = None
