"""The Jukebox tab: artist, genre, lyrics and a sound to begin with on the left; on the right candidates and their songs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import actions
import gradio as gr
import jukebox_examples as examples
import jukebox_songs as songs
import sound as sounds
import validate
from actions import LONG_QUEUE, RENDER_QUEUE, Stopped, in_sentences
from components.jukebox_candidates import JukeboxCandidates
from components.jukebox_view import JukeboxView
from jukebox_models import BUNDLED, LEVEL_NAMES, MAX_SECONDS, MIN_SECONDS, TEMPERATURES, JukeboxEntry
from jukebox_songs import Wish
from jukeboxes import MAX_CANDIDATES, MAX_LYRICS, MAX_TEMPERATURE, Jukeboxes
from sound import Sound

from . import jukebox_prompt
from .jukebox_bench import MAKE, UPSAMPLE, Bench
from .parts import PRIVATE, SESSION_SECONDS, Desk, as_list, heading, plain, seed_controls, send_menu

if TYPE_CHECKING:
    from hub_models import Clip

TITLE = "Jukebox"
SECONDS, CANDIDATES = 10, 2
# How the browser keeps the name of the folder in which its song lies; that name is checked wherever it comes from.
STORAGE_KEY = "encore-studio-jukebox"


def build(jukeboxes: Jukeboxes) -> Desk | None:
    """Adds the tab's controls and events to the surrounding `gr.Blocks`."""
    if not jukeboxes.entries:
        gr.Markdown(f"This needs a model that is not installed here: {BUNDLED}.", elem_id="jukebox-missing")
        return None
    entries = list(jukeboxes.entries.values())
    first = entries[0]
    offered = examples.known(first.artists, first.genres)
    song = examples.SONGS[offered[0]] if offered else examples.Example("", "")
    brakes = actions.Brakes()

    with gr.Row(elem_classes="stage"):
        with gr.Column(scale=6, min_width=320):
            with gr.Column(elem_classes="card"):
                heading(1, "Song", "Who plays, what, and what is sung")
                model = gr.Dropdown(
                    [(entry.label, entry.name) for entry in entries],
                    value=first.name, label="Model", visible=len(entries) > 1, elem_id="jukebox-model",
                )  # fmt: skip
                example = gr.Dropdown(
                    offered, value=next(iter(offered), None), label="Example", elem_id="jukebox-example",
                    visible=bool(offered),
                )  # fmt: skip
                with gr.Row(elem_classes="part"):
                    artist = _name_box("Artist", "artist", first.offered("artist"), song.artist)
                    genre = _name_box("Genre", "genre", first.offered("genre"), song.genre)
                names_report = gr.Markdown("", elem_classes="report", elem_id="jukebox-names-report")
                near = gr.Radio([], label="Known names that are like it", visible=False, elem_id="jukebox-near")
                lyrics = gr.Textbox(
                    song.lyrics, label="Lyrics", lines=4, max_lines=10, max_length=MAX_LYRICS, elem_id="jukebox-lyrics",
                    placeholder="Words to be sung; none: music alone",
                )  # fmt: skip
                lyrics_report = gr.Markdown("", elem_classes="report", elem_id="jukebox-lyrics-report")
                seconds = gr.Slider(
                    MIN_SECONDS, MAX_SECONDS, value=SECONDS, step=0.5, label="Length (seconds)",
                    elem_id="jukebox-seconds",
                )  # fmt: skip
                with gr.Accordion("A part of a longer song", open=False, elem_id="jukebox-place"):
                    gr.Markdown(
                        "A song begins otherwise than it goes on, and the lyrics are those of the whole song.",
                        elem_classes="quiet",
                    )
                    with gr.Row(elem_classes="part"):
                        offset = gr.Slider(
                            0, MAX_SECONDS, value=0, step=0.5, label="Begin at second", elem_id="jukebox-offset",
                            min_width=150,
                        )  # fmt: skip
                        total = gr.Slider(
                            0, MAX_SECONDS, value=0, step=0.5, label="Length of that song (0: it ends here)",
                            elem_id="jukebox-total", min_width=150,
                        )  # fmt: skip
            with gr.Column(elem_classes="card"):
                beginning = jukebox_prompt.build()
                with gr.Accordion("Temperature of each level", open=False, elem_id="jukebox-temperatures"):
                    gr.Markdown("Lower is safer, higher is wilder.", elem_classes="quiet")
                    temperatures = [
                        gr.Slider(
                            0.1, MAX_TEMPERATURE, value=TEMPERATURES[level], step=0.01, label=f"{name} level",
                            elem_id=f"jukebox-temperature-{level}",
                        )
                        for level, name in enumerate(LEVEL_NAMES[3])
                    ]  # fmt: skip

        with gr.Column(scale=8, min_width=320, elem_classes=["card", "result"]):
            # None of a page that has made nothing yet.
            bench = gr.State(None, time_to_live=SESSION_SECONDS)
            result = gr.State(None, time_to_live=SESSION_SECONDS)
            visitor = gr.BrowserState(None, storage_key=STORAGE_KEY, secret=STORAGE_KEY)
            heading(2, "Candidates", "At the top level: rough, but quick to make")
            with gr.Row(elem_classes="make"):
                make = gr.Button("Make candidates", variant="primary", min_width=150, elem_id="jukebox-make")
                stop = gr.Button("Stop", min_width=70, elem_id="jukebox-stop")
                resume = gr.Button("Resume", min_width=80, visible=False, elem_id="jukebox-resume")
            with gr.Row(elem_classes="seed"):
                count = gr.Slider(
                    1, MAX_CANDIDATES, value=CANDIDATES, step=1, label="How many", elem_id="jukebox-count", min_width=160
                )
                seed, keep = seed_controls("jukebox-")
            cards = JukeboxCandidates(
                hint="Press “Make candidates”: they appear one by one, to be heard and chosen.",
                elem_id="jukebox-cards", label="Candidates",
            )  # fmt: skip
            heading(3, "Upsampled", "Level by level, each finer than the one above")
            with gr.Row(elem_classes="make"):
                upsample = gr.Button(
                    "Upsample what is chosen",
                    variant="primary",
                    min_width=180,
                    interactive=False,
                    elem_id="jukebox-upsample",
                )
                stop_song = gr.Button("Stop", min_width=70, elem_id="jukebox-stop-song")
                resume_song = gr.Button("Resume", min_width=80, visible=False, elem_id="jukebox-resume-song")
            looked = gr.Radio([], label="Shown", visible=False, elem_id="jukebox-looked")
            view = JukeboxView(
                slot="Nothing yet",
                hint="A candidate that you choose appears here; upsampled, it gets sharper before your ears.",
                elem_id="jukebox-view", label="Song",
            )  # fmt: skip
            remarks = gr.Markdown("", elem_classes="report", elem_id="jukebox-remarks")
            with gr.Row(elem_classes="again"):
                menu = send_menu("jukebox-")
            gr.Markdown(
                "Stop keeps what is there, and Resume goes on with it, also after the page was loaded anew; after a day it "
                "is removed." + "".join(f"\n\n{plain(entry.description, 600)}" for entry in entries if entry.description),
                elem_classes="quiet",
            )

    labels = [artist, genre, lyrics]
    place = [seconds, offset, total]
    wanted = [model, *labels, *place, count, beginning.held, beginning.kept, seed, keep, *temperatures]
    beginning.connect(jukeboxes, model)
    made = [visitor, bench, cards, looked, view, remarks, seed, upsample, resume, resume_song, result]

    # ---- What is asked for

    def told_of(name, artist, genre, lyrics, seconds, offset, total) -> dict[Any, Any]:
        """What a model makes of names and lyrics, and names to choose from in place of unknown ones."""
        reading = jukeboxes.read(name, artist, genre, lyrics, total or offset + seconds)
        nearest = [(f"{kind}: {other}", f"{kind}:{other}") for kind, names in reading.nearest.items() for other in names]
        return {
            names_report: as_list(reading.about_names),
            near: gr.Radio(choices=nearest, value=None, visible=bool(nearest)),
            lyrics_report: as_list(reading.about_lyrics),
        }

    on_labels = in_sentences(told_of)

    @in_sentences
    def on_near(choice, *given):
        kind, _, name = str(choice).partition(":")
        return {artist if kind == "Artist" else genre: name, near: gr.Radio(choices=[], value=None, visible=False)}

    @in_sentences
    def on_example(name, model):
        if name not in examples.SONGS:
            raise validate.StudioError("There is no such example.")
        song = examples.SONGS[name]
        return {artist: song.artist, genre: song.genre, lyrics: song.lyrics}

    @in_sentences
    def on_model(name):
        entry = jukeboxes.entry(name)
        offered = examples.known(entry.artists, entry.genres)
        return {
            **fit(entry),
            example: gr.Dropdown(choices=offered, value=None, visible=bool(offered)),
            artist: gr.Dropdown(choices=entry.offered("artist"), value=""),
            genre: gr.Dropdown(choices=entry.offered("genre"), value=""),
            **beginning.emptied(),
        }

    def fit(entry: JukeboxEntry) -> dict[Any, Any]:
        """Values for `fitted`: the controls as a model needs them."""
        low, high = entry.min_seconds, max(entry.min_seconds + 0.5, entry.max_seconds)
        names = entry.level_names
        return {
            lyrics: gr.Textbox(visible=entry.takes_lyrics),
            seconds: gr.Slider(minimum=low, maximum=high, value=min(max(SECONDS, low), high)),
            offset: gr.Slider(maximum=entry.longest, value=0),
            total: gr.Slider(maximum=entry.longest, value=0),
            **{
                slider: gr.Slider(visible=True, value=entry.temperatures[level], label=f"{names[level]} level")
                if level < len(names)
                else gr.Slider(visible=False)
                for level, slider in enumerate(temperatures)
            },
        }

    fitted = [lyrics, *place, *temperatures]
    told = [names_report, near, lyrics_report]
    reading = {"show_progress": "hidden", "trigger_mode": "always_last", **RENDER_QUEUE, **PRIVATE}
    gr.on(
        [artist.change, genre.change, lyrics.blur, *(slider.release for slider in place), example.select],
        on_labels, [model, *labels, *place], told, **reading,
    )  # fmt: skip
    near.input(on_near, [near], [artist, genre, near], show_progress="hidden", **PRIVATE)
    example.input(on_example, [example, model], labels, show_progress="hidden", **PRIVATE).then(
        on_labels, [model, *labels, *place], told, **reading
    )
    model.input(
        on_model, [model], [example, *fitted, artist, genre, *beginning.outputs],
        show_progress="hidden", **PRIVATE,
    )  # fmt: skip

    # ---- What is made

    def wished(
        name, artist, genre, lyrics, seconds, offset, total, count, sound, kept, seed, keep, *heat
    ) -> tuple[Wish, Sound | None]:
        """What is asked for, checked, and the sound that it begins with."""
        wish = jukeboxes.wish(
            name,
            artist=artist,
            genre=genre,
            lyrics=lyrics,
            seconds=seconds,
            seed=actions.choose_seed(seed, keep),
            temperatures=[*heat, *heat[-1:] * 8],  # of models with more levels
            kept=kept if sound else 0.0,
            count=count,
            prompt_seconds=sound.seconds if sound else 0.0,
            offset=offset,
            total=total,
        )
        return wish, sound.part(0.0, wish.kept) if sound else None

    def shown(on: Bench) -> dict[Any, Any]:
        """All that is seen of a bench."""
        left, is_busy = on.left, on.is_busy
        return {
            cards: on.cards(),
            **seen(on),
            resume: gr.Button(visible=bool(left[MAKE]) and not is_busy),
            resume_song: gr.Button(visible=bool(left[UPSAMPLE]) and not is_busy),
        }

    def seen(on: Bench) -> dict[Any, Any]:
        """The candidate that is seen large, and what of it may be done."""
        several = [(f"Candidate {key}", key) for key in on.pieces if key in on.chosen or key in on.song.upsampled]
        return {
            looked: gr.Radio(choices=several, value=on.looked_at, visible=len(several) > 1),
            view: on.large(jukeboxes),
            result: on.clip(),
            upsample: gr.Button(interactive=bool(on.chosen) and not on.is_busy),
        }

    def changing(on: Bench, stage: str) -> dict[Any, Any]:
        """What is seen of the work at a stage."""
        return {view: on.large(jukeboxes)} if stage == UPSAMPLE else {cards: on.cards()}

    def go_on(request: gr.Request, on: Bench, stage: str) -> Iterator[dict[Any, Any]]:
        """Does what is left of a stage, and shows again and again how far it is."""
        work = jukeboxes.candidate if stage == MAKE else jukeboxes.upsample
        remark = ""
        try:
            with brakes.running(request.session_hash, lambda fraction, text: None) as check:
                for key in on.left[stage]:
                    piece = on.wait_for(key)
                    if stage == UPSAMPLE:
                        on.looked_at = key
                    yield {**shown(on), remarks: ""}
                    for look in work(on.song, key, lambda: _is_pressed(check)):
                        piece.come(look)
                        yield changing(on, stage)
                    piece.rest()
                    if on.looked_at is None and piece.is_ready:
                        on.chosen, on.looked_at = [key], key
                    if look.stopped:
                        remark = "- Stopped; what is there is kept. Resume goes on with it."
                        break
                    yield shown(on)
        except Exception:
            on.rest()
            yield shown(on)
            raise
        finally:
            on.rest()
        yield {**shown(on), remarks: remark}

    def free(request: gr.Request) -> None:
        if brakes.is_running(request.session_hash):
            raise validate.StudioError("Something is still being made; stop it first.")

    @in_sentences
    def on_make(request: gr.Request, before: Bench | None, *given) -> Iterator[dict[Any, Any]]:
        free(request)
        wish, prompt = wished(*given)
        song = songs.begin(jukeboxes.runs, wish, prompt, before.song if before else None)
        on = Bench.of(song, jukeboxes)
        yield {visitor: song.token, bench: on, seed: wish.seed, **shown(on), **told_of(*given[:7])}
        yield from go_on(request, on, MAKE)

    @in_sentences
    def on_resume(request: gr.Request, on: Bench | None) -> Iterator[dict[Any, Any]]:
        free(request)
        yield from go_on(request, there(on), MAKE)

    @in_sentences
    def on_upsample(request: gr.Request, on: Bench | None, chosen: list[str]) -> Iterator[dict[Any, Any]]:
        free(request)
        keys = [key for key in chosen if key in there(on).pieces and on.pieces[key].is_ready]
        if not keys:
            raise validate.StudioError("Choose a candidate first: tick the box beside its name.")
        on.upsample(keys)
        if not on.left[UPSAMPLE]:
            raise validate.StudioError("What is chosen is upsampled already: all its levels are there.")
        yield from go_on(request, on, UPSAMPLE)

    @in_sentences
    def on_resume_song(request: gr.Request, on: Bench | None) -> Iterator[dict[Any, Any]]:
        free(request)
        yield from go_on(request, there(on), UPSAMPLE)

    @in_sentences
    def on_choice(on: Bench | None, chosen: list[str]):
        """What is `seen`: the candidate that was chosen last is seen large."""
        if on is None:
            return {view: gr.skip()}
        on.choose(chosen)
        return seen(on)

    @in_sentences
    def on_look(on: Bench | None, key):
        if on is None or key not in on.pieces:
            return {view: gr.skip()}
        on.looked_at = key
        return seen(on)

    @in_sentences
    def on_stop(request: gr.Request):
        if not brakes.stop(request.session_hash):
            gr.Info("Nothing is being made right now.")

    @in_sentences
    def on_open(on: Bench | None, token, *given) -> Iterator[dict[Any, Any]]:
        """The first time: the song that this browser made before, or the model, while a person looks at the page."""
        name = given[0]
        song = songs.find(jukeboxes.runs, token) if on is None else None
        if song is None or song.wish.model not in jukeboxes.entries:
            yield fit(jukeboxes.entry(name)) if on is None else {remarks: gr.skip()}
            jukeboxes.load(name)
            if on is None:
                yield told_of(*given)
            return
        wish, entry = song.wish, jukeboxes.entry(song.wish.model)
        yield {**fit(entry), remarks: "- A song that you made in this browser is being fetched."}
        on, sound = Bench.found(song, jukeboxes), song.prompt(entry.sample_rate)
        text = "- Your song was found again."
        if any(on.left.values()):
            text += " It is not finished: Resume goes on with it."
        yield {
            bench: on, model: wish.model, artist: wish.artist, genre: wish.genre, lyrics: wish.lyrics,
            example: None, seconds: wish.seconds, offset: wish.offset, total: wish.total or 0, count: wish.count,
            seed: wish.seed,
            **dict(zip(temperatures, wish.temperatures, strict=False)),
            **(beginning.filled(sound, kept=sound.seconds) if sound else {}), **shown(on), remarks: text,
        }  # fmt: skip

    def there(on: Bench | None) -> Bench:
        if on is None:
            raise validate.StudioError("There are no candidates yet: make some first.")
        return on

    run = {"show_progress": "hidden", **LONG_QUEUE, **PRIVATE}
    make.click(on_make, [bench, *wanted], [*made, *told], **run)
    resume.click(on_resume, [bench], made, **run)
    upsample.click(on_upsample, [bench, cards], made, **run)
    resume_song.click(on_resume_song, [bench], made, **run)
    soon = {"queue": False, "show_progress": "hidden", **PRIVATE}
    gr.on([stop.click, stop_song.click], on_stop, None, None, **soon)
    cards.input(on_choice, [bench, cards], [looked, view, result, upsample], **soon)
    looked.input(on_look, [bench, looked], [looked, view, result, upsample], **soon)

    def reads(clip: Clip) -> str | None:
        text = sounds.reads(clip)
        if text is None:
            return None
        first = f"its first {min(jukebox_prompt.KEPT_SECONDS, clip.seconds):.3g} seconds, to go on from"
        return f"{text}, {first}" if clip.kind == "midi" else first

    def put(clip: Clip, name) -> tuple:
        """Values for the controls of the beginning: a clip has come."""
        return tuple(beginning.filled(sounds.of_clip(clip, jukeboxes.entry(name).sample_rate)).values())

    return Desk(
        TITLE, result, give=lambda clip: clip, reads=reads, take=put, inputs=[model], outputs=beginning.outputs, menu=menu,
        opened=on_open, opened_inputs=[bench, visitor, model, *labels, *place],
        opened_outputs=[*made, model, example, artist, genre, *fitted, count, *told, *beginning.outputs],
    )  # fmt: skip


def _is_pressed(check: Callable[[float, str], None]) -> bool:
    try:
        check(0.0, "")
    except Stopped:
        return True
    return False


def _name_box(title: str, key: str, names: list[str], value: str) -> gr.Dropdown:
    return gr.Dropdown(
        names, value=value, label=title, allow_custom_value=True, elem_id=f"jukebox-{key}", min_width=150,
        info="Pick one, or type any name",
    )  # fmt: skip
