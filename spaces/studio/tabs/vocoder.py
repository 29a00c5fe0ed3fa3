"""The Vocoder tab: a sound on the left, its spectrogram below; on the right what WaveGrad makes of it, out of noise."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import actions
import gradio as gr
import sound as sounds
import validate
import vocoder_examples
from actions import LONG_QUEUE, RENDER_QUEUE, in_sentences
from components.sound_view import TICKS, SoundView, sound_view_value, take
from sound import MIN_SECONDS, Sound
from sources import Ledger, in_words, plain_settings
from vocoder import BUNDLED, GRIFFIN_LIM_ITERATIONS, MAX_SECONDS, TRAINING, Step, VocoderEntry, Vocoders, Wish

from .parts import PRIVATE, SESSION_SECONDS, Desk, heading, plain, seed_controls, send_menu

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hub_models import Clip

TITLE = "Vocoder"
OWN = "own"  # in place of a schedule's name: so many evenly spaced steps
OWN_STEPS, MOST_OWN_STEPS = 12, 200
ORIGINAL, VOCODED, GRIFFIN_LIM = "original", "vocoded", "griffin-lim"
# What the sliders go to; programs may ask for more.
PAGE_SEMITONES, PAGE_STRETCH = 12, (0.5, 2.0)


@dataclass(frozen=True, eq=False)
class Vocoded:
    """A sound that was made: what the view shows of it, and what travels."""

    value: dict[str, Any]
    clip: Clip


def build(vocoders: Vocoders) -> Desk | None:
    """Adds the tab's controls and events to the surrounding `gr.Blocks`."""
    if not vocoders.entries:
        gr.Markdown(f"This needs a model that is not installed here: {BUNDLED}.", elem_id="vocoder-missing")
        return None
    entries = list(vocoders.entries.values())
    first = entries[0]
    brakes = actions.Brakes()

    with gr.Row(elem_classes="stage"):
        with gr.Column(scale=6, min_width=320):
            with gr.Column(elem_classes="card"):
                heading(1, "Sound", "Upload one, pick one, or send one from another tab")
                model = gr.Dropdown(
                    [(entry.label, entry.name) for entry in entries],
                    value=first.name, label="Model", visible=len(entries) > 1, elem_id="vocoder-model",
                )  # fmt: skip
                held = gr.State(None, time_to_live=SESSION_SECONDS)
                source = SoundView(
                    slot="No sound yet", hint="Upload or pick a sound.", compact=True, pictures=("wave",), view="source",
                    elem_id="vocoder-source", label="Sound",
                )  # fmt: skip
                with gr.Row(elem_classes="brought"):
                    example = gr.Dropdown(
                        list(vocoder_examples.SOUNDS), value=None, label="Example", elem_id="vocoder-example", min_width=200
                    )
                    upload = gr.UploadButton(
                        "Upload sound", file_types=[".wav", ".flac", ".ogg", ".mp3"], size="sm", min_width=130,
                        elem_id="vocoder-upload",
                    )  # fmt: skip
                report = gr.Markdown("", elem_classes="report", elem_id="vocoder-report")
                with gr.Row(elem_classes="part"):
                    begin = gr.Slider(
                        0, 10, value=0, step=0.1, label="Begin (seconds)", elem_id="vocoder-begin", min_width=150
                    )
                    length = gr.Slider(
                        MIN_SECONDS, MAX_SECONDS, value=10, step=0.05, label="Length (seconds)",
                        elem_id="vocoder-length", min_width=150,
                    )  # fmt: skip
            with gr.Column(elem_classes="card"):
                heading(2, "Spectrogram", "All that the vocoder is told: how loud each pitch is, and when")
                given = SoundView(
                    slot="What the vocoder reads", hint="The mel spectrogram of the sound appears here.", compact=True,
                    pictures=("mel",), silent=True, elem_id="vocoder-mel", label="Spectrogram",
                )  # fmt: skip
                with gr.Row(elem_classes="part"):
                    semitones = gr.Slider(
                        -PAGE_SEMITONES, PAGE_SEMITONES, value=0, step=0.5, label="Pitch (semitones)",
                        elem_id="vocoder-pitch", min_width=150,
                    )  # fmt: skip
                    stretch = gr.Slider(
                        *PAGE_STRETCH, value=1, step=0.05, label="Time (2: twice as long)", elem_id="vocoder-time",
                        min_width=150,
                    )  # fmt: skip
                gr.Markdown(
                    "Both change the picture, and the vocoder makes sound of what it is shown: voices shifted up also sound "
                    "smaller, and what leaves the picture is gone.",
                    elem_classes="quiet",
                )

        with gr.Column(scale=8, min_width=320, elem_classes=["card", "result"]):
            heading(3, "Sound again", "Out of noise, step by step")
            with gr.Row(elem_classes="how"):
                schedule = gr.Dropdown(
                    _schedules(first), value=first.default_schedule, label="Steps", elem_id="vocoder-schedule", min_width=210
                )
                steps = gr.Slider(
                    1, MOST_OWN_STEPS, value=OWN_STEPS, step=1, label="Number of steps", visible=False,
                    elem_id="vocoder-steps", min_width=180,
                )  # fmt: skip
            with gr.Row(elem_classes="make"):
                make = gr.Button("Make it sound", variant="primary", min_width=150, elem_id="vocoder-make")
                stop = gr.Button("Cancel", min_width=70, elem_id="vocoder-stop")
            result = gr.State(None, time_to_live=SESSION_SECONDS)
            view = SoundView(
                slot="Nothing yet",
                hint="Press “Make it sound”: the waveform emerges from noise. Then hear it beside the original.",
                view="result", elem_id="vocoder-result", label="Result",
            )  # fmt: skip
            with gr.Row(elem_classes="again"):
                menu = send_menu("vocoder-")
            gr.Markdown(
                f"Griffin-Lim is what one does without a network: {GRIFFIN_LIM_ITERATIONS} rounds of guessing the phases."
                + "".join(f"\n\n{plain(entry.description, 600)}" for entry in vocoders.entries.values()),
                elem_classes="quiet",
            )
            with gr.Column(elem_classes="sound"):
                seed, keep = seed_controls("vocoder-")

    how = [model, schedule, steps, semitones, stretch]
    part = [begin, length]
    seen = [given, length, steps]
    filled = [held, source, example, report, begin, *seen]

    def wished(model, schedule, steps, semitones, stretch, seed=0) -> Wish:
        return vocoders.wish(model, steps if schedule == OWN else schedule, semitones, stretch, seed)

    def look(sound: Sound, begin: float, length: float, how: tuple) -> tuple:
        """Values for `seen`: the spectrogram of the part that is taken."""
        name, wish = how[0], wished(*how)
        longest = max(MIN_SECONDS, min(sound.seconds, wish.max_seconds / wish.stretch))
        length = max(MIN_SECONDS, min(length, longest))
        chosen = _part(sound, begin, length)
        mel = vocoders.mel(name, chosen.samples(), wish.semitones, wish.stretch)
        one = take("mel", "Spectrogram", chosen.seconds * wish.stretch, mel=sounds.mel_picture(mel.numpy()))
        value = sound_view_value(
            [one], title="What the vocoder reads", detail=_changes(chosen, wish), ticks=_ticks(vocoders.entry(name), mel)
        )
        bounds = gr.Slider(maximum=round(max(longest, MIN_SECONDS + 0.05), 2), value=round(length, 2))
        return value, bounds, gr.Slider(visible=wish.schedule is None)

    def fill(sound: Sound, how: tuple, example: str | None = None) -> tuple:
        """Values for `filled`: a sound has come."""
        vocoders.entry(how[0])
        seen = look(sound, 0.0, MAX_SECONDS, how)
        value = _source_value(sound)
        begin = gr.Slider(maximum=max(0.1, round(sound.seconds - MIN_SECONDS, 1)), value=0)
        remarks = "\n".join(f"- {plain(remark)}" for remark in sound.remarks)
        return (sound, value, gr.Dropdown(value=example), remarks, begin, *seen)

    def play(name: str, how: tuple) -> tuple:
        return fill(vocoder_examples.sound(name, vocoders.entry(how[0]).sample_rate), how, name)

    @in_sentences
    def on_upload(path, *how):
        return fill(sounds.read(path, Path(path).stem, vocoders.entry(how[0]).sample_rate), how)

    @in_sentences
    def on_example(name, *how):
        if name not in vocoder_examples.SOUNDS:
            raise validate.StudioError("There is no such example.")
        return play(name, how)

    @in_sentences
    def on_look(sound, begin, length, *how):
        if sound is None:
            return gr.skip(), gr.skip(), gr.Slider(visible=how[1] == OWN)
        return look(sound, begin, length, how)

    @in_sentences
    def on_model(name):
        entry = vocoders.entry(name)
        return gr.Dropdown(choices=_schedules(entry), value=entry.default_schedule), None, None

    @in_sentences
    def on_make(request: gr.Request, sound, begin, length, seed, keep, before, *how) -> Iterator[tuple]:
        """Values for `result`, `view` and `seed`, again and again while the sound is being made."""
        if sound is None:
            raise validate.StudioError("There is no sound yet: upload one or pick an example.")
        seed = actions.choose_seed(seed, keep)
        wish, name, part = wished(*how, seed), how[0], _part(sound, begin, length)
        making = _Making(vocoders, name, part, wish)
        try:
            with brakes.running(request.session_hash, lambda fraction, text: None) as check:
                yield gr.skip(), making.value("Getting ready"), seed
                making.read()
                vocoders.load(name)
                for step in vocoders.vocode(name, making.mel, making.num_samples, wish, lambda: check(0.0, "")):
                    making.come(step)
                    yield gr.skip(), making.value(_progress(step)), gr.skip()
                making.finish(step)
                yield gr.skip(), making.value("Griffin-Lim, to compare"), gr.skip()
                making.compare()
                check(0.0, "")
            value = making.value()
            yield Vocoded(value, clip_of(name, sound, begin, length, wish, making.wav)), value, gr.skip()
        except Exception:
            yield gr.skip(), before.value if before else None, gr.skip()
            raise

    @in_sentences
    def on_stop(request: gr.Request):
        if not brakes.stop(request.session_hash):
            gr.Info("Nothing is being made right now.")

    @in_sentences
    def on_open(sound, *how) -> Iterator[tuple]:
        """The first time: an example, so that there is something to try; then the model, while a person looks at it."""
        yield play(next(iter(vocoder_examples.SOUNDS)), how) if sound is None else (gr.skip(),) * len(filled)
        vocoders.load(how[0])

    upload.upload(on_upload, [upload, *how], filled, show_progress_on=source, **RENDER_QUEUE, **PRIVATE)
    example.input(on_example, [example, *how], filled, show_progress_on=source, **RENDER_QUEUE, **PRIVATE)
    again = {"show_progress": "hidden", "trigger_mode": "always_last", **RENDER_QUEUE, **PRIVATE}
    gr.on(
        [begin.release, length.release, semitones.release, stretch.release, steps.release, schedule.input],
        on_look, [held, *part, *how], seen, **again,
    )  # fmt: skip
    model.input(on_model, [model], [schedule, held, source], show_progress="hidden", **PRIVATE)
    mark = "(begin, length) => { window.encoreSound?.views.source?.mark(begin, length); }"
    gr.on([begin.change, length.change], None, part, None, js=mark)
    make.click(
        on_make, [held, *part, seed, keep, result, *how], [result, view, seed],
        show_progress="hidden", **LONG_QUEUE, **PRIVATE,
    )  # fmt: skip
    stop.click(on_stop, None, None, queue=False, show_progress="hidden", **PRIVATE)

    def reads(clip: Clip) -> str | None:
        text = sounds.reads(clip)
        if text and clip.seconds > MAX_SECONDS:
            return f"{text}, up to {MAX_SECONDS:g} seconds of it at once"
        return text

    def put(clip: Clip, *how) -> tuple:
        """Values for `filled`: a clip has come."""
        return fill(sounds.of_clip(clip, vocoders.entry(how[0]).sample_rate), how)

    return Desk(
        TITLE, result, give=lambda made: made.clip, reads=reads, take=put, inputs=how, outputs=filled, menu=menu,
        opened=on_open, opened_inputs=[held, *how], opened_outputs=filled,
    )  # fmt: skip


def clip_of(model: str, sound: Sound, begin: float, length: float, wish: Wish, wav: bytes) -> Clip:
    """The clip of a sound that was made, as /vocode makes it again.

    Args:
        sound: the whole, of which `length` seconds from `begin` on were taken.
        wav: contents of its file.
    """
    from hub_models import Clip
    from hub_models.clips import Call, Origin

    part, ledger = sound.part(begin, length), Ledger()
    source, begins = sound.source(begin, length)
    call = Call(
        "/vocode",
        {
            "model": model,
            "file": ledger.reference(source, "wav"),
            "schedule": wish.schedule or str(wish.steps),
            "semitones": wish.semitones,
            "stretch": wish.stretch,
            "seed": wish.seed,
            "begin": begins,
            "seconds": part.seconds,
            "midi_seconds": sound.midi_seconds,
        },
    )
    origin = Origin(
        action=in_words(f"Vocode {sound.name}"),
        model=model,
        settings=plain_settings(
            sound=sound.name,
            begin=begin,
            seconds=round(part.seconds, 3),
            schedule=wish.schedule,
            steps=wish.steps,
            semitones=wish.semitones,
            stretch=wish.stretch,
        ),
        seed=wish.seed,
        parents=ledger.parents,
        calls=(call,),
        files=ledger.files,
    )
    return Clip.from_audio(wav, f"{sound.name}, vocoded", origin=origin)


class _Making:
    """What is shown of a sound while it is being made."""

    def __init__(self, vocoders: Vocoders, name: str, sound: Sound, wish: Wish):
        self.vocoders, self.name, self.sound, self.wish = vocoders, name, sound, wish
        self.run = {"id": secrets.token_hex(4), "key": VOCODED, "done": 0, "steps": wish.steps}
        self.takes: dict[str, dict[str, Any]] = {}
        self.ticks: list[list[Any]] = []

    def read(self) -> None:
        """The spectrogram that is given to the network, and the pictures of the original."""
        self.mel, self.num_samples = self.vocoders.given(self.name, self.sound, self.wish)
        self.ticks = _ticks(self.vocoders.entry(self.name), self.mel)
        self._show(ORIGINAL, "Original", self.sound.samples(), heard=True)

    def come(self, step: Step) -> None:
        """Another step is done."""
        self.run["done"] = step.done
        if step.samples is not None:
            self._show(VOCODED, "WaveGrad", step.samples)

    def finish(self, step: Step) -> None:
        """The last step is done: the sound can be heard."""
        self._show(VOCODED, "WaveGrad", step.samples, heard=True, compared=True)

    @property
    def wav(self) -> bytes:
        """Contents of the file of what was made."""
        return self.takes[VOCODED]["wav"]

    def compare(self) -> None:
        """The same spectrogram without a network."""
        samples = self.vocoders.griffin_lim(self.name, self.mel, self.num_samples, self.wish.seed)
        self._show(GRIFFIN_LIM, "Griffin-Lim", samples, heard=True, compared=True)

    def value(self, busy: str = "") -> dict[str, Any]:
        """What the view shows; `busy` says what is being done, and is empty when all is done."""
        steps = f"{self.wish.steps} step{'s' if self.wish.steps > 1 else ''}"
        return sound_view_value(
            [self.takes[key] for key in (ORIGINAL, VOCODED, GRIFFIN_LIM) if key in self.takes],
            title=self.sound.name,
            detail=", ".join(filter(None, [steps, _changes(self.sound, self.wish), f"seed {self.wish.seed}"])),
            ticks=self.ticks,
            chosen=VOCODED if VOCODED in self.takes else None,
            run={**self.run, "busy": bool(busy), "text": busy},
        )

    def _show(self, key: str, name: str, samples: np.ndarray, heard: bool = False, compared: bool = False) -> None:
        from hub_models import audio

        rate = self.sound.sample_rate
        error = self.vocoders.error_db(self.name, samples, self.mel) if compared else None
        self.takes[key] = take(
            key,
            name,
            len(samples) / rate,
            wave=sounds.wave_picture(samples),
            mel=sounds.mel_picture(self.vocoders.mel(self.name, samples).numpy()),
            wav=audio.to_wav_bytes(samples, rate) if heard else None,
            detail="" if error is None else f"spectrogram off by {error:.1f} dB",
        )


def _part(sound: Sound, begin: Any, length: Any) -> Sound:
    begin = validate.seconds("The begin", begin, max(0.1, sound.seconds))
    part = sound.part(begin, validate.seconds("The length", length, MAX_SECONDS))
    if part.seconds < MIN_SECONDS:
        raise validate.StudioError(
            f"The sound ends after {sound.seconds:.1f} seconds: begin earlier than at {begin:.1f}, or take more of it."
        )
    return part


def _source_value(sound: Sound) -> dict[str, Any]:
    one = take(ORIGINAL, "Original", sound.seconds, wave=sounds.wave_picture(sound.samples()), wav=sound.wav())
    return sound_view_value([one], title=sound.name, detail=f"{sound.seconds:.1f} seconds, {sound.sample_rate} Hz")


def _changes(sound: Sound, wish: Wish) -> str:
    """What is asked of a sound, in words."""
    words = [f"{sound.seconds * wish.stretch:.1f} seconds"]
    if wish.semitones:
        words.append(f"{wish.semitones:+g} semitone{'s' if abs(wish.semitones) != 1 else ''}")
    if wish.stretch != 1:
        words.append(f"{wish.stretch:g} times as long")
    return ", ".join(words)


def _ticks(entry: VocoderEntry, mel: torch.Tensor) -> list[list[Any]]:
    """Of the frequency axis: [share of the height, text]."""
    from hub_models.wavegrad.mel_operations import band_positions

    bands = mel.shape[0]
    shares = (band_positions(TICKS, bands, entry.mel_settings) + 0.5) / bands
    return [
        [round(float(share), 4), sounds.hertz(hertz)] for share, hertz in zip(shares, TICKS, strict=True) if 0 <= share <= 1
    ]


def _progress(step: Step) -> str:
    left = f", about {step.seconds_left:.0f} s left" if step.seconds_left >= 1.5 else ""
    return f"Step {step.done} of {step.steps}{left}"


def _schedules(entry: VocoderEntry) -> list[tuple[str, str]]:
    """Choices of the dropdown: the schedules that the model carries, and as many steps as one likes."""
    choices = []
    for name, steps in entry.schedules.items():
        count = f"{steps} step{'s' if steps != 1 else ''}"
        label = f"{count}, as in training" if name == TRAINING else count if name == str(steps) else f"{count}, {name}"
        choices.append((label + (" (the model's own)" if name == entry.default_schedule else ""), name))
    return [*choices, ("Another number of steps", OWN)]
