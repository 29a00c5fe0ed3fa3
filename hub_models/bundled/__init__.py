"""The small checkpoints that Encore trained and ships: one folder per model, in Hub layout.

Each folder holds `config.json`, `model.safetensors`, `processor_config.json` and what else belongs to the model
(`tokenizer_config.json`, `generation_config.json`, `attribute_vectors.safetensors`, `metrics.json`); that of a diffusers
pipeline holds `model_index.json` and a folder for each component. `index.json` beside them is the one place that says, per
model, its line of description, the data it learned from and the script that trained it. Code and card are not kept here:
`python -m hub_models.hub publish` adds both.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

__all__ = ["BundledModel", "bundled", "list_bundled", "read_index"]

BUNDLED_FOLDER = Path(__file__).resolve().parent
INDEX_OF_A_PIPELINE = "model_index.json"


class BundledModel(NamedTuple):
    """A checkpoint that comes with the package.

    Attributes:
        name: Its name, as `bundled` takes it, e.g. `"music-vae-mel-2bar"`.
        description: One line for a person who chooses a model.
        path: Its folder; every `from_pretrained` reads it.
    """

    name: str
    description: str
    path: Path

    @property
    def is_pipeline(self) -> bool:
        """Whether the folder holds a diffusers pipeline and not a transformers model."""
        return (self.path / INDEX_OF_A_PIPELINE).is_file()

    @property
    def model_type(self) -> str | None:
        """The kind of a transformers model, which is also the name of the part of this package that has its classes; None
        for a pipeline."""
        if self.is_pipeline:
            return None
        return json.loads((self.path / "config.json").read_text(encoding="utf-8"))["model_type"]


def read_index() -> dict[str, dict]:
    """What `index.json` says of every bundled model: name -> description, data sources, training script."""
    return json.loads((BUNDLED_FOLDER / "index.json").read_text(encoding="utf-8"))


def list_bundled() -> list[BundledModel]:
    """The bundled models in the order of `index.json`.

    A model whose weights are not there yet (a checkout in which it has not been trained) is left out.
    """
    return [
        BundledModel(name, entry["description"], BUNDLED_FOLDER / name)
        for name, entry in read_index().items()
        if any((BUNDLED_FOLDER / name / file).is_file() for file in ("config.json", INDEX_OF_A_PIPELINE))
    ]


def bundled(name: str) -> Path:
    """The folder of a bundled model, for `from_pretrained`; transformers' Auto classes can read it from then on.

    Raises:
        ValueError: No bundled model has this name; the message names those that exist.
    """
    models = {model.name: model for model in list_bundled()}
    if name not in models:
        available = ", ".join(models) or "none, this checkout holds no trained weights"
        raise ValueError(f"There is no bundled model {name!r}; bundled models: {available}.")
    # Whoever uses AutoModel has imported transformers; registering costs nothing more then.
    if "transformers" in sys.modules and not models[name].is_pipeline:
        import_module(f"hub_models.{models[name].model_type}")
    return models[name].path


class _CallableModule(ModuleType):
    """Lets `hub_models.bundled(name)` work where an import has put this module under that name."""

    def __call__(self, name: str) -> Path:
        return bundled(name)


sys.modules[__name__].__class__ = _CallableModule
