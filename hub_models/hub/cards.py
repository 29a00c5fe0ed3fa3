"""Model cards: rendered from a template, facts and measured numbers; and checked without the network.

A card of a bundled model has four sources and no number typed by hand: `templates/<template>.md`, the model's entry in
`hub_models/bundled/index.json`, `data_sources.yaml`, and the model folder itself, its configuration, the header of its
weights, and metrics.json as `evaluate.py` writes it. What is read there for each kind of model, `cards_jukebox`,
`cards_music_vae`, `cards_transformer_autoencoder` and `cards_wavegrad` say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from . import cards_jukebox, cards_music_vae, cards_transformer_autoencoder, cards_wavegrad
from .errors import HubError
from .figures import Metric
from .files import read_json
from .licences import LINKS, kept_license, license_fields

FOLDER = Path(__file__).resolve().parent
# Library -> the Hub's nearest task: it has none for symbolic music. Vocoders stand under audio-to-audio there.
PIPELINE_TAG_OF = {"transformers": "text-to-audio", "diffusers": "audio-to-audio"}

# Beginning of a template's name -> task and facts of the models whose cards it makes.
KINDS = {
    "jukebox": (cards_jukebox.TASK, cards_jukebox.jukebox_values),
    "music_vae": (cards_music_vae.TASK, cards_music_vae.music_vae_values),
    "transformer_autoencoder": (
        cards_transformer_autoencoder.TASK,
        cards_transformer_autoencoder.transformer_autoencoder_values,
    ),
    "wavegrad": (cards_wavegrad.TASK, cards_wavegrad.wavegrad_values),
}

# Of the Hub's list of licence identifiers, those that weights or data of this kind come under.
# fmt: off
LICENSES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "mpl-2.0", "gpl-2.0", "gpl-3.0", "agpl-3.0",
    "lgpl-2.1", "lgpl-3.0", "openrail", "openrail++", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "odc-by", "odbl", "pddl", "unlicense", "openmdw-1.0", "unknown", "other",
}
# fmt: on
PIPELINE_TAGS = {
    "text-to-audio",
    "text-to-speech",
    "audio-to-audio",
    "audio-classification",
    "automatic-speech-recognition",
    "feature-extraction",
    "other",
}
IDENTIFIER = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def data_sources() -> dict[str, dict]:
    """The entries of `data_sources.yaml`: key -> name, hub_id, url, content, licence, licence_id, citation[, note]."""
    return yaml.safe_load((FOLDER / "data_sources.yaml").read_text(encoding="utf-8"))


def render_card(name: str, *, folder: str | Path | None = None, repository: str | None = None) -> str:
    """The complete model card of a bundled model, as Markdown with YAML front matter.

    Args:
        name: The model's name in `hub_models/bundled/index.json`.
        folder: Its checkpoint folder, where it is not the bundled one.
        repository: `OWNER/NAME` for the code examples; `your-name/<name>` by default.

    Raises:
        HubError: There is no such model, or it has not been trained and evaluated.
    """
    from hub_models.bundled import BUNDLED_FOLDER, read_index

    index = read_index()
    if name not in index:
        raise HubError(f"There is no bundled model {name!r} to write a card for; there are {', '.join(index)}.")
    facts = index[name]
    folder = Path(folder or BUNDLED_FOLDER / name)
    library_name = facts.get("library_name", "transformers")
    task, values_of = next(kind for name, kind in KINDS.items() if facts["template"].startswith(name))
    results, values = values_of(folder, facts)
    catalogue = data_sources()
    sources = [catalogue[key] for key in facts["data_sources"]]
    measured = [catalogue[key] for key in facts.get("measured_on", facts["data_sources"])]
    card_data = ModelCardData(
        license=facts.get("license", "apache-2.0"),
        library_name=library_name,
        pipeline_tag=PIPELINE_TAG_OF[library_name],
        tags=[*facts["tags"], "encore"],
        datasets=[source["hub_id"] for source in sources],
        metrics=sorted({metric.kind for metric in results}),
        model_name=name,
        eval_results=_evaluation_results(results, measured, values["metrics"], PIPELINE_TAG_OF[library_name], task),
    )
    values |= {"sources": sources, "measured": measured, "repository": repository or f"your-name/{name}"}
    return _render(facts["template"], card_data, **facts | values)


def card_for_folder(
    folder: Path, bundled_name: str | None, *, repository: str | None = None, license: str | None = None
) -> str:
    """The card to publish with a checkpoint folder: the bundled model's, the folder's own README.md, or a short one.

    Raises:
        HubError: The card of a bundled model cannot be rendered, or the folder's configuration cannot be read.
    """
    if bundled_name is not None:
        return render_card(bundled_name, folder=folder, repository=repository)
    own_card = folder / "README.md"
    if own_card.is_file():
        return own_card.read_text(encoding="utf-8")
    if (folder / "model_index.json").is_file():
        library_name, tag = "diffusers", "wavegrad"
    else:
        library_name, tag = "transformers", read_json(folder / "config.json").get("model_type", "unknown")
    return _render(
        "model" if library_name == "transformers" else "pipeline",
        ModelCardData(
            **license_fields(folder, license),
            library_name=library_name,
            pipeline_tag=PIPELINE_TAG_OF[library_name],
            tags=["music", "encore", tag],
        ),
        title=(repository or folder.resolve().name).split("/")[-1],
        model_type=tag,
        repository=repository or f"your-name/{folder.resolve().name}",
        kept_license=(kept := kept_license(folder)),
        kept_license_link=LINKS.get(kept),
    )


def check_card(card: str, required: Iterable[str] = ()) -> list[str]:
    """What is wrong with a card's metadata, without asking the Hub; an empty list if nothing is.

    Args:
        card: Markdown, with or without YAML front matter.
        required: Fields that must be there, e.g. `("license", "pipeline_tag")`.
    """
    try:
        data = ModelCard(card).data
        metadata = data.to_dict()
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        return [f"the YAML front matter cannot be read: {' '.join(str(error).split())}"]
    problems = [f"{field} is missing" for field in required if not metadata.get(field)]
    for field, allowed in (("license", LICENSES), ("library_name", PIPELINE_TAG_OF), ("pipeline_tag", PIPELINE_TAGS)):
        if (value := metadata.get(field)) is not None and value not in allowed:
            problems.append(f"{field} {value!r} is not one of {', '.join(sorted(allowed))}")
    if metadata.get("license") == "other" and not (metadata.get("license_name") and metadata.get("license_link")):
        problems.append("license 'other' needs license_name and license_link")
    for field in ("tags", "datasets", "metrics"):
        values = metadata.get(field) or []
        if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
            problems.append(f"{field} must be a list of texts")
        elif field == "datasets":
            problems += [f"dataset {value!r} is no identifier" for value in values if not IDENTIFIER.fullmatch(value)]
    for result in data.eval_results or []:
        value = result.metric_value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            problems.append(f"the value of metric {result.metric_name or result.metric_type!r} is {value!r}, not a number")
    return problems


def _render(template: str, card_data: ModelCardData, /, **values) -> str:
    # Imported here, as huggingface_hub does: only cards need it. Its own `ModelCard.from_template` knows no inheritance.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown, from our own texts
    )
    text = environment.get_template(f"{template}.md").render(card_data=card_data.to_yaml(), **values)
    return str(ModelCard(text)).rstrip("\n") + "\n"


def _evaluation_results(
    results: list[Metric], sources: list[dict], metrics: dict, task_type: str, task_name: str
) -> list[EvalResult]:
    return [
        EvalResult(
            task_type=task_type,
            task_name=task_name,
            dataset_type=sources[0]["hub_id"] if len(sources) == 1 else "mixed",
            dataset_name=" + ".join(source["name"] for source in sources),
            dataset_split=metrics["split"],
            metric_type=metric.kind,
            metric_name=metric.name,
            metric_value=round(metric.value(metrics), 5),
        )
        for metric in results
    ]
