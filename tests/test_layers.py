"""Imports go one way: schemas <- transforms <- pipelines <- beam_runner; schemas <- model <- train <- beam_runner."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"schemas", "transforms", "pipelines", "model", "train", "beam_runner", "tests"}
ALLOWED = {
    "schemas": {"schemas"},
    "transforms": {"schemas", "transforms"},
    "pipelines": {"schemas", "transforms", "pipelines"},
    "model": {"schemas", "model"},
    "train": {"schemas", "transforms", "model", "train"},
}
HEAVY = {
    *("torch", "torchvision", "transformers", "timm", "ultralytics", "segment_anything", "cotracker"),
    "open_clip",
    *("decord", "rapidocr", "onnxruntime", "playwright"),
}
LAZY = {
    "transforms/footage_decord.py": {"decord"},
    "transforms/networks.py": {"torch"},
    "transforms/clip_gate.py": {"torch", "open_clip"},
    "transforms/proposers/sam.py": {"torch", "torchvision"},
    "transforms/proposers/sam_masks.py": {"torch"},
    "transforms/proposers/yolo.py": {"torch"},
    "transforms/proposers/yolo_weights.py": {"torch"},
    "transforms/trackers/cotracker.py": {"torch", "cotracker"},
}
"""files of parts that are imported when the part is asked for, and what they may import at their top"""
MODULES = sorted(path for folder in ALLOWED for path in (ROOT / folder).rglob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    """Top-level packages that a tree imports, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    layer = path.relative_to(ROOT).parts[0]
    assert imported(tree) & OURS <= ALLOWED[layer]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level], "relative import"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_heavy_libraries_are_imported_where_they_are_used_only(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    if layer in ("model", "train"):
        pytest.skip("the network and its training are torch")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    lazy_module = LAZY.get(path.relative_to(ROOT).as_posix(), set())
    assert not imported(ast.Module(body=top, type_ignores=[])) & (HEAVY - lazy_module)


@pytest.mark.parametrize("layer", ["schemas", "transforms"])
def test_pure_layers_know_no_beam(layer: str) -> None:
    for path in (ROOT / layer).rglob("*.py"):
        assert "apache_beam" not in imported(ast.parse(path.read_text(encoding="utf-8"))), path


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["lint", "explain", "contact_sheet"])
def test_looking_at_a_dataset_needs_neither_beam_nor_torch(module: str) -> None:
    assert not loaded_by(f"import pipelines.inspect.{module}") & {"apache_beam", "torch"}


def test_the_child_process_and_the_command_line_start_without_beam() -> None:
    assert "apache_beam" not in loaded_by("import beam_runner, pipelines.isolate, pipelines.video")


def test_files_and_functions_stay_short() -> None:
    for path in [*MODULES, ROOT / "beam_runner.py"]:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 420, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno <= 62, f"{path}: {node.name}"
