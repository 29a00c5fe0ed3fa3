"""The search for a schedule: what it tries, that it goes on where it was, what it writes, and when it writes nothing."""

import itertools
import json
import math
import re

import numpy as np
import pytest
import torch

from hub_models import audio
from hub_models.training import NoTrainingDataError
from hub_models.wavegrad import WaveGradFeatureExtractor, WaveGradPipeline, WaveGradScheduler, search_schedule
from hub_models.wavegrad.clips import read_clips
from hub_models.wavegrad.data import find_audio_files
from hub_models.wavegrad.metrics import log_mel_mse
from hub_models.wavegrad.results_cache import ResultsCache
from hub_models.wavegrad.schedule_scores import ScheduleScores
from hub_models.wavegrad.search_schedule import beam_search, fine_values, mantissa_grid, nearest_on_grid, search

from .tiny_pipelines import FEATURES, SAMPLE_RATE, tiny_pipeline, tone


class Valley:
    """A score that is known: the distance of logarithms from a list, with an interaction of neighbours."""

    def __init__(self, lowest):
        self.lowest = np.log(lowest)
        self.asked = []

    def score(self, betas, bound=math.inf):
        self.asked.append(betas)
        distances = np.log(betas) - self.lowest
        score = float((distances**2).sum() + 0.5 * (distances[1:] * distances[:-1]).sum())
        return score if score < bound else None


def test_the_grid_of_six_steps_is_the_paper_s():
    grid = mantissa_grid(6)
    assert grid.shape == (6, 9)
    assert grid[0].tolist() == [1e-6, 2e-6, 3e-6, 4e-6, 5e-6, 6e-6, 7e-6, 8e-6, 9e-6]
    assert grid[5].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert mantissa_grid(11)[:, 0] == pytest.approx(10 ** np.arange(-6, -0.9, 0.5), rel=1e-5)


def test_lists_off_the_grid_begin_at_the_nearest_place():
    assert nearest_on_grid((1e-6, 1.8929e-5, 1e-4, 1e-3, 1.11e-2, 6e-2), mantissa_grid(6)) == (
        1e-6,
        2e-5,
        1e-4,
        1e-3,
        1e-2,
        1e-1,
    )


@pytest.mark.parametrize("beam", [1, 3])
def test_the_search_finds_the_lowest_list_of_the_grid(beam):
    valley = Valley([3e-3, 2e-2, 0.45])
    grid = np.array([[mantissa * power for mantissa in range(1, 10)] for power in (1e-3, 1e-2, 1e-1)])
    lowest = min(itertools.product(*grid.tolist()), key=valley.score)
    valley.asked.clear()
    [(_, found), *_] = beam_search(valley, [(1e-3, 1e-2, 1e-1)], lambda betas, place: grid[place], beam, 10, "grid")
    assert found == lowest
    assert len(set(valley.asked)) < 9**3 / 2


def test_a_second_pass_finds_what_is_between_the_values_of_the_grid():
    valley = Valley([1.4e-6, 2.5e-2])
    coarse = search(valley, [(1e-6, 1e-1)], num_steps=2)
    fine = search(valley, [(1e-6, 1e-1)], num_steps=2, refine=True)
    assert valley.score(fine) < 0.1 * valley.score(coarse)


def test_values_of_the_second_pass_stay_below_one():
    assert fine_values((1e-6, 0.8), 1) == pytest.approx([0.4757, 0.5657, 0.6727, 0.9514], abs=1e-3)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for number, pitch in enumerate((200, 330, 440, 700, 1100, 1500)):
        audio.save(tone(3000 + 100 * number, pitch), folder / f"{number}.wav", SAMPLE_RATE)
    return folder


@pytest.fixture
def model(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def scores(data):
    pipeline = tiny_pipeline()
    clips = list(read_clips(find_audio_files([data]), pipeline.feature_extractor, 0.3, same_length=True))
    return ScheduleScores(pipeline, clips[:3], seed=0, cache=ResultsCache(None), batch_size=2)


def test_a_score_is_the_log_mel_distance_of_what_the_pipeline_makes_of_the_same_noise(scores):
    betas, distances = [0.01, 0.1, 0.4], []
    for clip in scores.clips:
        noise = torch.randn(3, len(clip.audio), generator=clip.generator(0))
        made = scores.pipeline(
            mel=scores.pipeline.feature_extractor.log_mel(clip.audio[None])[..., : len(clip.audio) // 300],
            betas=betas,
            latents=noise[:1],
            variance_noise=noise[1:, None],
            output_type="pt",
        ).audios
        distances.append(log_mel_mse(made, clip.audio[None], SAMPLE_RATE).item())
    assert scores.score(betas) == pytest.approx(np.mean(distances), rel=1e-4)
    assert scores.figures(betas)["ls_mse"] == pytest.approx(np.mean(distances), rel=1e-4)


def test_a_list_that_cannot_win_any_more_is_left_and_one_that_can_is_not(scores):
    betas = [0.01, 0.1, 0.4]
    score = scores.score(betas)
    others = [ScheduleScores(scores.pipeline, scores.clips, 0, ResultsCache(None), batch_size=1) for _ in range(3)]
    assert others[0].score(betas, bound=score * 1.001) == pytest.approx(score, rel=1e-5)
    assert others[1].score(betas, bound=score * 0.999) is None
    assert others[2].score(betas, bound=score * 0.1) is None
    assert others[2].num_synthesised == 1


def run(capsys, model, data, *more):
    arguments = ["--model", model, "--data", data, "--steps", 2, "--clips", 2, "--held-out-clips", 1, "--seconds", 0.15]
    arguments += ["--max-sweeps", 1]
    search_schedule.main([str(argument) for argument in (*arguments, "--cache", model / ".." / "cache.jsonl", *more)])
    return json.loads(capsys.readouterr().out)


def test_the_found_list_is_saved_under_its_name_and_nothing_else_changes(capsys, model, data, monkeypatch):
    monkeypatch.setattr(search_schedule, "why_not_saved", lambda *distances: None)
    contents = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    report = run(capsys, model, data, "--name", "found")
    assert report["saved"]
    assert WaveGradPipeline.from_pretrained(model).scheduler.schedule_betas("found").tolist() == report["betas"]
    after = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert set(after) == set(contents)
    config = model / "scheduler" / "scheduler_config.json"
    assert [path for path in after if after[path] != contents[path]] == [config]
    before, now = json.loads(contents[config]), json.loads(after[config])
    assert now.pop("schedules") == before.pop("schedules") | {"found": report["betas"]}
    assert now == before


def test_the_search_beats_the_linear_list_on_its_clips_and_prints_the_held_out_figures(capsys, model, data):
    report = run(capsys, model, data, "--dry-run", "--output", model / ".." / "report.json")
    assert report == json.loads((model / ".." / "report.json").read_text())
    assert report["search"]["ls_mse"]["found"] < report["search"]["ls_mse"]["linear"]
    assert set(report["held_out"]) == {"clips", "found", "linear", "saved '2'", "even log-SNR"}
    assert {"ls_mse", "mcd", "mr_stft"} <= set(report["held_out"]["found"])
    assert not set(report["search"]["clips"]) & set(report["held_out"]["clips"])
    assert not report["saved"]
    assert report["lists"]["linear"] == [1e-6, 0.01]


def test_a_search_that_was_stopped_goes_on_where_it_was(capsys, model, data):
    first = run(capsys, model, data, "--dry-run", "--beam", 2)
    cache = model.parent / "cache.jsonl"
    lines = cache.read_text().splitlines()
    cache.write_text("\n".join(lines[:40]) + "\n" + lines[40][:30])  # killed while it wrote
    second = run(capsys, model, data, "--dry-run", "--beam", 2)
    assert second["betas"] == first["betas"]
    assert 0 < second["search"]["num_clips_synthesised"] <= first["search"]["num_clips_synthesised"] - 38
    third = run(capsys, model, data, "--dry-run", "--beam", 2)
    assert third["search"]["num_clips_synthesised"] == 0
    assert third["betas"] == first["betas"]


def test_a_second_search_that_finds_nothing_better_writes_nothing_and_says_so(capsys, model, data, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(search_schedule, "why_not_saved", lambda *distances: None)
        run(capsys, model, data)
    config = model / "scheduler" / "scheduler_config.json"
    written = config.read_bytes()
    report = run(capsys, model, data)
    assert not report["saved"]
    assert "does not beat" in report["why_not_saved"]
    assert config.read_bytes() == written


@pytest.mark.parametrize(
    ("on_clips", "on_held_out", "said"),
    [
        ({"found": 1.0, "linear": 2.0}, {"found": 1.0, "linear": 2.0}, None),
        ({"found": 2.0, "linear": 2.0}, {"found": 1.0, "linear": 2.0}, "on the clips of the search .* linear"),
        ({"found": 1.0, "linear": 3.0, "saved '6'": 2.0}, {"found": 2.0, "linear": 3.0, "saved '6'": 1.0}, "held-out .*'6'"),
    ],
)
def test_only_what_is_best_on_both_sets_is_saved(on_clips, on_held_out, said):
    reason = search_schedule.why_not_saved(on_clips, on_held_out)
    assert (reason is None) == (said is None)
    assert said is None or re.search(said, reason)


def test_known_lists_are_compared_once_each():
    known = search_schedule.known_schedules(WaveGradScheduler(), 6)
    assert list(known) == ["linear", "saved '6'", "even log-SNR"]
    assert known["linear"] == pytest.approx(np.linspace(1e-6, 0.01, 6))
    searched = WaveGradScheduler().with_schedule("6", [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 0.5])
    assert list(search_schedule.known_schedules(searched, 6)) == ["linear", "saved '6'", "published '6'", "even log-SNR"]


def test_what_cannot_be_searched_is_said_before_the_search(capsys, model, data):
    with pytest.raises(NoTrainingDataError, match=r"6 clips of 0\.15 seconds to search on and 0 others"):
        run(capsys, model, data, "--clips", 7)
    with pytest.raises(ValueError, match="'6' has 2 steps"):
        run(capsys, model, data, "--name", "6")
    for wrong in (["--steps", 1], ["--beam", 0], ["--seconds", 0], ["--model", model / "scheduler"]):
        with pytest.raises(SystemExit):
            run(capsys, model, data, *wrong)
    assert "no pipeline folder" in capsys.readouterr().err


def test_clips_of_a_search_have_one_length(data):
    clips = read_clips(find_audio_files([data]), WaveGradFeatureExtractor(**FEATURES), 0.4, same_length=True)
    assert {len(clip.audio) for clip in clips} == {3300}
