"""Songs for a band: chords and styles in, bars of many instruments out; no user interface here.

A *style* is a bar as the model sees it: one latent vector. A *song* is a vector and the dice of each of its bars, and the
chords above them. So its chords can be changed while its style stays, and the other way round. As in `engine.py`, one object
serves all sessions and holds nothing of any of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import band_examples
import pattern as patterns
import validate
from actions import LONG_SAMPLE_RATE, LONG_SECONDS, MAX_RENDER_SECONDS, SAMPLE_RATE
from components import band_tracks
from engine import ModelEntry, Report, _silent, model_folders
from shelf import Shelf, bytes_in
from validate import StudioError

if TYPE_CHECKING:
    import pretty_midi
    import torch

    from hub_models import MidiSource
    from hub_models.music_vae import Arrangement, Band

logger = logging.getLogger("encore.studio")

BUNDLED = "multitrack-music-vae-1bar-chords"
# A file's bars that are offered as styles.
MAX_STYLES = 64
# How styles are heard before they are in a song: over this chord, at this tempo.
HOME, TEMPO = "C", 120.0
# How far a slider moves a style, by the names of the model's vectors.
ATTRIBUTE_LABELS = {
    "pitch_range": "Pitch range",
    "num_tracks": "Instruments",
    "strings": "Strings",
    "note_density": "Density",
    "loudness": "Loudness",
}
# Moved along these, a style has other instruments than the bar that it was read from.
OF_INSTRUMENTS = ("num_tracks", "strings")
# A song tells how it came about, change by change; so many changes it may have, and bars that were played for it in all.
MAX_CHANGES, MAX_PLAYED_BARS = 100, 4096


@dataclass(frozen=True, eq=False)
class StyleFile:
    """A MIDI file that styles were read from: its contents, and the id of the clip whose file it is, if it is one's."""

    data: bytes
    clip: str | None = None


# Not compared by their values: vectors and music have none that could be.
@dataclass(frozen=True, eq=False)
class Style:
    """A bar to take the style from.

    Attributes:
        music: the bar, to be seen and heard; None where nobody looks.
        latent: (latent_size,) of the model called `model`; None for an example, which is read when it is needed.
        lineup: (8,), its instruments, which play it in a song.
        made_by: what gives it again: {"example"} its name, {"seed", "temperature"}, or {"bar"} its number in `file`.
    """

    name: str
    music: pretty_midi.PrettyMIDI | None
    latent: torch.Tensor | None = None
    model: str | None = None
    lineup: torch.Tensor | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)
    file: StyleFile | None = None


@dataclass(frozen=True, eq=False)
class Song:
    """A song as it was made.

    Attributes:
        styles: (bars, latent_size), those of the bars before they were moved along attributes.
        wishes: what it was made of: the song as it was first, and its changes in order.
    """

    title: str
    arrangement: Arrangement
    styles: torch.Tensor
    model: str
    seed: int
    wishes: tuple[Wish, ...] = ()

    @property
    def num_bars(self) -> int:
        return self.arrangement.num_bars


@dataclass(frozen=True, eq=False)
class Wish:
    """What a song is to be made of.

    Attributes:
        chords: the symbols of each bar; as many as the song has bars.
        styles: one for all bars, or two to go from and to.
        strengths: of the attributes by which every bar is moved.
        keep_style, keep_chords: those of the song that there is stay.
        bars: numbers, from 0, of the only bars of that song to be made anew; empty: all.
    """

    chords: list[list[str]]
    styles: tuple[Style, ...]
    temperature: float
    seed: int
    strengths: dict[str, float] = field(default_factory=dict)
    keep_style: bool = False
    keep_chords: bool = False
    bars: tuple[int, ...] = ()


def find_bands(folder: str | Path | None = None) -> list[ModelEntry]:
    """The models of bars with many instruments and chords, found where `engine.find_models` finds the others."""
    found = [entry for entry in model_folders(folder) if _is_band(entry)]
    return sorted(found, key=lambda entry: entry.name != BUNDLED)


def _is_band(entry: ModelEntry) -> bool:
    try:
        return entry.representation == "multitrack" and bool(entry.processor_config.get("chords"))
    except (ValueError, TypeError, AttributeError, OSError):
        return False


class Bandstand:
    """The models that play with many instruments, for any number of sessions at once."""

    def __init__(self, entries: list[ModelEntry], shelf: Shelf | None = None):
        self.entries = {entry.name: entry for entry in entries}
        self._shelf = shelf or Shelf()
        self._examples: dict[tuple[str, str], Style] = {}  # styles of examples as they were read, by model and name

    def load(self, name: Any, report: Report = _silent) -> Band:
        """The band of a model, from memory or from its folder.

        Raises:
            StudioError: there is no such model, or it is damaged.
        """
        if not isinstance(name, str) or name not in self.entries:
            known = ", ".join(self.entries) or "none is installed"
            raise StudioError(f"There is no such model for bands; there is: {known}.")
        folder = self.entries[name].folder

        def load() -> Band:
            report(0.05, "Loading the model (first use)")
            from hub_models.music_vae import Band

            try:
                band = Band.from_pretrained(folder)
            except Exception as error:  # whatever a damaged folder makes transformers or safetensors raise
                logger.exception("loading %s failed", name)
                raise StudioError(f"The model {name} cannot be loaded: its files are damaged or missing.") from error
            band.model.eval().requires_grad_(False)
            return band

        return self._shelf.get(("band", name), load, bytes_in(folder))

    def attributes(self, name: str) -> dict[str, str]:
        """The attributes that a model can move a style by, with what people call them; needs no model loaded."""
        from_file = self.entries[name].vector_names if name in self.entries else ()
        return {attribute: label for attribute, label in ATTRIBUTE_LABELS.items() if attribute in from_file}

    def read(
        self,
        name: str,
        source: MidiSource,
        title: str = "",
        report: Report = _silent,
        file: StyleFile | None = None,
    ) -> dict[str, Any]:
        """The styles in a MIDI file called `title`, bar by bar; they remember that they are from `file`.

        Returns:
            dictionary with `summary` (of the file), `styles` (at most `MAX_STYLES`), `reductions` and `rejections`
            (sentences: what was left out of bars that were kept, and why others were not).

        Raises:
            ValueError: not MIDI, too large, or nothing in it for this model; the message says why.
        """
        from hub_models import midi

        report(0.02, "Reading the file")
        music = midi.load(source)
        band = self.load(name, report)
        report(0.4, "Looking for bars")
        features = band.processor(music, max_windows=MAX_STYLES)
        begin = f"{title[:40]} · bar" if title else "Bar"
        found = zip(features.windows, features["labels"], *_encode(band, features), strict=True)
        styles = [
            Style(
                f"{begin} {window.start_bar}", band.processor.decode(labels, TEMPO), latent, name, lineup,
                {"bar": window.start_bar}, file,
            )
            for window, labels, latent, lineup in found
        ]  # fmt: skip
        return {
            "summary": midi.summary(music),
            "styles": styles,
            "reductions": [f"{item.where}: {item.reason}" for item in features.reductions],
            "rejections": [f"{item.where}: {item.reason}" for item in features.rejections],
        }

    def read_bar(self, name: str, source: MidiSource, bar: int) -> Style:
        """The style of one bar of a MIDI file, counted from 1.

        Raises:
            ValueError: as `read`, or nothing in this bar.
        """
        from hub_models import midi
        from hub_models.music_vae import band_reading

        band = self.load(name)
        latents, lineups = _encode(band, band_reading.read_bars(band.processor, midi.load(source), bar))
        return Style(f"Bar {bar}", None, latents[0], name, lineups[0], {"bar": bar})

    def sample(self, name: str, temperature: float, seed: int, report: Report = _silent) -> Style:
        """A style out of the prior."""
        band = self.load(name, report)
        report(0.4, "Thinking")
        made = band.sample(HOME, temperature=temperature, seed=seed)
        lineup, made_by = _first_events(made.sequences)[0], {"seed": seed, "temperature": temperature}
        return Style(f"Sample {seed}", band.to_midi(made, TEMPO), made.latents[0], name, lineup, made_by)

    def as_read(self, name: str, style: Style) -> Style:
        """A style with its vector (latent_size,) and its instruments (8,), for a model.

        Raises:
            StudioError: it is of another model.
        """
        if style.latent is None:
            key = (name, style.name)
            if key not in self._examples:
                band = self.load(name)
                latents, lineups = _encode(band, band.processor(style.music, max_windows=1, chords=HOME))
                self._examples[key] = replace(style, latent=latents[0], model=name, lineup=lineups[0])
            return self._examples[key]
        if style.model != name:
            raise StudioError(f"The style “{style.name}” is of another model, {style.model}: choose it again.")
        return style

    def make(self, name: str, wish: Wish, song: Song | None = None, report: Report = _silent) -> Song:
        """A song; with `song`, what the wish keeps of it stays.

        Args:
            report: told of the progress; what it raises ends the work.

        Raises:
            ValueError: what is wished for is not there; the message says what.
        """
        band = self.load(name, report)
        strengths = validate.strengths(wish.strengths, tuple(band.attributes))
        changes = song is not None and (wish.keep_style or bool(wish.bars))
        if changes and song.model != name:
            raise StudioError(f"This song is of another model, {song.model}: unlock the style, or choose that model.")
        chords = _chords(wish, song)
        wishes = _told(wish, chords, song if changes else None)
        report(0.1, "Reading the styles")
        lineups = None
        if changes and wish.keep_style:
            styles = song.styles[_stretched(song, len(chords))]
        else:
            styles, lineups = self._way(name, wish.styles, len(chords))
        if any(strengths.get(attribute) for attribute in OF_INSTRUMENTS):
            lineups = _drawn(len(chords))
        latents = styles
        for attribute, strength in strengths.items():
            latents = band.move(latents, attribute, strength) if strength else latents

        def progress(done: float, text: str) -> None:
            report(0.15 + 0.65 * done, text)

        if changes:
            changed = _changed(band, song, wish, chords, styles, latents, lineups, progress)
            return replace(changed, wishes=wishes)
        way = {"path": latents} if len(chords) > 1 else {"style": latents[0]}
        chance = {"temperature": wish.temperature, "seed": wish.seed}
        made = band.arrange(chords, **way, **chance, progress=progress, lineup=lineups)
        return Song(_title(wish.styles), made, styles, name, wish.seed, wishes)

    def _way(self, name: str, styles: tuple[Style, ...], num_bars: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The vectors (num_bars, latent_size) from the first style to the last, and the instruments (num_bars, 8): those of
        the first in the first half."""
        import torch

        from hub_models.music_vae import slerp

        if not styles:
            raise StudioError("There is no style yet: pick, sample or upload one.")
        read = [self.as_read(name, style) for style in styles]
        first, last = read[0], read[-1]
        way = torch.linspace(0, 1, num_bars)
        latents = slerp(first.latent, last.latent, way) if len(read) > 1 else first.latent.expand(num_bars, -1).clone()
        return latents, torch.where((way < 0.5).unsqueeze(-1), first.lineup, last.lineup)

    def midi(self, song: Song, tempo: float) -> pretty_midi.PrettyMIDI:
        """A song as MIDI: an instrument for each of its tracks, and its chords as text events."""
        return self.load(song.model).to_midi(song.arrangement, tempo)


def example(name: str) -> Style:
    """The style of an example bar; read by a model when it is needed.

    Raises:
        StudioError: there is no such example.
    """
    if not isinstance(name, str) or name not in band_examples.BARS:
        raise StudioError(f"There is no such example; there is {', '.join(band_examples.BARS)}.")
    return Style(name, band_examples.bar(name), made_by={"example": name})


def wish_of(stand: Bandstand, name: str, recipe: band_examples.Recipe, report: Report = _silent) -> Wish:
    """The wish for an example song."""
    styles = tuple(
        example(style) if isinstance(style, str) else stand.sample(name, recipe.temperature, style, report)
        for style in recipe.styles
    )
    chords = progression(recipe.progression, recipe.num_bars)
    offered = stand.attributes(name)
    strengths = {attribute: value for attribute, value in recipe.strengths.items() if attribute in offered}
    return Wish(chords, styles, recipe.temperature, recipe.seed, strengths)


def files(music: pretty_midi.PrettyMIDI, bars: int, tempo: float, audible: Iterable[str] | None = None) -> dict[str, bytes]:
    """A song as `midi` and, unless it lasts longer than ten minutes, `wav` file contents.

    Args:
        audible: keys of the tracks that sound, see `components/band_tracks.py`; None: all. The MIDI file has them all.
    """
    from hub_models import audio, midi

    seconds = bars * patterns.BEATS_PER_BAR * 60.0 / tempo
    made = {"midi": midi.to_bytes(music)}
    if seconds < MAX_RENDER_SECONDS - 1:
        sample_rate = SAMPLE_RATE if seconds <= LONG_SECONDS else LONG_SAMPLE_RATE
        heard = music if audible is None else band_tracks.only(music, set(audible))
        sound = midi.render(heard, sample_rate=sample_rate, min_seconds=seconds, max_seconds=MAX_RENDER_SECONDS)
        made["wav"] = audio.to_wav_bytes(sound, sample_rate)
    return made


def summary(song: Song, music: pretty_midi.PrettyMIDI, tempo: float) -> dict[str, Any]:
    """What a song holds, as plain data; `music` is the song as MIDI."""
    return {
        "title": song.title,
        "model": song.model,
        "seed": song.seed,
        "temperature": song.arrangement.temperature,
        "tempo": tempo,
        "seconds": song.num_bars * patterns.BEATS_PER_BAR * 60.0 / tempo,
        "chords": song.arrangement.chords,
        "tracks": [
            {"name": part.name, "program": part.program, "is_drum": part.is_drum, "notes": len(part.notes)}
            for part in music.instruments
        ],
        "silent_bars": song.arrangement.silent_bars,
    }


def progression(text: Any, num_bars: int | None = None) -> list[list[str]]:
    """The symbols of each bar of a progression, which starts again until the bars are filled; what is over is left out.

    Raises:
        StudioError: there are none, too many, or a symbol that cannot be read; names it and its bar.
    """
    from hub_models.music_vae import chords  # the package first: other threads may be importing it

    if not isinstance(text, str) or not text.replace("|", " ").strip():
        raise StudioError("There are no chords yet: write some, such as C Am F G.")
    if len(text) > validate.MAX_PROGRESSION:
        raise StudioError(f"The chords are {len(text)} characters long; at most {validate.MAX_PROGRESSION} are allowed.")
    try:
        bars = chords.read_progression(text)
    except ValueError as error:
        raise StudioError(str(error)) from error
    num_bars = validate.bars(len(bars) if num_bars is None else num_bars)
    return [bars[bar % len(bars)] for bar in range(num_bars)]


def progression_text(chords: list[list[str]]) -> str:
    """As a person would write it: the shortest part that comes again and again, to the end."""
    length = next(n for n in range(1, len(chords) + 1) if all(c == chords[i % n] for i, c in enumerate(chords)))
    bars = [" ".join(symbols) for symbols in chords[:length]]
    if all(len(symbols) == 1 for symbols in chords):
        return " ".join(bars)
    return " | ".join(bars) if len(bars) > 1 else f"| {bars[0]} |"


def _encode(band: Band, features: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Posterior means (N, latent_size) of bars, and their instruments (N, 8)."""
    import torch

    inputs = {key: features[key] for key in ("input_values", "lengths", "controls") if key in features}
    with torch.no_grad():
        return band.model.encode(**inputs).mean, _first_events(features["labels"])


def _first_events(sequences: torch.Tensor) -> torch.Tensor:
    """The instruments (N, 8) of bars (N, 512)."""
    from hub_models.music_vae import lineups_of

    return lineups_of(sequences)


def _drawn(num_bars: int) -> torch.Tensor:
    """Instruments (num_bars, 8) that the model draws."""
    import torch

    return torch.full((num_bars, 8), -1)


def _changed(
    band: Band,
    song: Song,
    wish: Wish,
    chords: list[list[str]],
    styles: torch.Tensor,
    latents: torch.Tensor,
    lineups: torch.Tensor | None,
    progress: Callable[[float, str], None],
) -> Song:
    """A song with other chords, or other bars; `styles` and `latents` (bars, latent_size) before and after moving, and the
    instruments (bars, 8) where they change."""
    import torch

    places = _stretched(song, len(chords))
    frame = song.arrangement.select([place + 1 for place in places])
    bars = list(wish.bars or range(len(chords)))
    draws = frame.draws.clone()
    if wish.bars or wish.keep_chords:  # else the same dice: the style holds
        draws[bars] = torch.rand(draws.shape[1], generator=torch.Generator().manual_seed(wish.seed))
    if wish.bars:
        styles, latents = _with_rows(song.styles, styles, bars), _with_rows(frame.latents, latents, bars)
    lineups = frame.lineups if lineups is None else _with_rows(frame.lineups, lineups, bars)
    frame = replace(frame, latents=latents, draws=draws, temperature=wish.temperature, lineups=lineups)
    made = band.change_chords(frame, [chords[bar] for bar in bars], [bar + 1 for bar in bars], progress)
    return Song(song.title, made, styles, song.model, wish.seed)


def _chords(wish: Wish, song: Song | None) -> list[list[str]]:
    """The chords of all bars of the song that is to be."""
    if song is None or not (wish.bars or wish.keep_chords):
        return wish.chords
    old = song.arrangement.chords
    if wish.keep_chords:
        chords = old
    else:  # of the chosen bars alone
        chords = [wish.chords[bar % len(wish.chords)] if bar in wish.bars else own for bar, own in enumerate(old)]
    if any(bar not in range(len(chords)) for bar in wish.bars):
        raise StudioError(f"The song has bars 1 to {len(chords)}.")
    return [list(symbols) for symbols in chords]


def _told(wish: Wish, chords: list[list[str]], song: Song | None) -> tuple[Wish, ...]:
    """The wishes of the song that is to be, with `chords`; `song`: the one that it is a change of.

    Raises:
        StudioError: there would be too many.
    """
    if song is None:
        return (replace(wish, chords=chords, keep_style=False, keep_chords=False, bars=()),)
    wishes = (*song.wishes, replace(wish, chords=chords))
    if len(wishes) > 1 + MAX_CHANGES or sum(len(one.bars or one.chords) for one in wishes) > MAX_PLAYED_BARS:
        raise StudioError(
            f"A song can be changed {MAX_CHANGES} times, and {MAX_PLAYED_BARS:,} bars be played for it in all; this one was "
            "changed as often: make a new one."
        )
    return wishes


def _stretched(song: Song, num_bars: int) -> list[int]:
    """Which of its bars each bar of a longer or shorter song takes after."""
    return [bar * song.num_bars // num_bars for bar in range(num_bars)]


def _with_rows(old: torch.Tensor, new: torch.Tensor, rows: list[int]) -> torch.Tensor:
    mixed = old.clone()
    mixed[rows] = new[rows]
    return mixed


def _title(styles: tuple[Style, ...]) -> str:
    return " → ".join(dict.fromkeys(style.name for style in styles))
