"""What is no error and is better written otherwise: BuildKit's build checks, with their names and texts."""

from __future__ import annotations

import posixpath
import re
from functools import partial
from typing import TYPE_CHECKING

from ... import errors
from ...image import Platform, Reference
from . import _ast as ast
from ._expand import Expander, ExpansionError
from ._flags import close
from ._globals import Globals
from ._rules import RULES, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ._ast import Dockerfile, Instruction, Stage
    from ._place import Place, Word
    from ._scope import Scope

__all__ = ["lint"]

_RESERVED = ("context", "scratch")
_SECRET = partial(
    re.compile,
    r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)",
    re.IGNORECASE,
)
_NO_SECRET = partial(re.compile, r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_ONCE = (ast.Cmd, ast.Entrypoint, ast.Healthcheck)
#: The whole context is left out where a name is that no pattern can mean.
_ANYTHING = "overlaykit\0"
_REMOTE = ("http://", "https://", "git@", "ssh://", "git://")


def lint(
    dockerfile: Dockerfile,
    globals: Globals | None = None,
    *,
    environments: Mapping[int, Mapping[str, str]] | None = None,
    only: Collection[int] | None = None,
    ignored: Callable[[str], bool] | None = None,
    platforms: Mapping[int, tuple[Platform, Platform]] | None = None,
) -> list[Finding]:
    """Find what BuildKit's build checks find, but for what ``# check=`` leaves out.

    :param globals: the build arguments and platforms; ``None`` for none and the usual ones.
    :param environments: by stage, that of its base image. Where it is not known, no variable is called undefined.
    :param only: the indexes of the stages that are built; ``None`` for all.
    :param ignored: tells whether ``.dockerignore`` leaves a path of the context out (without a leading slash);
        ``None`` where there is none, or one with exceptions.
    :param platforms: by stage, the platform that was asked for and that of the image.
    :returns: the findings in the file's order.
    """
    check = dockerfile.directives.check
    if check.skip_all:
        return []
    linter = _Linter(dockerfile, globals or Globals(dockerfile), environments or {}, ignored)
    linter.look_at_all(platforms or {})
    for stage in dockerfile.stages:
        if only is None or stage.index in only:
            linter.look_at_stage(stage)
    more = check.experimental if not check.experimental_all else RULES
    found = [
        one
        for one in linter.findings
        if one.rule not in check.skip and (not RULES[one.rule].experimental or one.rule in more)
    ]
    return sorted(dict.fromkeys(found), key=lambda one: one.place)


class _Linter:
    def __init__(
        self,
        dockerfile: Dockerfile,
        globals: Globals,
        environments: Mapping[int, Mapping[str, str]],
        ignored: Callable[[str], bool] | None,
    ) -> None:
        self.findings: list[Finding] = []
        self._dockerfile = dockerfile
        self._globals = globals
        self._environments = environments
        self._ignored = ignored
        self._scopes: dict[str, Scope] = {}
        self._shells: set[str] = set()
        self._rooted: set[str] = set()
        self._known: dict[str, bool] = {}

    def _find(self, rule: str, place: Place, message: str) -> None:
        self.findings.append(Finding(rule, message, place))

    # -- the whole file ------------------------------------------------------------------------------------------------

    def look_at_all(self, platforms: Mapping[int, tuple[Platform, Platform]]) -> None:
        """Look at what does not depend on variables of stages."""
        everything = [*self._dockerfile.arguments]
        inside: list[Instruction] = []
        for stage in self._dockerfile.stages:
            inside += [stage.base, *stage.instructions]
        for one in [*everything, *inside]:
            if one.empty is not None:
                self._find("NoEmptyContinuation", one.empty, "Empty continuation line")
            self._description(one)
        self._casing(inside)
        names: set[str] = set()
        for stage in self._dockerfile.stages:
            self._stage_name(stage.base, names)
            self._base(stage.base)
        self._defaults()
        for index, (wanted, there) in platforms.items():
            if (wanted.os, wanted.architecture) != (there.os, there.architecture):
                base = self._dockerfile.stages[index].base
                message = (
                    f'Base image {base.image} was pulled with platform "{there}", expected "{wanted}" for current build'
                )
                self._find("InvalidBaseImagePlatform", base.image.place, message)

    def _description(self, one: Instruction) -> None:
        names = [str(argument.name) for argument in one.arguments] if isinstance(one, ast.Arg) else []
        names = [str(one.alias)] if isinstance(one, ast.From) and one.alias is not None else names
        if names and one.comments and one.comments[-1].split(" ")[0] not in names:
            name = names[0] if len(names) == 1 else "<arg_key>"
            message = f"Comment for {one.name} should follow the format: `# {name} <description>`"
            self._find("InvalidDefinitionDescription", one.place, message)

    def _casing(self, instructions: list[Instruction]) -> None:
        lower = sum(one.keyword.islower() for one in instructions)
        upper = sum(one.keyword.isupper() for one in instructions)
        right, word = (str.lower, "lowercase") if lower > upper else (str.upper, "uppercase")
        for one in instructions:
            if right(one.keyword) != one.keyword:
                message = f"Command '{one.keyword}' should match the case of the command majority ({word})"
                self._find("ConsistentInstructionCasing", one.place, message)

    def _stage_name(self, base: ast.From, names: set[str]) -> None:
        if base.alias is None or base.joiner is None:
            return
        name, place = base.alias.lower(), base.alias.place
        if name != base.alias:
            self._find("StageNameCasing", place, f"Stage name '{base.alias}' should be lowercase")
        one_case = base.keyword.islower() or base.keyword.isupper()
        if one_case and base.keyword.islower() != base.joiner.islower():
            message = f"'{base.joiner}' and '{base.keyword}' keywords' casing do not match"
            self._find("FromAsCasing", base.joiner.place, message)
        if name in _RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{name}"'
            self._find("ReservedStageName", place, message)
        if name in names:
            self._find("DuplicateStageName", place, f'Duplicate stage name "{name}", stage names should be unique')
        names.add(name)

    def _base(self, base: ast.From) -> None:
        values = self._globals.values
        declared = {str(argument.name) for one in self._dockerfile.arguments for argument in one.arguments}
        for word in (base.image, base.platform):
            if word is None:
                continue
            try:
                made = Expander(values, self._dockerfile.directives.escape).expand(word)
            except ExpansionError:
                continue
            for name, offset in made.missing.items():
                if name not in declared:
                    hint = _meant(name, {*declared, *values}, "")
                    self._find("UndefinedArgInFrom", word.at(offset), f"FROM argument '{name}' is not declared{hint}")
            if word is not base.platform:
                continue
            if made.used == {"TARGETPLATFORM"} and not made.missing and made.text == values["TARGETPLATFORM"]:
                message = f"Setting platform to predefined {word} in FROM is redundant as this is the default behavior"
                self._find("RedundantTargetPlatform", word.place, message)
            elif not made.used and not made.missing:
                self._constant(base, word, made.text)

    def _constant(self, base: ast.From, word: Word, text: str) -> None:
        try:
            platform = Platform.parse(text)
        except errors.ImageReferenceError:
            return
        # A stage that has the platform in its name is meant for it.
        name = base.alias.lower() if base.alias is not None else ""
        if platform.os not in name and platform.architecture not in name:
            message = f'FROM --platform flag should not use constant value "{text}"'
            self._find("FromPlatformFlagConstDisallowed", word.place, message)

    def _defaults(self) -> None:
        try:
            without = Globals(self._dockerfile)
        except errors.DockerfileError:
            # An ARG that has no default that can be expanded: the build says so.
            return
        for stage in self._dockerfile.stages:
            image = stage.base.image
            if "$" not in image:
                continue
            try:
                Reference.parse(without.base(stage).image)
            except (errors.ImageReferenceError, errors.DockerfileError):
                message = f"Default value for ARG {image} results in empty or invalid base image name"
                self._find("InvalidDefaultArgInFrom", image.place, message)

    # -- stages --------------------------------------------------------------------------------------------------------

    def look_at_stage(self, stage: Stage) -> None:
        """Look at the instructions of a stage, in their order."""
        try:
            self._stage(stage)
        except errors.DockerfileError:
            # The build says so; what comes after it cannot be told.
            return

    def _stage(self, stage: Stage) -> None:
        parent = str(self._globals.base(stage).image).lower()
        if parent in self._scopes:
            known = self._known[parent]
            scope = self._scopes[parent].copy()
        else:
            known = stage.index in self._environments or parent == "scratch"
            environment = self._environments.get(stage.index, {})
            scope = self._globals.scope(stage, environment=environment)
        names = [stage.name] if stage.name else []
        shell, rooted = parent in self._shells, parent in self._rooted
        last: dict[type[Instruction], Instruction] = {}

        def missing(word: Word, name: str, offset: int) -> None:
            if known:
                hint = _meant(name, scope.variables, "$")
                self._find("UndefinedVar", word.at(offset), f"Usage of undefined variable '${name}'{hint}")

        scope.missing = missing
        for one in stage.instructions:
            if isinstance(one, ast.Expose):
                self._ports(one, scope)
            made = scope.resolve(one)
            self._instruction(one, made, shell=shell)
            if isinstance(made, ast.Workdir):
                if not rooted and not made.path.startswith("/"):
                    message = f'Relative workdir "{made.path}" can have unexpected results if the base image changes'
                    self._find("WorkdirRelativePath", made.path.place, message)
                rooted = True
            shell = shell or isinstance(one, ast.Shell)
            if isinstance(one, _ONCE):
                before = last.get(type(one))
                if before is not None:
                    message = (
                        f"Multiple {one.name} instructions should not be used in the same stage because only the last "
                        "one will be used"
                    )
                    self._find("MultipleInstructionsDisallowed", before.place, message)
                last[type(one)] = one
        for name in names:
            self._scopes[name], self._known[name] = scope, known
            for there, kept in ((shell, self._shells), (rooted, self._rooted)):
                (kept.add if there else kept.discard)(name)

    def _instruction(self, one: Instruction, made: Instruction, *, shell: bool) -> None:
        match one:
            case ast.Maintainer():
                message = "Maintainer instruction is deprecated in favor of using label"
                self._find("MaintainerDeprecated", one.place, message)
            case ast.Cmd() | ast.Entrypoint() if one.command.shell and not shell:
                message = (
                    f"JSON arguments recommended for {one.name} to prevent unintended behavior related to OS signals"
                )
                self._find("JSONArgsRecommended", one.place, message)
            case ast.Env() | ast.Label() if one.legacy:
                message = f'"{one.name} key=value" should be used instead of legacy "{one.name} key value" format'
                self._find("LegacyKeyValueFormat", one.place, message)
        match made:
            case ast.Env():
                self._secrets("ENV", [name for name, _ in made.pairs])
            case ast.Arg():
                self._secrets("ARG", [argument.name for argument in made.arguments])
            case ast.Transfer() if made.origin is None:
                self._left_out(made)

    def _secrets(self, kind: str, names: list[Word]) -> None:
        for name in names:
            if _SECRET().search(name) and not _NO_SECRET().search(name):
                message = f'Do not use ARG or ENV instructions for sensitive data ({kind} "{name}")'
                self._find("SecretsUsedInArgOrEnv", name.place, message)

    def _left_out(self, one: ast.Transfer) -> None:
        for source in one.sources if self._ignored is not None else ():
            if isinstance(one, ast.Add) and source.startswith(_REMOTE):
                continue
            path = posixpath.normpath("/" + source).lstrip("/") or "."
            if self._ignored is not None and self._ignored(path if path != "." else _ANYTHING):
                message = f'Attempting to {one.name.title()} file "{path}" that is excluded by .dockerignore'
                self._find("CopyIgnoredFile", source.place, message)

    def _ports(self, one: ast.Expose, scope: Scope) -> None:
        for word in one.ports:
            for text in scope.split(word):
                address, _, protocol = text.partition("/")
                if ":" in address:
                    message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'"
                    self._find("ExposeInvalidFormat", word.place, message)
                if protocol != protocol.lower():
                    message = f"Defined protocol '{text}' in EXPOSE instruction should be lowercase"
                    self._find("ExposeProtoCasing", word.place, message)


def _meant(name: str, known: Collection[str], mark: str) -> str:
    hint = close(name, known).removeprefix("; did you mean ")
    return f" (did you mean {mark}{hint})" if hint else ""
