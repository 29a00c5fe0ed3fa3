"""What a processor finds in a MIDI file, as much of it as a person can choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pretty_midi

    from hub_models import MusicVAEProcessor
    from hub_models.music_vae import MusicVAEFeatures

MAX_WINDOWS = 64


def find(processor: MusicVAEProcessor, music: pretty_midi.PrettyMIDI) -> tuple[MusicVAEFeatures, list[str]]:
    """The first windows of a file, at most `MAX_WINDOWS`, and a sentence where there are more.

    Raises:
        NoExamplesError: there is none; the message says why, bar by bar.
    """
    from hub_models.music_vae import NoteSequence

    features = processor(music, max_windows=MAX_WINDOWS)
    if len(features.windows) < MAX_WINDOWS:
        return features, []
    total = len(processor.extract(NoteSequence.from_pretty_midi(music)).examples)
    return features, [f"the first {MAX_WINDOWS} of its {total:,} windows are kept"] if total > MAX_WINDOWS else []
