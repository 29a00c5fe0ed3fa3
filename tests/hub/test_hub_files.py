"""The code that ships to the Hub keeps the house rule: PyPI packages and siblings with a single dot, nothing else."""

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parents[1] / "hub_models"
SHIPPED = (
    "configuration_",
    "modeling_",
    "processing_",
    "tokenization_",
    "scheduling_",
    "feature_extraction_",
    "pipeline_",
)
NOT_MODELS = {"hub", "training", "bundled", "composing"}
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
# Of a pipeline, the files that are published: what configures it is in its folders.
PIPELINE_FILES = [
    path for path in SHIPPED_FILES if [*path.parent.glob("pipeline_*.py")] and not path.name.startswith("configuration_")
]
PIPELINE_CASES = [pytest.param(path, id=path.name) for path in PIPELINE_FILES]
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


@pytest.mark.parametrize("path", PIPELINE_CASES)
def test_files_of_a_pipeline_stand_alone(path, tmp_path):
    """diffusers fetches each into a place of its own: alone there, it can be imported."""
    assert not [node.lineno for node in imports(path) if isinstance(node, ast.ImportFrom) and node.level]
    (tmp_path / path.name).write_bytes(path.read_bytes())
    script = (
        "import sys\n"
        f"sys.path[:0] = [{str(tmp_path)!r}, {str(HERE)!r}]\n"
        "from hub_measure import NoEncore\n"
        "sys.meta_path.insert(0, NoEncore)\n"
        f"import {path.stem}\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'hub_models']\n"
    )
    client = subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert client.returncode == 0, client.stderr


def test_names_of_hub_files_are_unique_to_their_folder():
    """`modeling_x.py` and `modeling_x_part.py` belong to the folder `x`: one name never means two files."""
    for folder in MODEL_FOLDERS:
        for path in folder.glob("*.py"):
            prefix = next((prefix for prefix in SHIPPED if path.name.startswith(prefix)), None)
            assert prefix is None or f"{path.stem}_".startswith(f"{prefix}{folder.name}_"), path
