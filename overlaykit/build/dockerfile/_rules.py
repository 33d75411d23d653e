"""The rules of the lint: BuildKit's build checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...values import value_class

if TYPE_CHECKING:
    from ._place import Place

__all__ = ["RULES", "Finding", "Rule"]


@value_class
class Rule:
    """One rule.

    :param name: BuildKit's name, for ``# check=skip=NAME``.
    :param summary: what it is for.
    :param experimental: whether it is off unless ``# check=experimental=NAME`` turns it on.
    """

    name: str
    summary: str
    experimental: bool = False


@value_class
class Finding:
    """What a rule has found.

    :param rule: the rule's name.
    :param message: what is there.
    :param place: where.
    """

    rule: str
    message: str
    place: Place


_ALL = (
    Rule("StageNameCasing", "names of stages are in lower case"),
    Rule("FromAsCasing", "AS is written in the case of its FROM"),
    Rule("NoEmptyContinuation", "no empty lines stand between continued ones"),
    Rule("ConsistentInstructionCasing", "instructions are all in upper case, or all in lower case"),
    Rule("DuplicateStageName", "no two stages have one name"),
    Rule("ReservedStageName", "no stage is called scratch or context"),
    Rule("JSONArgsRecommended", "CMD and ENTRYPOINT are lists in JSON, so that signals reach the program"),
    Rule("MaintainerDeprecated", "a label names the author, not MAINTAINER"),
    Rule("UndefinedArgInFrom", "FROM uses only ARGs that are declared before it"),
    Rule("WorkdirRelativePath", "a stage's first WORKDIR is absolute"),
    Rule("UndefinedVar", "variables are set before they are used"),
    Rule("MultipleInstructionsDisallowed", "a stage has one CMD, one ENTRYPOINT and one HEALTHCHECK: the last counts"),
    Rule("LegacyKeyValueFormat", "ENV and LABEL are written with ="),
    Rule("FromPlatformFlagConstDisallowed", "FROM --platform takes a variable"),
    Rule("RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM is what FROM does anyway"),
    Rule("SecretsUsedInArgOrEnv", "secrets are mounted, not kept in ARG or ENV"),
    Rule("InvalidDefaultArgInFrom", "a FROM has a base with the defaults of its ARGs too"),
    Rule("InvalidBaseImagePlatform", "the base is an image of the platform that was asked for"),
    Rule("ExposeProtoCasing", "protocols in EXPOSE are in lower case"),
    Rule("ExposeInvalidFormat", "EXPOSE takes ports, no addresses and no ports of the host"),
    Rule("CopyIgnoredFile", "nothing is copied that .dockerignore leaves out"),
    Rule("InvalidDefinitionDescription", "a comment above a stage or ARG begins with its name", experimental=True),
)

#: All rules by name.
RULES = {rule.name: rule for rule in _ALL}
