"""Licences that weights keep wherever they go: what a card must say of them, and what they may not be published under.

OpenAI released Jukebox, code and weights, under its Noncommercial Use License. Conversion notes it in the configurations
(`weights_license`), from which whatever is fine-tuned or put together from them inherits it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from .errors import HubError
from .files import read_json

OPENAI = "noncommercial-use-license"
#: Name of a licence that weights keep -> where it stands.
LINKS = {OPENAI: "https://github.com/openai/jukebox/blob/master/LICENSE"}


def kept_license(folder: Path) -> str | None:
    """Name of the licence that the weights in a checkpoint folder keep; None for weights that are free of such.

    Raises:
        HubError: It is one whose text Encore does not know.
    """
    if not (folder / "config.json").is_file():
        return None  # the pipelines of Encore are trained from scratch, or of another licence
    names = sorted(set(_noted(read_json(folder / "config.json"))))
    unknown = [name for name in names if name not in LINKS]
    if unknown or len(names) > 1:
        raise HubError(f"{folder / 'config.json'} has weights_license {', '.join(names)}; Encore knows {', '.join(LINKS)}.")
    return names[0] if names else None


def license_fields(folder: Path, license: str | None) -> dict[str, Any]:
    """What the metadata of a new card says of the licence.

    Args:
        folder: The checkpoint folder.
        license: What its owner asks for.
    """
    kept = kept_license(folder)
    if kept is None:
        return {"license": license}
    return {"license": "other", "license_name": kept, "license_link": LINKS[kept]}


def check_license(folder: Path, card: str, license: str | None = None) -> None:
    """Raises `HubError` if weights would be published under another licence than the one that they keep, as their
    configuration or their card says.

    Weights that have the sizes of a release of OpenAI's, and no note of where they come from, only cause a warning.

    Args:
        folder: The checkpoint folder.
        card: To be published with it.
        license: What its owner asks for.
    """
    stated = ModelCard(card).data.to_dict()
    kept = kept_license(folder) or (stated.get("license_name") if stated.get("license_name") in LINKS else None)
    if kept is None:
        if name := _release_of_this_size(folder):
            warnings.warn(
                f"{folder} has the sizes of {name}. If its weights come from OpenAI's, be it by fine-tuning, they are under "
                f"the Noncommercial Use License ({LINKS[OPENAI]}): no commercial use, and under no other licence.",
                stacklevel=3,
            )
        return
    asked = [stated.get("license_name") if stated.get("license") == "other" else stated.get("license")]
    asked += [license] if license not in (None, "other") else []
    for other in asked:
        if other != kept:
            raise HubError(
                f"The weights in {folder} come from OpenAI's Jukebox and stay under its Noncommercial Use License; they "
                f"cannot be published under {other!r}: leave --license out, and let a README.md of your own say license: "
                f"other, license_name: {kept}, license_link: {LINKS[kept]}."
            )


def _noted(values: Any) -> list[str]:
    """The licences in a configuration and in those inside it."""
    if isinstance(values, list):
        return [name for value in values for name in _noted(value)]
    if not isinstance(values, dict):
        return []
    own = values.get("weights_license")
    return [*([str(own)] if own is not None else []), *(name for value in values.values() for name in _noted(value))]


def _release_of_this_size(folder: Path) -> str | None:
    """The release of OpenAI's whose top prior is as large as a model's and knows as many names."""
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if config.get("model_type") != "jukebox":
        return None
    from hub_models.jukebox.presets import PRESETS

    priors = config.get("prior_config_list") or [config.get("prior_0")]
    names = [name for name in PRESETS if name != "jukebox-tiny"]
    return next((name for name in names if _sizes(PRESETS[name]["prior_config_list"][0]) == _sizes(priors[0])), None)


def _sizes(prior: Any) -> list[Any]:
    fields = ("hidden_size", "num_layers", "n_heads", "metadata_dims")
    return [prior.get(field) for field in fields] if isinstance(prior, dict) else []
