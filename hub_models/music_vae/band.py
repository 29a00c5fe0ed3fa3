"""A band that plays a chord progression: the musical operations of Multitrack MusicVAE (Simon et al., "Learning a Latent
Space of Multitrack Measures", 2018).

band = Band.from_pretrained(bundled("multitrack-music-vae-1bar-chords"))
song = band.arrange("C Am F G", num_bars=32, path=band.random_styles(2, seed=0), seed=0)
midi = band.to_midi(band.change_chords(song, "Am F C G"), tempo=110)

A latent vector is a style; a measure follows from its latents, its chords, its draws (the dice) and the temperature, and
from nothing else. So chords can change under a style, and styles over chords. Bars are counted from 1, as in a score.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .attributes import load_attribute_vectors
from .band_arrangement import MAX_BARS, Arrangement, BandTrack, bar_places, check_num_bars, lineups_of
from .band_chords import ProgressionLike, chord_steps, progression_bars
from .band_midi import arrangement_to_midi
from .band_reading import read_bars
from .modeling_music_vae import MusicVAEModel, slerp
from .note_sequence import MidiSource
from .processing_music_vae import MusicVAEProcessor, Window

DEFAULT_PROGRESSION = "C"
DEFAULT_TEMPERATURE = 0.5
DEFAULT_PROGRAM_TEMPERATURE = 0.8
BARS_AT_A_TIME = 8  # between two reports of progress

# The fraction 0..1 that is done, and what is being done. What it raises ends the work.
Progress = Callable[[float, str], None]
Seed = int | torch.Generator | None


class Band:
    """A model of multitrack measures and what can be played with it.

    Every operation gives an [`Arrangement`]: measures of 4/4, each with its style, chords and music. Methods that draw take
    a `seed`, a number or a `torch.Generator`; None draws anew every time.

    Args:
        model ([`MusicVAEModel`]): of one-bar multitrack measures, with or without chords.
        processor ([`MusicVAEProcessor`]): with the representation "multitrack".
        attributes (`dict[str, Tensor]`, *optional*): attribute vectors (latent_size,) for [`move`](Band.move).
        legal_only (`bool`, defaults to `True`): draw only what a measure can hold, so that every measure is one (see
            [`TrackGrammar`]); the original draws from everything.
        program_temperature (`float`, *optional*): of the draws of instruments, where notes have a temperature of their own:
            what makes notes fit makes every band a piano. None: that of the notes, as in the original.

    Raises:
        ValueError: for a model or processor of other music, or two that do not belong together.
    """

    def __init__(
        self,
        model: MusicVAEModel,
        processor: MusicVAEProcessor,
        attributes: Mapping[str, Tensor] | None = None,
        legal_only: bool = True,
        program_temperature: float | None = DEFAULT_PROGRAM_TEMPERATURE,
    ):
        if processor.representation != "multitrack":
            raise ValueError(f"A band needs a multitrack model; this one is made for {processor.codec.music}.")
        sizes = (model.config.max_sequence_length, model.config.output_size, model.config.control_size)
        own = (processor.window_steps, processor.num_labels, processor.control_size)
        if sizes != own or model.config.end_token is None:
            raise ValueError(
                f"Model and processor do not belong together: {sizes} and {own} are their events per bar, kinds of events "
                "and controls; and a band's model has an end token."
            )
        self.model = model
        self.processor = processor
        self.attributes = dict(attributes or {})
        self.legal_only = legal_only
        self.program_temperature = program_temperature

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **kwargs) -> "Band":
        """The band of a folder, such as that of a bundled model, or of a repository on the Hub, with the attribute vectors
        beside the model where there are any. `kwargs` are options of the download, such as `revision`, `cache_dir` or
        `token`.

        Raises:
            OSError: where there is no such model.
            ValueError: for a model of other music.
        """
        model = MusicVAEModel.from_pretrained(name_or_path, **kwargs).eval()
        processor = MusicVAEProcessor.from_pretrained(name_or_path, **kwargs)
        try:
            attributes = load_attribute_vectors(name_or_path, **kwargs)
        except FileNotFoundError:
            attributes = None
        return cls(model, processor, attributes)

    @property
    def reads_chords(self) -> bool:
        """Whether the music follows chords."""
        return self.model.config.control_size > 0

    @property
    def latent_size(self) -> int:
        """D, the size of a style."""
        return self.model.config.latent_size

    # Styles.

    def random_styles(self, num_styles: int = 1, seed: Seed = None) -> Tensor:
        """Latents (num_styles, D) from the prior."""
        if num_styles < 1:
            raise ValueError(f"num_styles must be at least 1, got {num_styles}.")
        return torch.randn(num_styles, self.latent_size, generator=_generator(seed))

    @torch.no_grad()
    def encode(
        self, source: MidiSource, bar: int | None = None, chords: str | None = None, batch_size: int = 64
    ) -> tuple[Tensor, list[Window]]:
        """The styles of a MIDI file, bar by bar: posterior means.

        Args:
            source: a path, bytes or `PrettyMIDI`.
            bar (`int`, *optional*): only this bar of the file, counted from 1. None: all that differ from each other.
            chords (`str`, *optional*): the chords of the file's bars as a progression; by default those in the file, or
                else those that its notes suggest.
            batch_size (`int`, defaults to 64): bars that are encoded at a time.

        Returns:
            Latents (N, D) float32, and a [`Window`] of each, which says where the bar lies.

        Raises:
            MidiError: for a file that cannot be read or is too large.
            ChordSymbolError: for chords that cannot be read.
            NoExamplesError: where the file, or the bar, holds nothing to encode; says why.
            ValueError: for chords to a model that reads none.
        """
        if chords is not None:
            self._check_reads_chords()
        features = read_bars(self.processor, source, bar, chords)
        inputs = {name: features[name] for name in ("input_values", "lengths", "controls") if name in features}
        latents = []
        for start in range(0, len(features.windows), batch_size):
            batch = {name: values[start : start + batch_size].to(self.model.device) for name, values in inputs.items()}
            latents.append(self.model.encode(**batch).mean.float().cpu())
        return torch.cat(latents), features.windows

    def lineups(self, source: MidiSource, bar: int | None = None) -> Tensor:
        """The instruments of the bars that [`encode`](Band.encode) reads, (N, 8) int64, for songs that are to be played with
        them; arguments and errors as there."""
        return lineups_of(read_bars(self.processor, source, bar)["labels"])

    def move(self, latents: Tensor, attribute: str, strength: float) -> Tensor:
        """Styles (D,) or (N, D) with more of an attribute, or less for a negative strength (paper: attribute arithmetic):
        `strength` times the attribute vector is added. To hear it: `restyle(arrangement, band.move(...))`.

        Raises:
            ValueError: for an attribute that the model has no vector of.
        """
        if attribute not in self.attributes:
            there = f"they are {', '.join(self.attributes)}" if self.attributes else "this model comes with none"
            raise ValueError(f"There is no attribute vector {attribute!r}: {there}.")
        styles = self._styles(latents, "latents")
        moved = styles + strength * self.attributes[attribute].to(styles)
        return moved[0] if latents.ndim == 1 else moved

    # Songs.

    def sample(
        self,
        progression: ProgressionLike | None = None,
        num_bars: int | None = None,
        temperature: float | None = DEFAULT_TEMPERATURE,
        seed: Seed = None,
        progress: Progress | None = None,
    ) -> Arrangement:
        """Random measures: a style of its own, and dice of its own, for every bar (paper: samples from the prior).

        Args:
            progression (*optional*): one chord per bar, "C Am F G", or bars between `|`, "| C Am | F G |"
                ([`read_progression`]); or the symbols of each bar, as `Arrangement.chords`. It starts again until the song
                is full. "C" by default. Models without chords take none.
            num_bars (`int`, *optional*): 1..256; as long as the progression by default.
            temperature (`float`, *optional*): of the draws; None takes the likeliest events.
            seed (*optional*): decides what is drawn.
            progress (*optional*): called with the fraction that is done and a text.

        Raises:
            ChordSymbolError: for a chord that cannot be read; names it and its bar.
            ValueError: for another number of bars, or a progression that is longer than the song.
        """
        chords = self._chords(progression, num_bars)
        generator = _generator(seed)
        latents = self.random_styles(len(chords), generator)
        return self._play(latents, chords, self._draws(len(chords), False, generator), temperature, progress)

    def arrange(
        self,
        progression: ProgressionLike | None = None,
        num_bars: int | None = None,
        style: Tensor | None = None,
        path: Tensor | Sequence[Tensor] | None = None,
        temperature: float | None = DEFAULT_TEMPERATURE,
        seed: Seed = None,
        share_draws: bool = True,
        progress: Progress | None = None,
        lineup: Tensor | None = None,
    ) -> Arrangement:
        """A song over a chord progression: one style throughout, or a way from style to style (paper: interpolation over 32
        bars of a chord loop).

        Args:
            progression, num_bars, temperature, seed, progress: as in [`sample`](Band.sample).
            style (`Tensor` of shape (D,), *optional*): of all bars.
            path (`Tensor` of shape (K, D) or a list of K of (D,), *optional*): two or more styles; the song goes from the
                first in its first bar to the last in its last, along great arcs. Neither: a style from the prior.
            share_draws (`bool`, defaults to `True`): all bars throw the same dice, so that the same chord sounds the same
                again and neighbours sound alike; otherwise every bar throws its own.
            lineup (`Tensor` of shape (8,), or (K, 8) for a path of K styles, *optional*): the instruments, see
                [`lineup_of`]; along a path, each bar takes those of the style that it is nearest to. They are drawn by
                default, and where it is -1. Not in the original.
        """
        chords = self._chords(progression, num_bars)
        generator = _generator(seed)
        if style is not None and path is not None:
            raise ValueError("A song has a style or a path between styles, not both.")
        if path is not None:
            latents = self._along(path, len(chords))
        else:
            styles = self.random_styles(1, generator) if style is None else self._styles(style, "style", 1)
            latents = styles.expand(len(chords), -1).contiguous()
        lineups = None if lineup is None else self._lineups_along(lineup, len(chords))
        return self._play(latents, chords, self._draws(len(chords), share_draws, generator), temperature, progress, lineups)

    def apply_style(
        self,
        latent: Tensor,
        progression: ProgressionLike | None = None,
        num_bars: int | None = None,
        temperature: float | None = DEFAULT_TEMPERATURE,
        seed: Seed = None,
        share_draws: bool = True,
        progress: Progress | None = None,
    ) -> Arrangement:
        """One style (D,) over many chords (paper: one z, different chords). Arguments as in [`arrange`](Band.arrange)."""
        return self.arrange(progression, num_bars, latent, None, temperature, seed, share_draws, progress)

    def interpolate(
        self,
        start: Tensor,
        end: Tensor,
        num_bars: int,
        progression: ProgressionLike | None = None,
        temperature: float | None = DEFAULT_TEMPERATURE,
        seed: Seed = None,
        share_draws: bool = True,
        progress: Progress | None = None,
    ) -> Arrangement:
        """From one style (D,) to another in `num_bars` measures, 2..256, both ends among them (paper: interpolation; with
        the chords held where the progression is one chord). Other arguments as in [`arrange`](Band.arrange)."""
        path = torch.cat([self._styles(start, "start", 1), self._styles(end, "end", 1)])
        return self.arrange(progression, num_bars, None, path, temperature, seed, share_draws, progress)

    # Edits. The arrangement that is given stays as it is.

    def change_chords(
        self,
        arrangement: Arrangement,
        progression: ProgressionLike,
        bars: int | Iterable[int] | None = None,
        progress: Progress | None = None,
    ) -> Arrangement:
        """New chords with the style held: the same latents and dice (paper: chord changes).

        Args:
            progression: as in [`sample`](Band.sample); it goes along `bars` and starts again.
            bars (`int` or several, *optional*): numbers of the bars that change, from 1; None: all.
        """
        self._check_reads_chords()
        places = bar_places(bars, arrangement.num_bars)
        chords = list(arrangement.chords)
        for place, symbols in zip(places, self._chords(progression, len(places)), strict=True):
            chords[place] = symbols
        return self._replay(replace(arrangement, chords=chords), places, progress)

    def restyle(
        self,
        arrangement: Arrangement,
        latents: Tensor,
        bars: int | Iterable[int] | None = None,
        progress: Progress | None = None,
        lineup: Tensor | None = None,
    ) -> Arrangement:
        """A new style with the harmony held: the same chords and dice.

        Args:
            latents (`Tensor` of shape (D,), or (n, D) for n bars): one style for all, or one each.
            bars (`int` or several, *optional*): numbers of the bars that change, from 1; None: all.
            lineup (`Tensor` of shape (8,), or (n, 8) for n bars, *optional*): their instruments; None: drawn.
        """
        places = bar_places(bars, arrangement.num_bars)
        styles = self._styles(latents, "latents", 1 if latents.ndim == 1 else len(places))
        replaced = arrangement.latents.clone()
        replaced[places] = styles
        lineups = arrangement.lineups.clone()
        lineups[places] = -1 if lineup is None else lineup
        return self._replay(replace(arrangement, latents=replaced, lineups=lineups), places, progress)

    def vary(
        self,
        arrangement: Arrangement,
        bars: int | Iterable[int] | None = None,
        seed: Seed = None,
        amount: float = 0.0,
        progress: Progress | None = None,
    ) -> Arrangement:
        """Bars played anew: new dice with the same chords, and as much of a new style as is asked for.

        Args:
            bars (`int` or several, *optional*): numbers of the bars, from 1; None: all.
            amount (`float`, defaults to 0.0): how far each bar goes from its style towards a random one of its own, 0..1.
                At 0 the dice alone are new, and at temperature None nothing changes.
        """
        if not 0 <= amount <= 1:
            raise ValueError(f"amount must be between 0 and 1, got {amount}.")
        places, generator = bar_places(bars, arrangement.num_bars), _generator(seed)
        draws, latents = arrangement.draws.clone(), arrangement.latents.clone()
        draws[places] = self._draws(len(places), False, generator)
        if amount > 0:
            others = self.random_styles(len(places), generator)
            for place, other in zip(places, others, strict=True):
                latents[place] = slerp(latents[place], other, torch.tensor([float(amount)]))[0]
        return self._replay(replace(arrangement, latents=latents, draws=draws), places, progress)

    # MIDI.

    def to_midi(
        self,
        arrangement: Arrangement,
        tempo: float = 120.0,
        only: Iterable[BandTrack | tuple[int, bool]] | None = None,
        mute: Iterable[BandTrack | tuple[int, bool]] = (),
    ) -> pretty_midi.PrettyMIDI:
        """The song as MIDI in 4/4: an instrument for each of `arrangement.tracks` with its General MIDI name, and chord
        symbols as text events where the chord changes. Notes end at their bar line.

        Args:
            tempo (`float`, defaults to 120.0): quarter notes per minute, 10..1000.
            only (*optional*): the tracks that play; None: all.
            mute (*optional*): tracks that do not.

        Raises:
            ValueError: for another tempo, or a track that the song does not have.
        """
        return arrangement_to_midi(self.processor, arrangement, tempo, only, mute)

    def measures(self, arrangement: Arrangement, tempo: float = 120.0) -> list[pretty_midi.PrettyMIDI]:
        """Every bar by itself, from its own time 0, with its chords as text events."""
        decode = self.processor.decode
        if not self.reads_chords:
            return decode(arrangement.sequences, tempo)
        chords = chord_steps(arrangement.chords)
        return [decode(row, tempo, chords=own) for row, own in zip(arrangement.sequences, chords, strict=True)]

    # The parts of an arrangement.

    def _chords(self, progression: ProgressionLike | None, num_bars: int | None) -> list[list[str]]:
        """The symbols of each bar; none for models that read none."""
        if num_bars is not None:
            check_num_bars(num_bars)
        if self.reads_chords:
            return progression_bars(DEFAULT_PROGRESSION if progression is None else progression, num_bars)
        if progression is not None:
            self._check_reads_chords()
        return [[] for _ in range(num_bars or 1)]

    def _check_reads_chords(self):
        if not self.reads_chords:
            raise ValueError("This model reads no chords: it was trained without them.")

    def _styles(self, latents: Tensor, name: str, count: int | None = None) -> Tensor:
        """Latents as (count, D) float32 on the CPU."""
        latents = torch.as_tensor(latents).detach().float().cpu()
        latents = latents[None] if latents.ndim == 1 else latents
        if latents.ndim != 2 or latents.shape[1] != self.latent_size or count not in (None, len(latents)):
            rows = "batch" if count is None else count
            raise ValueError(
                f"{name} must have the shape ({self.latent_size},) or ({rows}, {self.latent_size}); "
                f"got {tuple(latents.shape)}."
            )
        if not bool(torch.isfinite(latents).all()):
            raise ValueError(f"{name} must be finite numbers.")
        return latents

    def _along(self, path: Tensor | Sequence[Tensor], num_bars: int) -> Tensor:
        """Latents (num_bars, D) on the way from the first style of a path to the last."""
        styles = self._styles(path if isinstance(path, Tensor) else torch.stack(list(path)), "path")
        if len(styles) < 2 or num_bars < 2:
            raise ValueError(f"A path needs at least 2 styles and 2 bars; got {len(styles)} and {num_bars}.")
        if len(styles) == num_bars:
            return styles
        latents = []
        for place in torch.linspace(0, len(styles) - 1, num_bars, dtype=torch.float64):
            before = min(int(place), len(styles) - 2)
            latents.append(slerp(styles[before], styles[before + 1], (place - before).float()[None])[0])
        return torch.stack(latents)

    @staticmethod
    def _lineups_along(lineup: Tensor, num_bars: int) -> Tensor:
        """A lineup (8,) for all bars, or each of K lineups (K, 8) for those nearest to it: (num_bars, 8)."""
        lineup = lineup.reshape(-1, lineup.shape[-1])
        nearest = torch.linspace(0, len(lineup) - 1, num_bars).round().long()
        return lineup[nearest]

    def _draws(self, num_bars: int, share: bool, generator: torch.Generator | None) -> Tensor:
        """The dice of each bar, (num_bars, 512) float32."""
        draws = torch.rand(1 if share else num_bars, self.processor.window_steps, generator=generator)
        return draws.expand(num_bars, -1).contiguous()

    def _play(
        self,
        latents: Tensor,
        chords: list[list[str]],
        draws: Tensor,
        temperature: float | None,
        progress: Progress | None,
        lineups: Tensor | None = None,
    ) -> Arrangement:
        """A new arrangement."""
        sequences = torch.full(draws.shape, -1)
        arrangement = Arrangement(latents, chords, sequences, draws, temperature, lineups)
        return self._replay(arrangement, list(range(len(chords))), progress)

    @torch.no_grad()
    def _replay(self, arrangement: Arrangement, places: list[int], progress: Progress | None) -> Arrangement:
        """An arrangement with the music of some bars decoded from their latents, chords and draws; equal bars once."""
        chords = chord_steps([arrangement.chords[place] for place in places]) if self.reads_chords else None
        latents, draws, lineups = arrangement.latents[places], arrangement.draws[places], arrangement.lineups[places]
        parts = [latents.numpy(), draws.numpy(), lineups.float().numpy()]
        parts += [] if chords is None else [chords.astype(np.float32)]
        _, first, number = np.unique(np.concatenate(parts, axis=1), axis=0, return_index=True, return_inverse=True)
        found, size = [], BARS_AT_A_TIME if progress else MAX_BARS
        for start in range(0, len(first), size):
            if progress:
                progress(start / len(first), f"Playing {len(places)} bars")
            rows = first[start : start + size]
            controls = None if chords is None else self.processor.codec.timed_controls(chords[rows])
            sequences = self.model.decode(
                latents[rows],
                temperature=arrangement.temperature,
                controls=controls,
                draws=draws[rows],
                legal_only=self.legal_only,
                first_temperature=None if arrangement.temperature is None else self.program_temperature,
                first_events=lineups[rows],
            )
            found.append(sequences.cpu())
        if progress:
            progress(1.0, f"Played {len(places)} bars")
        replaced = arrangement.sequences.clone()
        replaced[places] = torch.cat(found)[number.ravel()]
        return replace(arrangement, sequences=replaced)


def _generator(seed: Seed) -> torch.Generator | None:
    return seed if seed is None or isinstance(seed, torch.Generator) else torch.Generator().manual_seed(int(seed))


__all__ = ["Arrangement", "Band", "BandTrack"]
