"""What instructions do to an image's configuration (OCI image specification, config.md; the Dockerfile reference)."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from . import dockerfile as ast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..image import Platform

__all__ = ["DEFAULT_PATH", "DEFAULT_SHELL", "StageConfig"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""``PATH`` where the base sets none, as BuildKit has it."""

DEFAULT_SHELL = ("/bin/sh", "-c")

_LEFT_OUT = ("container", "container_config", "docker_version", "id", "parent", "parent_id", "rootfs", "history")
"""What a base's configuration says of how the base was made."""


class StageConfig:
    """The configuration of a stage on its way through the instructions.

    :param base: that of its base image, or of the stage that it begins with; ``None`` for ``scratch``.
    :param platform: what it is for, where there is no base.
    """

    def __init__(self, base: Mapping[str, Any] | None, platform: Platform) -> None:
        #: All but ``rootfs`` and ``history``.
        self.document: dict[str, Any]
        if base is None:
            self.document = {"architecture": platform.architecture, "os": platform.os}
            if platform.variant:
                self.document["variant"] = platform.variant
        else:
            self.document = {name: value for name, value in base.items() if name not in _LEFT_OUT}
        inner = dict(self.document.get("config") or {})
        inner.pop("OnBuild", None)  # those of the base run now, and are not inherited
        self.inner: dict[str, Any] = inner
        self._cmd_set = False
        if "PATH" not in self.environment:
            inner["Env"] = [*(inner.get("Env") or []), f"PATH={DEFAULT_PATH}"]
        if base is None:
            inner.setdefault("WorkingDir", "/")

    @property
    def environment(self) -> dict[str, str]:
        """``Env`` as a mapping, in order."""
        found = {}
        for one in self.inner.get("Env") or []:
            name, _, value = str(one).partition("=")
            found[name] = value
        return found

    @property
    def workdir(self) -> str:
        """The working directory, absolute."""
        return posixpath.join("/", str(self.inner.get("WorkingDir") or "/"))

    @property
    def user(self) -> str:
        """``User``; ``""`` for root."""
        return str(self.inner.get("User") or "")

    @property
    def shell(self) -> tuple[str, ...]:
        """What runs shell forms."""
        return tuple(str(one) for one in self.inner.get("Shell") or DEFAULT_SHELL)

    def path(self, written: str) -> str:
        """Return a path of an instruction made absolute and normal; a slash at its end stays."""
        path = posixpath.normpath(posixpath.join(self.workdir, written))
        path = "/" + path.lstrip("/")
        return path + "/" if written.endswith(("/", "/.")) and path != "/" else path

    def set_environment(self, environment: Mapping[str, str]) -> None:
        """Take over what ENV has set."""
        self.inner["Env"] = [f"{name}={value}" for name, value in environment.items()]

    def take(self, one: ast.Instruction) -> None:
        """Do what an instruction that has been resolved says to the configuration; RUN, COPY and ADD say nothing."""
        inner = self.inner
        match one:
            case ast.Label():
                inner["Labels"] = {**(inner.get("Labels") or {}), **_texts(one.pairs)}
            case ast.Workdir():
                inner["WorkingDir"] = self.path(str(one.path)).rstrip("/") or "/"
            case ast.User():
                inner["User"] = str(one.user)
            case ast.Expose():
                inner["ExposedPorts"] = {**(inner.get("ExposedPorts") or {}), **{str(port): {} for port in one.ports}}
            case ast.Volume():
                inner["Volumes"] = {**(inner.get("Volumes") or {}), **{str(path): {} for path in one.paths}}
            case ast.Cmd():
                inner["Cmd"] = one.command.argv(self.shell)
                inner["ArgsEscaped"] = True
                self._cmd_set = True
            case ast.Entrypoint():
                inner["Entrypoint"] = one.command.argv(self.shell)
                if not self._cmd_set:
                    # It was meant for another program.
                    inner.pop("Cmd", None)
                    inner.pop("ArgsEscaped", None)
            case ast.Shell():
                inner["Shell"] = [str(word) for word in one.words]
            case ast.Stopsignal():
                inner["StopSignal"] = str(one.signal)
            case ast.Healthcheck():
                inner["Healthcheck"] = self.healthcheck(one)
            case ast.Onbuild():
                inner["OnBuild"] = [*(inner.get("OnBuild") or []), str(one.trigger)]
            case ast.Maintainer():
                self.document["author"] = str(one.author)
            case _:
                pass

    def healthcheck(self, one: ast.Healthcheck) -> dict[str, Any]:
        """Return what ``Healthcheck`` is after it."""
        told: dict[str, Any] = {"Test": healthcheck_test(one)}
        times = {
            "Interval": one.interval,
            "Timeout": one.timeout,
            "StartPeriod": one.start_period,
            "StartInterval": one.start_interval,
            "Retries": one.retries,
        }
        return told | {name: value for name, value in times.items() if value}

    def finish(
        self, diff_ids: Sequence[str], history: Sequence[Mapping[str, Any]], created: str, labels: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return the whole document.

        :param labels: the caller's, over the instructions' own.
        """
        inner = dict(self.inner)
        if labels:
            inner["Labels"] = {**(inner.get("Labels") or {}), **labels}
        document = dict(self.document)
        document["created"] = created
        document["config"] = inner
        document["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
        document["history"] = [dict(one) for one in history]
        return document


def healthcheck_test(one: ast.Healthcheck) -> list[str]:
    """Return what ``Test`` is."""
    if one.command is None:
        return ["NONE"]
    if one.command.shell:
        return ["CMD-SHELL", one.command.script]
    return ["CMD", *(str(word) for word in one.command.words)]


def _texts(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {str(name): str(value) for name, value in pairs}
