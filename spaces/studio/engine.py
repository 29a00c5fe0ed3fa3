"""What the Studio's models do, on clips; no user interface here.

One `Engine` serves every session. It holds models and nothing of any user: a model is loaded when first needed, once,
under a lock, and only read from then on. Everything random takes a seed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grooves
import pattern as patterns
import validate
import windows
from pattern import Pattern
from shelf import Shelf, bytes_in
from validate import StudioError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hub_models import MusicVAEModel, MusicVAEProcessor

logger = logging.getLogger("encore.studio")

MODELS_VARIABLE = "ENCORE_STUDIO_MODELS"
# How often a groove model plays the same thing for the hits of a clip to be found in what it plays.
TAKES = 16
ATTRIBUTES_FILE = "attribute_vectors.safetensors"
ATTRIBUTE_LABELS = {
    "c_diatonic": "White keys (C diatonic)",
    "note_density": "Note density",
    "average_interval": "Interval size",
    "syncopation_16th": "Syncopation, sixteenths",
    "syncopation_8th": "Syncopation, eighths",
}

NUMBERS = {2: "Two"}
NOUNS = {"melody": "melodies", "drums": "drum patterns", "trio": "trios", "groove": "grooves"}
GROOVE_LABELS = {"humanize": "humanized", "tap": "from taps", "add_closed_hi_hat": "with hi-hats"}
# What the Studio can play with; models that need chords or given hits beside the music have no place here yet.
REPRESENTATIONS = tuple(NOUNS)

Report = Callable[[float, str], None]


def _silent(fraction: float, text: str) -> None:
    pass


@dataclass(frozen=True)
class ModelEntry:
    """A model folder, described without loading it."""

    name: str
    folder: Path
    description: str

    @property
    def label(self) -> str:
        """Short enough to choose by: what a bundled model is for, or the name of one's own."""
        if self.description == self.name:
            return self.name
        number = NUMBERS.get(self.bars, str(self.bars))
        does = ", ".join(GROOVE_LABELS[name] for name in self.corruptions if name in GROOVE_LABELS)
        return f"{number}-bar {NOUNS[self.representation]}{f', {does}' if does else ''}"

    @cached_property
    def processor_config(self) -> dict[str, Any]:
        return json.loads((self.folder / "processor_config.json").read_text(encoding="utf-8"))

    @property
    def representation(self) -> str:
        return self.processor_config.get("representation", "melody")

    @property
    def bars(self) -> int:
        return int(self.processor_config.get("num_bars", 2))

    @property
    def drums(self) -> bool:
        """True where its clips are drums alone."""
        return self.representation in ("drums", "groove")

    @property
    def kind(self) -> str:
        """Of its clips: `"melody"`, `"drums"` or `"trio"`."""
        return "drums" if self.drums else self.representation

    @property
    def corruptions(self) -> tuple[str, ...]:
        """What a groove model's encoder is not shown, and so puts back."""
        return tuple(self.processor_config.get("corruptions") or ())

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes whose vectors lie beside the weights."""
        return tuple(ATTRIBUTE_LABELS) if (self.folder / ATTRIBUTES_FILE).is_file() else ()

    @property
    def vector_names(self) -> tuple[str, ...]:
        """Names of the vectors in that file, read without what loads a model."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.folder / ATTRIBUTES_FILE, framework="numpy") as file:
                return tuple(file.keys())
        except (OSError, SafetensorError):
            return ()


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run; only read, so shared by all sessions."""

    model: MusicVAEModel
    processor: MusicVAEProcessor
    attribute_vectors: dict[str, torch.Tensor]


def models_folder(folder: str | os.PathLike | None = None) -> Path | None:
    """A person's own folder of model folders: `folder`, or the one that $ENCORE_STUDIO_MODELS names; None: there is none."""
    folder = folder or os.environ.get(MODELS_VARIABLE)
    return Path(folder) if folder else None


def model_type(folder: Path) -> str | None:
    """What a model folder's config.json says that it is; None where that cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return config.get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def model_folders(folder: str | os.PathLike | None = None) -> list[ModelEntry]:
    """All model folders: those of MusicVAE among the subfolders of `folder` (or of $ENCORE_STUDIO_MODELS), else the folders
    bundled with Encore."""
    own = models_folder(folder)
    if own:
        paths = sorted(path.parent for path in own.glob("*/processor_config.json"))
        return [ModelEntry(path.name, path, path.name) for path in paths if model_type(path) in (None, "music_vae")]
    from hub_models import list_bundled

    return [ModelEntry(model.name, Path(model.path), model.description) for model in list_bundled()]


def find_models(folder: str | os.PathLike | None = None) -> list[ModelEntry]:
    """The models whose clips are melodies, drums or trios, in `model_folders`."""
    entries = model_folders(folder)
    if not models_folder(folder):
        # Bundled models of other families have tabs of their own.
        return [entry for entry in entries if entry.name.startswith("music-vae-") and _is_playable(entry)]
    order = {kind: number for number, kind in enumerate(("melody", "trio", "drums"))}
    return sorted(filter(_is_playable, entries), key=lambda entry: (order[entry.kind], entry.bars, entry.name))


def _is_playable(entry: ModelEntry) -> bool:
    try:
        config = entry.processor_config
        playable = entry.bars > 0 and entry.representation in REPRESENTATIONS
    except (ValueError, TypeError, AttributeError, OSError):
        logger.warning("%s is left out: its processor_config.json is damaged.", entry.name)
        return False
    return playable and not config.get("chords") and not config.get("hits_control")


class Engine:
    """MusicVAE's actions on clips, for any number of sessions at once."""

    def __init__(self, entries: list[ModelEntry], shelf: Shelf | None = None):
        self.entries = {entry.name: entry for entry in entries}
        self._shelf = shelf or Shelf()

    def entry(self, name: Any) -> ModelEntry:
        """The model called `name`, or a sentence that says which there are."""
        if not isinstance(name, str) or name not in self.entries:
            known = ", ".join(self.entries) or "none is installed"
            raise StudioError(f"There is no such model; the models are: {known}.")
        return self.entries[name]

    def load(self, name: str, report: Report = _silent) -> LoadedModel:
        """The model, from memory or from its folder."""
        entry = self.entry(name)

        def load() -> LoadedModel:
            report(0.1, "Loading the model (first use)")
            try:
                return _load(entry)
            except Exception as error:  # whatever a damaged folder makes transformers or safetensors raise
                logger.exception("loading %s failed", name)
                raise StudioError(f"The model {name} cannot be loaded: its files are damaged or missing.") from error

        return self._shelf.get(("music_vae", name), load, bytes_in(entry.folder))

    def read(self, name: str, source: str | bytes, report: Report = _silent) -> dict[str, Any]:
        """The clips that a model finds in a MIDI file.

        Returns:
            dictionary with `summary` (of the file), `clips` (at most `windows.MAX_WINDOWS`), `reductions` (what of the file
            is not among them) and `rejections` (what cannot be read, and why); both are sentences.

        Raises:
            ValueError: not MIDI, too large, or nothing in it for this model; the message says why.
        """
        from hub_models import midi

        entry = self.entry(name)
        report(0.05, "Reading the file")
        music = midi.load(source)
        loaded = self.load(name, report)
        report(0.6, "Looking for clips")
        features, reductions = windows.find(loaded.processor, music)
        found = []
        for window, labels in zip(features.windows, features["labels"], strict=True):
            last_bar = window.start_bar + window.num_bars - 1
            name = f"{window.instrument} · bars {window.start_bar}-{last_bar}"
            found.append(self._clip(loaded, entry, labels, name, {"action": "read"}))
        rejections = [f"{rejection.where}: {rejection.reason}" for rejection in features.rejections]
        return {"summary": midi.summary(music), "clips": found, "reductions": reductions, "rejections": rejections}

    def sample(self, name: str, temperature: float, seed: int, report: Report = _silent) -> Pattern:
        """A new clip out of the prior."""
        entry, loaded, generator = self._prepare(name, seed, report)
        sequences = loaded.model.sample(1, temperature=temperature, generator=generator)
        made_by = {"action": "sample", "seed": seed, "temperature": temperature}
        return self._clip(loaded, entry, sequences[0], f"Sample {seed}", made_by)

    def reconstruct(self, name: str, clip: Pattern, temperature: float, seed: int, report: Report = _silent) -> Pattern:
        """The clip through the model's bottleneck: encoded to its latent vector and decoded again."""
        entry, loaded, generator = self._prepare(name, seed, report)
        latents = self._latents(loaded, entry, [clip])
        sequences = loaded.model.decode(latents, temperature=temperature, generator=generator)
        made_by = {"action": "reconstruct", "seed": seed, "temperature": temperature}
        return self._clip(loaded, entry, sequences[0], f"Reconstruction of {clip['name']}", made_by)

    def interpolate(
        self, name: str, start: Pattern, end: Pattern, steps: int, temperature: float, seed: int, report: Report = _silent
    ) -> Pattern:
        """One piece of `steps` clips in a row, from `start` to `end` along the sphere between their latent vectors."""
        entry, loaded, generator = self._prepare(name, seed, report)
        report(0.4, "Encoding the clips")
        latents = self._latents(loaded, entry, [start, end])
        report(0.5, f"Decoding {steps} clips")
        sequences = loaded.model.interpolate(latents[0], latents[1], steps, temperature=temperature, generator=generator)
        made_by = {"action": "interpolate", "steps": steps, "seed": seed, "temperature": temperature}
        piece = self._clip(loaded, entry, sequences.flatten(0, 1), f"{start['name']} → {end['name']}", made_by)
        piece["segments"] = segments(steps, entry.bars)
        return piece

    def corner_grid(
        self, name: str, corners: list[Pattern], size: int, temperature: float, seed: int, report: Report = _silent
    ) -> list[list[Pattern]]:
        """`size` x `size` clips between four corners: top left, top right, bottom left, bottom right."""
        entry, loaded, generator = self._prepare(name, seed, report)
        report(0.4, "Encoding the corners")
        latents = self._latents(loaded, entry, corners)
        report(0.5, f"Decoding {size * size} clips")
        grid = loaded.model.interpolate_corners(latents, size, temperature=temperature, generator=generator)
        made_by = {"action": "corner_grid", "size": size, "seed": seed, "temperature": temperature}
        return [
            [
                self._clip(loaded, entry, grid[row][column], f"Pad, row {row + 1}, column {column + 1}", made_by)
                for column in range(size)
            ]
            for row in range(size)
        ]

    def apply_attributes(
        self, name: str, clip: Pattern, strengths: dict[str, float], temperature: float, seed: int, report: Report = _silent
    ) -> Pattern:
        """The clip, moved in latent space along attribute vectors."""
        if not self.entry(name).attributes:
            raise StudioError("This model has no attribute vectors.")
        entry, loaded, generator = self._prepare(name, seed, report)
        strengths = validate.strengths(strengths, tuple(loaded.attribute_vectors))
        latents = self._latents(loaded, entry, [clip])
        for attribute, vector in loaded.attribute_vectors.items():  # in one order, whatever that of the strengths is
            if strengths.get(attribute):
                latents = loaded.model.apply_attribute(latents, vector, strengths[attribute])
        sequences = loaded.model.decode(latents, temperature=temperature, generator=generator)
        made_by = {"action": "apply_attributes", "strengths": strengths, "seed": seed, "temperature": temperature}
        return self._clip(loaded, entry, sequences[0], f"{clip['name']}, reshaped", made_by)

    def humanize(
        self,
        name: str,
        clip: Pattern,
        keep_hits: bool,
        amount: float,
        temperature: float,
        seed: int,
        report: Report = _silent,
    ) -> Pattern:
        """Drums as a drummer would play them: the model is shown the hits alone and gives velocities and timing.

        Args:
            keep_hits: exactly the clip's hits; else those that the model plays.
            amount: 0 (straight) to 1 of the feel.
        """
        self._check_puts_back(name, "humanize", "plays drums with feel")
        entry, loaded, generator = self._prepare(name, seed, report)
        given = self._sequence(loaded, entry, clip)
        if keep_hits:
            felt = self._feel(loaded, given, given[:, : len(grooves.NAMES)], temperature, generator)
        else:
            felt = self._takes(loaded, given, 1, temperature, generator)[0]
        groove = grooves.blend(given.numpy(), felt, amount)
        made_by = {"action": "humanize", "keep_hits": keep_hits, "amount": amount, "seed": seed, "temperature": temperature}
        return self._drums(entry, groove, f"{clip['name']}, humanized", made_by)

    def full_kit(self, name: str, clip: Pattern, temperature: float, seed: int, report: Report = _silent) -> Pattern:
        """A rhythm, tapped or on any drums, as a beat on the whole kit: the model is shown when something is hit."""
        self._check_puts_back(name, "tap", "turns taps into drums")
        entry, loaded, generator = self._prepare(name, seed, report)
        given = self._sequence(loaded, entry, clip)
        hits = grooves.answering_hits(given.numpy(), self._takes(loaded, given, TAKES, temperature, generator))
        groove = grooves.loud(self._feel(loaded, given, hits, temperature, generator))
        made_by = {"action": "full_kit", "seed": seed, "temperature": temperature}
        return self._drums(entry, groove, f"{clip['name']}, full kit", made_by)

    def add_hats(self, name: str, clip: Pattern, temperature: float, seed: int, report: Report = _silent) -> Pattern:
        """The drums of a clip, untouched, with the model's closed hi-hats in place of their own."""
        self._check_puts_back(name, "add_closed_hi_hat", "adds hi-hats")
        entry, loaded, generator = self._prepare(name, seed, report)
        given = self._sequence(loaded, entry, clip)
        takes = self._takes(loaded, given, TAKES, temperature, generator)
        hits = grooves.hat_hits(given.numpy(), takes)
        if hits is None:
            raise StudioError("The model hears no closed hi-hat in this beat; try another seed or a higher temperature.")
        groove = grooves.with_hats(given.numpy(), self._feel(loaded, given, hits, temperature, generator))
        made_by = {"action": "add_hats", "seed": seed, "temperature": temperature}
        return self._drums(entry, groove, f"{clip['name']}, with hats", made_by)

    def _check_puts_back(self, name: str, corruption: str, what: str) -> None:
        if corruption not in self.entry(name).corruptions:
            able = [entry.name for entry in self.entries.values() if corruption in entry.corruptions]
            known = f"these do: {', '.join(able)}" if able else "none here does"
            raise StudioError(f"The model {name} is not one that {what}; {known}.")

    @staticmethod
    def _takes(
        loaded: LoadedModel, given: torch.Tensor, count: int, temperature: float, generator: torch.Generator
    ) -> np.ndarray:
        """`count` grooves (count, T, 27) that the model plays on hearing one (T, 27)."""
        import torch

        features = loaded.processor.features(given[None])
        with torch.no_grad():
            latents = loaded.model.encode(features["input_values"], features["lengths"]).mean.expand(count, -1)
        return loaded.model.decode(latents, temperature=temperature, generator=generator).numpy()

    @staticmethod
    def _feel(
        loaded: LoadedModel,
        given: torch.Tensor,
        hits: torch.Tensor | np.ndarray,
        temperature: float,
        generator: torch.Generator,
    ) -> np.ndarray:
        """The groove (T, 27) that the model, hearing one (T, 27), makes of certain hits (T, 9). Chance is in the latent: the
        posterior's spread, times the temperature."""
        import torch

        features = loaded.processor.features(given[None])
        with torch.no_grad():
            posterior = loaded.model.encode(features["input_values"], features["lengths"])
            noise = torch.randn(posterior.mean.shape, generator=generator)
            latents = posterior.mean + temperature * posterior.std * noise
        return loaded.model.decode_feel(latents, torch.as_tensor(hits)[None])[0].numpy()

    @staticmethod
    def _drums(entry: ModelEntry, groove: np.ndarray, name: str, made_by: dict) -> Pattern:
        notes, made_by = grooves.to_notes(groove), {"model": entry.name, **made_by}
        return patterns.make(name, notes, entry.bars, drums=True, model=entry.name, made_by=made_by)

    def _prepare(self, name: str, seed: int, report: Report) -> tuple[ModelEntry, LoadedModel, torch.Generator]:
        loaded = self.load(name, report)
        import torch

        report(0.3, "Thinking")
        return self.entries[name], loaded, torch.Generator().manual_seed(seed)

    def _latents(self, loaded: LoadedModel, entry: ModelEntry, given: list[Pattern]) -> torch.Tensor:
        """Posterior means (number of clips, latent_size)."""
        import torch

        sequences = torch.stack([self._sequence(loaded, entry, clip) for clip in given])
        features = loaded.processor.features(sequences)
        with torch.no_grad():
            return loaded.model.encode(features["input_values"], features["lengths"]).mean

    def _sequence(self, loaded: LoadedModel, entry: ModelEntry, clip: Pattern) -> torch.Tensor:
        """A clip as the model's sequence (T, ...): the tokens it carries when it comes from a model like this, else read
        from its notes."""
        import torch

        if patterns.kind(clip) != entry.kind:
            kinds = {"melody": "a melody", "drums": "drums", "trio": "a trio"}
            wanted = {"melody": "melodies", "drums": "drums", "trio": "trios"}[entry.kind]
            raise StudioError(f'The clip "{clip["name"]}" is {kinds[patterns.kind(clip)]}; this model reads {wanted}.')
        if clip["bars"] != entry.bars:
            raise StudioError(f'The clip "{clip["name"]}" has {clip["bars"]} bars; this model reads {entry.bars}.')
        if clip["tokens"] and entry.representation != "groove":
            return self._tokens(loaded, clip)
        if patterns.is_silent(clip):
            raise StudioError(f'The clip "{clip["name"]}" has no notes.')
        if entry.representation == "groove":
            return torch.from_numpy(grooves.from_notes(clip["notes"], clip["bars"]))
        return loaded.processor(patterns.to_midi(clip), max_windows=1)["labels"][0]

    @staticmethod
    def _tokens(loaded: LoadedModel, clip: Pattern) -> torch.Tensor:
        import torch

        steps, tokens = loaded.processor.window_steps, torch.tensor(clip["tokens"])
        if len(tokens) != steps:
            raise StudioError(f'The clip "{clip["name"]}" has {len(tokens)} tokens; this model reads {steps}.')
        sizes = torch.tensor(loaded.processor.output_sizes)
        beyond = (tokens >= (sizes if tokens.ndim > 1 else sizes.sum())).nonzero()
        if len(beyond):
            token, size = tokens[tuple(beyond[0])], sizes[beyond[0][1]] if tokens.ndim > 1 else sizes.sum()
            raise StudioError(
                f'The clip "{clip["name"]}" has a token of {int(token)}; this model\'s go from 0 to {int(size) - 1}.'
            )
        return tokens

    @staticmethod
    def _clip(loaded: LoadedModel, entry: ModelEntry, sequence: torch.Tensor, name: str, made_by: dict) -> Pattern:
        """The clip of a sequence (T, ...)."""
        bars = max(1, round(len(sequence) / loaded.processor.steps_per_bar))
        made_by = {"model": entry.name, **made_by}
        if entry.representation == "groove":
            notes = grooves.to_notes(sequence.numpy())
            return patterns.make(name, notes, bars, drums=True, model=entry.name, made_by=made_by)
        trio = entry.kind == "trio"
        notes = patterns.notes_of(loaded.processor.decode(sequence, tempo=120.0), trio=trio)
        tokens = sequence.tolist()
        return patterns.make(name, notes, bars, entry.drums, trio=trio, tokens=tokens, model=entry.name, made_by=made_by)


def segments(steps: int, bars: int) -> list[dict[str, Any]]:
    """The segments of a morph in `steps` clips of `bars` bars."""
    labels = ["A", *(str(step + 1) for step in range(1, steps - 1)), "B"]
    return [{"label": label, "bar": step * bars, "share": step / (steps - 1)} for step, label in enumerate(labels)]


def _load(entry: ModelEntry) -> LoadedModel:
    from hub_models import MusicVAEModel, MusicVAEProcessor

    vectors: dict[str, torch.Tensor] = {}
    if entry.attributes:
        from hub_models.music_vae.attributes import load_attribute_vectors

        vectors = load_attribute_vectors(entry.folder)
    model = MusicVAEModel.from_pretrained(entry.folder).eval()
    model.requires_grad_(False)
    return LoadedModel(model, MusicVAEProcessor.from_pretrained(entry.folder), vectors)
