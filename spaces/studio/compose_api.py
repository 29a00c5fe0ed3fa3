"""Whole pieces for programs and tools: a few words in, MIDI, sound and JSON out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import composer as composing
import gradio as gr
import pattern as patterns
import validate
from actions import LONG_QUEUE, in_sentences
from components import cache
from composer import Composer
from gradio.utils import get_upload_folder

from hub_models import Composition, audio
from hub_models.composing.settings import CHORDS, MIX, PLAYED, STAGES, Recipe
from hub_models.composing.sound_models import CONTINUE
from hub_models.composition import wished

OWN_SEEDS = -1


def add_endpoints(composer: Composer) -> None:
    """Registers /compose and /develop in the surrounding `gr.Blocks`."""
    _add_compose(composer)
    _add_develop(composer)


def _add_compose(composer: Composer) -> None:
    def compose(
        chords: str = "",
        seed: int = OWN_SEEDS,
        key: str = "",
        mood: str = "",
        tempo: float | None = None,
        melody: str | None = None,
        band_style: str = "",
        to_band_style: str = "",
        piano_style: str = "",
        state: dict | None = None,
        reroll: str = "",
        follow: bool = True,
        stages: list | None = None,
        progress=gr.Progress(),
    ) -> tuple:
        """Composes a whole piece of sixteen bars and an ending: chords, a melody, a band, a piano, the mix.

        Args:
            chords: a progression, "C Am F G" or "| C Am | F G |", which goes round until the bars are full; "": one that
                suits the mood.
            seed: 0 to 2147483647, of all stages; the same seed gives the same piece. With reroll: of that stage. -1: those
                of the state, or 0; with reroll the next one.
            key: such as "A minor"; "": that of the chords, or one that suits the mood.
            mood: Bright, Tender, Wistful, Dark, Driving or Easy: what the piece is played on and like; "": by the seed.
            tempo: 50 to 180 quarter notes per minute; none: one that suits the mood.
            melody: a MIDI file whose melody is taken, its first sixteen bars; none: MusicVAE writes one.
            band_style: name of a style that comes with Encore, such as "Soft ballad" or "Funk"; "": one that suits the mood.
            to_band_style: another one, which the band turns into; "": it stays.
            piano_style: name of a piece that the piano plays like, such as "Satie, Gymnopédie: slow, very soft"; "": one
                that suits the mood.
            state: a recipe (see hub_models.composing.settings), or the state that an earlier call gave, whose parts stay.
                What is given above goes before it.
            reroll: of a state with parts, the stage that is made anew with another seed: chords, melody, band or piano.
            follow: whether what is made for that stage is made anew as well; else it stays.
            stages: those that are made, of chords, melody, band, piano and mix; none: all.

        Returns:
            midi: the mix, the melody, the band and the piano on tracks of their own, with the chords as markers.
            wav: the same as sound.
            chords_midi: the chords held.
            melody_midi: the melody alone; none where it was not made, as the next two.
            band_midi: the band alone.
            piano_midi: the piano alone.
            state: object with recipe (all settings and seeds, which make it again), parts (all notes), title, key, tempo,
                chords, seconds and seeds (of each stage).
        """
        composer.check_models()
        wanted = _wanted(stages)
        if reroll:
            if not isinstance(state, dict) or not state.get("parts"):
                raise validate.StudioError("To make a stage anew, give the state of an earlier call, with its parts.")
            piece = composer.composition(state)
            if reroll not in (CHORDS, *PLAYED):
                raise validate.StudioError(f"One of {', '.join((CHORDS, *PLAYED))} can be made anew, not {reroll[:40]!r}.")
            following = (piece.recipe.of(reroll).seed + 1) % (validate.MAX_SEED + 1)
            made = piece.reroll(reroll, own_seed(seed, following), bool(follow), progress=progress)
        else:
            whole = state is not None and isinstance(state, dict) and "recipe" in state
            recipe = Recipe.from_dict((state["recipe"] if whole else state) or {})
            changed = wished(
                chords or None, own_seed(seed, None), key or None, mood or None, tempo,
                Path(melody).read_bytes() if melody else None, band_style or None, to_band_style or None,
                piano_style or None, recipe,
            )  # fmt: skip
            if whole and changed == recipe and state.get("parts"):
                made = composer.composition(state)
            else:
                made = composer.create(changed, progress=progress, wanted=wanted)
        progress(0.97, "Rendering")
        return (*_files(made), {**made.to_dict(), **_facts(made)})

    def own_seed(seed: Any, otherwise: int | None) -> int | None:
        return otherwise if seed in (OWN_SEEDS, None) else validate.seed(seed)

    with gr.Column(visible=False):
        inputs: list[Any] = [
            gr.Textbox("", label="Chords"),
            gr.Number(OWN_SEEDS, label="Seed"),
            gr.Textbox("", label="Key"),
            gr.Textbox("", label="Mood"),
            gr.Number(None, label="Tempo"),
            gr.File(label="Melody", type="filepath"),
            gr.Textbox("", label="Style of the band"),
            gr.Textbox("", label="Style that the band turns into"),
            gr.Textbox("", label="Style of the piano"),
            gr.JSON(None, label="State"),
            gr.Textbox("", label="Stage to make anew"),
            gr.Checkbox(True, label="What is made for it follows"),
            gr.JSON(None, label="Stages"),
        ]
        outputs = [
            gr.File(label="MIDI"), gr.File(label="WAV"), gr.File(label="Chords"), gr.File(label="Melody"),
            gr.File(label="Band"), gr.File(label="Piano"), gr.JSON(label="State"),
        ]  # fmt: skip
    trigger = gr.Button(visible=False)
    trigger.click(in_sentences(compose), inputs, outputs, api_name="compose", **LONG_QUEUE)


def _add_develop(composer: Composer) -> None:
    def develop(
        state: dict, way: str = CONTINUE, seconds: float = 8.0, seed: int = 0, model: str = "", progress=gr.Progress()
    ) -> tuple[str, dict]:
        """Takes a whole piece further as sound: continues it, imagines it anew from its beginning, or re-voices it.

        Args:
            state: what /compose gave, or a recipe, of which the piece is made first.
            way: "continue": the sixteen bars, and how Jukebox goes on from their last two seconds; "reimagine": the first
                two seconds, and how Jukebox goes on from there; "revoice": its spectrogram, as WaveGrad makes sound of it.
            seconds: those that are added, those of the whole, or those of the beginning that are re-voiced; 1 to 60.
            seed: 0 to 2147483647; the same seed gives the same sound.
            model: name of the model of sound; "": the first.

        Returns:
            wav: a WAV file, mono, at the model's sample rate.
            figures: object with title, way, model, seconds, sample_rate, seed, key and tempo.
        """
        if not isinstance(state, dict) or not state:
            raise validate.StudioError("Give the state of a piece, as /compose gives it, or a recipe.")
        if state.get("parts"):
            piece = composer.composition(state)
        else:
            recipe = Recipe.from_dict(state.get("recipe", state))
            piece = composer.create(recipe, progress=lambda share, text: progress(0.3 * share, text))
        clip = composer.developer.develop(
            piece, way, seconds, seed, model, progress=lambda share, text: progress(0.3 + 0.69 * share, text)
        )
        path = cache.save(clip.data, f"{patterns.file_name({'name': clip.name})}.wav", get_upload_folder())
        samples, rate = audio.load(clip.data)
        return path, {
            "title": clip.name,
            "way": way,
            "model": clip.origin.model,
            "seconds": round(samples.shape[-1] / rate, 3),
            "sample_rate": rate,
            "seed": clip.origin.seed,
            "key": clip.key,
            "tempo": clip.tempo,
        }

    with gr.Column(visible=False):
        inputs: list[Any] = [
            gr.JSON(None, label="State"),
            gr.Textbox(CONTINUE, label="Way"),
            gr.Number(8, label="Seconds"),
            gr.Number(0, label="Seed"),
            gr.Textbox("", label="Model"),
        ]
        outputs = [gr.File(label="WAV"), gr.JSON(label="Figures")]
    trigger = gr.Button(visible=False)
    trigger.click(in_sentences(develop), inputs, outputs, api_name="develop", **LONG_QUEUE)


def _wanted(stages: Any) -> tuple[str, ...]:
    if stages in (None, [], ""):
        return STAGES
    if not isinstance(stages, list) or not all(stage in STAGES for stage in stages) or CHORDS not in stages:
        raise validate.StudioError(f"The stages are a list of {', '.join(STAGES)}; chords are always among them.")
    if not any(stage in PLAYED for stage in stages):
        raise validate.StudioError(f"At least one of {', '.join(PLAYED)} must be made.")
    return tuple(stage for stage in STAGES if stage in stages or stage == MIX)


def _files(piece: Composition) -> list[str | None]:
    """The paths of what /compose gives, in the order of `composition.OUTPUTS`; None for what was not made."""
    folder, name = get_upload_folder(), patterns.file_name({"name": piece.title})
    paths: list[str | None] = [
        cache.save(composing.midi_file(piece, MIX), f"{name}.mid", folder),
        cache.save(composing.mix_wav(piece), f"{name}.wav", folder),
    ]
    for stage in (CHORDS, *PLAYED):
        is_there = stage in piece.parts
        paths.append(cache.save(composing.midi_file(piece, stage), f"{name}-{stage}.mid", folder) if is_there else None)
    return paths


def _facts(piece: Composition) -> dict[str, Any]:
    return {
        "title": piece.title,
        "key": piece.key,
        "tempo": piece.tempo,
        "chords": piece.chords_text,
        "seconds": round(piece.seconds, 2),
        "seeds": {stage: piece.recipe.of(stage).seed for stage in (CHORDS, *PLAYED)},
    }
