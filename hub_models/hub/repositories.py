"""A checkpoint folder -> a repository on the Hub: weights, configuration, code, and the card.

There are two kinds of folders: a transformers model with its processor (`models`), and a diffusers pipeline with a folder
for each of its components (`pipelines`). Here is what both have in common.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .cards import card_for_folder, check_card
from .errors import HubError
from .licences import check_license
from .models import load_model, save_model
from .pipelines import is_pipeline, load_pipeline, save_pipeline
from .uploads import check_repository_name, upload

# What else of a checkpoint folder belongs to the model. Code and card are always written anew; logs, summaries of data
# and the like stay at home: they tell of the machine that trained it.
EXTRA_FILES = ("*.safetensors", "metrics*.json", "generation_config.json", "*.mid", "*.wav", "*.png")
# Weights are written with the model. Shards that its index does not name are left over from another one.
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")


@dataclass
class ModelRepository:
    """A model repository that has been written to disk.

    Attributes:
        folder: Where.
        files: Names of its files relative to it, sorted.
        left_out: What the source folder held besides and the repository does not: other folders, logs and the like.
    """

    folder: Path
    files: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def find_source(name_or_path: str | Path) -> tuple[Path, str | None]:
    """The folder that `name_or_path` means, and its name if it is a bundled model.

    Raises:
        HubError: It is neither a bundled model nor a folder.
    """
    from hub_models.bundled import list_bundled

    folders = {model.name: model.path for model in list_bundled()}
    if str(name_or_path) in folders:
        return folders[str(name_or_path)], str(name_or_path)
    folder = Path(name_or_path)
    if folder.is_dir():
        return folder, None
    available = ", ".join(folders) or "none"
    raise HubError(f"{str(name_or_path)!r} is neither a folder nor a bundled model (bundled: {available}).")


def write_model_repository(
    name_or_path: str | Path,
    output: str | Path,
    *,
    repository: str | None = None,
    license: str | None = None,
) -> ModelRepository:
    """Writes a complete model repository, ready to be uploaded or loaded with `trust_remote_code=True`.

    Args:
        name_or_path: A bundled model, or a folder that `save_pretrained` wrote: config.json, model.safetensors (or shards
            with model.safetensors.index.json) and processor_config.json, or model_index.json and the folders of a
            pipeline's components.
        output: Folder to write; it must be new or empty.
        repository: `OWNER/NAME` for the code examples on the card.
        license: Licence identifier for the card of a folder that brings no README.md. Weights that come from OpenAI's
            Jukebox have theirs, see `licences`.

    Raises:
        HubError: The source cannot be published, or not under that licence, or `output` is not empty.
    """
    source, bundled_name = find_source(name_or_path)
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise HubError(f"{output} exists and is not an empty folder; choose another output folder.")
    load, save = (load_pipeline, save_pipeline) if is_pipeline(source) else (load_model, save_model)
    loaded = load(source)
    card = card_for_folder(source, bundled_name, repository=repository, license=license)
    if problems := check_card(card):
        raise HubError(f"The model card has invalid metadata: {'; '.join(problems)}.")
    check_license(source, card, license)

    output.mkdir(parents=True, exist_ok=True)
    save(loaded, output)
    (output / "README.md").write_text(card, encoding="utf-8")
    left_out = _copy_extra_files(source, output)
    files = sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
    return ModelRepository(output, files, left_out)


def _copy_extra_files(source: Path, output: Path) -> list[str]:
    """Copies what else belongs to the model; returns what is left out."""
    left_out = []
    folders = [source, *(path for path in sorted(source.iterdir()) if path.is_dir() and (output / path.name).is_dir())]
    for path in sorted(path for folder in folders for path in folder.iterdir()):
        name = path.relative_to(source).as_posix()
        if path.name.startswith(".") or path.name == "__pycache__" or (output / name).exists():
            continue
        is_extra = any(path.match(pattern) for pattern in EXTRA_FILES) and not SHARD.fullmatch(path.name)
        if path.is_file() and path.parent == source and is_extra:
            shutil.copyfile(path, output / name)
        elif path.suffix != ".py":
            left_out.append(name + ("/" if path.is_dir() else ""))
    return left_out


def publish(
    name_or_path: str | Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    license: str | None = None,
) -> str:
    """Writes the model repository to a temporary folder and uploads it as one commit.

    Code of an earlier publication that is no longer needed is deleted from the repository in the same commit.

    Args:
        name_or_path, license: As for `write_model_repository`.
        repository: `NAME` (under the logged-in user) or `OWNER/NAME`; created if it does not exist.
        private: Create the repository as a private one.
        revision: Branch to commit to; the main branch by default.

    Returns:
        Address of the repository.

    Raises:
        HubError: One sentence on what failed and what helps.
    """
    check_repository_name(repository)
    with tempfile.TemporaryDirectory(prefix="encore-publish-") as folder:
        write_model_repository(name_or_path, folder, repository=repository, license=license)
        return upload(
            folder,
            repository,
            private=private,
            revision=revision,
            message=f"Upload {Path(name_or_path).name} with Encore",
            stale_files="*.py",
        )
