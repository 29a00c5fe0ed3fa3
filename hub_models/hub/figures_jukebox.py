"""The numbers of a Jukebox card: what each level keeps of the sound, how well its prior foretells codes and by how much
labels and lyrics help, whether samples sound like their labels, when words are sung, and how long all of it takes.

metrics.json is what `hub_models.jukebox.evaluate` writes; what each number means stands there. Sentences that say whether
something holds are made of the numbers, here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .figures import Metric, Table, check_metrics

# Of the VQ-VAE from the finest on, as the paper names them; priors are from the top down.
LEVELS = ("bottom", "middle", "top")
# Facts about the measurement that a card states.
CONDITIONS = ("split", "num_files", "minutes", "num_parameters", "num_threads", "device")
# What a prior was told besides its own labels -> names of rows and of what a verdict compares with.
HEARD = {
    "labels": ("its own labels", ""),
    "other_labels": ("artist and genre of another song", "another song's artist and genre"),
    "other_times": ("another place in the song", "another place in the song"),
    "without_labels": ("artist, genre and lyrics unknown", "none"),
}
LYRICS = {
    "labels": ("its own lyrics", ""),
    "without_lyrics": ("no lyrics", "none"),
    "other_lyrics": ("lyrics of another song", "another song's"),
}
# Where words were looked for -> names of rows.
FOUND = ("in their own sound", "in the sound of another song", "spread evenly over the song, without listening")
KINDS_OF_LABELS = {"artist": "artist", "genre": "genre, of the same artist"}
# A difference of fewer standard errors may be chance.
SURE = 2.0


def figures_of(metrics: dict) -> list[Metric]:
    """The numbers for the card's metadata."""
    shown = [
        Metric(f"vqvae.levels.{level}.spectral_convergence_db", f"spectral convergence of the {level} level, dB", "loss")
        for level in LEVELS
    ]
    shown += [
        Metric(f"priors.{level}.bits_per_token.labels.mean", f"bits per token, {level} level", "nll") for level in LEVELS
    ]
    for kind in _label_kinds(metrics):
        shown.append(Metric(f"label_check.{kind}.nearer_to_own", f"samples nearer to their {kind} than to another"))
    return [*shown, Metric("alignment.median_error_seconds", "error of words' times, median, s", "mae")]


def check_report(metrics: dict, path: Any) -> None:
    """Raises `HubError` unless the metrics in the file `path` have what a card shows."""
    check_metrics(metrics, [Metric(place, place) for place in _needed(metrics)], path, CONDITIONS)


def _needed(metrics: dict) -> Iterator[str]:
    for level in LEVELS:
        place = f"vqvae.levels.{level}"
        yield from (f"{place}.{key}" for key in ("spectral_convergence_db", "standard_error", "hop_length"))
        yield from (f"{place}.codebook.{key}" for key in ("codes", "used", "entropy_bits", "maximum_entropy_bits"))
        place = f"priors.{level}"
        yield from (f"{place}.{key}" for key in ("context_tokens", "context_seconds", "num_windows", "num_songs"))
        yield from _estimates(place, _heard(metrics, level))
    place = "priors.top.with_lyrics"
    yield from (f"{place}.{key}" for key in ("num_windows", "num_songs"))
    yield from _estimates(place, list(LYRICS))
    yield from (f"label_check.{key}" for key in ("num_samples", "seconds", "temperature"))
    for kind in _label_kinds(metrics):
        keys = ("num_pairs", "nearer_to_own", "standard_error", "chance", "data")
        yield from (f"label_check.{kind}.{key}" for key in keys)
    yield from (f"alignment.{key}" for key in ("num_songs", "num_words", "within_seconds"))
    for place in ("alignment", "alignment.other_sound", "alignment.chance"):
        yield from (f"{place}.{key}" for key in ("median_error_seconds", "share_within"))
    yield from (f"alignment.attention.{key}" for key in ("on_the_word", "chance"))
    yield from (f"speed.tokens_per_second.{level}" for level in LEVELS)
    yield from (f"speed.{key}" for key in ("batch_size", "encode_seconds_per_second", "sample_seconds_per_second"))
    yield from (f"speed.decode_seconds_per_second.{level}" for level in LEVELS)


def _estimates(place: str, names: list[str]) -> Iterator[str]:
    for name in names:
        yield from (f"{place}.bits_per_token.{name}.{key}" for key in ("mean", "standard_error"))
        if name != "labels":
            yield from (f"{place}.difference_from.{name}.{key}" for key in ("mean", "standard_error"))


def _heard(metrics: dict, level: str) -> list[str]:
    """What the prior of a level was told: that of the top level alone hears times."""
    return [name for name in HEARD if level == "top" or name != "other_times"]


def _label_kinds(metrics: dict) -> list[str]:
    """Labels that samples were checked for; genres where an artist has several."""
    return [kind for kind in KINDS_OF_LABELS if kind == "artist" or Metric(f"label_check.{kind}", "").value(metrics)]


def levels_table(config: dict, parameters: dict[str, int]) -> Table:
    """The three levels: what a code stands for, and the prior that writes it.

    Args:
        config: Of the model.
        parameters: Of each level's prior.
    """
    rate = config["vqvae_config"]["sampling_rate"]
    rows = []
    for prior in config["prior_config_list"]:
        level = LEVELS[len(LEVELS) - 1 - prior["level"]]
        hop = hop_lengths(config)[level]
        rows.append(
            [
                level,
                f"{hop}",
                f"{rate / hop:,.0f}",
                f"{prior['num_layers']} layers of {prior['hidden_size']}, {parameters[level] / 1e6:.1f} million parameters",
                f"{prior['n_ctx']:,} codes, {prior['n_ctx'] * hop / rate:.2f} s",
            ]
        )
    return Table(["", "samples per code", "codes per second", "its prior", "which looks back over"], rows)


def hop_lengths(config: dict) -> dict[str, int]:
    """Samples per code of each level."""
    vqvae = config["vqvae_config"]
    factors = [stride**down for down, stride in zip(vqvae["res_downs_t"], vqvae["res_strides_t"], strict=True)]
    return {level: math.prod(factors[: number + 1]) for number, level in enumerate(LEVELS)}


def codes_table(metrics: dict, paper: dict[str, float]) -> Table:
    """What each level of the VQ-VAE keeps of the sound, and how it uses its codes.

    Args:
        paper: Spectral convergence of each level in the paper, dB.
    """
    headings = ["", "spectral convergence, dB", "±", "the paper's, dB", "codes in use", "entropy of the codes, bits"]
    rows = []
    for level in LEVELS:
        figures, codebook = metrics["vqvae"]["levels"][level], metrics["vqvae"]["levels"][level]["codebook"]
        rows.append(
            [
                level,
                f"{figures['spectral_convergence_db']:.1f}",
                f"{figures['standard_error']:.1f}",
                f"{paper[level]:.1f}",
                f"{codebook['used']:,} of {codebook['codes']:,}",
                f"{abs(codebook['entropy_bits']):.2f} of {codebook['maximum_entropy_bits']:.0f}",
            ]
        )
    return Table(headings, rows)


def bits_table(metrics: dict) -> Table:
    """Bits per token of every prior, from the top down, by what it was told."""
    levels = LEVELS[::-1]
    rows = [
        [name, *(_bits(metrics["priors"][level], key) if key in _heard(metrics, level) else "" for level in levels)]
        for key, (name, _) in HEARD.items()
    ]
    codebooks = [metrics["vqvae"]["levels"][level]["codebook"] for level in levels]
    rows.append(
        ["no prior: codes by how often they occur", *(f"{abs(codebook['entropy_bits']):.3f}" for codebook in codebooks)]
    )
    rows.append(["no prior: any code", *(f"{codebook['maximum_entropy_bits']:.3f}" for codebook in codebooks)])
    return Table(["", *levels], rows)


def lyrics_table(metrics: dict) -> Table:
    """Bits per token of the top level's prior, where there are lyrics, by which it was given."""
    report = metrics["priors"]["top"]["with_lyrics"]
    return Table(["", "bits per token"], [[name, _bits(report, key)] for key, (name, _) in LYRICS.items()])


def _bits(report: dict, key: str) -> str:
    figures = report["bits_per_token"][key]
    return f"{figures['mean']:.3f} ± {figures['standard_error']:.3f}"


def label_verdicts(metrics: dict) -> list[str]:
    """Whether artist and genre, and at the top level times, help to foretell codes; sentences, from the top level down."""
    sentences = []
    for level in LEVELS[::-1]:
        for key in _heard(metrics, level)[1:]:
            text = _compared(metrics["priors"][level]["difference_from"][key])
            sentences.append(f"{level}, its own labels against {HEARD[key][1]}: {text}.")
    return sentences


def lyric_verdicts(metrics: dict) -> list[str]:
    """Whether lyrics help to foretell the top level's codes."""
    differences = metrics["priors"]["top"]["with_lyrics"]["difference_from"]
    return [
        f"A song's own lyrics against {name}: {_compared(differences[key])}." for key, (_, name) in LYRICS.items() if name
    ]


def hears_lyrics(metrics: dict) -> bool:
    """Whether a song's own lyrics help more than another song's, beyond chance."""
    difference = metrics["priors"]["top"]["with_lyrics"]["difference_from"]["other_lyrics"]
    return -difference["mean"] > SURE * difference["standard_error"]


def _compared(difference: dict) -> str:
    fewer, error = -difference["mean"], difference["standard_error"]
    if fewer <= 0:
        return f"not lower ({-fewer:.3f} ± {error:.3f} bits more)"
    return f"lower by {fewer:.3f} ± {error:.3f} bits{'' if fewer > SURE * error else ', which may be chance'}"


def samples_table(metrics: dict) -> Table:
    """How often samples are nearer to the sound of their label than to that of another."""
    rows = []
    for kind in _label_kinds(metrics):
        figures = metrics["label_check"][kind]
        cells = [f"{figures[key]:.2f}" for key in ("nearer_to_own", "standard_error", "chance", "data")]
        rows.append([KINDS_OF_LABELS[kind], f"{figures['num_pairs']:,}", *cells])
    return Table(["", "comparisons", "nearer to its own", "±", "by chance", "real recordings"], rows)


def samples_verdicts(metrics: dict) -> list[str]:
    """Whether samples sound like their labels."""
    sentences = []
    for kind in _label_kinds(metrics):
        figures = metrics["label_check"][kind]
        above, error = figures["nearer_to_own"] - figures["chance"], figures["standard_error"]
        verdict = "no more than by chance"
        if above > 0:
            verdict = "more than by chance" if above > SURE * error else "more often than not, but that may be chance"
        sentences.append(
            f"{KINDS_OF_LABELS[kind].capitalize()}: nearer to its own in {figures['nearer_to_own']:.2f}, {verdict}."
        )
    return sentences


def alignment_table(metrics: dict) -> Table:
    """How far words are from where they are found, beside words that the sound says nothing about."""
    within = metrics["alignment"]["within_seconds"]
    rows = [
        [name, f"{figures['median_error_seconds']:.2f} s", f"{figures['share_within']:.0%}"]
        for name, figures in zip(FOUND, _found(metrics), strict=True)
    ]
    return Table(["", "error, median", f"words within {within:g} s"], rows)


def _found(metrics: dict) -> list[dict]:
    alignment = metrics["alignment"]
    return [alignment, alignment["other_sound"], alignment["chance"]]


def alignment_verdicts(metrics: dict) -> list[str]:
    """Whether the attention to lyrics is on the word that sounds, and tells when words are sung."""
    attention = metrics["alignment"]["attention"]
    share, chance = attention["on_the_word"], attention["chance"]
    found, other, evenly = (figures["median_error_seconds"] for figures in _found(metrics))
    return [
        f"While a word sounds, {share:.1%} of the attention is on it; an even spread would put {chance:.1%} there.",
        f"Words are found {_nearer(found, other)} in their own sound than in that of another song.",
        f"They are found {_nearer(found, evenly)} than by spreading them over the song.",
    ]


def _nearer(error: float, other: float) -> str:
    return "better" if error < other else "no better"


def follows_sound(metrics: dict) -> bool:
    """Whether the times of words come from the sound: its own tells more of them than another song's."""
    attention = metrics["alignment"]["attention"]
    found, other, _ = (figures["median_error_seconds"] for figures in _found(metrics))
    return attention["on_the_word"] > attention["chance"] and found < other


def speed_table(metrics: dict) -> Table:
    """How fast each level is sampled and decoded."""
    speed = metrics["speed"]
    rows = [
        [level, f"{speed['tokens_per_second'][level]:,.0f}", f"{speed['decode_seconds_per_second'][level]:.3f} s"]
        for level in LEVELS[::-1]
    ]
    return Table(["", "codes written per second", "decoding a second of sound takes"], rows)
