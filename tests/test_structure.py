"""The house stands as docs say: who stands below imports nobody above, and nobody reaches into another's rooms."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parent.parent

#: Floors from the ground up; what stands on one may import its own floor and those below.
FLOORS = {
    "errors": 0,
    "_native": 0,
    "values": 0,
    "lazy": 0,
    "linux": 1,
    "tree": 1,
    "inodes": 2,
    "driver": 3,
    "directories": 4,
    "plugin": 4,
    "changeset": 4,
    "store": 5,
    "image": 6,
    "runtime": 7,
    "explore": 7,
    "build": 8,
    "conformance": 9,
    "pytest_plugin": 9,
    "cli": 10,
    "__main__": 10,
}

#: What a driver may use: what any third party may.
PUBLIC = {
    "overlaykit",
    *(
        f"overlaykit.{name}"
        for name in ("errors", "values", "lazy", "tree", "inodes", "driver", "directories", "plugin", "linux")
    ),
}


#: Who may use a private module of another package, and why.
FRIENDS = {
    # One C call a file operation, without a wrapper between.
    ("overlaykit.tree", "overlaykit.linux._lib"),
    # The same for archives, whose values are the driver floor's.
    ("overlaykit.changeset", "overlaykit.linux._lib"),
}

#: Where a module is too long to have one reason to exist.
LONGEST = 500


@dataclass(frozen=True)
class Module:
    path: Path
    name: str
    package: str

    @property
    def tree(self) -> ast.Module:
        return _parse(self.path)

    def imports(self) -> Iterator[str]:
        """Yield the full name of every module imported anywhere in it, in functions and for types too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    above = self.package.split(".")
                    above = above[: len(above) - node.level + 1]
                    base = ".".join([*above, *([node.module] if node.module else [])])
                yield from (
                    f"{base}.{alias.name}" if _is_module(f"{base}.{alias.name}") else base for alias in node.names
                )


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _modules() -> Iterator[Module]:
    for base, pattern in ((TOP, "overlaykit/**/*.py"), (TOP / "drivers", "*/**/*.py")):
        for path in sorted(base.glob(pattern)):
            parts = list(path.relative_to(base).with_suffix("").parts)
            if parts[-1] == "__init__":
                yield Module(path, ".".join(parts[:-1]), ".".join(parts[:-1]))
            else:
                yield Module(path, ".".join(parts), ".".join(parts[:-1]))


MODULES = list(_modules())
NAMES = {module.name for module in MODULES} | {"overlaykit._native"}
EVERY = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)


def _is_module(name: str) -> bool:
    return name in NAMES


def _floor(name: str) -> int | None:
    parts = name.split(".")
    return FLOORS[parts[1]] if parts[0] == "overlaykit" and len(parts) > 1 else None


def test_the_modules_are_found() -> None:
    names = {module.name for module in MODULES}
    assert {"overlaykit", "overlaykit.errors", "overlaykit.cli", "overlaykit_memory.plugin"} <= names
    assert {name.split(".")[1] for name in names if name.startswith("overlaykit.")} <= set(FLOORS)


def test_imports_are_resolved() -> None:
    module = next(module for module in MODULES if module.name == "overlaykit.cli.doctor._storage")
    assert {"overlaykit.cli._text", "overlaykit.cli.doctor._check", "psutil"} <= set(module.imports())
    package = next(module for module in MODULES if module.name == "overlaykit.plugin")
    assert "overlaykit.plugin._manager" in set(package.imports())


@EVERY
def test_lower_floors_import_no_higher_one(module: Module) -> None:
    own = _floor(module.name)
    if own is None:  # the public face and drivers stand beside the floors
        return
    assert not [name for name in module.imports() if (_floor(name) or 0) > own]


@EVERY
def test_drivers_use_only_what_third_parties_can(module: Module) -> None:
    top = module.name.split(".")[0]
    if top == "overlaykit":
        return
    ours = [
        name for name in module.imports() if name.split(".")[0].startswith("overlaykit") and name.split(".")[0] != top
    ]
    assert set(ours) <= PUBLIC


@EVERY
def test_private_modules_are_imported_only_at_home(module: Module) -> None:
    for name in module.imports():
        parts = name.split(".")
        for position, part in enumerate(parts):
            if not parts[0].startswith("overlaykit") or not part.startswith("_") or part.startswith("__"):
                continue
            home = ".".join(parts[:position])
            if (module.package, name) in FRIENDS:
                continue
            native = name == "overlaykit._native" and module.name.startswith("overlaykit.linux")
            assert native or f"{module.package}.".startswith(f"{home}."), f"{name} is private to {home}"
            if home == "overlaykit":
                assert native, f"{name} is used by overlaykit.linux alone"


@EVERY
def test_modules_stay_short(module: Module) -> None:
    assert len(module.path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@EVERY
def test_what_is_public_is_documented(module: Module) -> None:
    if not module.tree.body:
        return
    missing = [] if ast.get_docstring(module.tree) else ["the module"]
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                missing.append(node.name)
            # An overriding method has its rule at the method that it overrides.
            if isinstance(node, ast.ClassDef) and not node.bases:
                missing += [
                    f"{node.name}.{method.name}"
                    for method in node.body
                    if isinstance(method, ast.FunctionDef)
                    and not method.name.startswith("_")
                    and not ast.get_docstring(method)
                    and "overload" not in {node.id for node in method.decorator_list if isinstance(node, ast.Name)}
                ]
    assert not missing


@EVERY
def test_packages_say_what_they_export(module: Module) -> None:
    if module.path.name != "__init__.py" or len(module.tree.body) < 2:
        return
    assigned = {
        target.id
        for node in module.tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    imports = [node for node in module.tree.body if isinstance(node, ast.ImportFrom) and node.module != "__future__"]
    assert not imports or "__all__" in assigned


@pytest.mark.parametrize("path", sorted(TOP.glob("native/*/*.[ch]")), ids=lambda path: path.name)
def test_c_files_stay_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST
