"""The code that ships to the Hub keeps the house rule: PyPI packages and siblings with a single dot, nothing else."""

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "hub_models"
SHIPPED = ("configuration_", "modeling_", "processing_", "tokenization_", "scheduling_", "pipeline_")
NOT_MODELS = {"hub", "training", "bundled"}
MODEL_FOLDERS = sorted({path.parent for path in PACKAGE.glob("*/*.py") if path.parent.name not in NOT_MODELS})


def imports(path: Path) -> list[ast.Import | ast.ImportFrom]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]


def shipped_files(folder: Path) -> list[Path]:
    """The Hub files of a model folder and every sibling they import, directly or not."""
    files = [path for path in sorted(folder.glob("*.py")) if path.name.startswith(SHIPPED)]
    for path in files:  # grows while it is read
        for node in imports(path):
            if isinstance(node, ast.ImportFrom) and node.level and node.module:
                sibling = folder / f"{node.module}.py"
                if sibling.is_file() and sibling not in files:
                    files.append(sibling)
    return files


SHIPPED_FILES = [path for folder in MODEL_FOLDERS for path in shipped_files(folder)]
CASES = [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in SHIPPED_FILES]


def test_every_model_folder_ships_something():
    assert MODEL_FOLDERS
    for folder in MODEL_FOLDERS:
        names = [path.name for path in shipped_files(folder)]
        assert any(name.startswith("configuration_") for name in names), folder.name
        assert any(name.startswith("modeling_") for name in names), folder.name


@pytest.mark.parametrize("path", CASES)
def test_relative_imports_name_a_sibling(path):
    for node in imports(path):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, f"line {node.lineno}: more than one dot does not survive flattening"
            # transformers finds siblings by the text `from .name import`, so `from . import name` is not copied.
            assert node.module, f"line {node.lineno}: write `from .name import ...`"
            assert (path.parent / f"{node.module}.py").is_file(), f"line {node.lineno}: no sibling {node.module}"


@pytest.mark.parametrize("path", CASES)
def test_absolute_imports_are_standard_library_or_pypi(path):
    installed = packages_distributions()
    for node in imports(path):
        if isinstance(node, ast.ImportFrom) and node.level:
            continue
        names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for package in (name.split(".")[0] for name in names):
            assert package != "hub_models", f"line {node.lineno}: Encore may not be installed where this runs"
            assert package in sys.stdlib_module_names or package in installed, f"line {node.lineno}: {package}"


def test_names_of_hub_files_are_unique_to_their_folder():
    """`modeling_x.py` belongs to the folder `x`: one name never means two files."""
    for folder in MODEL_FOLDERS:
        for path in folder.glob("*.py"):
            if path.name.startswith(SHIPPED):
                assert path.stem.split("_", 1)[1] == folder.name, path
