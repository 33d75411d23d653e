"""The plugin manager with plugins registered by code."""

from __future__ import annotations

import datetime
import errno
import re
import sys
import types
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from overlaykit import errors
from overlaykit.driver import Capability, Driver, DriverConfig, DriverSpec, Probe, SnapshotInfo, SnapshotKind
from overlaykit.plugin import CommandSpec, PluginManager, PluginWarning, StoreInfo, _api, hookimpl
from overlaykit.values import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STORE = StoreInfo("/somewhere", "one")
NOW = datetime.datetime.now(datetime.UTC)
SNAPSHOT = SnapshotInfo("base", SnapshotKind.COMMITTED, None, {}, NOW, NOW)


class NullDriver(Driver):
    """Stores nothing; for the manager, which calls no method of it."""

    def prepare(self, id: Any, parent: Any) -> None: ...
    def commit(self, id: Any, new: Any) -> None: ...
    def remove(self, id: Any) -> None: ...
    def tree(self, id: Any, *, readonly: bool) -> Any: ...
    def usage(self, id: Any) -> Any: ...
    def ids(self) -> Any: ...


class BoastfulDriver(NullDriver):
    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        self.capabilities = frozenset({Capability.ACL})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that drivers of these tests are named in, importable by name."""
    module = types.ModuleType("overlaykit_manager_test")
    vars(module).update(NullDriver=NullDriver, BoastfulDriver=BoastfulDriver, yes=lambda root: Probe(True))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


class Registers:
    """A plugin with one hook."""

    def __init__(self, returned: object) -> None:
        self.returned = returned

    @hookimpl
    def overlaykit_register_drivers(self) -> object:
        if isinstance(self.returned, BaseException):
            raise self.returned
        return self.returned


def spec(name: str, **fields: Any) -> DriverSpec:
    fields = {"factory": "overlaykit_manager_test:NullDriver", "probe": "overlaykit_manager_test:yes"} | fields
    return DriverSpec(name=name, **fields)


def manager(*specs: DriverSpec) -> PluginManager:
    plugins = PluginManager()
    plugins.register(Registers(specs), "test")
    return plugins


def set_probe(monkeypatch: pytest.MonkeyPatch, module: str, name: str, probe: Callable[[Path | None], object]) -> str:
    monkeypatch.setattr(sys.modules[module], name, probe, raising=False)
    return f"{module}:{name}"


# -- registration ------------------------------------------------------------------------------------------------------


def test_registered_driver_knows_its_plugin() -> None:
    one = manager(spec("one")).get("one")
    assert (one.spec.name, one.plugin, one.distribution, one.version) == ("one", "test", "", "")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, None),
        ("one", "object of type str"),
        (spec("one"), "DriverSpec, not an iterable"),
        ([spec("one"), "two"], "returned an object of type str among its items"),
        ({"one": spec("one")}, "object of type dict"),
        (ValueError("broken inside"), "overlaykit_register_drivers raised ValueError: broken inside"),
        (SystemExit(3), "raised SystemExit: 3"),
        ((error for error in [spec("a"), spec("a")]), "registers the driver a twice"),
        ((1 // 0 for _ in "x"), "raised ZeroDivisionError"),
        ([spec("Upper")], "driver name 'Upper'"),
        ([spec("../x")], "driver name '../x'"),
        ([spec("-x")], "driver name '-x'"),
        ([spec("x\n")], "driver name"),
        ([spec("a" * 65)], "driver name"),
        ([spec("")], "driver name ''"),
        ([spec(b"x")], "driver name b'x'"),  # type: ignore[arg-type]
        ([spec("one", factory="no-colon")], "factory='no-colon'"),
        ([spec("one", probe=len)], "probe=<built-in"),
        ([spec("one", priority="high")], "priority='high'"),
        ([spec("one", priority=True)], "priority=True"),
        ([spec("one", capabilities={"host-path"})], "capabilities="),
        ([spec("one", capabilities=None)], "capabilities=None"),
        ([spec("one", options=["mode"])], "options=['mode']"),
        ([spec("one", options={"mode": 1})], "options={'mode': 1}"),
        ([spec("one", needs_path=1)], "needs_path=1"),
        ([spec("one", summary=None)], "summary=None"),
        ([spec("one", known_failures=["x"])], "known_failures="),
        ([spec("one", api=0)], "api=0"),
        ([spec("one", api="1")], "api='1'"),
        (
            [spec("one", api=2)],
            "version 2 of the driver contract .* speaks 1; install an overlaykit with API_VERSION 2",
        ),
    ],
)
def test_wrong_registrations_are_refused_and_leave_nothing(returned: object, message: str | None) -> None:
    plugins = manager(spec("good"))
    if message is None:  # pluggy leaves out a hook that returns None: it brings no drivers
        plugins.register(Registers(returned), "bad")
    else:
        pattern = message if "*" in message else re.escape(message)
        with pytest.raises(errors.PluginError, match=pattern) as caught:
            plugins.register(Registers(returned), "bad")
        assert caught.value.errno == errno.EINVAL
        assert "\n" not in str(caught.value)
        assert list(plugins.plugins) == ["test"]
    assert list(plugins.drivers) == ["good"]


def test_a_future_driver_is_refused_before_its_other_fields_are_judged() -> None:
    with pytest.raises(errors.PluginError, match="version 7"):
        manager(spec("one", api=7, capabilities={"time-travel"}, factory="new:form:of:name"))


def test_misspelt_hook_is_found_with_its_close_match() -> None:
    class Misspelt:
        @hookimpl
        def overlaykit_register_driver(self) -> Iterable[DriverSpec]:
            return [spec("one")]

    with pytest.raises(
        errors.PluginError, match=r"no hook overlaykit_register_driver; did you mean overlaykit_register_drivers\?"
    ):
        PluginManager().register(Misspelt(), "misspelt")


def test_optional_hook_of_another_version_is_no_mistake() -> None:
    class Newer:
        @hookimpl(optionalhook=True)
        def overlaykit_of_the_future(self) -> None: ...

        @hookimpl
        def overlaykit_register_drivers(self) -> Iterable[DriverSpec]:
            return [spec("one")]

    plugins = PluginManager()
    plugins.register(Newer(), "newer")
    assert list(plugins.drivers) == ["one"]


def test_hook_with_an_unknown_argument_is_refused_and_the_name_stays_free() -> None:
    class Wrong:
        @hookimpl
        def overlaykit_after_commit(self, store: object, image: object) -> None: ...

    plugins = PluginManager()
    with pytest.raises(errors.PluginError, match="image"):
        plugins.register(Wrong(), "test")
    plugins.register(Registers([spec("one")]), "test")
    assert list(plugins.drivers) == ["one"]


def test_hook_without_the_marker_and_plugin_without_hooks_are_refused() -> None:
    unmarked = types.SimpleNamespace(overlaykit_register_drivers=lambda: [spec("one")])
    with pytest.raises(errors.PluginError, match="overlaykit_register_drivers lacks the decorator"):
        PluginManager().register(unmarked, "unmarked")
    with pytest.raises(errors.PluginError, match="implements no hook"):
        PluginManager().register(types.SimpleNamespace(), "empty")


def test_a_plugin_name_and_a_plugin_object_can_be_used_once() -> None:
    plugin = Registers([spec("one")])
    plugins = PluginManager()
    plugins.register(plugin, "test")
    with pytest.raises(errors.PluginError, match="called 'test' already"):
        plugins.register(Registers([spec("two")]), "test")
    with pytest.raises(errors.PluginError, match="same object as the plugin 'test'"):
        plugins.register(plugin, "again")
    assert list(plugins.drivers) == ["one"]


def test_conflict_ends_when_one_side_goes() -> None:
    plugins = manager(spec("one"), spec("two"))
    plugins.register(Registers([spec("two"), spec("three")]), "other")
    assert list(plugins.drivers) == ["one", "three"]
    assert [problem.plugin for problem in plugins.problems] == ["test", "other"]
    with pytest.raises(errors.DriverConflictError, match="plugin 'test' and by plugin 'other'") as caught:
        plugins.get("two")
    assert caught.value.errno == errno.EEXIST
    plugins.unregister("other")
    assert plugins.get("two").plugin == "test"
    assert list(plugins.drivers) == ["one", "two"]
    assert plugins.problems == ()


def test_unregister_of_an_unknown_plugin() -> None:
    with pytest.raises(errors.PluginError, match="no plugin 'absent'; there are: test"):
        manager(spec("one")).unregister("absent")


def test_unknown_driver_has_close_matches() -> None:
    with pytest.raises(errors.UnknownDriverError, match=r"did you mean overlayfs\?") as caught:
        manager(spec("overlayfs"), spec("memory")).get("overlaifs")
    assert caught.value.known == ("memory", "overlayfs")
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(errors.UnknownDriverError, match="known: memory"):
        manager(spec("memory")).get("zfs")


# -- probes and choice -------------------------------------------------------------------------------------------------


def test_probe_faults_are_answers(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(root: Path | None) -> Probe:
        raise RuntimeError("no\nluck")

    set_probe(monkeypatch, here, "fails", fails)
    set_probe(monkeypatch, here, "exits", lambda root: sys.exit(2))
    set_probe(monkeypatch, here, "lies", lambda root: True)
    set_probe(monkeypatch, here, "boasts", lambda root: Probe(True, capabilities=frozenset({Capability.ACL})))
    set_probe(monkeypatch, here, "mixes", lambda root: Probe(1, reason=None))  # type: ignore[arg-type]
    expected = {
        f"{here}:fails": "raised RuntimeError: no luck",
        f"{here}:exits": "raised SystemExit: 2",
        f"{here}:lies": "returned bool, not Probe",
        f"{here}:boasts": "offers acl, which it does not declare",
        f"{here}:mixes": "returned a Probe with usable=1, not bool",
        f"{here}:absent": "raised AttributeError",
        "overlaykit_absent_module:probe": "raised ModuleNotFoundError",
    }
    for probe, reason in expected.items():
        answer = manager(spec("one", probe=probe)).probe("one", None)
        assert answer.usable is False
        assert reason in answer.reason
        assert "plugin 'test'" in answer.reason
        assert answer.fix


def test_auto_takes_the_usable_driver_of_highest_priority(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = []

    def no(root: Path | None) -> Probe:
        roots.append(root)
        return Probe(False, "the kernel is too old", "upgrade it")

    probe = set_probe(monkeypatch, here, "no", no)
    never = set_probe(monkeypatch, here, "never", lambda root: 1 / 0)
    plugins = manager(
        spec("best", priority=9, probe=probe),
        spec("second", priority=5),
        spec("third", priority=1, probe=never),
        spec("hidden", priority=-1),
        spec("ram", priority=99, needs_path=False),
    )
    choice = plugins.choose("auto", Path("/nowhere"))
    assert choice.driver.spec.name == "second"
    assert choice.probe.usable
    assert choice.why == (
        "second is the best driver that works here; not best: the kernel is too old (to fix it: upgrade it)"
    )
    assert roots == [Path("/nowhere")]
    assert plugins.choose("auto", None).driver.spec.name == "ram"


def test_auto_without_a_usable_driver_says_why_of_each(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = set_probe(monkeypatch, here, "no", lambda root: Probe(False, "no luck", "try again"))
    with pytest.raises(errors.DriverUnavailableError, match=r"not one: no luck .*; not two: no luck") as caught:
        manager(spec("one", probe=probe), spec("two", probe=probe)).choose("auto", Path("/"))
    assert caught.value.errno == errno.ENOTSUP
    assert caught.value.fix == "for one: try again; for two: try again"
    with pytest.raises(errors.DriverUnavailableError, match="no driver is installed"):
        PluginManager().choose("auto", None)
    with pytest.raises(errors.DriverUnavailableError, match="one cannot be used here: no luck") as caught:
        manager(spec("one", probe=probe)).choose("one", Path("/"))
    assert (caught.value.reason, caught.value.fix) == ("no luck", "try again")


# -- making drivers ----------------------------------------------------------------------------------------------------


def test_create_makes_the_driver_with_its_options(here: str, tmp_path: Path) -> None:
    plugins = manager(spec("one", options={"mode": "how"}))
    driver = plugins.create(plugins.get("one"), DriverConfig(tmp_path, options={"mode": "fast"}))
    assert isinstance(driver, NullDriver)
    assert driver.config.options == {"mode": "fast"}


@pytest.mark.parametrize(
    ("declared", "given", "message"),
    [
        ({"mode": "how"}, {"mod": "x"}, r"no option 'mod'; did you mean mode\?"),
        ({"mode": "how"}, {"zzz": "x"}, "no option 'zzz'; it has mode"),
        ({}, {"mode": "x"}, "no option 'mode'; it has none"),
        ({"mode": "how"}, {"mode": 3}, "must be a text, not 3"),
    ],
)
def test_unknown_options_are_refused(here: str, declared: Any, given: Any, message: str) -> None:
    plugins = manager(spec("one", options=declared, needs_path=False))
    with pytest.raises(errors.DriverOptionError, match=message) as caught:
        plugins.create(plugins.get("one"), DriverConfig(None, options=given))
    assert isinstance(caught.value, ValueError)


def test_factory_faults_are_typed(here: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(config: DriverConfig) -> Driver:
        raise OSError(errno.ENOSPC, "no space")

    def crashes(config: DriverConfig) -> Driver:
        raise ZeroDivisionError("crash")

    for function in (full, crashes):
        monkeypatch.setattr(sys.modules[here], function.__name__, function, raising=False)
    monkeypatch.setattr(sys.modules[here], "lies", lambda config: "driver", raising=False)
    cases: list[tuple[str, type[BaseException], str, type[BaseException] | None]] = [
        (f"{here}:full", OSError, "no space", None),
        (f"{here}:crashes", errors.DriverError, "raised ZeroDivisionError: crash", ZeroDivisionError),
        (f"{here}:lies", errors.DriverError, "returned str, not a Driver", None),
        (f"{here}:absent", errors.DriverError, "AttributeError", AttributeError),
        (f"{here}:BoastfulDriver", errors.DriverError, "capabilities", None),
        ("overlaykit_absent:Driver", errors.DriverUnavailableError, "cannot be imported", ModuleNotFoundError),
    ]
    for factory, kind, message, cause in cases:
        plugins = manager(spec("one", factory=factory))
        with pytest.raises(kind, match=message) as caught:
            plugins.create(plugins.get("one"), DriverConfig(tmp_path))
        assert (type(caught.value.__cause__) if caught.value.__cause__ else None) is cause


def test_driver_that_needs_a_directory_is_not_made_without(here: str) -> None:
    plugins = manager(spec("one"))
    with pytest.raises(errors.DriverUnavailableError, match="store has no path"):
        plugins.create(plugins.get("one"), DriverConfig(None))


# -- hooks -------------------------------------------------------------------------------------------------------------


class Watches:
    def __init__(self, says: object = None) -> None:
        self.says = says
        self.seen: list[str] = []

    @hookimpl
    def overlaykit_after_commit(self, snapshot: SnapshotInfo) -> None:
        self.seen.append(snapshot.key)
        if isinstance(self.says, Exception):
            raise self.says

    @hookimpl
    def overlaykit_before_remove(self, store: StoreInfo, snapshot: SnapshotInfo) -> object:
        self.seen.append(f"remove {snapshot.key} of {store.driver}")
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def test_a_failing_after_commit_warns_and_the_others_are_called() -> None:
    plugins = PluginManager()
    watchers = [Watches(), Watches(ValueError("broken")), Watches()]
    for number, watcher in enumerate(watchers):
        plugins.register(watcher, f"watch{number}")
    with pytest.warns(
        PluginWarning, match="'watch1' failed after the commit of 'base', which stands: ValueError: broken"
    ):
        plugins.after_commit(STORE, SNAPSHOT)
    assert [watcher.seen for watcher in watchers] == [["base"]] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning):
            plugins.after_commit(STORE, SNAPSHOT)
    assert [len(watcher.seen) for watcher in watchers] == [2, 2, 2]


def test_the_first_refusal_decides() -> None:
    plugins = PluginManager()
    first, second = Watches("asked second"), Watches(None)
    plugins.register(Watches("asked third"), "z")
    plugins.register(first, "a")
    plugins.register(second, "b")
    assert plugins.before_remove(STORE, SNAPSHOT) == "asked second (plugin 'a')"
    assert first.seen == second.seen == ["remove base of one"]
    assert PluginManager().before_remove(STORE, SNAPSHOT) is None


@pytest.mark.parametrize(("says", "message"), [(ValueError("x"), "ValueError: x"), (True, "answered bool")])
def test_a_broken_guard_refuses(says: object, message: str) -> None:
    plugins = PluginManager()
    plugins.register(Watches(says), "guard")
    with pytest.raises(errors.PluginError, match=f"'guard' .*{message}.*OVERLAYKIT_DISABLE_PLUGINS"):
        plugins.before_remove(STORE, SNAPSHOT)


class Commands:
    def __init__(self, *specs: object) -> None:
        self.specs = specs

    @hookimpl
    def overlaykit_cli_commands(self) -> object:
        return self.specs


def test_commands_are_registered_and_checked() -> None:
    plugins = PluginManager()
    plugins.register(Commands(CommandSpec("push", "pushes", "pkg.mod:run")), "one")
    assert plugins.commands["push"].origin.plugin == "one"
    with pytest.raises(errors.PluginError, match="command 'push', which the plugin 'one' brings too"):
        plugins.register(Commands(CommandSpec("push", "", "pkg.mod:run")), "two")
    for wrong, message in [
        (CommandSpec("Push!", "", "a:b"), "command name 'Push!'"),
        (CommandSpec("pull", "", "nothing"), "run='nothing'"),
        (CommandSpec("pull", None, "a:b"), "summary"),  # type: ignore[arg-type]
        ("pull", "not CommandSpec"),
    ]:
        with pytest.raises(errors.PluginError, match=message):
            plugins.register(Commands(wrong), "three")
    assert list(plugins.commands) == ["push"]
    plugins.unregister("one")
    assert not plugins.commands


# -- versions of the contract -----------------------------------------------------------------------------------------


def test_a_spec_that_says_nothing_was_written_for_the_first_version() -> None:
    """Not for the newest: the class is the host's, and the plugin may be older than it."""
    assert spec("one").api == 1


class Renamed(NullDriver):
    """What a step of the next version makes of a driver."""

    def __init__(self, inner: Driver) -> None:
        super().__init__(inner.config)
        self.inner = inner


@pytest.fixture
def version_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """This overlaykit two versions later: it understands 2, and no longer 1."""
    step = _api.Step(spec=lambda old: replace(old, summary=f"{old.summary}, as 3 has it"), driver=Renamed)
    monkeypatch.setattr(_api, "API_VERSION", 3)
    monkeypatch.setattr(_api, "STEPS", {2: step})


@pytest.mark.usefixtures("version_3")
def test_an_older_driver_is_made_one_of_this_version(here: str, tmp_path: Path) -> None:
    plugins = manager(spec("old", api=2, summary="old"), spec("new", api=3, summary="new"))
    assert (plugins.get("old").spec.summary, plugins.get("old").spec.api) == ("old, as 3 has it", 2)
    assert plugins.get("new").spec.summary == "new"
    old = plugins.create(plugins.get("old"), DriverConfig(tmp_path))
    assert isinstance(old, Renamed)
    assert isinstance(old.inner, NullDriver)
    assert type(plugins.create(plugins.get("new"), DriverConfig(tmp_path))) is NullDriver


@pytest.mark.usefixtures("version_3")
@pytest.mark.parametrize(
    ("api", "message"),
    [
        (1, "for version 1 of the driver contract and overlaykit .* speaks 2 to 3; install a newer version of the pl"),
        (
            4,
            "for version 4 of the driver contract and overlaykit .* speaks 3; install an overlaykit with API_VER",
        ),
        (0, "api=0, not a number from 1 on"),
    ],
)
def test_a_version_that_is_not_understood(api: int, message: str) -> None:
    with pytest.raises(errors.PluginError, match=message):
        manager(spec("one", api=api))
