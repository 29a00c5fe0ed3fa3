"""The named endpoints of the Studio: every action of the Morph tab for programs, with plain types.

They have components of their own, which the page never shows, so that a program depends on no layout and no session.
Clips travel as JSON (see `clip.py`), files as files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import actions
import clip as clips
import gradio as gr
import validate
from actions import MODEL_QUEUE, RENDER_QUEUE, in_sentences
from engine import Engine
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder


def add_endpoints(engine: Engine) -> None:
    """Registers the endpoints in the surrounding `gr.Blocks`."""
    names = list(engine.entries)

    def models() -> list[dict]:
        """The models of this Studio.

        Returns:
            list of objects with name, description, representation ("melody" or "drums"), bars and attributes.
        """
        return [
            {
                "name": entry.name,
                "description": entry.description,
                "representation": entry.representation,
                "bars": entry.bars,
                "attributes": list(entry.attributes),
            }
            for entry in engine.entries.values()
        ]

    def extract(model: str, file: str, progress=gr.Progress()) -> dict:
        """Finds the clips that a model can read in a MIDI file.

        Args:
            model: name of a model, as /models lists them.
            file: a standard MIDI file, at most 5 MB.

        Returns:
            object with summary (tempo, metres, instruments...), clips, and rejections: what was left out, and why.
        """
        if not file:
            raise validate.StudioError("There is no file; send a standard MIDI file.")
        return engine.read(model, file, progress)

    def sample(model: str, temperature: float, seed: int, progress=gr.Progress()) -> dict:
        """A new clip.

        Args:
            model: name of a model.
            temperature: above 0, at most 5; lower is safer, higher is wilder.
            seed: 0 to 2147483647; the same seed gives the same clip.

        Returns:
            clip: object with notes ([pitch, start, end, velocity], in quarter notes), bars, drums and tokens.
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
        return engine.reconstruct(model, clips.check(clip), validate.temperature(temperature), validate.seed(seed), progress)

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
            clips.check(start, "The start"),
            clips.check(end, "The end"),
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
        checked = [clips.check(corner, f"Corner {letter}") for letter, corner in zip("ABCD", corners, strict=True)]
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
            model, clips.check(clip), strengths, validate.temperature(temperature), validate.seed(seed), progress
        )

    def render(clip: dict, tempo: float, program: int) -> tuple[str, str]:
        """A clip as files.

        Args:
            clip: any clip.
            tempo: quarter notes per minute, 20 to 300.
            program: General MIDI instrument, 0 to 127; drums are always drums.

        Returns:
            midi: a standard MIDI file.
            wav: a WAV file, 44.1 kHz stereo.
        """
        checked = clips.check(clip)
        made = actions.files(checked, validate.tempo(tempo), validate.program(program))
        name = clips.file_name(checked)
        return tuple(
            save_bytes_to_cache(made[kind], f"{name}.{extension}", get_upload_folder())
            for kind, extension in (("midi", "mid"), ("wav", "wav"))
        )

    with gr.Column(visible=False):
        model = gr.Textbox(names[0] if names else "", label="Model")
        file = gr.File(label="MIDI file", type="filepath")
        one, other, several = (gr.JSON(label=label) for label in ("Clip", "Other clip", "Several clips"))
        strengths = gr.JSON({}, label="Strengths")
        temperature = gr.Number(0.5, label="Temperature")
        seed = gr.Number(0, label="Seed")
        steps = gr.Number(8, label="Steps")
        size = gr.Number(7, label="Size")
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
    add(render, [one, tempo, program], [midi_file, wav_file], RENDER_QUEUE)
