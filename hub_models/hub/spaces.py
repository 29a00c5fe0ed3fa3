"""The Gradio Space as a folder that runs on the Hub: the app, the package with its bundled models, requirements.txt.

A Space installs requirements.txt before it sees its own files, so a wheel inside it cannot be installed. The package
`hub_models` therefore lies beside app.py, where Python finds it, and requirements.txt names what it depends on, as
pyproject.toml has it. So a Space runs exactly the code of the checkout it was made from, released or not.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import tomllib
from pathlib import Path

import yaml

from .errors import HubError
from .uploads import check_repository_name, upload

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = PACKAGE.parent
APP = Path("spaces/studio")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def requirements(checkout: Path = CHECKOUT) -> list[str]:
    """What the Space installs: the dependencies of the package and of its extra `demo`.

    Raises:
        HubError: `checkout` holds no pyproject.toml.
    """
    project_file = checkout / "pyproject.toml"
    if not project_file.is_file():
        raise HubError(f"There is no {project_file}: the Space is published from a checkout of the repository.")
    project = tomllib.loads(project_file.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *_extra(project, "demo")]


def _extra(project: dict, name: str) -> list[str]:
    """Requirements of one extra; extras of the project itself that it includes are expanded."""
    result = []
    for requirement in project.get("optional-dependencies", {}).get(name, []):
        own = re.fullmatch(rf"{re.escape(project['name'])}\[([\w\s,-]+)\]", requirement)
        names = [other.strip() for other in own.group(1).split(",")] if own else []
        result += [line for other in names for line in _extra(project, other)] if own else [requirement]
    return result


def check_space(folder: Path) -> list[str]:
    """What is wrong with a Space's README.md front matter; an empty list if nothing is."""
    readme = folder / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    match = re.match(r"---\n(.*?)\n---\n", text, flags=re.DOTALL)
    try:
        metadata = yaml.safe_load(match.group(1)) if match else None
    except yaml.YAMLError as error:
        return [f"the YAML front matter cannot be read: {' '.join(str(error).split())}"]
    if not isinstance(metadata, dict):
        return ["README.md has no YAML front matter"]
    problems = [f"{field} is missing" for field in ("title", "sdk", "sdk_version", "app_file") if field not in metadata]
    if metadata.get("sdk") not in (None, "gradio"):
        problems.append(f"sdk must be gradio, not {metadata['sdk']!r}")
    for field in ("sdk_version", "python_version"):
        if field in metadata and not re.fullmatch(r"\d+(\.\d+)+", value := str(metadata[field])):
            problems.append(f"{field} {value!r} is no version")
    if isinstance(metadata.get("python_version"), float):
        problems.append("python_version must be in quotes: YAML reads 3.10 as 3.1")
    app_file = metadata.get("app_file")
    if app_file is not None and not (folder / str(app_file)).is_file():
        problems.append(f"app_file {app_file!r} does not exist")
    for field in ("colorFrom", "colorTo"):
        if field in metadata and metadata[field] not in COLORS:
            problems.append(f"{field} {metadata[field]!r} is not one of {', '.join(sorted(COLORS))}")
    if len(str(metadata.get("short_description", ""))) > 60:
        problems.append("short_description has more than 60 characters")
    return problems


def write_space(output: str | Path, *, checkout: Path = CHECKOUT) -> list[str]:
    """Writes the complete Space and returns the names of its files, relative to `output`, sorted.

    Args:
        output: Folder to write; it must be new or empty.
        checkout: Root of the repository that holds spaces/studio and pyproject.toml.

    Raises:
        HubError: `output` is not empty, the app is not there, or its metadata is invalid.
    """
    app, output = checkout / APP, Path(output)
    if not (app / "app.py").is_file():
        raise HubError(f"There is no {app / 'app.py'}: the Space is published from a checkout of the repository.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise HubError(f"{output} exists and is not an empty folder; choose another output folder.")
    lines = requirements(checkout)
    if problems := check_space(app):
        raise HubError(f"{app / 'README.md'} has invalid metadata: {'; '.join(problems)}.")
    shutil.copytree(app, output, ignore=NOT_SHIPPED, dirs_exist_ok=True)
    shutil.copytree(PACKAGE, output / PACKAGE.name, ignore=NOT_SHIPPED)
    (output / "requirements.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())


def publish_space(repository: str, *, private: bool = False, revision: str | None = None) -> str:
    """Writes the Space to a temporary folder and uploads it as one commit; files it no longer has are deleted.

    Args:
        repository: `NAME` (under the logged-in user) or `OWNER/NAME`; created if it does not exist.
        private: Create it as a private one.
        revision: Branch to commit to; the main branch by default.

    Returns:
        Address of the Space.

    Raises:
        HubError: One sentence on what failed and what helps.
    """
    check_repository_name(repository)
    with tempfile.TemporaryDirectory(prefix="encore-space-") as folder:
        write_space(folder)
        return upload(
            folder,
            repository,
            repository_type="space",
            private=private,
            revision=revision,
            message="Upload the Space with Encore",
            stale_files="*",
        )
