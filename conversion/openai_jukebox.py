"""Jukebox checkpoints of openai/jukebox (PyTorch): a VQ-VAE, a prior, or a whole model, to a folder of `from_pretrained`.

Published are models/5b/{vqvae,prior_level_0,prior_level_1,prior_level_2}.pth.tar, models/5b_lyrics/prior_level_2.pth.tar and
models/1b_lyrics/prior_level_2.pth.tar, code and weights under OpenAI's Noncommercial Use License. Checkpoints are read with
nothing of them run, tensor by tensor: the largest needs the memory of its largest tensor.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_models.jukebox.configuration_jukebox import JukeboxConfig, JukeboxPriorConfig, JukeboxVQVAEConfig
from hub_models.jukebox.processing_jukebox import JukeboxProcessor
from hub_models.jukebox.tokenization_jukebox import JukeboxTokenizer

from .errors import ConversionError, list_names
from .jukebox_folders import (
    LICENSE,
    LICENSE_NOTE,
    OUTPUT,
    PartConfig,
    expected_shapes,
    is_tied,
    misfits,
    untie,
    write_folder,
)
from .jukebox_names import (
    PUBLISHED,
    PUBLISHED_MODELS,
    PUBLISHED_NAMES,
    prior_config_from,
    prior_name,
    published_config,
    vqvae_config_from,
    vqvae_name,
)
from .stored_tensors import StoredTensor, check_stored_tensors
from .torch_streams import open_torch

__all__ = [
    "CHECKPOINT_HELP",
    "CONFIG_NAMES",
    "LICENSE",
    "OPTIONS",
    "convert",
    "convert_model",
    "convert_prior",
    "convert_vqvae",
]

CHECKPOINT_HELP = (
    "a .pth.tar: vqvae or prior_level_<n>, each gives a folder of its own; or a folder that holds them, such as "
    "models/1b_lyrics beside models/5b, which gives one folder of the whole model"
)
CONFIG_NAMES = ()  # --config is an option: checkpoints know their numbers, or are known by their tensors
OPTIONS = {
    "config": {
        "choices": PUBLISHED_NAMES,
        "help": "the published checkpoint (of a folder: model) that this is: its numbers count, not those in the file",
    },
    "vqvae": {
        "type": Path,
        "metavar": "FILE",
        "help": "of a prior alone: the checkpoint of the VQ-VAE whose codes it is about. Where it is not given, the "
        "published VQ-VAE, if it fits",
    },
    "ids": {
        "type": Path,
        "metavar": "DIR",
        "help": "of a whole model: the folder with v2_artist_ids.txt, v2_genre_ids.txt and so on, to write a tokenizer too",
    },
}

#: Numbers that no shape shows, so that a file could be wrong about them.
UNSEEN_OF_VQVAE = (
    "sampling_rate",
    "res_dilation_growth_rate",
    "res_dilation_cycle",
    "reverse_decoder_dilation",
    "conv_res_scale",
)
UNSEEN_OF_PRIOR = (
    "attention_pattern",
    "blocks",
    "n_heads",
    "attn_res_scale",
    "min_duration",
    "max_duration",
    "max_nb_genres",
    "res_dilation_growth_rate",
    "res_dilation_cycle",
    "sampling_rate",
)


@dataclass
class Part:
    """A checkpoint under our names.

    Args:
        path: of its file.
        config: of the model.
        tensors: with a tied output in them.
        label_version: of a prior, whether its artists and genres are of the lists v2 or v3.
        notes: for the person.
    """

    path: Path
    config: PartConfig
    tensors: dict[str, StoredTensor]
    label_version: str = "v2"
    notes: list[str] = field(default_factory=list)


def convert(
    checkpoint: Path, output: Path, config: str | None = None, vqvae: Path | None = None, ids: Path | None = None
) -> list[str]:
    """Writes a checkpoint, or a folder of them, to the folder `output`.

    Args:
        checkpoint: a file, or a folder of files.
        config: name of the published checkpoint or model that it is, one of `PUBLISHED_NAMES`.
        vqvae: of a prior alone, the file of its VQ-VAE.
        ids: of a whole model, the folder with the names of artists and genres.

    Returns:
        Remarks for the person; the licence.

    Raises:
        ConversionError: says what is wrong with the checkpoint, or with the arguments.
    """
    checkpoint = Path(checkpoint)
    if checkpoint.is_dir():
        if vqvae is not None:
            raise ConversionError("--vqvae is for a prior alone; the folder has a VQ-VAE of its own.")
        return convert_model(checkpoint, output, config, ids)
    if config in PUBLISHED_MODELS:
        raise ConversionError(f"--config {config} is a model of four files; one file is one of {', '.join(PUBLISHED)}.")
    if ids is not None:
        raise ConversionError("--ids is for a whole model, whose folder has a tokenizer; a part has none.")
    with ExitStack() as stack:
        part = _open(stack, checkpoint, config, None if vqvae is None else _read_hps(vqvae))
        return _write(part, output)


def convert_vqvae(path: Path, output: Path, hps: Mapping[str, Any] | None = None) -> list[str]:
    """Writes the checkpoint of a VQ-VAE as a folder of `JukeboxVQVAE`.

    Args:
        hps: hyperparameters that replace those in the file; `bandwidth` with `l1`, `l2` and `spec` may be one of them.
    """
    with ExitStack() as stack:
        return _write(_open(stack, Path(path), hps=hps), output)


def convert_prior(
    path: Path, output: Path, vqvae: Mapping[str, Any] | None = None, hps: Mapping[str, Any] | None = None
) -> list[str]:
    """Writes the checkpoint of a prior as a folder of `JukeboxPrior`.

    Args:
        vqvae: hyperparameters of the VQ-VAE whose codes it is about.
        hps: hyperparameters that replace those in the file.
    """
    with ExitStack() as stack:
        return _write(_open(stack, Path(path), vqvae_hps=vqvae, hps=hps), output)


def convert_model(folder: Path, output: Path, config: str | None = None, ids: Path | None = None) -> list[str]:
    """Writes the checkpoints in a folder as one folder of `JukeboxModel`, the finest priors left out if they are not there.

    Args:
        folder: with vqvae.pth.tar and prior_level_<n>.pth.tar, or of the release's folders, with or without models/ above.
        config: which of the published models it is, where the folder holds several, or where hyperparameters are wrong.
        ids: the folder with the names of artists and genres.

    Raises:
        ConversionError: files are missing or ambiguous, or do not belong together.
    """
    if config is not None and config not in PUBLISHED_MODELS:
        raise ConversionError(f"--config {config} is one checkpoint; a folder is one of {', '.join(PUBLISHED_MODELS)}.")
    with ExitStack() as stack:
        vqvae = _open(stack, _find(folder, "vqvae", config), config and "vqvae")
        vqvae_hps = _hps_of(vqvae)
        levels = vqvae_hps["levels"]
        priors = []
        for level in reversed(range(levels)):
            name = config and (PUBLISHED_MODELS[config] if level == levels - 1 else f"upsampler_level_{level}")
            path = _find(folder, f"prior_level_{level}", config, is_needed=level == levels - 1)
            if path is not None and len(priors) == levels - 1 - level:
                priors.append(_open(stack, path, name, vqvae_hps))
        return _write_model(vqvae, priors, output, ids)


def _write_model(vqvae: Part, priors: list[Part], output: Path, ids: Path | None) -> list[str]:
    for number, prior in enumerate(priors):
        if not isinstance(prior.config, JukeboxPriorConfig) or prior.config.level != number:
            raise ConversionError(f"{prior.path.name} is not the prior that its name says.")
    try:
        config = JukeboxConfig(
            vqvae_config=vqvae.config,
            prior_config_list=[prior.config for prior in priors],
            sampling_rate=vqvae.config.sampling_rate,
        )
    except Exception as error:  # huggingface_hub wraps what @strict finds in errors of its own
        reason = " ".join(str(error).split())[:500]
        raise ConversionError(f"The checkpoints do not belong together: {reason}") from error
    tensors = {f"vqvae.{name}": tensor for name, tensor in vqvae.tensors.items()}
    for number, prior in enumerate(priors):
        tensors |= {f"priors.{number}.{name}": tensor for name, tensor in prior.tensors.items()}
    files = [f"{part.path.parent.name}/{part.path.name}" for part in (vqvae, *priors)]
    save_names = None
    if ids is not None:
        save_names = JukeboxProcessor.for_model(config, _tokenizer(Path(ids), priors)).save_pretrained
    write_folder(output, config, untie(tensors, config), files, "openai/jukebox", save_more=save_names)
    notes = [note for part in (vqvae, *priors) for note in part.notes]
    if (level := vqvae.config.levels - len(priors)) > 0:
        notes.append(
            f"There is no prior_level_{level - 1}.pth.tar: the model writes no codes finer than those of level {level}."
        )
    if ids is None:
        notes.append("The folder has no tokenizer: names of artists and genres come with --ids DIR.")
    return [*notes, LICENSE_NOTE]


def _tokenizer(ids: Path, priors: list[Part]) -> JukeboxTokenizer:
    top = priors[0].config
    try:
        return JukeboxTokenizer.from_id_files(
            ids,
            version=[prior.label_version for prior in priors],
            n_genres=top.max_nb_genres,
            max_n_lyric_tokens=top.nb_relevant_lyric_tokens,
        )
    except (ValueError, OSError) as error:
        raise ConversionError(f"The names in {ids} cannot be read: {error}") from error


def _write(part: Part, output: Path) -> list[str]:
    write_folder(output, part.config, untie(part.tensors, part.config), [part.path.name], "openai/jukebox")
    return [*part.notes, LICENSE_NOTE]


def _find(folder: Path, name: str, config: str | None, is_needed: bool = True) -> Path | None:
    """The file of that name in a folder, in one of its folders, or, of the release, in 5b beside it."""
    file_name = f"{name}.pth.tar"
    for place in (folder, folder.resolve().parent / "5b"):
        found = sorted(path for path in place.rglob(file_name) if path.is_file())
        if len(found) > 1 and config is not None:
            # Of the release, 5b_lyrics and 1b_lyrics have but a top prior of their own.
            found = [path for path in found if path.parent.name == config] or [
                path for path in found if path.parent.name == "5b"
            ]
        if len(found) > 1:
            raise ConversionError(
                f"{place} holds more than one {file_name}:\n{list_names(map(str, found))}\n"
                f"Give the folder of one model, or say which published one with --config: {', '.join(PUBLISHED_MODELS)}."
            )
        if found:
            return found[0]
    if is_needed:
        raise ConversionError(f"There is no {file_name} in {folder}, nor in 5b beside it.")
    return None


def _read_hps(path: Path) -> dict[str, Any]:
    with ExitStack() as stack:
        return _hps_of(_open(stack, Path(path)))


def _hps_of(vqvae: Part) -> dict[str, Any]:
    """Hyperparameters of a VQ-VAE that its priors share."""
    config = vqvae.config
    if not isinstance(config, JukeboxVQVAEConfig):
        raise ConversionError(f"{vqvae.path.name} is no VQ-VAE.")
    return {
        "levels": config.levels,
        "l_bins": config.nb_discrete_codes,
        "downs_t": config.res_downs_t,
        "strides_t": config.res_strides_t,
    }


def _open(
    stack: ExitStack,
    path: Path,
    published: str | None = None,
    vqvae_hps: Mapping[str, Any] | None = None,
    hps: Mapping[str, Any] | None = None,
) -> Part:
    """Opens a checkpoint and finds the configuration that its tensors belong to."""
    contents = stack.enter_context(open_torch(path))
    if not isinstance(contents, dict) or "model" not in contents:
        held = [str(key)[:80] for key in contents] if isinstance(contents, dict) else [type(contents).__name__]
        raise ConversionError(f"{path.name} is no checkpoint of openai/jukebox: it has no 'model', but\n{list_names(held)}")
    tensors = check_stored_tensors(contents["model"], f"'model' of {path.name}")
    is_vqvae = any(name.removeprefix("module.").startswith("bottleneck.") for name in tensors)
    tensors = _renamed(path, tensors, vqvae_name if is_vqvae else prior_name, "VQ-VAE" if is_vqvae else "prior")
    own = contents.get("hps")
    hps = {**(own if isinstance(own, dict) else {}), **(hps or {})}
    part = Part(path, None, tensors, "v3" if hps.get("labels_v3") else "v2")
    if published is not None:
        _take_published(part, published)
        _check_fit(part, f"the published {published}")
    else:
        _find_config(part, is_vqvae, hps, vqvae_hps)
    if isinstance(step := contents.get("step"), int) and step > 0:
        part.notes.append(f"{path.name} is of training step {step:,}.")
    return part


def _renamed(
    path: Path, tensors: dict[str, StoredTensor], rename: Callable[[str], str | None], what: str
) -> dict[str, StoredTensor]:
    renamed: dict[str, StoredTensor] = {}
    unknown = []
    for original, tensor in tensors.items():
        # Training on several GPUs put a prefix before every name.
        ours = rename(original.removeprefix("module."))
        if ours is None or ours in renamed:
            unknown.append(original[:200])
        renamed[ours] = tensor
    if unknown:
        raise ConversionError(
            f"{path.name} holds tensors that no {what} of openai/jukebox has, or twice:\n{list_names(unknown)}"
        )
    return renamed


def _shapes(part: Part, config: PartConfig) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in part.tensors.items() if not (is_tied(config) and name == OUTPUT)}


def _check_fit(part: Part, what: str):
    if text := misfits(_shapes(part, part.config), expected_shapes(part.config)):
        raise ConversionError(f"The tensors of {part.path.name} are not those of {what}.{text}")


def _find_config(part: Part, is_vqvae: bool, hps: Mapping[str, Any], vqvae_hps: Mapping[str, Any] | None):
    """Sets the configuration: what the hyperparameters in the file say, if the tensors agree, else the published one that
    the tensors are those of. (The original does not read them from the file either.)
    """
    try:
        if is_vqvae:
            part.config = vqvae_config_from(hps)
        else:
            part.config = prior_config_from(hps, vqvae_hps or _vqvae_of(part, hps))
        _check_fit(part, "its hyperparameters")
    except ConversionError as error:
        published = list(_published_that_fit(part, is_vqvae))
        if len(published) != 1:
            names = f" It could be {' or '.join(published)}: say which with --config." if published else ""
            raise ConversionError(f"{error}{names}") from error
        _take_published(part, published[0])
        part.notes.append(
            f"{part.path.name} has the tensors of the published {published[0]}, and hyperparameters that are not complete "
            "or do not fit: the published numbers are taken."
        )
        return
    _compare_with_published(part, is_vqvae)


def _vqvae_of(part: Part, hps: Mapping[str, Any]) -> Mapping[str, Any]:
    """A VQ-VAE's hyperparameters that nobody gave: those among the prior's, if of as many codes, or the published."""
    published = published_config("vqvae")
    codes = part.tensors["prior.embed_tokens.weight"].shape[0] if "prior.embed_tokens.weight" in part.tensors else None
    if hps.get("single_enc_dec") and hps.get("use_tokens") and isinstance(hps.get("n_vocab"), int):
        codes = codes and codes - hps["n_vocab"]
    if codes == hps.get("l_bins"):
        return hps
    if codes == published.nb_discrete_codes:
        part.notes.append(f"{part.path.name} is taken for a prior of the published VQ-VAE; --vqvae FILE names another one.")
        return _hps_of(Part(part.path, published, {}))
    raise ConversionError(f"{part.path.name} is a prior of {codes} codes: give the checkpoint of their VQ-VAE with --vqvae.")


def _published_that_fit(part: Part, is_vqvae: bool) -> Iterator[str]:
    level = re.search(r"level_(\d)", part.path.name)
    for name, (_, index) in PUBLISHED.items():
        # The two upsamplers have tensors of the same shapes: the file's name tells them apart.
        if (index is None) != is_vqvae or (level and name.startswith("upsampler") and name[-1] != level[1]):
            continue
        config = published_config(name)
        if _could_be(part, config) and not misfits(_shapes(part, config), expected_shapes(config)):
            yield name


def _take_published(part: Part, name: str):
    part.config = published_config(name)
    part.label_version = "v3" if name == "prior_1b_lyrics" else "v2"


def _could_be(part: Part, config: PartConfig) -> bool:
    """Whether one telling tensor has the right shape, before all are compared."""
    if isinstance(config, JukeboxPriorConfig):
        name, shape = "prior.pos_emb.pos_emb", (config.sequence_length, config.hidden_size)
    else:
        name, shape = "bottleneck.level_blocks.0.codebook", (config.nb_discrete_codes, config.embed_dim)
    return name in part.tensors and part.tensors[name].shape == shape


def _compare_with_published(part: Part, is_vqvae: bool):
    """Where the tensors are those of a published checkpoint: adds what its file cannot know, and tells what differs."""
    for name in _published_that_fit(part, is_vqvae):
        published = published_config(name)
        if not is_vqvae and published.level != part.config.level:
            continue
        if not is_vqvae and part.config.nb_relevant_lyric_tokens and part.config.alignment_layer is None:
            # Found after the training.
            part.config.alignment_layer = published.alignment_layer
            part.config.alignment_head = published.alignment_head
        different = [
            f"{field} {getattr(part.config, field)}, not {getattr(published, field)}"
            for field in (UNSEEN_OF_VQVAE if is_vqvae else UNSEEN_OF_PRIOR)
            if getattr(part.config, field) != getattr(published, field)
        ]
        if different:
            part.notes.append(
                f"{part.path.name} has the tensors of the published {name}, but says: {'; '.join(different)}. With --config "
                "its own numbers give way to the published ones."
            )
