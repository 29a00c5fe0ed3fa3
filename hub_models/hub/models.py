"""transformers models as repositories: weights, configuration, processor and tokenizer, and the code of all of them.

The code is collected by transformers' own machinery for custom objects (`register_for_auto_class`, then
`save_pretrained`): it writes `auto_map` into config.json and processor_config.json and copies the files of the model
folder, flat, beside the weights. Hence the house rule that these files import PyPI packages and siblings only.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checks import check_complete, check_no_pickles, check_stored_weights, does_not_load
from .errors import HubError
from .files import WEIGHTS, WEIGHTS_INDEX, read_json, weight_files

PACKAGE = Path(__file__).resolve().parents[1]
REQUIRED_FILES = ("config.json", "processor_config.json")
# What `from_pretrained` notes in a tokenizer about where it came from, and `save_pretrained` would write down.
TOLD_BY_LOADING = ("is_local", "local_files_only", "auto_map")


@dataclass
class LoadedModel:
    """A model that can be published.

    Attributes:
        model: The network on the meta device, which tells the class; its weights stay in their files.
        processor: Of the model.
        weights: Files with the weights, and their index where there is one.
    """

    model: Any
    processor: Any
    weights: list[Path]


def load_model(folder: Path) -> LoadedModel:
    """Loads configuration and processor and checks that the weights fit exactly, reading them tensor by tensor.

    Raises:
        HubError: Files are missing, pickles are there, the configuration, the processor or the weights cannot be used, or
            weights are missing or left over.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoProcessor

    check_no_pickles(folder)
    check_complete(folder, REQUIRED_FILES, "model.save_pretrained and processor.save_pretrained")
    weights = weight_files(folder)
    _register_classes(folder)
    try:
        config = AutoConfig.from_pretrained(folder)
        processor = AutoProcessor.from_pretrained(folder)
        with torch.device("meta"):
            model = AutoModel.from_config(config)
    except Exception as error:  # whatever transformers or the classes raise for a broken file
        raise does_not_load(folder, error) from error
    check_stored_weights(model, weights, folder)
    index = [] if weights[0].name == WEIGHTS else [folder / WEIGHTS_INDEX]
    return LoadedModel(model, processor, weights + index)


def save_model(loaded: LoadedModel, output: Path) -> None:
    """Writes what `load_model` gave, with its code; weights as they are stored."""
    from transformers.dynamic_module_utils import custom_object_save

    model, processor = loaded.model, loaded.processor
    classes = {type(model.config): "AutoConfig", type(model): "AutoModel", type(processor): "AutoProcessor"}
    classes |= {type(part): "AutoFeatureExtractor" for part in _parts_of(processor, "FeatureExtractionMixin")}
    for tokenizer in _parts_of(processor, "PreTrainedTokenizerBase"):
        classes[type(tokenizer)] = "AutoTokenizer"
        for name in TOLD_BY_LOADING:
            tokenizer.init_kwargs.pop(name, None)
    with shipping_code(classes):
        model.config.architectures = [type(model).__name__]
        custom_object_save(model, output, config=model.config)
        model.config.save_pretrained(output)
        processor.save_pretrained(output)
    for path in loaded.weights:
        shutil.copyfile(path, output / path.name)


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


def _parts_of(processor: Any, base_name: str) -> list[Any]:
    """The parts of a certain kind that a processor is made of and saves.

    Args:
        base_name: Of the kind's base class in transformers.
    """
    import transformers

    base = getattr(transformers, base_name)
    parts = (getattr(processor, name) for name in processor.get_attributes())
    return [part for part in parts if isinstance(part, base)]


def _register_classes(folder: Path) -> None:
    """Imports the part of Encore that a checkpoint belongs to, which makes its classes known to the Auto classes.

    Raises:
        HubError: config.json cannot be read, or its `model_type` is none of Encore's.
    """
    model_type = read_json(folder / "config.json").get("model_type")
    known = sorted(
        {path.parent.name for path in PACKAGE.glob("*/modeling_*.py") if not [*path.parent.glob("pipeline_*.py")]}
    )
    if model_type not in known:
        raise HubError(f"{folder} holds a model of type {model_type!r}; Encore publishes {', '.join(known)}.")
    importlib.import_module(f"hub_models.{model_type}")
