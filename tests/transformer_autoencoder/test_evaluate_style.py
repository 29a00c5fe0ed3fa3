"""Style control and melody kept, on music of which both are known."""

import numpy as np
import pytest

from hub_models.transformer_autoencoder import PerformanceNotes
from hub_models.transformer_autoencoder.evaluate_style import (
    Listening,
    choose_excerpts,
    compare_melodies,
    compare_styles,
    evaluate_style,
    kept_notes,
    perform,
)
from hub_models.transformer_autoencoder.melody_events import NO_EVENT_ID, PITCH_OFFSET
from hub_models.transformer_autoencoder.performance_events import decode_performance, encode_performance
from hub_models.transformer_autoencoder.performances import Piece

from .conftest import small_model


def played(style: int, seed: int = 0, seconds: float = 12.0) -> np.ndarray:
    """Tokens of a performance; the higher `style`, the higher, louder, faster and shorter its notes."""
    draw = np.random.default_rng([style, seed])
    starts = np.arange(0.0, seconds, 0.5 / (1 + style))
    rows = [
        (30 + 9 * style + int(draw.integers(6)), 20 + 12 * style + int(draw.integers(6)), start, start + 0.9 / (1 + style))
        for start in starts.tolist()
    ]
    return encode_performance(PerformanceNotes.from_rows(rows))


def excerpts_of(count: int = 6) -> Listening:
    """The melody of each excerpt is one pitch on every other step of a hundred milliseconds, each another."""
    melodies = []
    for number in range(count):
        melody = np.full(40, NO_EVENT_ID)
        melody[::2] = PITCH_OFFSET + 30 + number
        melodies.append(melody)
    styles = [played(number) for number in range(count)]
    return Listening(styles, [played(number, seed=1) for number in range(count)], melodies)


def pieces_of(count: int, length: int = 64) -> list[Piece]:
    draw = np.random.default_rng(0)
    return [
        Piece(f"{number}.mid", (draw.integers(2, 300, length + number).astype(np.uint16),), 21, 108)
        for number in range(count)
    ]


def test_who_plays_in_the_style_is_nearer_to_it():
    excerpts = excerpts_of()
    figures = compare_styles([decode_performance(tokens) for tokens in excerpts.same_piece], excerpts)
    assert figures["nearer_to_own"] == 1.0
    assert figures["standard_error"] == 0.0
    assert figures["num_generations"] == 6
    assert figures["num_pairs"] == 6 * 4  # neither the own style nor the one whose melody is played
    areas = figures["overlapping_area"]
    assert areas["own_style"]["mean"] > 0.5 > areas["other_style"]["mean"]
    copies = compare_styles([decode_performance(tokens) for tokens in excerpts.styles], excerpts)
    assert set(copies["overlapping_area"]["own_style"].values()) == {1.0}


def test_who_plays_in_the_style_that_comes_next_but_one_is_not():
    excerpts = excerpts_of()
    written = [decode_performance(excerpts.same_piece[(number + 2) % 6]) for number in range(6)]
    figures = compare_styles(written, excerpts)
    # of the four others that each is compared with, one is always nearer: the one that is really played
    assert figures["nearer_to_own"] <= 0.75
    assert figures["overlapping_area"]["own_style"]["mean"] < 0.5


def test_who_always_plays_alike_is_right_half_of_the_time():
    excerpts = excerpts_of(8)
    for written in ([decode_performance(played(3, seed=9))] * 8, [PerformanceNotes.from_rows([])] * 8):
        figures = compare_styles(written, excerpts)
        assert abs(figures["nearer_to_own"] - 0.5) <= 0.1
        assert figures["empty"] == (8 if len(written[0]) == 0 else 0)
    assert figures["nearer_to_own"] == 0.5  # ties are halves
    assert figures["binomial_standard_error"] == pytest.approx(np.sqrt(0.25 / 8))


def test_a_kept_note_is_of_its_pitch_and_near_its_time():
    melody = PerformanceNotes.from_rows([(60, 64, 0.0, 0.5), (62, 64, 0.5, 1.0), (64, 64, 1.0, 1.5), (65, 64, 1.5, 2.0)])
    notes = PerformanceNotes.from_rows(
        [(60, 90, 0.1, 0.3), (62, 90, 0.61, 0.8), (52, 90, 1.0, 1.2), (65, 90, 1.44, 1.5), (20, 90, 0.0, 2.0)]
    )
    assert kept_notes(notes, melody).tolist() == [True, False, False, True]
    assert kept_notes(notes, melody, octaves_count=False).tolist() == [True, False, True, True]


def test_what_a_melody_has_after_the_end_is_not_asked_for():
    melody = PerformanceNotes.from_rows([(60, 64, 0.0, 0.5), (62, 64, 3.0, 3.5)])
    assert kept_notes(PerformanceNotes.from_rows([(60, 64, 0.0, 1.0)]), melody).tolist() == [True]
    assert kept_notes(PerformanceNotes.from_rows([]), melody).tolist() == []


def test_melodies_are_found_where_they_are_and_others_are_not():
    excerpts = excerpts_of(5)
    written = []
    for number in range(5):
        pitch = 21 + 30 + (number + 1) % 5  # of the next excerpt's melody
        starts = np.arange(0.0, 4.0, 0.4)  # every other note of it
        written.append(PerformanceNotes.from_rows([(pitch, 64, start, start + 0.3) for start in starts.tolist()]))
    figures = compare_melodies(written, excerpts)
    # each note of the melody is within 200 ms of one that is played: half of them exactly there
    assert figures["kept"] == pytest.approx(0.5, abs=0.03)
    assert figures["chance"] == 0.0
    assert figures["num_generations"] == 5
    assert figures["num_notes"] == 5 * 20
    assert figures["standard_error"] == pytest.approx(0.0)
    assert compare_melodies([PerformanceNotes.from_rows([])] * 5, excerpts)["kept"] is None


def test_excerpts_are_of_different_compositions_and_from_two_places():
    pieces = pieces_of(9)
    compositions = ["a", "a", "a", "b", "b", "c", "d", "e", "f"]
    excerpts = choose_excerpts(pieces, compositions, 16, 5)
    assert len(excerpts) == 5
    owners = []
    for style, other in zip(excerpts.styles, excerpts.same_piece, strict=True):
        (owner,) = (piece for piece in pieces if style.tolist() in np.reshape(piece.tokens[:64], (4, 16)).tolist())
        assert other.tolist() in np.reshape(owner.tokens[:64], (4, 16)).tolist()
        assert other.tolist() != style.tolist()
        owners.append(compositions[pieces.index(owner)])
    assert len(set(owners)) == 5
    again = choose_excerpts(pieces, compositions, 16, 5)
    assert all(map(np.array_equal, excerpts.styles, again.styles))
    assert len(choose_excerpts(pieces, compositions, 16, 50)) == 6
    assert len(choose_excerpts(pieces, compositions, 40, 50)) == 0  # none is long enough for two


def test_the_melody_is_of_another_piece_or_blank_for_as_long():
    excerpts = excerpts_of(4)
    melodies = excerpts.melodies_to_play(False)
    assert [melody[0] for melody in melodies] == [PITCH_OFFSET + 30 + number for number in (1, 2, 3, 0)]
    blank = excerpts.melodies_to_play(True)
    assert all((melody == NO_EVENT_ID).all() and len(melody) == 40 for melody in blank)


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({}, ["without_melody"]),
        ({"performance_encoder": "style"}, ["without_melody"]),
        ({"melody_encoder": True}, ["with_melody"]),
        ({"performance_encoder": "style", "melody_encoder": True}, ["with_melody", "without_melody"]),
    ],
)
def test_every_kind_of_model_is_measured_with_what_it_hears(fields, parts):
    model, excerpts = small_model(**fields), excerpts_of(4)
    figures = evaluate_style(model, excerpts, 8, batch_size=4)
    assert [part for part in figures["style"] if part.startswith("with")] == parts
    assert ("melody" in figures) == bool(fields.get("melody_encoder"))
    assert figures["style"]["data"]["nearer_to_own"] == 1.0
    assert set(figures["style"]["data"]["overlapping_area"]) == {"same_piece", "other_piece"}
    assert evaluate_style(model, excerpts, 8, batch_size=4) == figures
    assert evaluate_style(model, excerpts_of(3), 8) == {}


def test_performances_listen_to_their_own_style_and_melody():
    model, excerpts = small_model(performance_encoder="style", melody_encoder=True), excerpts_of(4)
    heard = []

    def generate(start, **inputs):
        heard.append(inputs)
        return start.repeat(1, 1 + inputs["max_new_tokens"])

    model.generate = generate
    written = perform(model, excerpts, excerpts.melodies_to_play(False), 7, temperature=0.5, top_p=0.9, batch_size=3)
    assert [tokens.tolist() for tokens in written] == [[0] * 7] * 4
    assert [len(inputs["melody_ids"]) for inputs in heard] == [3, 1]
    style = heard[1]["performance_ids"][0].tolist()
    assert style == excerpts.styles[3].tolist()
    assert heard[1]["melody_ids"][0].tolist() == excerpts.melodies[0].tolist()
    mask = heard[0]["performance_attention_mask"]
    assert mask.sum(dim=1).tolist() == [len(tokens) for tokens in excerpts.styles[:3]]
    settings = heard[0]
    assert (settings["temperature"], settings["top_p"], settings["eos_token_id"]) == (0.5, 0.9, None)
