"""The Compose tab: one button, a whole piece; each of its stages can be seen, heard, edited, and made anew by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import actions
import compose_cards as cards
import composer as composing
import gradio as gr
import validate
from actions import LONG_QUEUE, RENDER_QUEUE, Stopped, in_sentences
from background import in_thread
from composer import BY_MOOD, NAMES, RANDOM, STAYS, Composer, Piece

from hub_models import Clip, Composition
from hub_models.composing.settings import BAND, CHORDS, MELODY, MIX, PIANO, PLAYED, STAGES

from . import compose_develop
from .compose_layout import Card, lay_out
from .parts import PRIVATE, SESSION_SECONDS, Desk

TITLE = "Compose"
LOOK_SECONDS = 0.4  # between two looks at how far the work is


def build(composer: Composer) -> Desk | None:
    """Adds the tab's controls and events to the surrounding `gr.Blocks`."""
    if composer.missing:
        gr.Markdown(
            f"This needs models that are not installed here: {', '.join(composer.missing)}.", elem_id="compose-missing"
        )
        return None
    brakes = actions.Brakes()
    result = gr.State(None, time_to_live=SESSION_SECONDS)
    history = gr.State([], time_to_live=SESSION_SECONDS)
    styles_from_files = {stage: gr.State(None, time_to_live=SESSION_SECONDS) for stage in (BAND, PIANO)}

    page = lay_out(composer.developer)
    make, stop, undo, status, seed, chords = page.make, page.stop, page.undo, page.status, page.seed, page.chords
    band_style, to_band_style, piano_style = page.band_style, page.to_band_style, page.piano_style
    mix_roll, levels, muted, ending, part = page.mix_roll, page.levels, page.muted, page.ending, page.part
    chords_follow, melody_follow, program, temperature, fit = (
        page.chords_follow, page.melody_follow, page.program, page.temperature, page.fit,
    )  # fmt: skip
    all_cards = page.cards
    rolls = {**{stage: card.roll for stage, card in all_cards.items()}, MIX: mix_roll}
    seeds = {stage: card.seed for stage, card in all_cards.items()}
    buttons = [card.again for card in all_cards.values()]
    whole_band = gr.State(None, time_to_live=SESSION_SECONDS)  # as it was made, with all its instruments
    kept = [page.instruments, whole_band]
    made = [result, history, status, undo, chords, seed, *rolls.values(), *seeds.values(), *buttons, part, *kept]
    wishes = [
        chords, seed, page.keep, page.key, page.mood, page.tempo, band_style, to_band_style, piano_style,
        *styles_from_files.values(), program, temperature, fit,
    ]  # fmt: skip
    locks = [card.lock for card in all_cards.values()]

    # ---- What is shown

    def shown(stage: str, piece: Composition, play: bool = False) -> dict[Any, Any]:
        """Values for a stage's card, or for the mix."""
        values = {rolls[stage]: cards.roll_value(piece, stage, play)}
        if stage in seeds:
            values |= {seeds[stage]: piece.recipe.of(stage).seed, all_cards[stage].again: gr.Button(interactive=True)}
        if stage == BAND:
            band = piece.parts[BAND]
            names = cards.instruments(band)
            values |= {whole_band: band, page.instruments: gr.CheckboxGroup(names, value=names)}
        return values | ({chords: piece.chords_text} if stage == CHORDS else {})

    def differing(piece: Composition, before: Composition | None) -> list[str]:
        """The stages that are not what they were."""
        if before is None or piece.tempo != before.tempo:
            return list(piece.parts)
        return [stage for stage, own in piece.parts.items() if before.parts.get(stage) != own] + (
            [CHORDS] if piece.chords != before.chords and piece.parts.get(CHORDS) == before.parts.get(CHORDS) else []
        )

    # ---- Work

    def run(
        request: gr.Request,
        before: Piece | None,
        past: list[Piece | None],
        work: Callable[..., Composition],
        text: str,
        play: bool = False,
    ) -> Iterator[dict[Any, Any]]:
        """Values for `made`, again and again while `work(on_stage, check, progress)` goes on."""
        if brakes.is_running(request.session_hash):
            raise validate.StudioError("A piece is being made already; stop it first.")
        begun, old = time.monotonic(), before.composition if before else None
        piece: Composition | None = None
        seen: set[str] = set()

        def in_its_thread(check: Callable[[], None], put: Callable[[Any], None]) -> None:
            last = [0.0]

            def progress(share: float, doing: str) -> None:
                if time.monotonic() - last[0] >= LOOK_SECONDS:
                    last[0] = time.monotonic()
                    put((share, doing))

            def on_stage(stage: str, so_far: Composition) -> None:
                fresh = [one for one in differing(so_far, old) if one not in seen and one in so_far.parts]
                seen.update(fresh)
                values = {}
                for one in fresh:
                    values |= shown(one, so_far, play and one == MELODY)
                put((so_far, values))

            put((work(on_stage, check, progress), {}))

        try:
            with brakes.running(request.session_hash, lambda share, doing: None) as report:
                yield {status: cards.status_html(0.0, "Getting ready")}
                for item, more in in_thread(in_its_thread, lambda: report(0.0, ""), "composer"):
                    if isinstance(item, Composition):
                        piece = item
                        yield more or {status: gr.skip()}
                    else:
                        yield {status: cards.status_html(item, more)}
        except Exception as error:
            if piece is None:
                yield {status: cards.status_html(0.0, "")}
                raise
            missing = [stage for stage in PLAYED if stage not in piece.parts]
            yield {rolls[stage]: None for stage in missing} | ended(piece, before, past, begun, "Stopped")
            if not isinstance(error, Stopped):
                raise
            gr.Info("Stopped; what was made by then is kept.")
            return
        yield ended(piece, before, past, begun, text)

    def ended(piece: Composition, before: Piece | None, past: list[Piece | None], begun: float, text: str) -> dict[Any, Any]:
        took = time.monotonic() - begun
        return {
            result: Piece(piece, developed=before.developed if before else None),
            history: [*past, before][-composing.MAX_UNDO :],
            mix_roll: cards.roll_value(piece, MIX) if piece.tracks else None,
            status: cards.status_html(1.0, f"{text} in {took:.0f} s: {piece.title}, {piece.tempo:g} bpm"),
            undo: gr.Button(interactive=True),
            part: MIX,
        }

    def needed(piece: Piece | None) -> Composition:
        if piece is None:
            raise validate.StudioError("There is no piece yet: press “Compose a piece”.")
        return piece.composition

    # ---- Events

    @in_sentences
    def on_make(request: gr.Request, before, past, listen, *given) -> Iterator[dict[Any, Any]]:
        *wished, lock_chords, lock_melody, lock_band, lock_piano = given
        locked = [
            stage
            for stage, is_locked in zip(STAGES, (lock_chords, lock_melody, lock_band, lock_piano), strict=False)
            if is_locked
        ]
        recipe, seed_drawn = asked(wished, before)
        old = before.composition if before else None
        yield {seed: seed_drawn}
        yield from run(
            request, before, past,
            lambda on_stage, check, progress: composer.create(recipe, old, locked, on_stage, check, progress),
            "Composed", play=listen and MELODY not in locked,
        )  # fmt: skip

    def asked(given: list[Any], before: Piece | None) -> tuple[Any, int]:
        """The recipe for what stands on the page, and its seed."""
        text, seed_given, keep, key, mood, tempo, band, to_band, piano, band_file, piano_file, program, wild, fit = given
        drawn = actions.choose_seed(seed_given, keep)
        # What stands there is what the last piece drew, unless a person wrote it.
        if before and text == before.composition.chords_text and not before.composition.recipe.chords.text:
            text = ""
        return (
            composing.recipe_of(
                text, drawn, key, mood, tempo or None,
                composing.style_of(band, composing.BARS, band_file, drawn),
                composing.style_of(to_band, composing.BARS, band_file, (drawn + 1) % validate.MAX_SEED),
                composing.style_of(piano, composing.PIECES, piano_file),
                None if program < 0 else program, wild, fit,
            ),
            drawn,
        )  # fmt: skip

    heavy = {"show_progress": "hidden", **LONG_QUEUE, **PRIVATE}
    light = {"show_progress": "hidden", **RENDER_QUEUE, **PRIVATE}
    make.click(on_make, [result, history, page.listen, *wishes, *locks], made, **heavy)
    make.click(None, None, None, js="() => { window.encore?.wake(); }")

    @in_sentences
    def on_stop(request: gr.Request):
        if not brakes.stop(request.session_hash):
            gr.Info("Nothing is being made right now.")

    stop.click(on_stop, None, None, queue=False, show_progress="hidden", **PRIVATE)

    def connect_again(card: Card, follow: gr.Checkbox | None) -> None:
        """Lets a stage be made anew: with a new seed, or with one that a person writes."""

        def anew(request, before, past, seed, follows):
            piece = needed(before)
            yield from run(
                request, before, past,
                lambda on_stage, check, progress: piece.reroll(
                    card.stage, seed, bool(follows), on_stage=on_stage, check=check, progress=progress
                ),
                f"{NAMES[card.stage]} made anew",
            )  # fmt: skip

        @in_sentences
        def on_again(request: gr.Request, before, past, follows=False):
            yield from anew(request, before, past, composing.new_seed(), follows)

        @in_sentences
        def on_seed(request: gr.Request, before, past, seed, follows=False):
            yield from anew(request, before, past, validate.seed(seed), follows)

        more = [follow] if follow else []
        card.again.click(on_again, [result, history, *more], made, **heavy)
        card.seed.submit(on_seed, [result, history, card.seed, *more], made, **heavy)

    connect_again(all_cards[CHORDS], chords_follow)
    connect_again(all_cards[MELODY], melody_follow)
    connect_again(all_cards[BAND], None)
    connect_again(all_cards[PIANO], None)

    def changing(text: str, change: Callable[..., Composition]) -> Callable[..., Iterator[dict]]:
        """A handler of `change(composition, *values, on_stage=..., check=..., progress=...)`."""

        @in_sentences
        def on_change(request: gr.Request, before, past, *values):
            if before is None:
                yield {status: gr.skip()}
                return
            yield from run(
                request, before, past, lambda on_stage, check, progress: change(
                    before.composition, *values, on_stage=on_stage, check=check, progress=progress
                ), text,
            )  # fmt: skip

        return on_change

    def change_chords(piece: Composition, text: str, follows: bool, **work: Any) -> Composition:
        return piece.edit(CHORDS, text or None, follow=bool(follows), **work)

    def change_band(piece: Composition, style: Any, to_style: Any, file: Any, **work: Any) -> Composition:
        own = piece.recipe.band.seed
        styles = {
            "style": composing.style_of(style, composing.BARS, file, own),
            "to_style": composing.style_of(to_style, composing.BARS, file, (own + 1) % validate.MAX_SEED),
        }
        return piece.change(BAND, material=None, **styles, **work)

    def change_piano(piece: Composition, style: Any, file: Any, **work: Any) -> Composition:
        return piece.change(PIANO, material=None, style=composing.style_of(style, composing.PIECES, file), **work)

    def change_melody(piece: Composition, wild: Any, fit: Any, follows: bool, **work: Any) -> Composition:
        return piece.change(MELODY, bool(follows), material=None, temperature=wild, fit=fit, **work)

    chords.submit(changing("Chords changed", change_chords), [result, history, chords, chords_follow], made, **heavy)
    gr.on(
        [band_style.input, to_band_style.input], changing("Band made anew", change_band),
        [result, history, band_style, to_band_style, styles_from_files[BAND]], made, **heavy,
    )  # fmt: skip
    piano_style.input(
        changing("Piano made anew", change_piano), [result, history, piano_style, styles_from_files[PIANO]], made, **heavy
    )
    gr.on(
        [temperature.release, fit.release], changing("Melody made anew", change_melody),
        [result, history, temperature, fit, melody_follow], made, **heavy,
    )  # fmt: skip

    def connect_upload(stage: str, button: gr.UploadButton, styles: list[gr.Dropdown], choices: list[str]) -> None:
        @in_sentences
        def on_upload(path):
            style = composing.read_style(path, Path(path).stem)
            choice = composing.file_choice(style)
            updates = [gr.Dropdown([choices[0], choice, *choices[1:]], value=choice)]
            updates += [gr.Dropdown([STAYS, choice, *choices[1:]]) for _ in styles[1:]]
            return (style, *updates)

        uploaded = button.upload(on_upload, [button], [styles_from_files[stage], *styles], **light)
        change = change_band if stage == BAND else change_piano
        uploaded.success(
            changing(f"{NAMES[stage]} made anew", change),
            [result, history, *styles, styles_from_files[stage]],
            made,
            **heavy,
        )

    connect_upload(BAND, page.band_file, [band_style, to_band_style], [BY_MOOD, *composing.BARS, RANDOM])
    connect_upload(PIANO, page.piano_file, [piano_style], [BY_MOOD, *composing.PIECES])

    def connect_editing(stage: str, follow: gr.Checkbox | None) -> None:
        """Lets the notes of a stage be edited."""

        @in_sentences
        def on_edited(request: gr.Request, edited, before, past, follows=False):
            if not edited:
                raise validate.StudioError(f"There is no {stage} to edit yet.")
            piece = needed(before)
            yield from run(
                request, before, past, lambda on_stage, check, progress: piece.edit(
                    stage, edited["notes"], follow=bool(follows), on_stage=on_stage, check=check, progress=progress
                ), f"{NAMES[stage]} edited",
            )  # fmt: skip

        more = [follow] if follow else []
        rolls[stage].edited(on_edited, [rolls[stage], result, history, *more], made, **heavy)

    connect_editing(MELODY, melody_follow)
    connect_editing(PIANO, None)

    @in_sentences
    def on_instruments(before, past, whole, chosen):
        if before is None or whole is None:
            return {status: gr.skip()}
        begun = time.monotonic()
        tracks = [
            track for name, track in zip(cards.instruments(whole), whole.tracks, strict=True) if name in (chosen or ())
        ]
        if not tracks:
            raise validate.StudioError("At least one instrument must play; to silence the band, mute it in the mix.")
        piece = before.composition.edit(BAND, replace(whole, tracks=tuple(tracks)))
        return {rolls[BAND]: cards.roll_value(piece, BAND)} | ended(piece, before, past, begun, "Band edited")

    page.instruments.input(
        on_instruments, [result, history, whole_band, page.instruments], made, trigger_mode="always_last", **light
    )

    def mixing(change: Callable[..., Composition], *stages: str) -> Callable[..., dict]:
        """A handler of what asks no model: `change(composition, *values)`."""

        @in_sentences
        def on_change(before, past, *values):
            if before is None:
                return {status: gr.skip()}
            begun, piece = time.monotonic(), change(before.composition, *values)
            if piece.recipe == before.composition.recipe:
                return {status: gr.skip()}
            values = {key: value for stage in stages if stage in piece.parts for key, value in shown(stage, piece).items()}
            return values | ended(piece, before, past, begun, "Mixed")

        return on_change

    def change_levels(piece: Composition, melody: Any, band: Any, piano: Any, silent: Any, ends: Any) -> Composition:
        return piece.with_levels({MELODY: melody, BAND: band, PIANO: piano}, muted=silent, ending=bool(ends))

    gr.on(
        [*(slider.release for slider in levels.values()), muted.input, ending.input], mixing(change_levels),
        [result, history, *levels.values(), muted, ending], made, trigger_mode="always_last", **light,
    )  # fmt: skip
    program.input(
        mixing(lambda piece, number: piece if number < 0 else piece.with_program(number), MELODY),
        [result, history, program], made, **light,
    )  # fmt: skip

    @in_sentences
    def on_undo(past):
        if not past:
            raise validate.StudioError("There is nothing to undo.")
        piece, past = past[-1], past[:-1]
        values = {result: piece, history: past, undo: gr.Button(interactive=bool(past)), part: piece.part if piece else MIX}
        if page.further:
            values[page.further.view] = compose_develop.view_value(piece.developed if piece else None)
        no_band = {whole_band: None, page.instruments: gr.CheckboxGroup([], value=[])}
        if piece is None:
            return values | no_band | dict.fromkeys(rolls.values()) | {status: cards.status_html(0.0, ""), chords: ""}
        own = piece.composition
        for stage in (*STAGES[:-1], MIX):
            there = stage in own.parts or (stage == MIX and own.tracks)
            values |= shown(stage, own) if there else {rolls[stage]: None}
        values |= {} if BAND in own.parts else no_band
        mix = own.recipe.mix
        values |= {slider: mix.levels.get(stage, 0.0) for stage, slider in levels.items()}
        return values | {muted: list(mix.muted), ending: mix.ending, status: cards.status_html(1.0, f"Back to {own.title}")}

    more = [page.further.view] if page.further else []
    undo.click(on_undo, [history], [*made, *levels.values(), muted, ending, *more], **light)
    if page.further:
        shown_too = {"status": status, "undo": undo, "part": part}
        compose_develop.connect(page.further, composer.developer, brakes, result, history, shown_too)

    @in_sentences
    def on_part(piece: Piece | None, chosen):
        if piece is None:
            return gr.skip()
        if chosen not in piece.parts:
            what = "sound of that kind" if chosen == composing.DEVELOPED else NAMES.get(chosen, "such part").lower()
            raise validate.StudioError(f"There is no {what} yet.")
        return replace(piece, part=chosen)

    part.input(on_part, [result, part], [result], **light)

    # ---- Other tabs

    taken = [
        result,
        history,
        status,
        undo,
        chords,
        *rolls.values(),
        *seeds.values(),
        *buttons,
        part,
        all_cards[CHORDS].lock,
        all_cards[MELODY].lock,
        *kept,
    ]

    def take(clip: Clip, mood: Any, before: Piece | None, past: list[Piece | None]) -> tuple:
        """Values for `taken`: a piece that begins with the melody of a clip."""
        begun = time.monotonic()
        piece = composer.begun_with(clip, mood)
        values: dict[Any, Any] = dict.fromkeys(rolls.values())
        for stage in piece.parts:
            values |= shown(stage, piece)
        values |= ended(piece, before, past, begun, "Melody taken")
        values |= {all_cards[MELODY].lock: True, all_cards[CHORDS].lock: bool(clip.chords)}
        return tuple(values.get(component, gr.skip()) for component in taken)

    def warm_up():
        for _ in composer.warm_up():
            pass

    return Desk(
        TITLE, result, give=lambda piece: piece.clip(), reads=reads, take=take, inputs=[page.mood, result, history],
        outputs=taken, menu=page.menu, opened=in_sentences(warm_up),
        keeps=lambda piece: piece.part == composing.DEVELOPED or (piece.part == MIX and BAND in piece.composition.parts),
    )  # fmt: skip


def reads(clip: Clip) -> str | None:
    """What the tab does with a clip."""
    if clip.kind != "midi" or not clip.has_notes:
        return None
    kept = ", first 16 bars" if (clip.bars or 0) > 16 else ""
    return f"its melody{kept}{' and its chords' if clip.chords else ''}; a piece is composed around it"
