"""Imports go down only; a foreign key by name counts as one (the house, rules 1 to 5)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from django.apps import apps

from tests.architecture.sources import APART, LAYERS, ROOT, Source, product

_NOT_FOR_OTHERS = {"api", "console", "tasks", "admin", "forms", "management", "gateway", "apps"}
"""Modules that no other app may use: adapters. letserver wires them together."""


def _layer(module: str) -> int | None:
    top = module.split(".")[0]
    return LAYERS.index(top) if top in LAYERS else None


def _upward(source: Source) -> list[str]:
    own = LAYERS.index(source.app)
    return [
        f"{source.shown}:{line} imports {module}"
        for module, _names, line in source.imports()
        if (layer := _layer(module)) is not None and layer > own
    ]


def test_imports_go_down_only() -> None:
    assert [found for source in product() if source.app in LAYERS for found in _upward(source)] == []


def test_nobody_imports_another_apps_adapters_or_private_names() -> None:
    found = []
    for source in product():
        for module, names, line in source.imports():
            parts = module.split(".")
            if _layer(module) is None or parts[0] in (source.app, "kernel") or source.app == "letserver":
                continue
            used = {*parts[1:], *(names if len(parts) == 1 else [])}
            private = [name for name in (*parts, *names) if name.startswith("_")]
            if used & _NOT_FOR_OTHERS or private:
                found.append(f"{source.shown}:{line} imports {module} {names}")
    assert found == []


def test_kernel_has_no_models() -> None:
    assert not [model for model in apps.get_models() if model.__module__.startswith("kernel")]


def test_foreign_keys_point_down_only() -> None:
    checked = 0
    for model in apps.get_models():
        own = _layer(model.__module__)
        for field in model._meta.get_fields(include_hidden=True):
            if own is None or field.auto_created or field.related_model is None:
                continue
            assert not isinstance(field.related_model, str)
            target = _layer(field.related_model.__module__)
            assert target is None or target <= own, f"{model.__name__}.{field.name}"
            checked += 1
    assert checked > 5


def test_agent_program_stands_apart() -> None:
    """The agent imports the standard library and itself, and no other room imports it."""
    found = []
    for source in product():
        for module, _names, line in source.imports():
            top = module.split(".")[0]
            allowed = {*sys.stdlib_module_names, APART, ""} if source.app == APART else None
            if (allowed is None and top == APART) or (allowed is not None and top not in allowed):
                found.append(f"{source.shown}:{line} imports {module}")
    assert found == []


def _packages() -> list[Path]:
    folders = [ROOT / name for name in (*LAYERS, APART) if (ROOT / name).is_dir()]
    return [path.parent for folder in folders for path in folder.rglob("__init__.py")]


def test_every_package_says_what_it_is() -> None:
    silent = ("migrations", "management", "commands")
    for package in _packages():
        if package.name in silent:
            continue
        said = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8")))
        assert said, package
        if package.parent == ROOT:
            assert len(said.splitlines()) >= 3, package
            assert "ust not" in said or "Knows no app" in said, f"{package}: what it must not know"
            assert "Start reading at" in said, package


def test_a_rule_that_is_broken_is_found() -> None:
    """The rules above can fail: files that break them are caught."""
    upward = Source(
        path=ROOT / "kernel" / "broken.py", tree=ast.parse("def late():\n    from jobs.models import Job\n")
    )
    assert _upward(upward) == ["kernel/broken.py:2 imports jobs.models"]


def test_the_checker_of_the_guarantees_does_not_import_the_product() -> None:
    """A checker that uses the code it checks finds nothing. The same rule holds for its imports from tests."""
    seen: set[str] = set()
    todo = [f"tests.faults.{name}" for name in ("invariants", "journal")]
    outside = set()
    while todo:
        module = todo.pop()
        seen.add(module)
        path = ROOT / f"{module.replace('.', '/')}.py"
        source = Source(path=path, tree=ast.parse(path.read_text(encoding="utf-8")))
        for imported, _names, _line in source.imports():
            if imported.startswith("tests."):
                todo += [imported] if imported not in seen else []
            else:
                outside.add(imported.split(".")[0])
    names = ("invariants", "end_rules", "order_rules", "once_rules", "case", "records", "journal")
    assert {f"tests.faults.{name}" for name in names} == seen
    assert outside <= sys.stdlib_module_names


def test_wechatpy_is_used_in_its_own_folder_only() -> None:
    """It is no longer maintained (decision 082): one folder to change when it goes, and only the parts judged there."""
    used = {
        (str(source.path.relative_to(ROOT).parent), module, name)
        for source in product()
        for module, names, _line in source.imports()
        if module.split(".")[0] == "wechatpy"
        for name in names
    }
    assert used == {
        ("notifications/wechat", "wechatpy", "WeChatClient"),
        ("notifications/wechat", "wechatpy.crypto", "PrpCrypto"),
        ("notifications/wechat", "wechatpy.crypto.base", "WeChatCipher"),
        ("notifications/wechat", "wechatpy.exceptions", "WeChatClientException"),
    }
