"""The Jukebox for programs: artist, genre and lyrics in, a WAV file and what it is made of out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr
import pattern as patterns
import sound as sounds
import validate
from actions import LONG_QUEUE, in_sentences
from components import cache
from gradio.utils import get_upload_folder
from jukebox_models import MAX_SECONDS
from jukeboxes import MAX_CANDIDATES, Jukeboxes


def add_endpoint(jukeboxes: Jukeboxes) -> None:
    """Registers /jukebox in the surrounding `gr.Blocks`."""

    def jukebox(
        model: str,
        artist: str,
        genre: str,
        lyrics: str,
        seconds: float,
        seed: int,
        temperature: float | None,
        prompt: str | None,
        prompt_seconds: float | None,
        levels: int | None,
        temperatures: list | None = None,
        candidate: int = 1,
        offset_seconds: float = 0.0,
        total_seconds: float | None = None,
        midi_seconds: float | None = None,
        progress=gr.Progress(),
    ) -> tuple[str, dict]:
        """Makes a song: raw audio of an artist and a genre, with lyrics, from its top level down to the finest.

        Args:
            model: name of a model whose representation is "song"; "": the first.
            artist: a name that the model knows; others are taken for nobody in particular, and said; "": nobody.
            genre: as the artist.
            lyrics: to be sung, at most 5000 characters; "": music alone.
            seconds: of the whole song, at most 60; /models names the least.
            seed: 0 to 2147483647; the same seed gives the same song.
            temperature: above 0, at most 2, of all levels; lower is safer, higher is wilder; none: what suits the model at
                each level.
            prompt: a sound file (WAV, FLAC, OGG, MP3), at most 25 MB and 5 minutes, or a MIDI file, which is rendered, that
                the song begins with; none: it begins by itself.
            prompt_seconds: how much of that file is kept; none: all of it.
            levels: how many levels are made: 1 is the top level alone, rough and quick; none: all.
            temperatures: of each level, the top first, in place of one for all.
            candidate: 1 to 4; the same seed gives each its own song.
            offset_seconds: where in a longer song this one begins, for what is sung and how it sounds there.
            total_seconds: how long that song is; none: it ends where this one does.
            midi_seconds: of a MIDI file, how long it is where it ends in silence; none: to its last note.

        Returns:
            wav: a WAV file, mono, at the model's sample rate.
            figures: object with model, artist, genre, seconds, sample_rate, seed, temperatures, prompt_seconds,
                levels, codes (number of each level, the top first, as temperatures), words (objects with word, start, end,
                in seconds, confidence and line: when each word of the lyrics is sung), provenance (what made it, from what),
                computing_seconds, and remarks: names that the model does not know, what of the lyrics it reads otherwise,
                what was done to the file.
        """
        entry = jukeboxes.entry(model or next(iter(jukeboxes.entries), ""))
        progress(0.02, "Loading the model")
        jukeboxes.load(entry.name)
        file_seconds = validate.midi_seconds(midi_seconds)
        sound = sounds.bring(prompt, Path(prompt).stem, entry.sample_rate, file_seconds) if prompt else None
        key = str(validate.candidate(candidate, MAX_CANDIDATES))
        wish = jukeboxes.wish(
            entry.name,
            artist=artist,
            genre=genre,
            lyrics=lyrics,
            seconds=seconds,
            seed=seed,
            temperatures=temperatures or temperature,
            kept=prompt_kept(prompt_seconds, sound),
            prompt_seconds=sound.seconds if sound else 0.0,
            offset=offset_seconds,
            total=total_seconds,
        )
        count = len(entry.hops)
        levels = count if levels is None else validate.levels(levels, count)
        reading = jukeboxes.read(entry.name, wish.artist, wish.genre, wish.lyrics, wish.total or wish.offset + wish.seconds)
        part = sound.part(0.0, wish.kept) if sound else None
        started, words = time.monotonic(), []
        for look in jukeboxes.whole(wish, part, levels, key):
            words = look.words or words
            text = f"{entry.level_names[look.level]} level"
            progress(0.05 + 0.9 * look.share, f"{text}, {look.text}" if look.text else text)
        samples = look.sounds[levels - 1]
        figures = {
            "model": entry.name,
            "artist": wish.artist,
            "genre": wish.genre,
            "seconds": round(len(samples) / entry.sample_rate, 3),
            "sample_rate": entry.sample_rate,
            "seed": wish.seed,
            "temperatures": list(wish.temperatures),
            "prompt_seconds": round(wish.kept, 3),
            "levels": levels,
            "codes": [len(row) for row in look.codes[:levels]],
            "words": [dict(zip(("word", "start", "end", "confidence", "line"), word, strict=True)) for word in words],
            "provenance": jukeboxes.provenance(wish, part, levels, key),
            "computing_seconds": round(time.monotonic() - started, 2),
            "remarks": [*reading.about_names, *reading.about_lyrics, *(sound.remarks if sound else ())],
        }
        return _cached(samples, entry.sample_rate, wish.title), figures

    def prompt_kept(seconds: Any, sound: sounds.Sound | None) -> float:
        if sound is None:
            return 0.0
        return min(sound.seconds, MAX_SECONDS) if seconds is None else seconds

    names = list(jukeboxes.entries)
    with gr.Column(visible=False):
        inputs: list[Any] = [
            gr.Textbox(names[0] if names else "", label="Model"),
            gr.Textbox("", label="Artist"),
            gr.Textbox("", label="Genre"),
            gr.Textbox("", label="Lyrics"),
            gr.Number(10, label="Seconds"),
            gr.Number(0, label="Seed"),
            gr.Number(None, label="Temperature"),
            gr.File(label="Prompt", type="filepath"),
            gr.Number(None, label="Seconds of the prompt"),
            gr.Number(None, label="Levels"),
            gr.JSON(None, label="Temperatures"),
            gr.Number(1, label="Candidate"),
            gr.Number(0, label="Offset in seconds"),
            gr.Number(None, label="Seconds of the whole song"),
            gr.Number(None, label="Seconds of MIDI"),
        ]
        outputs = [gr.File(label="WAV"), gr.JSON(label="Figures")]
    trigger = gr.Button(visible=False)
    trigger.click(in_sentences(jukebox), inputs, outputs, api_name="jukebox", **LONG_QUEUE)


def _cached(samples: Any, sample_rate: int, title: str) -> str:
    from hub_models import audio

    name = patterns.file_name({"name": title})
    return cache.save(audio.to_wav_bytes(samples, sample_rate), f"{name}.wav", get_upload_folder())
