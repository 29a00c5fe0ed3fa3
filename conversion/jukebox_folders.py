"""What converters to Jukebox share: which tensors a configuration asks for, and the folders that are written."""

import contextlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from hub_models.jukebox.configuration_jukebox import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from hub_models.jukebox.modeling_jukebox_prior import JukeboxPrior
from hub_models.jukebox.modeling_jukebox_vqvae import JukeboxVQVAE

from .errors import ConversionError, list_names
from .stored_tensors import MAX_SHARD_BYTES, StoredTensor, have_equal_numbers, write_safetensors

#: The Hub wants name and link of "other" licences. This one holds for OpenAI's code and for its weights.
LICENSE = "other"
LICENSE_NAME = "noncommercial-use-license"
LICENSE_LINK = "https://github.com/openai/jukebox/blob/master/LICENSE"
LICENSE_NOTE = (
    "Licence: OpenAI published Jukebox, code and weights, under its Noncommercial Use License "
    f"({LICENSE_LINK}). Converted weights stay under it: no commercial use."
)
#: From so many bytes on, writing shows how far it is.
PROGRESS_BYTES = 256 * 1000**2

ARCHITECTURES = {
    JukeboxVQVAEConfig: "JukeboxVQVAE",
    JukeboxPriorConfig: "JukeboxPrior",
    JukeboxConfig: "JukeboxModel",
}
EMBEDDING, OUTPUT = "prior.embed_tokens.weight", "prior.fc_proj_out.weight"

PartConfig = JukeboxVQVAEConfig | JukeboxPriorConfig
Config = PartConfig | JukeboxConfig

CARD = """\
---
license: {license}
license_name: {license_name}
license_link: {license_link}
library_name: transformers
pipeline_tag: text-to-audio
tags:
- music
- encore
- {model_type}
---

# {title}

Weights of Jukebox (["Jukebox: A Generative Model for Music"](https://arxiv.org/abs/2005.00341), Dhariwal et al., 2020) for
`{architecture}` of Encore, in the types that they were stored in: {types}. They were converted from {format}:

{files}

{license_note}

```python
from hub_models.jukebox import {architecture}

model = {architecture}.from_pretrained("path/of/this/folder")  # dtype=torch.float16 halves the memory, on a GPU
```
"""


def parts_of(config: Config) -> list[tuple[str, PartConfig]]:
    """The VQ-VAE and the priors of a configuration, each with what the names of its tensors start with."""
    if not isinstance(config, JukeboxConfig):
        return [("", config)]
    priors = [(f"priors.{number}.", prior) for number, prior in enumerate(config.prior_configs)]
    return [("vqvae.", config.vqvae_config), *priors]


def expected_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that weights consist of; an output that is tied to its embedding is left out."""
    return {prefix + name: shape for prefix, part in parts_of(config) for name, shape in _shapes_of_part(part)}


def _shapes_of_part(config: PartConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    model_class = JukeboxPrior if isinstance(config, JukeboxPriorConfig) else JukeboxVQVAE
    with torch.device("meta"):
        state = model_class(config).state_dict()
    # Moving averages of codebooks: only a training has them.
    left_out = [re.compile(pattern) for pattern in model_class._keys_to_ignore_on_load_missing or ()]
    for name, tensor in state.items():
        if not (is_tied(config) and name == OUTPUT) and not any(pattern.search(name) for pattern in left_out):
            yield name, tuple(tensor.shape)


def is_tied(config: PartConfig) -> bool:
    """Whether a prior's output is its embedding."""
    return isinstance(config, JukeboxPriorConfig) and not config.merged_decoder


def misfits(shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> str:
    """What is missing, unknown or of another shape, as lines of text; empty where all fits."""
    missing, unknown = expected.keys() - shapes.keys(), shapes.keys() - expected.keys()
    wrong = [
        f"{name}: {shapes[name]} in the checkpoint, {expected[name]} in the model"
        for name in expected.keys() & shapes.keys()
        if shapes[name] != expected[name]
    ]
    lists = (("Missing", missing), ("Unknown", unknown), ("Of another shape", wrong))
    return "".join(f"\n{title}:\n{list_names(names)}" for title, names in lists if names)


def untie(tensors: dict[str, StoredTensor], config: Config) -> dict[str, StoredTensor]:
    """Without outputs that are tied to their embeddings, as `save_pretrained` writes them.

    Raises:
        ConversionError: such an output and its embedding are not the same.
    """
    tensors = dict(tensors)
    for prefix, part in parts_of(config):
        if not is_tied(part) or prefix + OUTPUT not in tensors:
            continue
        output = tensors.pop(prefix + OUTPUT)
        embedding = tensors.setdefault(prefix + EMBEDDING, output)
        if not have_equal_numbers(embedding, output):
            raise ConversionError(
                f"{prefix}{OUTPUT} and {prefix}{EMBEDDING} of the checkpoint differ; without merged_decoder they are one."
            )
    return tensors


def set_dtype(config: Config, tensors: Mapping[str, StoredTensor]) -> None:
    """Notes in a configuration the type that the model is to be loaded in: that of all weights, or float32 for a mixture."""
    dtypes = {tensor.dtype for tensor in tensors.values()}
    name = str(dtypes.pop()).removeprefix("torch.") if len(dtypes) == 1 else "float32"
    for _, part in [("", config), *parts_of(config)]:
        part.dtype = name


def set_license(config: Config) -> None:
    """Notes in a configuration, and in those of its parts, the licence that the weights keep wherever they go."""
    for _, part in [("", config), *parts_of(config)]:
        part.weights_license = LICENSE_NAME


def write_folder(
    output: Path,
    config: Config,
    tensors: Mapping[str, StoredTensor],
    files: Sequence[str],
    file_format: str,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    save_more: Callable[[Path], None] | None = None,
) -> None:
    """Writes a folder that `from_pretrained` loads: configuration, weights, a card with the licence.

    The folder is there when all of it is, and not before.

    Args:
        output: made; may exist where it is empty.
        files: what the weights were converted from, and
        file_format: whose files they are, for the card.
        save_more: called with the folder to write into.

    Raises:
        ConversionError: there is no space for it, or a tensor cannot be read or holds NaN.
    """
    total = sum(tensor.nbytes for tensor in tensors.values())
    set_dtype(config, tensors)
    set_license(config)
    config.architectures = [ARCHITECTURES[type(config)]]
    with _completed_folder(Path(output), total) as folder:
        config.save_pretrained(folder)
        with tqdm(total=total, unit="B", unit_scale=True, file=sys.stderr, disable=total < PROGRESS_BYTES) as progress:
            write_safetensors(folder, tensors, max_shard_bytes, progress.update)
        if save_more:
            save_more(folder)
        card = CARD.format(
            license=LICENSE,
            license_name=LICENSE_NAME,
            license_link=LICENSE_LINK,
            license_note=LICENSE_NOTE,
            model_type=config.model_type,
            title=Path(output).resolve().name,
            format=file_format,
            files="\n".join(f"- `{name}`" for name in files),
            architecture=config.architectures[0],
            types=" and ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})),
        )
        (folder / "README.md").write_text(card, encoding="utf-8")


@contextlib.contextmanager
def _completed_folder(output: Path, total_bytes: int) -> Iterator[Path]:
    """A folder beside `output` that takes its place at the end, and goes where something fails."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConversionError(f"{output} exists and is not empty; choose a new folder.")
    partial = output.with_name(output.name + ".partial")
    if partial.exists():
        raise ConversionError(f"{partial} is left of a conversion that was killed; remove it.")
    output.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(output.parent).free
    if free < total_bytes:
        raise ConversionError(f"{output} needs {total_bytes:,} bytes, and {free:,} are free there.")
    partial.mkdir()
    try:
        yield partial
        if output.exists():
            output.rmdir()  # an empty one, which not every system replaces
        partial.rename(output)
    except BaseException:
        shutil.rmtree(partial)
        raise
