"""transformers models as repositories: weights, configuration, processor and tokenizer, and the code of all of them.

The code is collected by transformers' own machinery for custom objects (`register_for_auto_class`, then
`save_pretrained`): it writes `auto_map` into config.json and processor_config.json and copies the files of the model
folder, flat, beside the weights. Hence the house rule that these files import PyPI packages and siblings only.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .checks import check_complete, check_no_pickles, check_weights, does_not_load
from .errors import HubError
from .files import read_json

PACKAGE = Path(__file__).resolve().parents[1]
REQUIRED_FILES = ("config.json", "model.safetensors", "processor_config.json")
# What `from_pretrained` notes in a tokenizer about where it came from, and `save_pretrained` would write down.
TOLD_BY_LOADING = ("is_local", "local_files_only", "auto_map")


def load_model(folder: Path) -> tuple[Any, Any]:
    """Loads model and processor and checks that the weights fit the configuration exactly.

    Returns:
        `(model, processor)`.

    Raises:
        HubError: Files are missing, pickles are there, the configuration, the processor or the weights cannot be used, or
            weights are missing or left over.
    """
    from transformers import AutoModel, AutoProcessor

    check_no_pickles(folder)
    check_complete(folder, REQUIRED_FILES, "model.save_pretrained and processor.save_pretrained")
    _register_classes(folder)
    try:
        processor = AutoProcessor.from_pretrained(folder)
        # Tensors of another shape shall be reported, not raised, to be told together with what is missing. "auto": half
        # precision is published as half precision.
        model, report = AutoModel.from_pretrained(
            folder, dtype="auto", output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:  # whatever transformers, safetensors or the model raise for a broken file
        raise does_not_load(folder, error) from error
    check_weights(model, report, folder)
    return model, processor


def save_model(loaded: tuple[Any, Any], output: Path) -> None:
    """Writes what `load_model` gave, with its code."""
    model, processor = loaded
    classes = {type(model.config): "AutoConfig", type(model): "AutoModel", type(processor): "AutoProcessor"}
    for tokenizer in _tokenizers_of(processor):
        classes[type(tokenizer)] = "AutoTokenizer"
        for name in TOLD_BY_LOADING:
            tokenizer.init_kwargs.pop(name, None)
    with shipping_code(classes):
        model.save_pretrained(output)
        processor.save_pretrained(output)


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


def _tokenizers_of(processor: Any) -> list[Any]:
    """The tokenizers that a processor is made of and saves."""
    from transformers import PreTrainedTokenizerBase

    parts = (getattr(processor, name) for name in processor.get_attributes())
    return [part for part in parts if isinstance(part, PreTrainedTokenizerBase)]


def _register_classes(folder: Path) -> None:
    """Imports the part of Encore that a checkpoint belongs to, which makes its classes known to the Auto classes.

    Raises:
        HubError: config.json cannot be read, or its `model_type` is none of Encore's.
    """
    model_type = read_json(folder / "config.json").get("model_type")
    known = sorted(path.parent.name for path in PACKAGE.glob("*/modeling_*.py") if not [*path.parent.glob("pipeline_*.py")])
    if model_type not in known:
        raise HubError(f"{folder} holds a model of type {model_type!r}; Encore publishes {', '.join(known)}.")
    importlib.import_module(f"hub_models.{model_type}")
