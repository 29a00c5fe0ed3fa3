"""MusicVAE: latent spaces of melodies, drums, trios, grooves and bands, registered with transformers' Auto classes."""

from transformers import AutoConfig, AutoModel, AutoProcessor

from .attributes import (
    ATTRIBUTES,
    MULTITRACK_ATTRIBUTES,
    compute_attribute_vectors,
    load_attribute_vectors,
    measure,
    save_attribute_vectors,
)
from .band import Arrangement, Band, BandTrack
from .band_arrangement import lineup_of, lineups_of
from .chord_annotations import with_chords
from .chord_symbols import ChordSymbolError
from .chords import chord_controls, chord_progression, transpose_chords
from .configuration_music_vae import PRESETS, MusicVAEConfig
from .drum_maps import DRUM_MAPS
from .grooves import groove_from_grid, groove_from_taps
from .modeling_music_vae import MusicVAEModel, MusicVAEOutput, MusicVAEPosterior, slerp
from .note_sequence import MidiError, MidiLimits, NoteSequence, read_midi
from .processing_music_vae import MusicVAEFeatures, MusicVAEProcessor, NoExamplesError, Window
from .song_latents import Song, SongPart, SongTrack
from .songs import MetreError, decode_song, encode_song

AutoConfig.register(MusicVAEConfig.model_type, MusicVAEConfig)
AutoModel.register(MusicVAEConfig, MusicVAEModel)
AutoProcessor.register(MusicVAEConfig, MusicVAEProcessor)

__all__ = [
    "ATTRIBUTES",
    "DRUM_MAPS",
    "MULTITRACK_ATTRIBUTES",
    "PRESETS",
    "Arrangement",
    "Band",
    "BandTrack",
    "ChordSymbolError",
    "MetreError",
    "MidiError",
    "MidiLimits",
    "MusicVAEConfig",
    "MusicVAEFeatures",
    "MusicVAEModel",
    "MusicVAEOutput",
    "MusicVAEPosterior",
    "MusicVAEProcessor",
    "NoExamplesError",
    "NoteSequence",
    "Song",
    "SongPart",
    "SongTrack",
    "Window",
    "chord_controls",
    "chord_progression",
    "compute_attribute_vectors",
    "decode_song",
    "encode_song",
    "groove_from_grid",
    "groove_from_taps",
    "lineup_of",
    "lineups_of",
    "load_attribute_vectors",
    "measure",
    "read_midi",
    "save_attribute_vectors",
    "slerp",
    "transpose_chords",
    "with_chords",
]
