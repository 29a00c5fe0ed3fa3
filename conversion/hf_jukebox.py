"""Jukebox folders of transformers 4, such as the repositories openai/jukebox-*, to folders that ours load.

Weights are pytorch_model.bin or model.safetensors, in one file or in shards, and stay in the type that they are stored in.
Folders with safetensors can also be loaded as they are; pickles have to be converted. The licence stays with the weights.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hub_models.jukebox.configuration_jukebox import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from hub_models.jukebox.processing_jukebox import JukeboxProcessor
from hub_models.jukebox.tokenization_jukebox import JukeboxTokenizer

from .errors import ConversionError, list_names
from .jukebox_folders import LICENSE, LICENSE_NOTE, Config, expected_shapes, misfits, parts_of, untie, write_folder
from .stored_tensors import StoredTensor, check_stored_tensors, read_safetensors
from .torch_checkpoints import check_file
from .torch_streams import open_torch

__all__ = ["CHECKPOINT_HELP", "CONFIG_NAMES", "LICENSE", "convert"]

CHECKPOINT_HELP = "a folder with config.json and pytorch_model.bin or model.safetensors, or their shards"
CONFIG_NAMES = ()  # the folder has its configuration
MAX_JSON_BYTES = 64 * 1024**2

CONFIG_CLASSES = {"jukebox": JukeboxConfig, "jukebox_vqvae": JukeboxVQVAEConfig, "jukebox_prior": JukeboxPriorConfig}
#: Files of weights, in the order in which transformers 4 looks for them.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZER_FILES = ("artists.json", "genres.json", "lyrics.json")


def convert(checkpoint: Path, output: Path) -> list[str]:
    """Writes a folder of transformers 4 as one that `from_pretrained` loads here.

    Args:
        checkpoint: the folder.
        output: the folder to write.

    Returns:
        Remarks for the person; the licence.

    Raises:
        ConversionError: says what is wrong with the folder.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        raise ConversionError(f"{folder} is no folder; give the folder with config.json and the weights.")
    config = _read_config(folder)
    with ExitStack() as stack:
        tensors = check_stored_tensors(_open_weights(stack, folder), f"The weights in {folder.name}")
        tensors = untie(tensors, config)
        _settle_timing(config, tensors)
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        if text := misfits(shapes, expected_shapes(config)):
            raise ConversionError(f"The weights in {folder.name} are not those of its config.json.{text}")
        save_tokenizer = _tokenizer_writer(folder, config)
        write_folder(output, config, tensors, [folder.resolve().name], "transformers 4", save_more=save_tokenizer)
    if save_tokenizer or not isinstance(config, JukeboxConfig):
        return [LICENSE_NOTE]
    return [f"{folder.name} has no tokenizer ({', '.join(TOKENIZER_FILES)}): none was written.", LICENSE_NOTE]


def _read_config(folder: Path) -> Config:
    values = _read_json(folder / "config.json")
    model_type = values.get("model_type")
    if model_type not in CONFIG_CLASSES:
        raise ConversionError(
            f"{folder / 'config.json'} is of the model type {model_type!r}; read are {', '.join(CONFIG_CLASSES)}."
        )
    try:
        return CONFIG_CLASSES[model_type].from_dict(values)
    except Exception as error:  # huggingface_hub wraps what @strict finds in errors of its own
        reason = " ".join(str(error).split())[:500]
        raise ConversionError(f"{folder / 'config.json'} describes no Jukebox: {reason}") from error


def _settle_timing(config: Config, tensors: dict[str, StoredTensor]):
    """Configurations of transformers 4 say twice how many bins the timing signal has, not always alike; weights decide."""
    for prefix, part in parts_of(config):
        table = tensors.get(f"{prefix}metadata_embedding.total_length_emb.emb.weight")
        if table is not None and table.shape:
            part.timing_dims = table.shape[0]


def _open_weights(stack: ExitStack, folder: Path) -> dict[str, StoredTensor]:
    present = [name for name in WEIGHTS if (folder / name).exists() or (folder / name).is_symlink()]
    if not present:
        raise ConversionError(f"{folder} has no weights: none of {', '.join(WEIGHTS)}.")
    name = present[0]
    if not name.endswith(".index.json"):
        return _open_file(stack, folder / name)
    weight_map = _read_json(folder / name).get("weight_map")
    if not isinstance(weight_map, dict) or not all(_is_file_name(file) for file in weight_map.values()):
        raise ConversionError(f"{name} is no index of weights: it maps no names of tensors to files beside it.")
    tensors: dict[str, StoredTensor] = {}
    for file_name in sorted(set(weight_map.values())):
        tensors |= _open_file(stack, folder / file_name)
    if missing := weight_map.keys() - tensors.keys():
        raise ConversionError(f"{name} promises tensors that are in none of its files:\n{list_names(missing)}")
    return tensors


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name == Path(name).name and name.endswith((".bin", ".safetensors"))


def _open_file(stack: ExitStack, path: Path) -> dict[str, StoredTensor]:
    if path.suffix == ".safetensors":
        check_file(path)
        return read_safetensors(path, stack.enter_context(path.open("rb")))
    return check_stored_tensors(stack.enter_context(open_torch(path)), path.name)


def _read_json(path: Path) -> dict[str, Any]:
    check_file(path, MAX_JSON_BYTES)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path} is no JSON: {str(error)[:200]}") from error
    if not isinstance(values, dict):
        raise ConversionError(f"{path} holds no JSON object.")
    return values


def _tokenizer_writer(folder: Path, config: Config) -> Callable[[Path], Any] | None:
    """What saves the folder's tokenizer, where it has one; of a whole model with the rest of its processor."""
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        return None
    try:
        # A row of labels is split by the number of genres that the top prior hears.
        number = {"n_genres": config.prior_configs[0].max_nb_genres} if isinstance(config, JukeboxConfig) else {}
        tokenizer = JukeboxTokenizer.from_pretrained(folder, **number)
    except (ValueError, TypeError, OSError) as error:
        raise ConversionError(f"The tokenizer in {folder.name} cannot be read: {str(error)[:500]}") from error
    if isinstance(config, JukeboxConfig):
        return JukeboxProcessor.for_model(config, tokenizer).save_pretrained
    return tokenizer.save_pretrained
