"""Model cards: rendered from a template, facts and measured numbers; and checked without the network.

A card of a bundled model has four sources and no number typed by hand: `templates/<template>.md`, the model's entry in
`hub_models/bundled/index.json`, `data_sources.yaml`, and the model folder itself: config.json, processor_config.json, the
header of model.safetensors, and metrics.json as `evaluate.py` writes it. Where the entry has a `flat_twin`, a model trained
alike with a flat decoder, that model's metrics are in metrics_flat.json.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .errors import HubError
from .figures import (
    FEEL_COLUMNS,
    Metric,
    check_metrics,
    check_twin,
    feel_of,
    feel_table,
    interpolation_table,
    main_table,
    metrics_of,
)
from .figures_multitracks import band_tables, harmony_metrics, headline_metrics, multitrack_metrics, operation_metrics

FOLDER = Path(__file__).resolve().parent
LIBRARY_NAME = "transformers"
PIPELINE_TAG = "text-to-audio"  # the Hub's nearest task: it has none for symbolic music

# Of the Hub's list of licence identifiers, those that weights or data of this kind come under.
# fmt: off
LICENSES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "isc", "mpl-2.0", "gpl-2.0", "gpl-3.0", "agpl-3.0",
    "lgpl-2.1", "lgpl-3.0", "openrail", "openrail++", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "odc-by", "odbl", "pddl", "unlicense", "openmdw-1.0", "unknown", "other",
}
# fmt: on
LIBRARIES = {"transformers", "diffusers"}
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


NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 8: "eight", 16: "sixteen", 32: "thirty-two"}
# What a representation holds, and what happens in it, in words.
MUSIC = {
    "melody": "a melody",
    "drums": "drums",
    "drum_roll": "drums",
    "trio": "melody, bass and drums",
    "groove": "drums with feel",
    "multitrack": "up to eight instruments",
}
EVENTS = {
    "melody": "a note begins or ends",
    "multitrack": "a note begins or ends",
    "trio": "a note begins or ends, a drum is hit",
}


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
    recipe, representation = facts["recipe"], facts["representation"]
    config = read_json(folder / "config.json", "train the model first", recipe)
    processor = read_json(folder / "processor_config.json", "train the model first", recipe)
    count = NUMBERS.get(processor["num_bars"], str(processor["num_bars"]))
    length = f"{count} bar" if processor["num_bars"] == 1 else f"{count} bars"
    metrics = read_json(folder / "metrics.json", "evaluate the model first", recipe)
    is_multitrack, has_chords = representation == "multitrack", bool(processor.get("chords"))
    shown = multitrack_metrics(metrics, length) if is_multitrack else metrics_of(representation, length)
    results, beside = list(shown), []
    if representation == "groove":
        given = [replace(metric, name=f"{metric.name}, hits given") for metric in feel_of(metrics, "known_hits")]
        results += [*feel_of(metrics, "likeliest"), *given]
        beside = [metric for way in FEEL_COLUMNS for metric in feel_of(metrics, way)]
    if is_multitrack and has_chords:
        results += headline_metrics()
        beside = harmony_metrics() + operation_metrics()
    check_metrics(metrics, shown + beside, folder / "metrics.json")
    twin = _read_twin(folder, facts, metrics, shown) if "flat_twin" in facts else None
    paper = {"paper (Table 1)": facts["paper_figures"]}
    if "paper_flat_figures" in facts:
        paper = {"paper, hierarchical": facts["paper_figures"], "paper, flat": facts["paper_flat_figures"]}
    catalogue = data_sources()
    sources = [catalogue[key] for key in facts["data_sources"]]
    weights, attributes = folder / "model.safetensors", folder / "attribute_vectors.safetensors"
    tensors = _tensor_sizes(weights)
    return _render(
        facts["template"],
        ModelCardData(
            license="apache-2.0",
            library_name=LIBRARY_NAME,
            pipeline_tag=PIPELINE_TAG,
            tags=[*facts["tags"], "encore"],
            datasets=[source["hub_id"] for source in sources],
            metrics=sorted({metric.kind for metric in results}),
            model_name=name,
            eval_results=_evaluation_results(results, sources, metrics),
        ),
        **facts | {"sources": sources, "metrics": metrics, "repository": repository or f"your-name/{name}"},
        latent_size=config["latent_size"],
        num_steps=config["max_sequence_length"],
        levels=config.get("decoder_level_lengths"),
        num_bars=processor["num_bars"],
        drums=len(processor.get("drum_classes") or []),
        music=MUSIC[representation],
        events=EVENTS.get(representation, "a drum is hit"),
        length=length,
        bars=f"{count}-bar",
        corruptions=processor.get("corruptions") or [],
        parameters=_millions(sum(math.prod(shape) for shape in tensors.values())),
        is_half=config.get("dtype") in ("float16", "bfloat16"),
        figures=main_table(shown, metrics, twin, paper),
        twin=twin and facts["flat_twin"] | {"parameters": _millions(twin["num_parameters"])},
        sample_rows=NUMBERS[sum("samples." in metric.path for metric in shown)],
        feel=feel_table(metrics) if representation == "groove" else None,
        chords=has_chords,
        band=band_tables(metrics, has_chords) if is_multitrack else None,
        path=interpolation_table(metrics),
        has_attribute_vectors=attributes.is_file(),
        attribute_names=[f"`{key}`" for key in _tensor_sizes(attributes)] if attributes.is_file() else [],
    )


def card_for_folder(
    folder: Path, bundled_name: str | None, *, repository: str | None = None, license: str | None = None
) -> str:
    """The card to publish with a checkpoint folder: the bundled model's, the folder's own README.md, or a short one.

    Raises:
        HubError: The card of a bundled model cannot be rendered, or config.json cannot be read.
    """
    if bundled_name is not None:
        return render_card(bundled_name, folder=folder, repository=repository)
    own_card = folder / "README.md"
    if own_card.is_file():
        return own_card.read_text(encoding="utf-8")
    model_type = read_json(folder / "config.json").get("model_type", "unknown")
    return _render(
        "model",
        ModelCardData(
            license=license, library_name=LIBRARY_NAME, pipeline_tag=PIPELINE_TAG, tags=["music", "encore", model_type]
        ),
        title=(repository or folder.resolve().name).split("/")[-1],
        model_type=model_type,
        repository=repository or f"your-name/{folder.resolve().name}",
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
    for field, allowed in (("license", LICENSES), ("library_name", LIBRARIES), ("pipeline_tag", PIPELINE_TAGS)):
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


def _evaluation_results(shown: list[Metric], sources: list[dict], metrics: dict) -> list[EvalResult]:
    return [
        EvalResult(
            task_type=PIPELINE_TAG,
            task_name="reconstruction and sampling",
            dataset_type=sources[0]["hub_id"] if len(sources) == 1 else "mixed",
            dataset_name=" + ".join(source["name"] for source in sources),
            dataset_split=metrics["split"],
            metric_type=metric.kind,
            metric_name=metric.name,
            metric_value=round(metric.value(metrics), 5),
        )
        for metric in shown
    ]


def _read_twin(folder: Path, facts: dict, metrics: dict, shown: list[Metric]) -> dict:
    """metrics_flat.json, measured as metrics.json was."""
    path = folder / "metrics_flat.json"
    twin = read_json(path, "evaluate the flat twin first", facts["recipe"])
    check_metrics(twin, [*shown, Metric("num_parameters", "parameters")], path)
    check_twin(metrics, twin, path)
    return twin


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} million"


def read_json(path: Path, remedy: str = "is this a checkpoint folder?", recipe: str | None = None) -> dict:
    """A JSON object from a file; `remedy` and `recipe` tell in the error what to do if there is none."""
    if not path.is_file():
        raise HubError(f"There is no {path}: {remedy}{f' ({recipe})' if recipe else ''}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HubError(f"{path} is no valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise HubError(f"{path} must hold a JSON object, not {type(content).__name__}.")
    return content


def _tensor_sizes(path: Path) -> dict[str, list[int]]:
    """Tensor name -> shape, from the header of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise HubError(f"{path} is no readable safetensors file: {error}.") from error
