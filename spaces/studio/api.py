"""The named endpoints of the Studio: every action of its tabs for programs, with plain types.

They have components of their own, which the page never shows, so that a program depends on no layout and no session.
The notes of clips travel as JSON (see `pattern.py`), files as files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import actions
import band as bands
import band_calls
import gradio as gr
import grooves
import pattern as patterns
import songs
import validate
from actions import MODEL_QUEUE, RENDER_QUEUE, in_sentences
from band import Bandstand
from components import cache
from engine import Engine
from gradio.utils import get_upload_folder
from jukeboxes import Jukeboxes
from performer import Performers
from vocoder import Vocoders


def add_endpoints(
    engine: Engine, stand: Bandstand, vocoders: Vocoders, performers: Performers, jukeboxes: Jukeboxes
) -> None:
    """Registers the endpoints in the surrounding `gr.Blocks`."""
    names = list(engine.entries)

    def existing(file: str | None) -> str:
        if not file:
            raise validate.StudioError("There is no file; send a standard MIDI file.")
        return file

    def models() -> list[dict]:
        """The models of this Studio.

        Returns:
            list of objects with name, description, representation ("melody", "drums", "trio", "groove": drums with feel,
            "multitrack": bars of a band, for /arrange, "performance", for /perform, "sound", for /vocode, or "song", for
            /jukebox), bars, attributes, and puts_back: what a groove model adds to what it is shown ("humanize": velocity
            and timing, "tap": all but the rhythm, "add_closed_hi_hat"). A model for sound has sample_rate and schedules
            (name to number of steps) instead, one for performances takes_style and takes_melody, one for songs sample_rate,
            levels, takes_lyrics, min_seconds, min_seconds_with_prompt, max_seconds, artists and genres (at most 400 of
            each).
        """
        piano = [
            {
                "name": entry.name,
                "description": entry.description or entry.name,
                "representation": "performance",
                "takes_style": entry.takes_style,
                "takes_melody": entry.takes_melody,
            }
            for entry in performers.entries.values()
        ]
        sound = [
            {
                "name": entry.name,
                "description": entry.description or entry.name,
                "representation": "sound",
                "sample_rate": entry.sample_rate,
                "schedules": entry.schedules,
            }
            for entry in vocoders.entries.values()
        ]
        music_vae = [
            {
                "name": entry.name,
                "description": entry.description,
                "representation": entry.representation,
                "bars": entry.bars,
                "attributes": list(stand.attributes(name) if name in stand.entries else entry.attributes),
                "puts_back": list(entry.corruptions),
            }
            for name, entry in {**engine.entries, **stand.entries}.items()
        ]
        return jukeboxes.described() + sound + piano + music_vae

    def extract(model: str, file: str, progress=gr.Progress()) -> dict:
        """Finds the clips that a model can read in a MIDI file.

        Args:
            model: name of a model, as /models lists them.
            file: a standard MIDI file, at most 5 MB.

        Returns:
            object with summary (tempo, metres, instruments...), clips (at most 64), reductions (a sentence where there are
            more), and rejections: what was left out, and why.
        """
        return engine.read(model, existing(file), progress)

    def sample(model: str, temperature: float, seed: int, progress=gr.Progress()) -> dict:
        """A new clip.

        Args:
            model: name of a model.
            temperature: above 0, at most 5; lower is safer, higher is wilder.
            seed: 0 to 2147483647; the same seed gives the same clip.

        Returns:
            clip: object with notes ([pitch, start, end, velocity], in quarter notes; in a trio also the part: 0 melody,
                1 bass, 2 drums), bars, drums, trio and tokens.
        """
        return engine.sample(model, validate.temperature(temperature), validate.seed(seed), progress)

    def reconstruct(model: str, clip: dict, temperature: float, seed: int, progress=gr.Progress()) -> dict:
        """A clip as the model remembers it: encoded and decoded.

        Args:
            model: name of a model.
            clip: a clip from another endpoint, or {"notes": [[pitch, start, end, velocity], ...], "bars": 2}.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            clip.
        """
        return engine.reconstruct(
            model, patterns.check(clip), validate.temperature(temperature), validate.seed(seed), progress
        )

    def interpolate(
        model: str, start: dict, end: dict, steps: int, temperature: float, seed: int, progress=gr.Progress()
    ) -> dict:
        """Morphs one clip into another.

        Args:
            model: name of a model.
            start: clip to start from.
            end: clip to arrive at.
            steps: number of clips in the piece, 2 to 16, both ends counted.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            clip: all steps one after another.
        """
        return engine.interpolate(
            model,
            patterns.check(start, "The start"),
            patterns.check(end, "The end"),
            validate.steps(steps),
            validate.temperature(temperature),
            validate.seed(seed),
            progress,
        )

    def corner_grid(model: str, corners: list, size: int, temperature: float, seed: int, progress=gr.Progress()) -> list:
        """A grid of clips between four corners.

        Args:
            model: name of a model.
            corners: list of four clips: top left, top right, bottom left, bottom right.
            size: cells along a side, 2 to 9.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            list of rows, each a list of clips.
        """
        if not isinstance(corners, list) or len(corners) != 4:
            raise validate.StudioError("The corners must be a list of four clips.")
        checked = [patterns.check(corner, f"Corner {letter}") for letter, corner in zip("ABCD", corners, strict=True)]
        return engine.corner_grid(
            model,
            checked,
            validate.grid_size(size),
            validate.temperature(temperature),
            validate.seed(seed),
            progress,
        )

    def apply_attributes(
        model: str, clip: dict, strengths: dict, temperature: float, seed: int, progress=gr.Progress()
    ) -> dict:
        """Moves a clip along attribute vectors.

        Args:
            model: name of a model that has attributes.
            clip: the clip to move.
            strengths: object of attribute name to strength, -2 to 2.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            clip.
        """
        validate.strengths(strengths, engine.entry(model).attributes)
        return engine.apply_attributes(
            model, patterns.check(clip), strengths, validate.temperature(temperature), validate.seed(seed), progress
        )

    def taps(times: list, velocities: list | None, tempo: float) -> dict:
        """A tapped rhythm of two bars as a clip of drums.

        Args:
            times: of the taps, in seconds from the first beat.
            velocities: of the taps, 1 to 127; leave it out where they are all alike.
            tempo: quarter notes per minute, 20 to 300.

        Returns:
            clip.
        """
        times, velocities = validate.taps(times, velocities)
        notes = grooves.taps(times, velocities, validate.tempo(tempo), grooves.BARS)
        return patterns.make("Taps", notes, grooves.BARS, drums=True)

    def humanize(
        model: str, clip: dict, keep_hits: bool, amount: float, temperature: float, seed: int, progress=gr.Progress()
    ) -> dict:
        """Plays drums with the velocities and the timing of a drummer.

        Args:
            model: name of a model that puts back "humanize".
            clip: two bars of drums; their velocities and timing are not read.
            keep_hits: exactly these hits; else those that the model plays.
            amount: share of the feel, 0 to 1.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            clip.
        """
        return engine.humanize(
            model,
            patterns.check(clip),
            bool(keep_hits),
            validate.amount(amount),
            validate.temperature(temperature),
            validate.seed(seed),
            progress,
        )

    def full_kit(model: str, clip: dict, temperature: float, seed: int, progress=gr.Progress()) -> dict:
        """Turns a rhythm into a beat on the whole kit.

        Args:
            model: name of a model that puts back "tap".
            clip: two bars, of /taps or any drums; only when something is hit is read.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            clip.
        """
        return engine.full_kit(model, patterns.check(clip), validate.temperature(temperature), validate.seed(seed), progress)

    def add_hats(model: str, clip: dict, temperature: float, seed: int, progress=gr.Progress()) -> dict:
        """Adds closed hi-hats to a beat, in place of those that it has; the other drums stay.

        Args:
            model: name of a model that puts back "add_closed_hi_hat".
            clip: two bars of drums.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            clip.
        """
        return engine.add_hats(model, patterns.check(clip), validate.temperature(temperature), validate.seed(seed), progress)

    def render(clip: dict, tempo: float, program: int) -> tuple[str, str]:
        """A clip as files.

        Args:
            clip: any clip.
            tempo: quarter notes per minute, 20 to 300.
            program: General MIDI instrument, 0 to 127; drums are always drums.

        Returns:
            midi: a standard MIDI file.
            wav: a WAV file, stereo, 44.1 kHz (32 kHz from two minutes on).

        Raises:
            Error: the music lasts longer than ten minutes at this tempo.
        """
        checked = patterns.check(clip)
        made = actions.files(checked, validate.tempo(tempo), validate.program(program))
        return _cached(made, patterns.file_name(checked))

    def smooth_song(
        model: str, file: str, width: float, temperature: float, seed: int, progress=gr.Progress()
    ) -> tuple[str, str | None]:
        """A whole song that changes more slowly: every window takes after its neighbours.

        Args:
            model: name of a model.
            file: a standard MIDI file, at most 5 MB; what the model does not read stays as it is.
            width: of the average, in bars, 0 to 16; 0: the song as the model remembers it.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            midi: the song, with its tempo and its length.
            wav: the same; none where it lasts longer than ten minutes.
        """
        return change_song(model, file, songs.smooth(validate.width(width)), temperature, seed, progress)

    def morph_songs(
        model: str,
        file: str,
        other_file: str,
        start: float,
        end: float,
        fit: str,
        temperature: float,
        seed: int,
        progress=gr.Progress(),
    ) -> tuple[str, str | None]:
        """A whole song that turns into another as it goes on, at its own tempo and length.

        Args:
            model: name of a model.
            file: the song, a standard MIDI file.
            other_file: the song to go to.
            start: share of the other song at the beginning, 0 to 1.
            end: share of the other song at the end, 0 to 1.
            fit: "loop" (the other song at its own pace) or "stretch" (as long as the song).
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            midi: the song.
            wav: the same; none where it lasts longer than ten minutes.
        """
        way = {
            "other": existing(other_file),
            "path": validate.path(start, end),
            "fit": validate.one_of("The fit", fit, songs.FITS),
        }
        return change_song(model, file, lambda song: song, temperature, seed, progress, **way)

    def hold_in_song(
        model: str, file: str, attribute: str, value: float | None, temperature: float, seed: int, progress=gr.Progress()
    ) -> tuple[str, str | None]:
        """A whole song with the same amount of an attribute all through.

        Args:
            model: name of a model that has attributes.
            file: the song, a standard MIDI file.
            attribute: name of an attribute.
            value: its amount, -2 to 2; none: its mean over the song.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647.

        Returns:
            midi: the song.
            wav: the same; none where it lasts longer than ten minutes.
        """
        value = None if value is None else validate.strength(value)
        return change_song(model, file, songs.hold(engine, model, attribute, value), temperature, seed, progress)

    def arrange(
        model: str,
        progression: str,
        bars: int | None,
        style: str | None,
        style_bar: int | None,
        to_style: str | None,
        to_style_bar: int | None,
        strengths: dict | None,
        tempo: float,
        temperature: float,
        seed: int,
        styles: list | None = None,
        changes: list | None = None,
        style_files: list | None = None,
        progress=gr.Progress(),
    ) -> tuple[str, str | None, dict]:
        """A song for a whole band over a chord progression: one style all through, or one that turns into another.

        Args:
            model: name of a model whose representation is "multitrack".
            progression: a chord for each bar, "C Am F G", or bars between bar lines, "| C Am | F G |"; starts again until
                the song is full.
            bars: 1 to 256; none: as many as the progression.
            style: a standard MIDI file, at most 5 MB, to take the style from; none: a random one.
            style_bar: number of the bar to take, from 1; none: the first that can be read.
            to_style: a file with the style to arrive at; none: the first style stays.
            to_style_bar: number of its bar.
            strengths: object of attribute name to strength, -2 to 2, by which every bar is moved.
            tempo: quarter notes per minute, 20 to 300.
            temperature: above 0, at most 5.
            seed: 0 to 2147483647; the same seed gives the same song.
            styles: in place of style and to_style: a list of one style or two, each {"example": "Funk"}, one of the examples
                of the page, {"seed": 7, "temperature": 0.5}, a random one, or {"file": 0, "bar": 3}, of style_files.
            changes: of the song, at most 100, one after the other; a list of objects with any of keep_style, keep_chords
                (true: they stay), only_bars (numbers, from 1, of the only bars to be played anew), progression and bars
                (needed unless the chords stay), styles (needed unless the style stays), strengths, temperature and seed.
            style_files: a list of MIDI files, which styles name by their place, from 0.

        Returns:
            midi: the song, an instrument on each track and the chords as markers.
            wav: the same; none where it lasts longer than ten minutes.
            summary: object with title, chords (of each bar), tracks (name, program, is_drum, notes), silent_bars, seconds,
                and styles: for each file its reductions (what was left out of bars) and rejections (bars not read, and why).
        """
        tempo, temperature, seed = validate.tempo(tempo), validate.temperature(temperature), validate.seed(seed)
        chords = bands.progression(progression, bars)
        reader = band_calls.StyleReader(stand, model, style_files, progress)
        if styles:
            chosen = reader.styles(styles, temperature)
        else:
            chosen = tuple(reader.bar(*one) for one in ((style, style_bar), (to_style, to_style_bar)) if one[0])
            chosen = chosen if style else (stand.sample(model, temperature, seed, progress), *chosen)
        wishes = [bands.Wish(chords, chosen, temperature, seed, strengths or {})]
        wishes += band_calls.changes_of(changes or [], reader, temperature, seed)
        song = band_calls.make(stand, model, wishes, progress)
        given = (*(() if styles else (style, to_style)), *dict.fromkeys(style_files or []))
        remarks = [reader.remarks[file] for file in given if file in reader.remarks]
        progress(0.85, "Rendering")
        music = stand.midi(song, tempo)
        made = bands.files(music, song.num_bars, tempo)
        midi_file, wav_file = _cached(made, patterns.file_name({"name": song.title}))
        return midi_file, wav_file, {**bands.summary(song, music, tempo), "styles": remarks}

    def change_song(model, file, edit, temperature, seed, progress, **way) -> tuple[str, str | None]:
        temperature, seed = validate.temperature(temperature), validate.seed(seed)
        written = songs.change(engine, model, existing(file), edit, temperature, seed, progress, **way)
        return _cached(songs.files(written.midi), "song")

    with gr.Column(visible=False):
        model = gr.Textbox(names[0] if names else "", label="Model")
        file, other_file = (gr.File(label=label, type="filepath") for label in ("MIDI file", "Other MIDI file"))
        one, other, several = (gr.JSON(label=label) for label in ("Clip", "Other clip", "Several clips"))
        strengths = gr.JSON({}, label="Strengths")
        times, velocities = gr.JSON(label="Times"), gr.JSON(label="Velocities")
        keep_hits = gr.Checkbox(True, label="Keep the hits")
        amount = gr.Number(1.0, label="Amount of feel")
        width, value = gr.Number(4, label="Width"), gr.Number(None, label="Value")
        start, end = gr.Number(0, label="Start"), gr.Number(1, label="End")
        fit, attribute = gr.Textbox("loop", label="Fit"), gr.Textbox("note_density", label="Attribute")
        temperature = gr.Number(0.5, label="Temperature")
        seed = gr.Number(0, label="Seed")
        steps = gr.Number(8, label="Steps")
        size = gr.Number(7, label="Size")
        styles, changes = gr.JSON(label="Styles"), gr.JSON(label="Changes")
        style_files = gr.File(label="Files of styles", type="filepath", file_count="multiple")
        band_model = gr.Textbox(next(iter(stand.entries), ""), label="Band model")
        progression, bars = gr.Textbox("C G Am F", label="Progression"), gr.Number(None, label="Bars")
        style_bar, to_style_bar = gr.Number(None, label="Bar"), gr.Number(None, label="Other bar")
        tempo = gr.Number(120, label="Tempo")
        program = gr.Number(0, label="Program")
        answer = gr.JSON(label="Answer")
        midi_file, wav_file = gr.File(label="MIDI"), gr.File(label="WAV")

    def add(action: Callable, inputs: list[Any], outputs: list[Any], queue: dict[str, Any]) -> None:
        trigger = gr.Button(visible=False)
        trigger.click(in_sentences(action), inputs, outputs, api_name=action.__name__, **queue)

    add(models, [], [answer], RENDER_QUEUE)
    add(extract, [model, file], [answer], MODEL_QUEUE)
    add(sample, [model, temperature, seed], [answer], MODEL_QUEUE)
    add(reconstruct, [model, one, temperature, seed], [answer], MODEL_QUEUE)
    add(interpolate, [model, one, other, steps, temperature, seed], [answer], MODEL_QUEUE)
    add(corner_grid, [model, several, size, temperature, seed], [answer], MODEL_QUEUE)
    add(apply_attributes, [model, one, strengths, temperature, seed], [answer], MODEL_QUEUE)
    add(taps, [times, velocities, tempo], [answer], RENDER_QUEUE)
    add(humanize, [model, one, keep_hits, amount, temperature, seed], [answer], MODEL_QUEUE)
    add(full_kit, [model, one, temperature, seed], [answer], MODEL_QUEUE)
    add(add_hats, [model, one, temperature, seed], [answer], MODEL_QUEUE)
    add(smooth_song, [model, file, width, temperature, seed], [midi_file, wav_file], MODEL_QUEUE)
    way = [start, end, fit]
    add(morph_songs, [model, file, other_file, *way, temperature, seed], [midi_file, wav_file], MODEL_QUEUE)
    add(hold_in_song, [model, file, attribute, value, temperature, seed], [midi_file, wav_file], MODEL_QUEUE)
    files = [file, style_bar, other_file, to_style_bar]
    made = [midi_file, wav_file, answer]
    arranged = [band_model, progression, bars, *files, strengths, tempo, temperature, seed, styles, changes, style_files]
    add(arrange, arranged, made, MODEL_QUEUE)
    add(render, [one, tempo, program], [midi_file, wav_file], RENDER_QUEUE)


def _cached(made: dict[str, bytes], name: str) -> tuple[str, str | None]:
    """Paths of the files of a piece of music, in Gradio's cache; None for one that there is not."""
    return tuple(
        cache.save(made[kind], f"{name}.{extension}", get_upload_folder()) if kind in made else None
        for kind, extension in (("midi", "mid"), ("wav", "wav"))
    )
