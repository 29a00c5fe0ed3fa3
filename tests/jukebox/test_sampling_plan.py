"""Plans: what a person says, checked, kept as JSON, and turned into windows of a model."""

import json

import pytest

from hub_models.jukebox.sampling_plan import SamplingError, SamplingPlan, Song, make_schedule, prompt_codes

from .small_models import small_config

CONFIG = small_config()
NOTHING = [0, 0, 0]


def test_a_plan_comes_back_from_json():
    plan = SamplingPlan(
        songs=[{"artist": "flute", "genre": "folk", "lyrics": "la\nla"}, Song("harp")],
        songs_of_level={1: Song("voice")},
        seconds=1.5,
        number_of_samples=2,
        temperatures=[0.9, 1.0, 1.1],
        levels=[0, 1],
        seed=2**63 - 1,
    )
    assert SamplingPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_songs_are_one_for_all_or_one_for_each_and_levels_may_have_their_own():
    plan = SamplingPlan(
        songs=Song("flute"), songs_of_level={2: [Song("harp"), Song("voice")]}, seconds=1, number_of_samples=2
    )
    assert plan.songs_at(0) == [Song("flute")] * 2
    assert plan.songs_at(2) == [Song("harp"), Song("voice")]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "dream"}, "mode is one of ancestral, primed, continue, upsample, got 'dream'"),
        ({"seconds": None}, "seconds, the length of the result, is missing"),
        ({"seconds": 0}, "seconds must be above 0, got 0"),
        ({"seconds": float("nan")}, "seconds must be above 0, got nan"),
        ({"seconds": "long"}, "seconds must be above 0, got 'long'"),
        ({"offset_seconds": -1}, "offset_seconds must be from 0, got -1"),
        ({"prompt_seconds": 1}, "prompt_seconds is for primed and continue, not for ancestral"),
        ({"number_of_samples": 0}, "number_of_samples must be from 1 to 1024, got 0"),
        ({"number_of_samples": True}, "number_of_samples must be from 1"),
        ({"songs": [Song(), Song()]}, "songs must be one, or one for each of 1 samples, got 2"),
        ({"songs": "flute"}, "A song has artist, genre and lyrics, got 'f'"),
        ({"songs": {"singer": "x"}}, "A song has artist, genre and lyrics"),
        ({"sample_numbers": [1, 1], "number_of_samples": 2}, "sample_numbers must be 2 different whole numbers"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"chunk_size": 0}, "chunk_size must be a whole number from 1"),
        ({"temperatures": [1.0, 0.0, 1.0]}, "temperatures must be above 0"),
        ({"top_k": -1}, "top_k must be whole numbers from 0"),
        ({"top_p": 1.5}, "top_p must be from 0 to 1"),
        ({"hop_fractions": 2}, "hop_fractions must be above 0 and at most 1"),
        ({"max_batch_sizes": []}, "max_batch_sizes must be whole numbers from 1"),
    ],
)
def test_values_that_no_plan_has_are_refused(fields, message):
    with pytest.raises(SamplingError, match=message):
        SamplingPlan(**{"seconds": 1, **fields})


@pytest.mark.parametrize("values", [{"mode": "ancestral", "seconds": 1, "colour": "red"}, ["ancestral"], None])
def test_other_fields_are_refused(values):
    with pytest.raises(SamplingError, match="A plan has the fields mode, songs"):
        SamplingPlan.from_dict(values)


def test_seconds_become_whole_codes_of_the_top_level_and_windows_of_each_level():
    schedule = make_schedule(SamplingPlan(seconds=0.8019), CONFIG, NOTHING)
    assert (schedule.sample_length, schedule.total_length, schedule.offset) == (800, 800, 0)
    assert [(level.level, level.total, level.hop) for level in schedule.levels] == [(0, 50, 4), (1, 100, 16), (2, 200, 16)]
    assert [window.start for window in schedule.levels[0].windows] == [0, 4, 8, 12, 16, 18]


def test_every_whole_number_of_codes_can_be_said_in_seconds():
    for codes in range(1, 400):
        length = codes * 16
        plan = SamplingPlan(seconds=length / 1000, levels=[0])
        assert make_schedule(plan, CONFIG, NOTHING).sample_length == length


def test_the_song_ends_with_the_result_or_is_the_shortest_that_the_model_knows():
    def total(**fields):
        return make_schedule(SamplingPlan(levels=[0], **fields), CONFIG, NOTHING).total_length

    assert total(seconds=1, offset_seconds=2) == 2992
    assert total(seconds=0.1) == 200
    assert total(seconds=1, total_seconds=5) == 5000


def test_levels_have_the_temperatures_of_the_original_or_their_own():
    choices = [level.choice for level in make_schedule(SamplingPlan(seconds=1), CONFIG, NOTHING).levels]
    assert [choice.temperature for choice in choices] == [0.98, 0.99, 0.99]
    plan = SamplingPlan(seconds=1, temperatures=[1, 2, 3], top_k=[0, 5, 0], top_p=[0.5, 0, 0.9])
    choices = [level.choice for level in make_schedule(plan, CONFIG, NOTHING).levels]
    assert [(choice.temperature, choice.top_k, choice.top_p) for choice in choices] == [(1, 0, 0.5), (2, 5, 0), (3, 0, 0.9)]


def test_upsampling_is_as_long_as_its_codes_unless_said_otherwise():
    def lengths(**fields):
        schedule = make_schedule(SamplingPlan("upsample", **fields), CONFIG, [40, 0, 0])
        return schedule.sample_length, [level.level for level in schedule.levels]

    assert lengths() == (640, [1, 2])
    assert lengths(seconds=0.5, levels=[1]) == (496, [1])


@pytest.mark.parametrize(
    ("fields", "lengths", "message"),
    [
        ({"seconds": 0.01}, NOTHING, "seconds must be at least 0.0160, a code of the top level; got 0.01"),
        ({"seconds": 0.2}, NOTHING, r"0.19 seconds are shorter than a window of level 1, 0.26 seconds: .* levels \[0\]"),
        ({"seconds": 1, "levels": [1]}, NOTHING, r"levels of ancestral start at 0 and go down .* at most to 2; got \[1\]"),
        ({"seconds": 1, "levels": [0, 2]}, NOTHING, "levels of ancestral"),
        ({"seconds": 1, "levels": []}, NOTHING, "levels of ancestral"),
        ({"seconds": 1, "songs_of_level": {5: Song()}}, NOTHING, r"songs_of_level has levels 0 to 2, got \[5\]"),
        ({"seconds": 1, "temperatures": [1, 1]}, NOTHING, "temperatures must be one, or one for each of 3 levels, got 2"),
        ({"seconds": 1, "top_k": 1, "top_p": 0.5}, NOTHING, "Give top_k or top_p, not both, at level 0"),
        (
            {"seconds": 1, "hop_fractions": [1, 0.1, 1]},
            NOTHING,
            "level 1 by 3 codes; it must be a multiple of 2, such as 0.125",
        ),
        (
            {"seconds": 1, "offset_seconds": 3, "total_seconds": 2},
            NOTHING,
            "offset_seconds must be less than .* 2.00; got 3",
        ),
        ({"seconds": 1, "offset_seconds": 1.5, "total_seconds": 2}, NOTHING, "0.99 seconds after 1.50, ends after .* 2.00"),
        ({"seconds": 1, "total_seconds": 10}, NOTHING, "songs of 0.2 to less than 10 seconds; total_seconds is 10.00"),
        ({"seconds": 1, "total_seconds": 0.1}, NOTHING, "songs of 0.2 to less than 10 seconds; total_seconds is 0.10"),
        ({"seconds": 0.3, "offset_seconds": 9.6}, NOTHING, "ends 10.11 seconds after the song's beginning; .* knows 10"),
        ({"mode": "primed", "seconds": 0.5}, [31, 62, 124], "has 0.50 seconds at level 0; seconds must be more"),
        ({"mode": "upsample", "seconds": 1}, [40, 0, 0], "0.99 seconds need 62 codes .* there are 40, 0.64 seconds"),
    ],
)
def test_plans_that_do_not_fit_the_model_are_refused(fields, lengths, message):
    with pytest.raises(SamplingError, match=message):
        make_schedule(SamplingPlan(**fields), CONFIG, lengths)


def test_a_prompt_is_cut_to_whole_codes_of_the_top_level():
    assert prompt_codes(SamplingPlan("primed", seconds=1), CONFIG, 20) == 20
    assert prompt_codes(SamplingPlan("primed", seconds=1, prompt_seconds=0.1), CONFIG, 20) == 6
    with pytest.raises(
        SamplingError, match=r"at least one code of the top level, 0.0160 seconds, .* 0.32 seconds; got 0.00"
    ):
        prompt_codes(SamplingPlan("primed", seconds=1, prompt_seconds=0.01), CONFIG, 20)
    with pytest.raises(SamplingError, match=r"got 0\.50 seconds"):
        prompt_codes(SamplingPlan("primed", seconds=1, prompt_seconds=0.5), CONFIG, 20)
