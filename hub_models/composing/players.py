"""The band and the piano of a piece: what a Multitrack MusicVAE and a Transformer Autoencoder play for its chords."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import band_bars, piano_pieces
from .fitting import accent, fit_texture
from .harmony import Harmony, nearest
from .parts import CompositionError, Note, Part, Track, one_at_a_time
from .settings import QUARTERS, BandSettings, PianoSettings, Style

if TYPE_CHECKING:
    import pretty_midi
    import torch

    from ..music_vae import Band
    from ..transformer_autoencoder import (
        TransformerAutoencoderForConditionalGeneration,
        TransformerAutoencoderProcessor,
    )

HOME = "C"  # what the bars that come with Encore are written over
PIANO_PROGRAM = 0
SIXTEENTH = 0.25
# Keys that a piano strikes with one sixteenth, and events for a quarter note of it at most.
MOST_TOGETHER, MOST_EVENTS_PER_QUARTER = 4, 70
SHORTEST, LATE = 0.12, 0.25  # quarter notes: the shortest note, and how far one may ring into the next chord
TURNS = (4, 8, 12, 16)  # bars in which a band turns to the next four
LOWEST = 36

Report = Callable[[float, str], None]


def play_band(settings: BandSettings, style: Style, harmony: Harmony, band: Band, report: Report) -> Part:
    """What a band plays over the chords; see `BandSettings`. `style` is that of the settings, or what was drawn for it.

    Raises:
        ValueError: a style cannot be read; says why.
        CompositionError: the band plays nothing.
    """
    import torch

    read = [_band_style(band, one) for one in (style, settings.to_style) if one is not None]
    lineups = None if any(lineup is None for _, lineup in read) else torch.stack([lineup for _, lineup in read])
    way = {"path": torch.stack([latent for latent, _ in read])} if len(read) > 1 else {"style": read[0][0]}
    arrangement = band.arrange(
        harmony.bars, **way, temperature=settings.temperature, seed=settings.seed, lineup=lineups, progress=report
    )
    # New dice in the last bar of every four, so that the same chord does not always sound the same.
    arrangement = band.vary(arrangement, TURNS, seed=settings.seed)
    music = band.to_midi(arrangement, tempo=60.0)  # a quarter note is a second
    tracks = tuple(_band_track(instrument, harmony, settings.fit) for instrument in music.instruments if instrument.notes)
    if not tracks:
        raise CompositionError("The band plays nothing in this style; try another seed or another style.")
    names = [style.label] + ([settings.to_style.label] if settings.to_style else [])
    return Part(tracks, {"style": " → ".join(names), "silent_bars": arrangement.silent_bars})


def _band_style(band: Band, style: Style) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The latent (D,) of a style and its instruments (8,), None where they are drawn."""
    if style.seed is not None:
        return band.random_styles(1, style.seed)[0], None
    if style.name is not None:
        bar = band_bars.bar(style.name)
        return band.encode(bar, chords=HOME)[0][0], band.lineups(bar)[0]
    return band.encode(style.midi, style.bar)[0][0], band.lineups(style.midi, style.bar)[0]


def _band_track(instrument: pretty_midi.Instrument, harmony: Harmony, fit: float) -> Track:
    notes = [
        Note(note.pitch, round(note.start, 4), round(min(note.end, QUARTERS), 4), note.velocity)
        for note in instrument.notes
        if note.start < QUARTERS - 1e-3
    ]
    track = Track(instrument.name, instrument.program, instrument.is_drum, ())
    if not track.is_drum and fit:
        notes = fit_texture(notes, harmony, fit)
        notes = [_on_root(note, harmony) for note in notes] if track.is_bass and fit == 1 else notes
    return track.with_notes(notes if track.is_drum else one_at_a_time(notes))


def _on_root(note: Note, harmony: Harmony) -> Note:
    """A bass plays the root on the first beat."""
    root = harmony.root_at(note.start)
    return note if root is None or accent(note.start) < 1 else note._replace(pitch=nearest(note.pitch, (root,)))


def play_piano(
    settings: PianoSettings,
    style: Style,
    melody: Sequence[Note],
    harmony: Harmony,
    tempo: float,
    model: TransformerAutoencoderForConditionalGeneration,
    processor: TransformerAutoencoderProcessor,
    check: Callable[[], None],
    report: Report,
) -> Part:
    """What a piano plays to a melody in the style of a performance, as long as the piece; see `PianoSettings`. `style` is
    that of the settings, or what was drawn for it.

    Raises:
        ValueError: the style cannot be read; says why.
        CompositionError: the piano plays nothing.
    """
    import torch

    from .. import midi

    performance = piano_pieces.piece(style.name) if style.name is not None else midi.load(style.midi)
    tune = to_music(melody, tempo)
    heard: dict[str, Any] = {"melody": tune, "melody_source": "as_is"} if model.config.melody_encoder else {}
    features = processor(style=performance, **heard)
    given = {name: features[name] for name in ("melody_ids", "melody_attention_mask") if name in features}
    if model.config.performance_encoder != "none":
        given |= {name: features[name] for name in ("performance_ids", "performance_attention_mask")}
    seconds = QUARTERS * 60.0 / tempo
    with torch.no_grad():
        ids = model.generate(
            **given,
            do_sample=True,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=0,
            suppress_tokens=[0, 1],  # neither padding nor an end: it plays as long as the piece
            max_new_tokens=round(MOST_EVENTS_PER_QUARTER * QUARTERS),
            seed=settings.seed,
            stopping_criteria=[_Clock(seconds, check, report)],
        )
    played = processor.decode(ids[0].tolist())
    quarters_per_second = tempo / 60.0
    notes = [
        Note(note.pitch, note.start * quarters_per_second, note.end * quarters_per_second, note.velocity)
        for instrument in played.instruments
        for note in instrument.notes
    ]
    notes = accompanying(notes, melody, harmony, settings)
    if not notes:
        raise CompositionError("The piano plays nothing; try another seed or another style.")
    return Part((Track("Piano", PIANO_PROGRAM, False, ()).with_notes(notes),), {"style": style.label})


class _Clock:
    """Ends a performance that is long enough; a stopping criterion of `generate`."""

    def __init__(self, seconds: float, check: Callable[[], None], report: Report):
        self.seconds, self._check, self._report = seconds, check, report
        self._played, self._seen = 0.0, 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        import numpy as np
        import torch

        from ..transformer_autoencoder.performance_events import duration_seconds

        self._check()
        self._played += duration_seconds(np.asarray(input_ids[0, self._seen :].cpu()))
        self._seen = input_ids.shape[1]
        if self._seen % 16 == 0:
            self._report(min(1.0, self._played / self.seconds), f"{self._played:.0f} of {self.seconds:.0f} seconds")
        return torch.full((len(input_ids),), self._played >= self.seconds, dtype=torch.bool, device=input_ids.device)


def to_music(notes: Sequence[Note], tempo: float) -> pretty_midi.PrettyMIDI:
    """Notes in quarters as a piano part at a tempo."""
    import pretty_midi

    music = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    music.instruments.append(pretty_midi.Instrument(PIANO_PROGRAM))
    seconds = 60.0 / tempo
    music.instruments[0].notes = [pretty_midi.Note(n.velocity, n.pitch, n.start * seconds, n.end * seconds) for n in notes]
    return music


def accompanying(notes: Sequence[Note], melody: Sequence[Note], harmony: Harmony, settings: PianoSettings) -> list[Note]:
    """What a piano played freely, in the time of a band and below its melody."""
    steady = []
    for note in notes:
        grid = SIXTEENTH * round(note.start / SIXTEENTH)
        start = max(0.0, note.start + settings.steadiness * (grid - note.start))
        end = min(max(start + SHORTEST, note.end + start - note.start), QUARTERS)
        # A pedal that is held through the chords is what a free player does alone.
        end = min(end, max(start + SHORTEST, harmony.next_change(start) + LATE)) if settings.fit else end
        if start < QUARTERS - SHORTEST:
            steady.append(note._replace(start=round(start, 4), end=round(end, 4)))
    if settings.fit:
        steady = fit_texture([_below(note, melody) for note in steady], harmony, settings.fit)
    return _thinned(one_at_a_time(steady))


def _below(note: Note, melody: Sequence[Note]) -> Note:
    """A note that is above the melody that sounds with it is played octaves lower."""
    above = [own.pitch for own in melody if own.start < note.end and own.end > note.start]
    pitch = note.pitch
    while above and pitch >= min(above) and pitch > 48:
        pitch -= 12
    return note._replace(pitch=pitch if pitch >= LOWEST else pitch + 12 * -(-(LOWEST - pitch) // 12))


def _thinned(notes: Sequence[Note]) -> list[Note]:
    """At most `MOST_TOGETHER` notes with a sixteenth: the lowest, then the loudest."""
    together: dict[int, list[Note]] = {}
    for note in notes:
        together.setdefault(round(note.start / SIXTEENTH), []).append(note)
    kept = []
    for chord in together.values():
        lowest = min(chord, key=lambda note: note.pitch)
        others = sorted((note for note in chord if note is not lowest), key=lambda note: (-note.velocity, note.pitch))
        kept += [lowest, *others[: MOST_TOGETHER - 1]]
    return sorted(kept, key=lambda note: (note.start, note.pitch))
