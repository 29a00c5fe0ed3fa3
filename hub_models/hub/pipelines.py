"""diffusers pipelines as repositories: a folder for each component, and the code of all of them.

What diffusers loads from a repository, with `trust_remote_code=True` and without Encore, is this:

    model_index.json                {"_class_name": ["pipeline_wavegrad", "WaveGradPipeline"],
                                     "model": ["modeling_wavegrad", "WaveGradModel"], ...}
    pipeline_wavegrad.py
    model/modeling_wavegrad.py      beside config.json and diffusion_pytorch_model.safetensors
    scheduler/scheduling_wavegrad.py ...

Of a component with weights it downloads the weights, config.json and the one file that model_index.json names; each such
file becomes a module that knows none of the others. So the files of a pipeline import PyPI packages only.
`save_pretrained` of a pipeline writes all of this but the code, so what `push_to_hub` uploads loads with Encore only.
"""

from __future__ import annotations

import importlib
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

from .checks import check_complete, check_no_pickles, check_weights, does_not_load
from .errors import HubError
from .files import read_json, tensor_dtypes

PACKAGE = Path(__file__).resolve().parents[1]
INDEX_FILE = "model_index.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
# The names of number formats in safetensors files and in torch.
HALF_PRECISION = {"F16": "float16", "BF16": "bfloat16"}
# Left out of what is published: where the folder lay on the machine that wrote it.
PRIVATE_SETTINGS = ("_name_or_path",)


def is_pipeline(folder: Path) -> bool:
    """Whether a checkpoint folder holds a pipeline and not a model."""
    return (folder / INDEX_FILE).is_file()


def load_pipeline(folder: Path) -> Any:
    """Loads a pipeline with Encore's own classes, whatever code lies in the folder, and checks its weights.

    Raises:
        HubError: It is no pipeline of Encore's, files are missing, pickles are there, a component cannot be used, or
            weights do not fit their configuration.
    """
    pipeline_class, components = _classes(folder)
    check_no_pickles(folder, components)
    required = [f"{name}/{file}" for name, custom_class in components.items() for file in _files(custom_class)]
    check_complete(folder, required, "pipeline.save_pretrained")
    try:
        loaded = {name: _load_component(custom_class, folder / name) for name, custom_class in components.items()}
        return pipeline_class(**loaded)
    except HubError:
        raise
    except Exception as error:  # whatever diffusers, transformers, safetensors or the classes raise for a broken file
        raise does_not_load(folder, error) from error


def save_pipeline(pipeline: Any, output: Path) -> None:
    """Writes what `load_pipeline` gave, with its code."""
    pipeline.save_pretrained(output)
    _copy_code(pipeline, output)
    for name, component in pipeline.components.items():
        _copy_code(component, output / name)
    for path in output.glob("*/*.json"):
        settings = read_json(path)
        kept = {key: value for key, value in settings.items() if key not in PRIVATE_SETTINGS}
        path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _classes(folder: Path) -> tuple[type, dict[str, type]]:
    """The class of a pipeline and those of its components, from model_index.json.

    Raises:
        HubError: The file cannot be read, or names classes that are not Encore's.
    """
    index = read_json(folder / INDEX_FILE)
    known = {pipeline_class.__name__: pipeline_class for pipeline_class in _pipeline_classes()}
    class_name = index.get("_class_name")
    class_name = class_name[-1] if isinstance(class_name, list) and class_name else class_name
    if not isinstance(class_name, str) or class_name not in known:
        raise HubError(f"{folder} holds a pipeline of class {class_name!r}; Encore publishes {', '.join(known)}.")
    package = known[class_name].__module__.rpartition(".")[0]
    shipped = {path.stem for path in (PACKAGE / package.rpartition(".")[2]).glob(f"*_{package.rpartition('.')[2]}.py")}
    components = {}
    for name in list(inspect.signature(known[class_name].__init__).parameters)[1:]:
        entry = index.get(name)
        if not isinstance(entry, list) or len(entry) != 2 or not all(isinstance(text, str) for text in entry):
            raise HubError(f"{folder / INDEX_FILE} must name library and class of {name!r}, not {entry!r}.")
        module_name = entry[0].rpartition(".")[2]
        if module_name not in shipped:
            raise HubError(f"{folder} has a {name} from {entry[0]!r}; Encore publishes its own components only.")
        custom_class = getattr(importlib.import_module(f"{package}.{module_name}"), entry[1], None)
        if not hasattr(custom_class, "from_pretrained"):
            raise HubError(f"{folder} has a {name} of class {entry[1]!r}, which {module_name}.py does not have.")
        components[name] = custom_class
    return known[class_name], components


def _pipeline_classes() -> list[type]:
    from diffusers import DiffusionPipeline

    names = sorted(path.stem for path in PACKAGE.glob("*/pipeline_*.py"))
    modules = [importlib.import_module(f"hub_models.{name.partition('_')[2]}.{name}") for name in names]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, DiffusionPipeline) and value.__module__ == module.__name__
    ]


def _files(custom_class: type) -> list[str]:
    """What the folder of a component must hold."""
    from diffusers import ModelMixin

    if issubclass(custom_class, ModelMixin):
        return [custom_class.config_name, WEIGHTS_FILE]
    # A transformers class has no such name: of those that a pipeline can hold, Encore has feature extractors.
    return [getattr(custom_class, "config_name", "preprocessor_config.json")]


def _load_component(custom_class: type, folder: Path) -> Any:
    import torch
    from diffusers import ModelMixin

    if not issubclass(custom_class, ModelMixin):
        return custom_class.from_pretrained(folder)
    # Tensors of another shape are reported, not raised, only without the shortcut through the meta device.
    model, report = custom_class.from_pretrained(
        folder,
        use_safetensors=True,
        low_cpu_mem_usage=False,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    check_weights(model, report, folder)
    # diffusers knows no "auto": what is half precision in the file is in float32 by now, and is published as it was.
    dtypes = tensor_dtypes(folder / WEIGHTS_FILE)
    if len(dtypes) == 1 and dtypes <= set(HALF_PRECISION):
        torch.nn.Module.to(model, getattr(torch, HALF_PRECISION[dtypes.pop()]))  # ModelMixin.to warns without a reason
    return model


def _copy_code(part: Any, folder: Path) -> None:
    source = Path(inspect.getfile(type(part)))
    shutil.copyfile(source, folder / source.name)
