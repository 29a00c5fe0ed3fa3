"""`evaluate` on a tiny pipeline and sounds made here: what the report says, and that nothing is computed twice."""

import csv
import json

import numpy as np
import pytest
import torch

from hub_models import audio
from hub_models.training import NoTrainingDataError
from hub_models.wavegrad import WaveGradFeatureExtractor, evaluate
from hub_models.wavegrad.clips import in_random_order, read_clips, typical_passage
from hub_models.wavegrad.data import find_audio_files
from hub_models.wavegrad.results_cache import ResultsCache

from .tiny_pipelines import FEATURES, SAMPLE_RATE, tiny_pipeline, tone

METRICS = {"ls_mse", "mcd", "mr_stft", "mr_stft_sc", "mr_stft_mag", "real_time_factor"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two pieces of music, one at another rate and in stereo, two of speech, one that is too short and one broken file."""
    folder = tmp_path_factory.mktemp("data")
    audio.save(tone(3000), folder / "music" / "low.wav", SAMPLE_RATE)
    audio.save(np.stack([tone(8000, 880), tone(8000, 660)]), folder / "music" / "stereo.flac.wav", 2 * SAMPLE_RATE)
    audio.save(tone(4000, 300), folder / "one.wav", SAMPLE_RATE)
    audio.save(tone(2700, 500), folder / "two.wav", SAMPLE_RATE)
    audio.save(tone(700), folder / "short.wav", SAMPLE_RATE)
    (folder / "broken.wav").write_bytes(b"RIFF, but no more than that")
    with (folder / "splits.csv").open("w", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(["file", "split", "kind"])
        rows.writerows([["music/low.wav", "validation", "music"], ["music/stereo.flac.wav", "validation", "music"]])
        rows.writerows([["one.wav", "validation", "speech"], ["two.wav", "train", "speech"]])
        rows.writerows([["short.wav", "validation", "speech"], ["broken.wav", "validation", "speech"]])
    return folder


def run(capsys, model, data, *more):
    evaluate.main(["--model", str(model), "--data", str(data), *map(str, more)])
    return json.loads(capsys.readouterr().out)


def test_the_report_has_every_method_and_kind(capsys, model, data, tmp_path):
    splits = ["--splits", data / "splits.csv", "--split", "validation"]
    methods = ["--steps", 2, 4, "--schedules", "3", "--griffin-lim", 2]
    report = run(capsys, model, data, *splits, *methods, "--output", tmp_path / "new" / "report.json")
    assert json.loads((tmp_path / "new" / "report.json").read_text()) == report
    assert report["sample_rate"] == SAMPLE_RATE
    assert report["num_left_out"] == 2
    clips = report["clips"]
    assert clips["num_clips"] == 3
    assert clips["seconds"] == pytest.approx((3000 + 3900 + 3900) / SAMPLE_RATE, abs=1e-3)  # whole frames of 300
    assert {kind: counts["num_clips"] for kind, counts in clips["kinds"].items()} == {"music": 2, "speech": 1}
    assert list(report["results"]) == ["2", "4", "3", "griffin_lim_2"]
    for name, results in report["results"].items():
        assert set(results) - {"num_steps", "betas", "num_iterations"} == METRICS | {"kinds"}
        assert results["num_iterations" if "griffin" in name else "num_steps"] == int(name[-1])
        music, speech = results["kinds"]["music"], results["kinds"]["speech"]
        for metric in METRICS - {"real_time_factor"}:
            assert results[metric] == pytest.approx((2 * music[metric] + speech[metric]) / 3)
    assert report["results"]["3"]["betas"] == [1e-3, 0.05, 0.3]


def test_griffin_lim_of_a_tone_is_nearer_than_a_network_that_has_learnt_nothing(capsys, model, data):
    results = run(capsys, model, data, "--steps", 3, "--griffin-lim", 16, "--max-clips", 2)["results"]
    assert results["griffin_lim_16"]["ls_mse"] < results["3"]["ls_mse"]


def test_the_seed_decides_the_figures(capsys, model, data):
    def figures(seed):
        results = run(capsys, model, data, "--steps", 3, "--griffin-lim", 2, "--seed", seed)["results"]
        return [{name: method[name] for name in METRICS - {"real_time_factor"}} for method in results.values()]

    assert figures(1) == figures(1)
    assert figures(1) != figures(2)


def test_a_clip_has_the_same_figures_whatever_is_measured_with_it(capsys, model, data, tmp_path):
    few = run(capsys, model, data, "--steps", 3, "--griffin-lim", "--max-clips", 1, "--cache", tmp_path / "few.jsonl")
    assert few["clips"]["num_clips"] == 1
    run(capsys, model, data, "--steps", 2, 3, "--griffin-lim", "--cache", tmp_path / "all.jsonl")
    one, every = (ResultsCache(tmp_path / name).entries for name in ("few.jsonl", "all.jsonl"))
    assert len(one) == 1
    for key, row in one.items():
        assert every[key]["ls_mse"] == pytest.approx(row["ls_mse"])


def test_a_run_that_was_stopped_goes_on_where_it_was(capsys, model, data, tmp_path, monkeypatch):
    cache, arguments = tmp_path / "cache.jsonl", ["--steps", 2, 3, "--griffin-lim", 2]
    whole = run(capsys, model, data, *arguments, "--cache", cache)
    lines = cache.read_text().splitlines()
    assert len(lines) == 3 * 4
    cache.write_text("\n".join(lines[:7]) + "\n" + lines[7][:20])  # killed while it wrote the eighth line
    measured = []
    measure = evaluate._measure
    monkeypatch.setattr(evaluate, "_measure", lambda *given: measured.append(given) or measure(*given))
    again = run(capsys, model, data, *arguments, "--cache", cache)
    assert len(measured) == 12 - 7
    for name, results in whole["results"].items():
        assert again["results"][name]["ls_mse"] == pytest.approx(results["ls_mse"], rel=1e-6)
    measured.clear()
    run(capsys, model, data, *arguments, "--cache", cache)
    assert not measured


def test_other_weights_are_not_taken_from_the_cache(capsys, data, model, tmp_path):
    tiny_pipeline(seed=1).save_pretrained(tmp_path / "other")
    arguments = [data, "--steps", 3, "--griffin-lim", 2, "--cache", tmp_path / "cache.jsonl"]
    first, second = (run(capsys, folder, *arguments)["results"] for folder in (model, tmp_path / "other"))
    assert first["3"]["ls_mse"] != second["3"]["ls_mse"]
    assert first["griffin_lim_2"] == second["griffin_lim_2"]


def test_what_cannot_be_measured_is_said(model, data, tmp_path):
    arguments = ["--model", str(model), "--data", str(data)]
    with pytest.raises(ValueError, match="from 1 to 1000, not 0"):
        evaluate.main([*arguments, "--steps", "0"])
    with pytest.raises(ValueError, match="no schedule 'fast'"):
        evaluate.main([*arguments, "--schedules", "fast"])
    with pytest.raises(NoTrainingDataError, match="split 'test'"):
        evaluate.main([*arguments, "--split", "test"])
    audio.save(tone(700), tmp_path / "short.wav", SAMPLE_RATE)
    with pytest.raises(NoTrainingDataError, match=r"short\.wav: lasts 0\.09 seconds"):
        evaluate.main(["--model", str(model), "--data", str(tmp_path), "--steps", "2"])
    for wrong in (["--max-clips", "0"], ["--max-seconds", "0"], ["--griffin-lim", "0"]):
        with pytest.raises(SystemExit):
            evaluate.main([*arguments, *wrong])


def test_a_choice_of_few_files_takes_every_kind_and_is_part_of_a_choice_of_many(data):
    files = find_audio_files([data], [data / "splits.csv"])
    first, second, *_ = in_random_order(files, seed=3)
    assert {first.kind, second.kind} == {"music", "speech"}
    assert in_random_order(files[::-1], seed=3) == in_random_order(files, seed=3)
    assert any(in_random_order(files, seed=seed) != in_random_order(files, seed=3) for seed in range(4))


def test_clips_are_whole_frames_of_typical_passages(data):
    files, left_out = find_audio_files([data]), {}
    extractor = WaveGradFeatureExtractor(**FEATURES)
    clips = list(read_clips(files, extractor, max_seconds=0.37, same_length=True, left_out=left_out))
    assert {len(clip.audio) for clip in clips} == {10 * 300}
    assert set(left_out) == {"two.wav", "short.wav", "broken.wav"}
    noise = [torch.rand(2, generator=clip.generator(0)).tolist() for clip in clips]
    assert noise[0] != noise[1]


def test_a_typical_passage_is_neither_the_pause_nor_the_loudest():
    loudness = np.repeat([0.0, 0.5, 0.1, 0.1, 1.0], 100).astype(np.float32)
    assert 0.1 <= typical_passage(loudness, 100).max() <= 0.5
    assert typical_passage(loudness, 1000) is loudness
