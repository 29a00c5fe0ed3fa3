"""The sampler: modes, progress, stopping, candidates, and that results follow from seeds alone."""

import dataclasses

import pytest
import torch

from hub_models.jukebox.sampling import JukeboxSampler
from hub_models.jukebox.sampling_plan import SamplingError, SamplingPlan, Song
from hub_models.jukebox.sampling_progress import Pace

from .small_models import CODES, HOPS, quick_model, small_model, small_tokenizer

PLAN = SamplingPlan(songs=Song("flute", "folk"), seconds=0.8, number_of_samples=3, max_batch_sizes=2, seed=5)
LENGTHS = [50, 100, 200]


@pytest.fixture
def sampler():
    return JukeboxSampler(quick_model(), tokenizer=small_tokenizer())


def same(codes, others):
    return all(
        torch.equal(row, other)
        for rows, others_of_level in zip(codes, others, strict=True)
        for row, other in zip(rows, others_of_level, strict=True)
    )


def test_ancestral_sampling_gives_codes_and_sound_of_all_levels(sampler):
    result = sampler.sample(PLAN)
    assert [[len(row) for row in rows] for rows in result.codes] == [[length] * 3 for length in LENGTHS]
    assert all(0 <= int(row.min()) <= int(row.max()) < CODES for rows in result.codes for row in rows)
    assert {level: [sound.shape for sound in sounds] for level, sounds in result.audio.items()} == {
        level: [(800, 1)] * 3 for level in range(3)
    }
    assert result.finest_audio is result.audio[2]
    assert not result.stopped
    assert result.words is None


def test_results_follow_from_the_seed(sampler):
    first = sampler.sample(PLAN)
    assert same(first.codes, sampler.sample(PLAN).codes)
    assert not same(first.codes, sampler.sample(dataclasses.replace(PLAN, seed=6)).codes)


@pytest.mark.parametrize("sizes", [1, 3, [3, 1, 2]])
def test_results_do_not_depend_on_how_many_are_computed_together(sampler, sizes):
    assert same(sampler.sample(PLAN).codes, sampler.sample(dataclasses.replace(PLAN, max_batch_sizes=sizes)).codes)


def test_real_priors_give_the_same_alone_and_together():
    sampler = JukeboxSampler(small_model(lyrics=False), tokenizer=small_tokenizer())
    plan = dataclasses.replace(PLAN, seconds=0.3, number_of_samples=2, levels=[0])
    together = sampler.sample(plan)
    assert same(together.codes, sampler.sample(dataclasses.replace(plan, max_batch_sizes=1)).codes)
    assert len(together.codes[0][0].unique()) > 1


def test_each_level_hears_its_own_labels(sampler):
    songs = {1: Song("harp", "waltz"), 2: [Song("voice"), Song("flute"), Song("nobody")]}
    result = sampler.sample(dataclasses.replace(PLAN, songs_of_level=songs, max_batch_sizes=3))
    priors = sampler._parts._model.priors
    heard = [[row[3:].tolist() for row in prior.calls[0]["metadata"]] for prior in priors]
    assert heard == [[[1, 1]] * 3, [[2, 2]] * 3, [[3, 0], [1, 0], [0, 0]]]
    assert any("nobody" in report for report in result.reports)


def test_lower_levels_hear_what_was_sampled_above(sampler):
    result = sampler.sample(PLAN)
    first = sampler._parts._model.priors[1].calls[0]
    assert torch.equal(first["music_tokens_conds"], torch.stack(result.codes[0][:2])[:, :16])


def test_labels_can_be_given_as_rows():
    labels = [[torch.tensor([0, 0, 0, 2, 1])]] * 3
    model = quick_model()
    JukeboxSampler(model).sample(dataclasses.replace(PLAN, songs=Song()), labels=labels)
    assert model.priors[2].calls[0]["metadata"][0, 3:].tolist() == [2, 1]


def test_without_vocabularies_only_songs_without_names_can_be_sampled():
    model = quick_model()
    JukeboxSampler(model).sample(dataclasses.replace(PLAN, songs=Song()))
    assert model.priors[0].calls[0]["metadata"][0, 3:].tolist() == [0, 0]
    with pytest.raises(SamplingError, match=r"no vocabularies .*flute"):
        JukeboxSampler(model).sample(PLAN)


# ---- What it goes on from


def sound(samples: int) -> torch.Tensor:
    return torch.sin(torch.arange(samples) * 0.3)[:, None]


def test_primed_sampling_goes_on_from_the_codes_of_the_sound_at_all_levels(sampler):
    audio = sound(339)
    result = sampler.sample(dataclasses.replace(PLAN, mode="primed"), prompt=audio)
    encoded = sampler._parts.vqvae.encode(audio[None, :336])[::-1]
    for level, codes in enumerate(encoded):
        assert [len(row) for row in result.codes[level]] == [LENGTHS[level]] * 3
        assert all(torch.equal(row[: codes.shape[1]], codes[0]) for row in result.codes[level])


def test_a_prompt_can_be_cut(sampler):
    plan = dataclasses.replace(PLAN, mode="primed", prompt_seconds=0.1)
    schedule, _ = sampler.schedule(plan, sound(339))
    assert [level.known for level in schedule.levels] == [6, 12, 24]


def test_continuing_keeps_what_was_there(sampler):
    before = sampler.sample(PLAN)
    plan = dataclasses.replace(PLAN, mode="continue", seconds=1.1, prompt_seconds=0.5, seed=9)
    after = sampler.sample(plan, prompt=before.codes)
    for level, hop in enumerate(HOPS):
        kept = 496 // hop
        for row, was in zip(after.codes[level], before.codes[level], strict=True):
            assert len(row) == 1088 // hop
            assert torch.equal(row[:kept], was[:kept])
            assert not torch.equal(row[: len(was)], was)


def test_upsampling_keeps_the_top_level(sampler):
    top = torch.arange(50).repeat(2, 1) % CODES
    plan = SamplingPlan("upsample", songs=Song("harp"), number_of_samples=2)
    result = sampler.sample(plan, prompt=[top])
    assert torch.equal(torch.stack(result.codes[0]), top)
    assert [len(rows[0]) for rows in result.codes] == LENGTHS
    assert not sampler._parts._model.priors[0].calls


@pytest.mark.parametrize(
    ("mode", "prompt", "message"),
    [
        ("ancestral", sound(99), "goes on from nothing"),
        ("primed", None, "primed sampling needs a prompt: audio"),
        ("continue", None, "needs a prompt: codes of all levels"),
        ("upsample", None, "needs a prompt: codes of the top level"),
        ("primed", "song.wav", "an array of samples, not str"),
        ("primed", torch.zeros(1, 99, 2), r"\(samples, T, 1\), got torch.float32 of shape \(1, 99, 2\)"),
        ("primed", torch.zeros(99, dtype=torch.int16), "Audio must be floating point .* got torch.int16"),
        ("primed", sound(99) * float("nan"), "not finite numbers"),
        ("primed", sound(15), "at least one code of the top level, 0.0160 seconds"),
        ("primed", sound(800), "has 0.80 seconds at level 0; seconds must be more"),
        ("primed", torch.zeros(2, 99, 1), "of one sample, or of each of 3 samples, got 2"),
        ("continue", [torch.zeros(1, 20).long()], "no more than there is, 0.00 seconds"),
        ("upsample", torch.zeros(1, 20), "Codes are a list with those of each of 3 levels"),
        ("upsample", [torch.zeros(1, 50)], "Codes are whole numbers; those of level 0 are torch.float32"),
        ("upsample", [torch.full((1, 50), CODES)], "from 0 to 31; those of level 0 reach from 32 to 32: .* another model's"),
        ("upsample", [torch.zeros(1, 0).long()], "no codes of the top level"),
        ("upsample", [torch.zeros(1, 20).long()], "0.80 seconds need 50 codes .* there are 20"),
        ("upsample", [[torch.zeros(50).long(), torch.zeros(49).long()]], "must be 2 rows of one length"),
    ],
)
def test_prompts_that_cannot_be_used_are_refused(sampler, mode, prompt, message):
    with pytest.raises(SamplingError, match=message):
        sampler.sample(dataclasses.replace(PLAN, mode=mode), prompt=prompt)


# ---- Candidates


@pytest.mark.parametrize(("mode", "prompt"), [("ancestral", None), ("primed", sound(200))])
def test_chosen_candidates_become_what_they_would_have_become(sampler, mode, prompt):
    plan = dataclasses.replace(PLAN, mode=mode, songs=[Song("flute"), Song("harp"), Song("voice")])
    whole = sampler.sample(plan, prompt=prompt)
    drafts = sampler.sample(dataclasses.replace(plan, levels=[0]), prompt=prompt)
    assert [len(sound) for sound in drafts.audio[0]] == [800] * 3
    chosen_plan, codes = drafts.choose([2, 0], max_batch_sizes=1)
    chosen = sampler.sample(chosen_plan, prompt=codes)
    assert same(chosen.codes, [[rows[2], rows[0]] for rows in whole.codes])


@pytest.mark.parametrize("indices", [[], [3], [0, 0], [-1]])
def test_only_candidates_that_there_are_can_be_chosen(sampler, indices):
    drafts = sampler.sample(dataclasses.replace(PLAN, levels=[0]))
    with pytest.raises(SamplingError, match="Choose different samples from 0 to 2"):
        drafts.choose(indices)


# ---- Progress


def test_progress_counts_every_code_and_gives_sound_after_windows(sampler):
    looks = []
    sampler.sample(PLAN, on_progress=looks.append)
    ends = [look for look in looks if look.window_done]
    assert [(look.level, look.window, look.windows) for look in ends] == [
        (level, number + 1, 2 * windows) for level, windows in enumerate((6, 6, 12)) for number in range(2 * windows)
    ]
    assert ends[0].tokens == 2 * 32
    assert ends[1].tokens == 2 * 36
    assert ends[-1].tokens == ends[-1].total_tokens == 3 * sum(LENGTHS)
    assert ends[-1].seconds_left == 0.0
    assert [look.samples for look in ends if look.samples_done] == [(0, 1), (2,)] * 3
    assert all(look.preview is not None for look in ends if look.level == 0 or look.samples_done)
    assert ends[0].preview.shape == (2, 512, 1)


def test_previews_of_lower_levels_go_on_with_the_level_above(sampler):
    previews = {}
    sampler._clock = lambda: 0.0  # decoding takes no time: there is a preview after every window

    def listen(look):
        if look.preview is not None:
            previews.setdefault(look.level, look.preview)

    result = sampler.sample(PLAN, on_progress=listen)
    fine = sampler.decode(result.codes[1][0][:32], 1)
    assert torch.equal(previews[1][0], torch.cat([fine, result.audio[0][0][len(fine) :]]))


def test_candidates_are_done_one_by_one_where_they_are_computed_one_by_one(sampler):
    done = []
    plan = dataclasses.replace(PLAN, levels=[0], max_batch_sizes=1)
    sampler.sample(plan, on_progress=lambda look: done.append(look.samples) if look.samples_done else None)
    assert done == [(0,), (1,), (2,)]


def test_looks_within_a_window_come_when_time_has_passed(sampler):
    ticks = iter(range(10**6))
    sampler._clock = lambda: next(ticks) * 0.2
    looks = []
    sampler.sample(dataclasses.replace(PLAN, levels=[0]), on_progress=looks.append)
    within = [look for look in looks if not look.window_done]
    assert within
    assert all(look.tokens_per_second > 0 and look.seconds_left >= 0 and look.preview is None for look in within)


def test_time_left_is_known_from_one_level_and_guessed_for_the_others():
    pace = Pace(costs=[4.0, 1.0], remaining=[100, 400])
    assert pace.seconds_left is None
    assert pace.total_tokens == 500
    pace.add(0, 50, seconds=100.0)
    assert pace.tokens == 50
    assert pace.tokens_per_second(0) == 0.5
    assert pace.seconds_left == pytest.approx(50 * 2.0 + 400 * 0.5)
    pace.add(0, 50, seconds=100.0)
    pace.add(1, 100, seconds=100.0)
    assert pace.seconds_left == pytest.approx(300 * 1.0)
    pace.add(1, 300, seconds=300.0)
    assert pace.seconds_left == 0.0


def test_speed_is_smoothed():
    pace = Pace(costs=[1.0], remaining=[1000])
    pace.add(0, 10, seconds=1.0)
    pace.add(0, 10, seconds=2.0)
    assert 5.0 < pace.tokens_per_second(0) < 10.0


# ---- Stopping


def test_stopping_keeps_the_windows_that_are_done(sampler):
    whole, looks = sampler.sample(PLAN), []
    result = sampler.sample(PLAN, on_progress=looks.append, should_stop=lambda: len(looks) >= 8)
    assert result.stopped
    assert [len(row) for row in result.codes[0]] == [50, 50, 36]
    assert all(torch.equal(row, other[: len(row)]) for row, other in zip(result.codes[0], whole.codes[0], strict=True))
    assert [len(sound) for sound in result.audio[0]] == [800, 800, 36 * 16]
    assert set(result.audio) == {0}


def test_an_exception_of_the_listener_ends_the_sampling(sampler):
    def fail(look):
        raise RuntimeError("the page was closed")

    with pytest.raises(RuntimeError, match="the page was closed"):
        sampler.sample(PLAN, on_progress=fail)


# ---- Lyrics


def test_words_of_the_lyrics_have_times():
    sampler = JukeboxSampler(small_model(), tokenizer=small_tokenizer())
    plan = SamplingPlan(songs=[Song(lyrics="La la, hey ho"), Song()], seconds=0.6, number_of_samples=2, levels=[0])
    result = sampler.sample(dataclasses.replace(plan, align_lyrics=True))
    assert [word.word for word in result.words[0]] == ["La", "la,", "hey", "ho"]
    assert all(0 <= word.start_seconds <= word.end_seconds <= 0.6 for word in result.words[0])
    assert result.words[1] == []


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({}, {}, "this model hears none"),
        ({"mode": "upsample"}, {"prompt": [torch.zeros(1, 50).long()]}, "hears none"),
    ],
)
def test_lyrics_cannot_be_aligned_where_none_are_heard(sampler, changes, arguments, message):
    with pytest.raises(SamplingError, match=message):
        sampler.sample(dataclasses.replace(PLAN, align_lyrics=True, **changes), **arguments)


def test_lyrics_are_aligned_with_the_words_of_a_tokenizer():
    model = small_model()
    with pytest.raises(SamplingError, match="by a tokenizer; there is none"):
        JukeboxSampler(model).sample(dataclasses.replace(PLAN, align_lyrics=True))
    sampler = JukeboxSampler(model, tokenizer=small_tokenizer())
    plan = dataclasses.replace(PLAN, mode="upsample", align_lyrics=True)
    with pytest.raises(SamplingError, match="not for upsample"):
        sampler.sample(plan, prompt=[torch.zeros(1, 50).long()])


def test_lyrics_that_are_too_long_for_the_song_are_told_before_sampling():
    sampler = JukeboxSampler(small_model(), tokenizer=small_tokenizer())
    _, reports = sampler.schedule(dataclasses.replace(PLAN, songs=Song("flute", "folk", "la " * 100)))
    assert any("too long for the song" in report for report in reports)
