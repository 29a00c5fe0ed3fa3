"""A checkpoint folder -> a model repository: weights, configuration, processor, the code of all three, and the card.

The code is collected by transformers' own machinery for custom objects (`register_for_auto_class`, then
`save_pretrained`): it writes `auto_map` into config.json and processor_config.json and copies the files of the model
folder, flat, beside the weights. Hence the house rule that these files import PyPI packages and siblings only.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .cards import card_for_folder, check_card, read_json
from .errors import HubError
from .uploads import check_repository_name, upload

PACKAGE = Path(__file__).resolve().parents[1]
REQUIRED_FILES = ("config.json", "model.safetensors", "processor_config.json")
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# What else of a checkpoint folder belongs to the model. Code and card are always written anew; logs, summaries of data
# and the like stay at home: they tell of the machine that trained it.
EXTRA_FILES = ("*.safetensors", "metrics*.json", "generation_config.json", "*.mid", "*.wav", "*.png")


@dataclass
class ModelRepository:
    """A model repository that has been written to disk.

    Attributes:
        folder: Where.
        files: Names of its files, sorted.
        left_out: What the source folder held besides and the repository does not: sub-folders, logs and the like.
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


def check_source(folder: Path) -> None:
    """Raises `HubError` if files are missing from a checkpoint folder, or if it holds pickles."""
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in PICKLE_SUFFIXES)
    if pickles:
        raise HubError(
            f"{folder} holds pickle files ({', '.join(pickles)}), which can run code when they are loaded; Encore "
            "publishes safetensors only: remove them, or save the weights with model.save_pretrained."
        )
    missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if missing:
        raise HubError(
            f"{folder} is no complete checkpoint: {', '.join(missing)} missing; write it with "
            "model.save_pretrained and processor.save_pretrained."
        )


@contextlib.contextmanager
def shipping_code(auto_classes: dict[type, str]) -> Iterator[None]:
    """Within the context, `save_pretrained` of these classes also writes their code and `auto_map`.

    Registration is undone afterwards, so that an ordinary `save_pretrained` elsewhere stays free of copies of code.

    Args:
        auto_classes: Class -> name of the Auto class that shall find it, e.g. `{MusicVAEModel: "AutoModel"}`.
    """
    before = {custom_class: custom_class._auto_class for custom_class in auto_classes}
    try:
        for custom_class, auto_class in auto_classes.items():
            custom_class.register_for_auto_class(auto_class)
        yield
    finally:
        for custom_class, auto_class in before.items():
            custom_class._auto_class = auto_class


def register_classes(folder: Path) -> None:
    """Imports the part of Encore that a checkpoint belongs to, which makes its classes known to the Auto classes.

    Raises:
        HubError: config.json cannot be read, or its `model_type` is none of Encore's.
    """
    model_type = read_json(folder / "config.json").get("model_type")
    known = sorted(path.parent.name for path in PACKAGE.glob("*/configuration_*.py"))
    if model_type not in known:
        raise HubError(f"{folder} holds a model of type {model_type!r}; Encore publishes {', '.join(known)}.")
    importlib.import_module(f"hub_models.{model_type}")


def load_checkpoint(folder: Path):
    """Loads model and processor and checks that the weights fit the configuration exactly.

    Returns:
        `(model, processor)`.

    Raises:
        HubError: The configuration, the processor or the weights cannot be used, or weights are missing or left over.
    """
    import torch
    from transformers import AutoModel, AutoProcessor

    register_classes(folder)
    try:
        processor = AutoProcessor.from_pretrained(folder)
        # Tensors of another shape shall be reported, not raised, to be told together with what is missing. "auto": half
        # precision is published as half precision.
        model, report = AutoModel.from_pretrained(
            folder, dtype="auto", output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:  # whatever transformers, safetensors or the model raise for a broken file
        reason = " ".join(str(error).split()).split(". ")[0].rstrip(".!") or type(error).__name__
        raise HubError(f"{folder} does not load: {reason}.") from error
    misfits = {
        "missing": report["missing_keys"],
        "unexpected": report["unexpected_keys"],
        "of another shape": [key for key, *shapes in report["mismatched_keys"]],
    }
    problems = [f"{len(keys)} {kind} (such as {min(keys)})" for kind, keys in misfits.items() if keys]
    if problems:
        raise HubError(f"The weights in {folder} do not fit its config.json: tensors {', '.join(problems)}.")
    broken = [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]
    if broken:
        raise HubError(f"The weights in {folder} are not all finite numbers ({min(broken)}): training went wrong.")
    return model, processor


def write_model_repository(
    name_or_path: str | Path,
    output: str | Path,
    *,
    repository: str | None = None,
    license: str | None = None,
) -> ModelRepository:
    """Writes a complete model repository, ready to be uploaded or loaded with `trust_remote_code=True`.

    Args:
        name_or_path: A bundled model, or a folder with config.json, model.safetensors and processor_config.json.
        output: Folder to write; it must be new or empty.
        repository: `OWNER/NAME` for the code examples on the card.
        license: Licence identifier for the card of a folder that brings no README.md.

    Raises:
        HubError: The source cannot be published or `output` is not empty.
    """
    source, bundled_name = find_source(name_or_path)
    check_source(source)
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise HubError(f"{output} exists and is not an empty folder; choose another output folder.")
    model, processor = load_checkpoint(source)
    card = card_for_folder(source, bundled_name, repository=repository, license=license)
    if problems := check_card(card):
        raise HubError(f"The model card has invalid metadata: {'; '.join(problems)}.")

    output.mkdir(parents=True, exist_ok=True)
    classes = {type(model.config): "AutoConfig", type(model): "AutoModel", type(processor): "AutoProcessor"}
    with shipping_code(classes):
        model.save_pretrained(output)
        processor.save_pretrained(output)
    (output / "README.md").write_text(card, encoding="utf-8")

    left_out = []
    for path in sorted(source.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__" or (output / path.name).exists():
            continue
        if path.is_file() and any(path.match(pattern) for pattern in EXTRA_FILES):
            shutil.copyfile(path, output / path.name)
        elif path.suffix != ".py":
            left_out.append(path.name + ("/" if path.is_dir() else ""))
    return ModelRepository(output, sorted(path.name for path in output.iterdir()), left_out)


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
