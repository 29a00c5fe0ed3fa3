"""The parts of a Jukebox model: all at hand, or read from a folder one after another when they are needed.

A folder is what `JukeboxModel.save_pretrained` writes: config.json with one safetensors file or several and their index.
Only the tensors of the part that is asked for are read.
"""

import contextlib
import gc
import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedModel

from .configuration_jukebox import JukeboxConfig
from .modeling_jukebox_prior import JukeboxPrior
from .modeling_jukebox_vqvae import JukeboxVQVAE
from .strict_loading import no_safetensors, refuse_pickles

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
VQVAE_PREFIX = "vqvae."
PRIOR_PREFIX = "priors.{}."
#: Of each tensor so many values are looked at to tell models apart, and all of a codebook.
FINGERPRINT_VALUES = 16
_NOT_IN_FINGERPRINT = (".fc_proj_out.weight", ".code_sums", ".code_counts")  # tied, or not always in a file


class OtherModelError(ValueError):
    """Codes or a run that belong to another model."""


class WeightFiles:
    """The tensors of a folder, by name.

    Raises:
        ValueError: there are no safetensors, or they are damaged.
    """

    def __init__(self, folder: Path):
        refuse_pickles(folder)
        self.folder = folder
        index = folder / INDEX_FILE
        if index.is_file():
            try:
                self.file_of = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{index} is damaged: {error!r}.") from error
            strangers = [name for name in self.file_of.values() if Path(name).name != name]
            if strangers:
                raise ValueError(f"{index} names a file outside of its folder: {strangers[0]!r}.")
        elif (folder / WEIGHTS_FILE).is_file():
            with self._open(WEIGHTS_FILE) as file:
                self.file_of = dict.fromkeys(file.keys(), WEIGHTS_FILE)
        else:
            raise ValueError(no_safetensors(folder, f"neither {WEIGHTS_FILE} nor {INDEX_FILE}"))

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[Any]:
        try:
            with safe_open(self.folder / name, framework="pt") as file:
                yield file
        except (SafetensorError, FileNotFoundError) as error:
            raise ValueError(f"The weights {self.folder / name} are missing or damaged: {error}.") from error

    def _files(self, prefix: str) -> dict[str, list[str]]:
        """The names that begin with `prefix`, by file."""
        names: dict[str, list[str]] = {}
        for name, file in sorted(self.file_of.items()):
            if name.startswith(prefix):
                names.setdefault(file, []).append(name)
        return names

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """All tensors whose names begin with `prefix`, which is taken off."""
        found = {}
        for file_name, names in self._files(prefix).items():
            with self._open(file_name) as file:
                found |= {name.removeprefix(prefix): file.get_tensor(name) for name in names}
        return found

    def beginnings(self, prefix: str) -> Iterator[tuple[str, tuple[int, ...], Tensor]]:
        """Name, shape and the first values of these tensors; all values of codebooks."""
        for file_name, names in self._files(prefix).items():
            with self._open(file_name) as file:
                for name in names:
                    part = file.get_slice(name)
                    shape = tuple(part.get_shape())
                    whole = name.endswith(".codebook") or not shape
                    yield name.removeprefix(prefix), shape, file.get_tensor(name) if whole else part[:1]


class LoadedParts:
    """The parts of a model that is in memory."""

    def __init__(self, model: PreTrainedModel):
        self.config: JukeboxConfig = model.config
        self.vqvae: JukeboxVQVAE = model.vqvae
        self._model = model.eval()
        self.device, self.dtype = model.device, next(model.priors.parameters()).dtype

    @contextlib.contextmanager
    def prior(self, level: int) -> Iterator[JukeboxPrior]:
        """The prior of a level, from the top."""
        yield self._model.priors[level]

    def fingerprint(self) -> dict[str, Any]:
        """What tells this model from others: hashes of the VQ-VAE and of each prior, and the type that is computed in."""
        return _fingerprint(self.config, _beginnings(self.vqvae), map(_beginnings, self._model.priors), self.dtype)


class FolderParts:
    """The parts of a model in a folder. The VQ-VAE, which is small, is read at once, priors when they are first used.

    Args:
        folder: of the model.
        device: for computation.
        dtype: that priors compute in. The VQ-VAE computes in float32, as in the original.
        low_memory: a prior is in memory only while it is used.

    Raises:
        ValueError: the folder holds another kind of model, or no safetensors.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype, low_memory: bool):
        values, _ = JukeboxConfig.get_config_dict(folder)
        if values.get("model_type") != JukeboxConfig.model_type:
            raise ValueError(
                f"{folder} holds a model of type {values.get('model_type')!r}; {JukeboxConfig.model_type!r} is read."
            )
        self.config = JukeboxConfig.from_pretrained(folder)
        self.device, self.dtype, self.low_memory = device, dtype, low_memory
        self._files = WeightFiles(folder)
        self.vqvae = self._load(JukeboxVQVAE, self.config.vqvae_config, VQVAE_PREFIX, torch.float32)
        self._kept: dict[int, JukeboxPrior] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def prior(self, level: int) -> Iterator[JukeboxPrior]:
        """The prior of a level, from the top."""
        if not self.low_memory:
            with self._lock:
                if level not in self._kept:
                    self._kept[level] = self._load_prior(level)
            yield self._kept[level]
            return
        prior = self._load_prior(level)
        try:
            yield prior
        finally:
            self._release(prior)

    def fingerprint(self) -> dict[str, Any]:
        """See [`LoadedParts.fingerprint`]; the same for the same model."""
        priors = (self._files.beginnings(PRIOR_PREFIX.format(level)) for level in range(self.config.nb_priors))
        return _fingerprint(self.config, self._files.beginnings(VQVAE_PREFIX), priors, self.dtype)

    def _load_prior(self, level: int) -> JukeboxPrior:
        return self._load(JukeboxPrior, self.config.prior_configs[level], PRIOR_PREFIX.format(level), self.dtype)

    def _release(self, prior: JukeboxPrior):
        prior.to_empty(device="meta")  # whoever still holds the module, such as an exception's traceback, holds no weights
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _load(self, part_class: type[PreTrainedModel], config, prefix: str, dtype: torch.dtype) -> PreTrainedModel:
        part, report = part_class.from_pretrained(
            None,
            config=config,
            state_dict=self._files.tensors(prefix),
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
            names = [name if isinstance(name, str) else name[0] for name in report[problem]]
            if names:
                raise ValueError(
                    f"The weights in {self._files.folder} do not fit the configuration: {problem.split('_')[0]} tensors, "
                    f"such as {prefix}{min(names)}."
                )
        return part.to(self.device).eval().requires_grad_(False)


def local_folder(name_or_path: str | Path) -> Path:
    """A folder as it is; a Hub repository's configuration, vocabularies and safetensors, downloaded."""
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    return Path(snapshot_download(str(name_or_path), allow_patterns=["*.json", "*.safetensors"]))


def _beginnings(part: PreTrainedModel) -> Iterator[tuple[str, tuple[int, ...], Tensor]]:
    named = {**dict(part.named_parameters()), **dict(part.named_buffers())}
    for name, tensor in sorted(named.items()):
        tensor = tensor.detach()
        whole = name.endswith(".codebook") or tensor.ndim == 0
        yield name, tuple(tensor.shape), tensor if whole else tensor[:1]


def _fingerprint(
    config: JukeboxConfig,
    vqvae: Iterable[tuple[str, tuple[int, ...], Tensor]],
    priors: Iterable[Iterable[tuple[str, tuple[int, ...], Tensor]]],
    dtype: torch.dtype,
) -> dict[str, Any]:
    sizes = ("levels", "nb_discrete_codes", "res_downs_t", "res_strides_t", "sampling_rate", "conv_input_shape")
    of_vqvae = [getattr(config.vqvae_config, name) for name in sizes]
    return {
        "vqvae": _digest(of_vqvae, vqvae, torch.float32),
        "priors": [
            _digest([prior.n_ctx, prior.layer_attentions, prior.n_heads], tensors, dtype)
            for prior, tensors in zip(config.prior_configs, priors, strict=True)
        ],
        "dtype": str(dtype).removeprefix("torch."),
    }


def _digest(numbers: list[Any], tensors: Iterable[tuple[str, tuple[int, ...], Tensor]], dtype: torch.dtype) -> str:
    digest = hashlib.sha256(json.dumps(numbers).encode())
    for name, shape, values in tensors:
        if name.endswith(_NOT_IN_FINGERPRINT):
            continue
        values = values.flatten() if name.endswith(".codebook") else values.flatten()[:FINGERPRINT_VALUES]
        digest.update(f"{name} {shape}".encode())
        digest.update(values.cpu().to(dtype).float().numpy().tobytes())
    return digest.hexdigest()[:32]


def check_same_model(found: dict[str, Any], expected: dict[str, Any], what: str):
    """
    Args:
        found: the fingerprint that is stored with something.
        expected: that of the model that is to go on with it.
        what: the thing, for the message.

    Raises:
        OtherModelError: they differ; says in what.
    """
    if not isinstance(found, dict) or found.get("vqvae") != expected["vqvae"]:
        raise OtherModelError(f"{what} belongs to another model: codes mean what the VQ-VAE that made them says.")
    if found.get("priors") != expected["priors"]:
        raise OtherModelError(f"{what} was sampled with other priors than this model's.")
    if found.get("dtype") != expected["dtype"]:
        raise OtherModelError(
            f"{what} was sampled in {found.get('dtype')}, this model computes in {expected['dtype']}: what is sampled "
            f"would not be the same. Load the model with dtype {found.get('dtype')!r}."
        )
