"""The driver under test: found, probed, and asked once what it can do here."""

from __future__ import annotations

import contextlib
import os
import pkgutil
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .. import __version__
from ..driver import Capability, Driver, DriverConfig, DriverSpec, Durability, Probe
from ..plugin import describe_error
from ._amount import examples_of, seed_of
from ._coming import come_and_go, new_id
from ._observer import differences, observe
from ._result import RunFacts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._suite import Suite

__all__ = ["Subject", "facts", "header", "subject_from_class", "subject_from_options"]

_TICK = 0.03
_SUBJECTS: pytest.StashKey[dict[object, Subject]] = pytest.StashKey()


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A driver that is tested.

    :param spec: what its plugin says of it.
    :param options: the options it is constructed with.
    :param base: where its directories are made.
    :param distribution: the name and version of the distribution that brings it; empty where it comes from a class.
    :param probe: what its probe says about ``base``.
    :param capabilities: what an object of it declares there.
    :param empty: what lies in its directory when it is closed and holds no snapshot.
    :param quiet: whether nothing of a committed snapshot's storage changes when another one comes and goes over it.
    """

    spec: DriverSpec
    options: Mapping[str, str]
    base: Path
    distribution: str
    probe: Probe
    capabilities: frozenset[Capability]
    empty: frozenset[str]
    quiet: bool

    def create(self, root: Path | None, durability: Durability = Durability.NONE) -> Driver:
        """Construct a driver.

        :param root: its directory; only used where its spec says that it needs one.
        """
        return _create(self.spec, root, durability, self.options)


def _create(spec: DriverSpec, root: Path | None, durability: Durability, options: Mapping[str, str]) -> Driver:
    factory = pkgutil.resolve_name(spec.factory)
    driver = factory(DriverConfig(root=root if spec.needs_path else None, durability=durability, options=options))
    assert isinstance(driver, Driver), f"{spec.factory} returned {driver!r:.80}, which is no Driver"
    return driver


def _examine(spec: DriverSpec, options: Mapping[str, str], base: Path, distribution: str) -> Subject:
    what = f"the driver {spec.name!r}{distribution and f' of {distribution}'}"
    with _failing(what, f"its probe {spec.probe}"):
        probe = pkgutil.resolve_name(spec.probe)(base if spec.needs_path else None)
        assert isinstance(probe, Probe), f"it returned {probe!r:.80}, which is no Probe"
    if not probe.usable:
        fix = f"; {probe.fix}" if probe.fix else ""
        raise pytest.UsageError(f"{what} is not usable in {base}: {probe.reason}{fix}")
    with _failing(what, f"its factory {spec.factory}"):
        return _try_out(spec, options, base, distribution, probe)


@contextlib.contextmanager
def _failing(what: str, which: str) -> Iterator[None]:
    """Whatever is raised, no test of the driver can run."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise pytest.UsageError(f"{what} fails before the first test: {which}: {describe_error(error)}") from error


def _try_out(spec: DriverSpec, options: Mapping[str, str], base: Path, distribution: str, probe: Probe) -> Subject:
    with tempfile.TemporaryDirectory(prefix="overlaykit-", dir=base, ignore_cleanup_errors=True) as root:
        driver = _create(spec, Path(root), Durability.NONE, options)
        capabilities = frozenset(driver.capabilities)
        quiet = False
        try:
            quiet = _is_quiet(driver, Path(root))
            driver.close()
        except KeyboardInterrupt:
            raise
        except BaseException:
            # The tests do the same, and say which rule is broken, and where.
            with contextlib.suppress(Exception):
                driver.close()
        empty = frozenset(observe(Path(root)))
    return Subject(spec, options, base, distribution, probe, capabilities, empty, quiet)


def _is_quiet(driver: Driver, root: Path) -> bool:
    come_and_go(driver)
    own = observe(root).keys()
    base, committed = new_id(), new_id()
    driver.prepare(base, None)
    with driver.tree(base, readonly=False) as tree:
        tree.write_bytes("file", b"content")
    driver.commit(base, committed)
    before = {path: what for path, what in observe(root).items() if path not in own}
    # Longer than the coarsest clock of a file system ticks, or a change of time alone would not be seen.
    end = time.monotonic() + _TICK
    while time.monotonic() < end:
        id = new_id()
        driver.prepare(id, committed)
        with driver.tree(id, readonly=False) as tree:
            tree.stat("")
        driver.remove(id)
        driver.cleanup()
    quiet = not differences(before, observe(root))
    driver.remove(committed)
    driver.cleanup()
    return quiet


def _base(config: pytest.Config) -> Path:
    given = config.getoption("--overlaykit-root")
    base = Path(given or tempfile.gettempdir()).absolute()
    if not base.is_dir():
        raise pytest.UsageError(f"--overlaykit-root: {base} is no directory; make it first")
    return base


def _options(config: pytest.Config) -> dict[str, str]:
    options = {}
    for item in config.getoption("--overlaykit-option"):
        name, equals, value = item.partition("=")
        if not equals:
            raise pytest.UsageError(f"--overlaykit-option: {item!r} is not NAME=VALUE")
        options[name] = value
    return options


def _named(config: pytest.Config, name: str, options: Mapping[str, str]) -> Subject:
    from ..plugin import load_plugins

    cache = config.stash.setdefault(_SUBJECTS, {})
    key = (name, tuple(sorted(options.items())))
    if key not in cache:
        try:
            registered = load_plugins().get(name)
        except OSError as error:
            raise pytest.UsageError(str(error)) from error
        distribution = f"{registered.distribution} {registered.version}".strip()
        cache[key] = _examine(registered.spec, options, _base(config), distribution)
    return cache[key]


def subject_from_options(config: pytest.Config) -> Subject:
    """Return the driver that ``--overlaykit-driver`` names.

    :raises pytest.UsageError: there is none, or it does not work here.
    """
    name = config.getoption("--overlaykit-driver")
    if not name:
        raise pytest.UsageError(
            "the overlaykit conformance tests need a driver: give --overlaykit-driver NAME "
            "(overlaykit drivers lists them), or inherit overlaykit.conformance.FullSuite and set its driver"
        )
    return _named(config, name, _options(config))


def subject_from_class(config: pytest.Config, cls: type[Suite]) -> Subject:
    """Return the driver that a class of tests is for: its own, or the one from the command line.

    :raises pytest.UsageError: there is none, or it does not work here.
    """
    if cls.driver is None:
        return subject_from_options(config)
    if isinstance(cls.driver, str):
        return _named(config, cls.driver, cls.options)
    cache = config.stash.setdefault(_SUBJECTS, {})
    key = (cls.driver.factory, cls.driver.name, tuple(sorted(cls.options.items())))
    if key not in cache:
        cache[key] = _examine(cls.driver, cls.options, _base(config), "")
    return cache[key]


def header(subject: Subject) -> list[str]:
    """Return the lines that say what is tested, and where."""
    declared = ", ".join(sorted(subject.capabilities)) or "none"
    user = f"uid {os.geteuid()}" if hasattr(os, "geteuid") else "unknown user"
    privilege = "root" if user == "uid 0" else f"unprivileged ({user})"
    options = "".join(f", {name}={value}" for name, value in sorted(subject.options.items()))
    origin = subject.distribution or subject.spec.factory
    where = f"{subject.base} on {_filesystem(subject.base)}, {platform.system()} {platform.release()}"
    return [
        f"overlaykit {__version__} conformance: driver {subject.spec.name}{options} from {origin}",
        f"overlaykit: {privilege}, {where}",
        f"overlaykit capabilities: {declared}",
    ]


def facts(config: pytest.Config, subject: Subject) -> RunFacts:
    """Return what is tested, where, and how much of the suite: what a report begins with."""
    distribution, _, version = subject.distribution.partition(" ")
    return RunFacts(
        driver=subject.spec.name,
        distribution=distribution,
        version=version,
        options=dict(subject.options),
        capabilities=tuple(sorted(map(str, subject.capabilities))),
        root=str(subject.base),
        filesystem=_filesystem(subject.base),
        environment={
            "overlaykit": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "user": "root" if os.geteuid() == 0 else "unprivileged",
        },
        level=config.getoption("--overlaykit-level"),
        seed=seed_of(config),
        examples=examples_of(config),
    )


def _filesystem(path: Path) -> str:
    import psutil

    best = max(
        (part for part in psutil.disk_partitions(all=True) if path.is_relative_to(part.mountpoint)),
        key=lambda part: len(part.mountpoint),
        default=None,
    )
    return best.fstype if best is not None else "an unknown file system"
