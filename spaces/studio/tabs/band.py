"""The Band tab: chords and styles on the left; on the right the song that a whole band makes of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import actions
import band as bands
import band_calls
import band_examples
import gradio as gr
import pattern as patterns
import validate
from actions import MODEL_QUEUE, RENDER_QUEUE, in_sentences
from band import Bandstand, Song, Style, StyleFile, Wish
from components import band_tracks
from components.band_roll import BandRoll, band_roll_value
from components.chord_editor import PRESETS, ChordEditor, chord_editor_value
from components.mixer import Mixer, mixer_value
from components.piano_roll import PianoRoll

from hub_models.clips import MIDI, Clip

from .parts import PRIVATE, SESSION_SECONDS, Desk, chance_controls, heading, plain, report_text, send_menu

TITLE = "Band"
LETTERS = "AB"
TEMPO = 120
FIRST_STYLES = ("Rock band", "Dance floor")
FIRST_CHORDS, FIRST_BARS = PRESETS[0][1], 16
MORPH = "morph"
WAYS = (("From A to B", MORPH), ("A all through", "a"), ("B all through", "b"))
# In what a bar is drawn while it is a style.
PANELS = ("melody", "bass", "drums")


@dataclass
class Slot:
    """The controls of a style. `found` holds {"styles": [...], "index": n}: what an upload gave and which is chosen."""

    letter: str
    found: gr.State
    roll: PianoRoll
    upload: gr.UploadButton
    sample: gr.Button
    example: gr.Dropdown
    window: gr.Dropdown
    report: gr.Markdown

    @property
    def outputs(self) -> list[Any]:
        return [self.found, self.roll, self.window, self.example, self.report]


def build(stand: Bandstand) -> Desk | None:
    """Adds the tab's controls and events to the surrounding `gr.Blocks`."""
    if not stand.entries:
        gr.Markdown(f"This needs a model that is not installed here: {bands.BUNDLED}.", elem_id="band-missing")
        return None
    names = list(stand.entries)
    first = names[0]
    brakes = actions.Brakes()

    with gr.Row(elem_classes="stage"):
        with gr.Column(scale=6, min_width=320):
            with gr.Column(elem_classes="card"):
                heading(1, "Chords", "Type or pick; they go round until the song is full")
                chords = ChordEditor(
                    chord_editor_value(FIRST_CHORDS, FIRST_BARS), elem_id="band-chords", label="Chords", desk="band"
                )
            with gr.Column(elem_classes="card"):
                heading(2, "Style", "Which instruments play, and how")
                model = gr.Dropdown(names, value=first, label="Model", visible=len(names) > 1, elem_id="band-model")
                way = gr.Radio(list(WAYS), value=MORPH, label="Through the song", elem_id="band-way")
                with gr.Row(elem_classes="styles"):
                    slots = [_slot(letter, name) for letter, name in zip(LETTERS, FIRST_STYLES, strict=True)]
                with gr.Accordion("Character of the whole song", open=False, elem_id="band-character"):
                    sliders = [
                        gr.Slider(
                            -validate.MAX_STRENGTH, validate.MAX_STRENGTH, value=0, step=0.1, label=label,
                            visible=name in stand.attributes(first), elem_id=f"band-{name.replace('_', '-')}",
                        )
                        for name, label in bands.ATTRIBUTE_LABELS.items()
                    ]  # fmt: skip
                    no_sliders = gr.Markdown(
                        "This model has no attribute vectors.", visible=not stand.attributes(first), elem_classes="quiet"
                    )

        with gr.Column(scale=8, min_width=320, elem_classes=["card", "result"]):
            heading(3, "Song", "Make it, listen, take it along")
            with gr.Row(elem_classes="make"):
                make = gr.Button("Make the song", variant="primary", min_width=150, elem_id="band-make")
                stop = gr.Button("Cancel", min_width=70, elem_id="band-stop")
                surprise = gr.Button("Surprise me", min_width=110, elem_id="band-surprise")
            with gr.Row(elem_classes="locks"):
                lock_style = gr.Checkbox(False, label="Lock the style", min_width=110, elem_id="band-lock-style")
                lock_chords = gr.Checkbox(False, label="Lock the chords", min_width=110, elem_id="band-lock-chords")
            ready = gr.Dropdown(list(band_examples.SONGS), value=None, label="Or an example song", elem_id="band-example")
            song = gr.State(None, time_to_live=SESSION_SECONDS)
            roll = BandRoll(
                slot="Nothing yet",
                hint="Press “Make the song”: a band plays your chords.",
                elem_id="band-roll",
                label="Song",
                desk="band",
                loop=True,
            )
            again = gr.Button("Remake chosen bars", size="sm", interactive=False, min_width=150, elem_id="band-again")
            mixer = Mixer(elem_id="band-mixer", label="Mixer", desk="band")
            gr.Markdown(
                "WAV: what you hear. MIDI: every instrument on a track of its own, and the chords as markers.",
                elem_classes="quiet",
            )
            menu = send_menu("band-")
            with gr.Column(elem_classes="sound"):
                tempo = gr.Slider(
                    validate.MIN_TEMPO, validate.MAX_TEMPO, value=TEMPO, step=1, label="Tempo (beats per minute)",
                    elem_id="band-tempo",
                )  # fmt: skip
                chance = chance_controls("band-")

    seed = chance[1]
    made = [song, roll, mixer, chords, seed, again]
    filled = [output for slot in slots for output in slot.outputs]
    founds = [slot.found for slot in slots]
    how = [model, chords, way, *founds, *chance, tempo, lock_style, lock_chords, song, mixer, *sliders]

    def wished(given: tuple) -> tuple[Wish, dict[str, Any]]:
        """What the controls `how` ask for, and what else is needed to make it."""
        model, chords, way, a, b, temperature, seed, keep, tempo, lock_style, lock_chords, song, mix, *strengths = given
        seed = actions.choose_seed(seed, keep)
        chosen = {"morph": (a, b), "a": (a,), "b": (b,)}[validate.one_of("The way", way, tuple(key for _, key in WAYS))]
        offered = stand.attributes(model)
        wish = Wish(
            chords=song.arrangement.chords if song and lock_chords else bands.progression(chords["text"], chords["bars"]),
            styles=() if song and lock_style else tuple(_chosen(found) for found in chosen),
            temperature=validate.temperature(temperature),
            seed=seed,
            strengths={
                name: value for name, value in zip(bands.ATTRIBUTE_LABELS, strengths, strict=True) if name in offered
            },
            keep_style=bool(lock_style),
            keep_chords=bool(lock_chords),
        )
        return wish, {"model": model, "song": song, "mix": mix, "tempo": validate.tempo(tempo)}

    def play(
        wish: Wish, request: gr.Request, progress: Any, model: str, song: Song | None, mix: dict, tempo: float
    ) -> tuple:
        """Values for `made`."""
        with brakes.running(request.session_hash, progress) as report:
            song = stand.make(model, wish, song, report)
            if not song.arrangement.tracks:
                raise validate.StudioError("The band plays nothing here: try another seed, style or temperature.")
            report(0.85, "Rendering")
            roll, mixer = _shown(stand, song, mix, tempo)
        editor = chord_editor_value(bands.progression_text(song.arrangement.chords), song.num_bars)
        return song, roll, mixer, editor, wish.seed, gr.Button(interactive=True)

    @in_sentences
    def on_make(request: gr.Request, progress=gr.Progress(), *given):
        wish, rest = wished(given)
        return play(wish, request, progress, **rest)

    @in_sentences
    def on_again(request: gr.Request, progress=gr.Progress(), *given):
        shown, *given = given
        wish, rest = wished(given)
        if not shown["selected_bars"]:
            raise validate.StudioError("Choose bars first: press their numbers above the roll.")
        return play(replace(wish, bars=tuple(shown["selected_bars"])), request, progress, **rest)

    @in_sentences
    def on_surprise(request: gr.Request, progress=gr.Progress(), *given):
        """Values for `made` and `filled`: what is not locked is drawn."""
        model, chords, way, *founds, temperature, seed, keep, tempo, lock_style, lock_chords, song, mix = given[:13]
        if song and lock_style and lock_chords:
            raise validate.StudioError("Both are locked: unlock the style or the chords for a surprise.")
        seed = actions.choose_seed(seed, keep)
        values = [gr.skip()] * len(filled)
        if not (song and lock_style):
            seeds = [seed, (seed + 1) % (validate.MAX_SEED + 1)]
            styles = [stand.sample(model, validate.temperature(temperature), each, progress) for each in seeds]
            founds = [{"styles": [style], "index": 0} for style in styles]
            values = [value for slot, style in zip(slots, styles, strict=True) for value in _fill(slot.letter, [style], "")]
        if not (song and lock_chords):
            others = [text for _, text, _ in PRESETS if text != chords["text"]]
            chords = {**chords, "text": random.Random(seed).choice(others)}
        drawn = [model, chords, way, *founds, temperature, seed, True, tempo, lock_style, lock_chords, song, mix]
        wish, rest = wished([*drawn, *given[13:]])
        return (*play(wish, request, progress, **rest), *values)

    @in_sentences
    def on_example(request: gr.Request, progress=gr.Progress(), *given):
        """Values for `made`, `filled`, `way`, `tempo` and `sliders`."""
        name, model, mix = given
        if name not in band_examples.SONGS:
            raise validate.StudioError("There is no such example.")
        recipe = band_examples.SONGS[name]
        wish = bands.wish_of(stand, model, recipe, progress)
        made = play(wish, request, progress, model, None, mix, recipe.tempo)
        styles = [wish.styles[min(index, len(wish.styles) - 1)] for index in range(len(slots))]
        values = [value for slot, style in zip(slots, styles, strict=True) for value in _fill(slot.letter, [style], "")]
        strengths = [recipe.strengths.get(name, 0) for name in bands.ATTRIBUTE_LABELS]
        return (*made, *values, MORPH if len(wish.styles) > 1 else "a", recipe.tempo, *strengths)

    @in_sentences
    def on_sound(song, tempo, mix):
        """Value for `roll`: the same song at another tempo, or with other tracks."""
        return _shown(stand, song, mix, validate.tempo(tempo))[0] if song else gr.skip()

    @in_sentences
    def on_stop(request: gr.Request):
        if not brakes.stop(request.session_hash):
            gr.Info("Nothing is being made right now.")

    run = {"show_progress_on": roll, **MODEL_QUEUE, **PRIVATE}
    make.click(on_make, how, made, **run)
    chords.submit(on_make, how, made, **run)
    again.click(on_again, [roll, *how], made, **run)
    surprise.click(on_surprise, how, [*made, *filled], **run)
    ready.input(on_example, [ready, model, mixer], [*made, *filled, way, tempo, *sliders], **run)
    stop.click(on_stop, None, None, queue=False, show_progress="hidden", **PRIVATE)
    gr.on(
        [tempo.release, mixer.input], on_sound, [song, tempo, mixer], [roll],
        show_progress="hidden", trigger_mode="always_last", **RENDER_QUEUE, **PRIVATE,
    )  # fmt: skip
    tempo.change(None, [tempo], None, js="(tempo) => { window.encore.desk('band').tempo = tempo; }")

    for slot in slots:
        _connect_slot(stand, slot, model, chance)

    @in_sentences
    def on_model(name):
        """Values for `filled`, `sliders` and `no_sliders`: vectors are of one model, so the styles begin anew."""
        offered = stand.attributes(name)
        values = [
            value
            for letter, example in zip(LETTERS, FIRST_STYLES, strict=True)
            for value in _fill(letter, [bands.example(example)], "", example)
        ]
        return (
            *values,
            *[gr.Slider(visible=key in offered) for key in bands.ATTRIBUTE_LABELS],
            gr.Markdown(visible=not offered),
        )

    model.input(on_model, [model], [*filled, *sliders, no_sliders], show_progress="hidden", **PRIVATE)

    def take(clip: Clip, model: str, shown: dict[str, Any]) -> tuple:
        """Values for the outputs of style A and for the chords: the bars of a clip, and its chords if they are known."""
        answer = stand.read(model, clip.data, clip.name, file=StyleFile(clip.data, clip.id))
        editor, said = _chords_of(clip, shown)
        return (*_fill("A", answer["styles"], _report(answer) + said), editor)

    def give(song: Song, tempo: Any, mix: dict) -> Clip:
        return band_calls.clip_of(stand, song, validate.tempo(tempo), mix)

    def warm_up():
        """Loads the model while the person still looks at the chords."""
        for name in names[:1]:
            stand.load(name)

    return Desk(
        TITLE, song, give, [tempo, mixer], reads, take, [model, chords], [*slots[0].outputs, chords], menu,
        in_sentences(warm_up),
    )  # fmt: skip


def reads(clip: Clip) -> str | None:
    """What the tab does with a clip."""
    if clip.kind != MIDI or not clip.has_notes or _is_alone(clip):
        return None
    most = f", the first {bands.MAX_STYLES} kept" if (clip.bars or 0) > bands.MAX_STYLES else ""
    return f"the style of one of its bars{most}{'; and its chords' if clip.chords else ''}"


def _is_alone(clip: Clip) -> bool:
    """Whether a clip that was made here has one instrument, and so no bar of a band: one track besides that of the tempo."""
    return bool(clip.origin.calls) and not clip.has_drums and int.from_bytes(clip.data[10:12], "big") <= 2


def _chords_of(clip: Clip, shown: dict[str, Any]) -> tuple[Any, str]:
    """What the chord editor is to show when a clip comes, and what is said of it."""
    if not clip.chords:
        return gr.skip(), ""
    chords = [list(symbols) or ["N.C."] for symbols in clip.chords[: validate.MAX_SONG_BARS]]
    text = bands.progression_text(chords)
    try:
        bands.progression(text, len(chords))
    except ValueError as error:
        return gr.skip(), f"\n\nIts chords were left out: {plain(str(error))}"
    return chord_editor_value(text, len(chords)), f"\n\nIts chords came along: {plain(text)}"


def _slot(letter: str, name: str) -> Slot:
    style = bands.example(name)
    with gr.Column(min_width=200, elem_classes=["slot", f"slot-{letter.lower()}"]):
        found = gr.State({"styles": [style], "index": 0}, time_to_live=SESSION_SECONDS)
        roll = PianoRoll(
            _bar(style, letter),
            slot=f"Style {letter}",
            hint="Pick, sample or upload a bar.",
            compact=True,
            elem_id=f"band-style-{letter.lower()}",
            label=f"Style {letter}",
            desk="band",
        )
        with gr.Row(elem_classes="sources"):
            upload = gr.UploadButton(
                "Upload MIDI", file_types=[".mid", ".midi"], size="sm", min_width=90, elem_id=f"band-upload-{letter.lower()}"
            )
            sample = gr.Button("Sample new", size="sm", min_width=90, elem_id=f"band-sample-{letter.lower()}")
        example = gr.Dropdown(
            list(band_examples.BARS), value=name, label=f"Example for {letter}", elem_id=f"band-example-{letter.lower()}"
        )
        window = gr.Dropdown(
            [], label=f"Bar of the file for {letter}", visible=False, elem_id=f"band-window-{letter.lower()}"
        )
        report = gr.Markdown("", elem_classes="report", elem_id=f"band-report-{letter.lower()}")
    return Slot(letter, found, roll, upload, sample, example, window, report)


def _fill(letter: str, styles: list[Style], report: str, example: str | None = None) -> list:
    """Values for a slot's outputs when it is given styles; the first is chosen."""
    window = gr.Dropdown(
        choices=[(style.name, index) for index, style in enumerate(styles)], value=0, visible=len(styles) > 1
    )
    example = example or (styles[0].name if styles[0].name in band_examples.BARS else None)
    return [{"styles": styles, "index": 0}, _bar(styles[0], letter), window, gr.Dropdown(value=example), report]


def _connect_slot(stand: Bandstand, slot: Slot, model: gr.Dropdown, chance: list[Any]) -> None:
    letter = slot.letter

    @in_sentences
    def on_upload(name, path, progress=gr.Progress()):
        content = Path(path).read_bytes()
        answer = stand.read(name, content, Path(path).stem, progress, StyleFile(content))
        return _fill(letter, answer["styles"], _report(answer))

    @in_sentences
    def on_sample(name, temperature, seed, keep, progress=gr.Progress()):
        seed = actions.choose_seed(seed, keep)
        style = stand.sample(name, validate.temperature(temperature), seed, progress)
        return (seed, *_fill(letter, [style], ""))

    @in_sentences
    def on_example(name):
        return _fill(letter, [bands.example(name)], "", name)

    @in_sentences
    def on_window(found, index):
        if not found or index not in range(len(found["styles"])):
            return gr.skip(), gr.skip()
        return {**found, "index": index}, _bar(found["styles"][index], letter)

    run = {"show_progress_on": slot.roll, **MODEL_QUEUE, **PRIVATE}
    slot.upload.upload(on_upload, [model, slot.upload], slot.outputs, **run)
    slot.sample.click(on_sample, [model, *chance], [chance[1], *slot.outputs], **run)
    slot.example.input(on_example, [slot.example], slot.outputs, show_progress="hidden", **PRIVATE)
    slot.window.input(on_window, [slot.found, slot.window], [slot.found, slot.roll], show_progress="hidden", **PRIVATE)


def _chosen(found: dict | None) -> Style:
    if not found:
        raise validate.StudioError("A style is gone, for it lay idle for an hour: pick, sample or upload it again.")
    return found["styles"][found["index"]]


def _report(answer: dict[str, Any]) -> str:
    """What was found in an upload, what was left out of its bars, and which were not read."""
    return report_text({**answer, "clips": [{"name": style.name} for style in answer["styles"]]}, "bar", "Bar of the file")


def _shown(stand: Bandstand, song: Song, mix: dict, tempo: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values for roll and mixer, with the song's files; what was muted stays muted."""
    music = stand.midi(song, tempo)
    tracks = band_tracks.tracks_of(music, tempo)
    heard = band_tracks.audible([track["key"] for track in tracks], mix)
    files = bands.files(music, song.num_bars, tempo, heard)
    count = f"{len(tracks)} instrument{'s' if len(tracks) != 1 else ''}"
    detail = [f"{song.num_bars} bars", f"{tempo:g} bpm", count, f"seed {song.seed}"]
    silent = song.arrangement.silent_bars
    if silent:
        few = f"silent: bar{'s' if len(silent) > 1 else ''} {', '.join(map(str, silent))}"
        detail.append(few if len(silent) <= 4 else f"{len(silent)} bars are silent: try another seed or temperature")
    if "wav" not in files:
        detail.append("too long for a WAV file at this tempo")
    roll = band_roll_value(
        tracks,
        song.arrangement.chords,
        title=song.title,
        detail=", ".join(detail),
        tempo=tempo,
        files=files,
        audible=heard,
        name=patterns.file_name({"name": song.title}),
    )
    return roll, mixer_value(tracks, mix["muted"], mix["solo"])


def _bar(style: Style, letter: str) -> dict[str, Any]:
    """What the roll of a slot shows: melody instruments, basses and drums under one another."""
    tracks = band_tracks.tracks_of(style.music, bands.TEMPO)
    notes, parts = [], []
    for panel in PANELS:
        own = [track for track in tracks if _panel(track) == panel]
        if own:
            names = ", ".join(track["name"] for track in own)
            parts.append({"name": names, "colour": panel, "drums": panel == "drums", "program": own[0]["program"]})
        for track in own:
            rows = zip(*[iter(track["notes"])] * 4, strict=True)
            notes += [
                [pitch, start / band_tracks.TICKS, end / band_tracks.TICKS, velocity, len(parts) - 1]
                for pitch, start, end, velocity in rows
            ]
    return {
        "title": f"{letter} · {style.name}",
        "detail": "",
        "notes": sorted(notes, key=lambda note: (note[1], note[0])),
        "bars": 1,
        "drums": False,
        "parts": parts or [{"name": "Silence", "colour": "kept", "drums": False}],
        "segments": [],
        "tempo": bands.TEMPO,
        "colour": None,
        "name": patterns.file_name({"name": style.name}),
    }


def _panel(track: dict[str, Any]) -> str:
    return "drums" if track["is_drum"] else "bass" if track["program"] in range(32, 40) else "melody"
