"""Cards of vocoders: figures beside Griffin-Lim's, said as they are; settings and credits complete; code that runs."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from huggingface_hub import ModelCard
from test_cards import REQUIRED, table_row
from tiny_pipelines import SAMPLE_RATE, change_json, tiny_pipeline

from hub_models.bundled import read_index
from hub_models.hub import HubError, check_card, render_card, write_model_repository
from hub_models.hub.__main__ import main
from hub_models.hub.cards import data_sources
from hub_models.hub.figures_wavegrad import SETTINGS

NAMES = sorted(name for name, facts in read_index().items() if facts.get("library_name") == "diffusers")
DISTANCES = ("ls_mse", "mcd", "mr_stft")


@pytest.fixture
def folder(pipeline_folder, tmp_path) -> Path:
    return shutil.copytree(pipeline_folder, tmp_path / "vocoder")


def figures(**values) -> dict:
    """What evaluate writes of one way to make sound."""
    return {"real_time_factor": 0.25} | dict(zip(DISTANCES, (0.5, 4.0, 1.0), strict=True)) | values


def write_metrics(folder: Path, name: str = "metrics.json", **results: dict) -> None:
    """metrics.json with these results, without kinds."""
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["clips"] = {"num_clips": 40, "seconds": 150.0}
    (folder / name).write_text(json.dumps(metrics | {"results": results}))


@pytest.mark.parametrize("name", NAMES)
def test_rendered_card_is_valid_and_complete(name, folder):
    card = render_card(name, folder=folder)
    assert check_card(card, required=REQUIRED) == []
    facts, data = read_index()[name], ModelCard(card).data
    assert (data.library_name, data.pipeline_tag) == ("diffusers", "audio-to-audio")
    for source in (data_sources()[key] for key in facts["data_sources"]):
        for text in (source["citation"], source["url"], f"Licence: {source['licence']}."):
            assert text in card
    for text in ("2009.00713", facts["recipe"], "validation split", f"the architecture of `{facts['preset']}`, narrower,"):
        assert text in card
    for text in ("{{", "{%", "None", "nan"):
        assert text not in card
    assert "\n\n\n" not in card
    assert all(line == line.rstrip() for line in card.splitlines())
    for table in re.findall(r"(?:^\|.*\|\n)+", card, flags=re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


@pytest.mark.parametrize("name", NAMES)
def test_works_that_ask_for_it_are_credited(name, folder):
    """CC BY and CC BY-SA ask for author, work, licence and source."""
    licence = render_card(name, folder=folder).partition("## Licence")[2]
    credited = [source for key in read_index()[name]["data_sources"] if "credits" in (source := data_sources()[key])]
    assert credited
    for source in credited:
        for credit in source["credits"]:
            line = next(line for line in licence.splitlines() if line.startswith(f"- {credit['author']}: "))
            assert all(text in line for text in (*credit["works"], credit["licence"], source["url"]))
            address = credit["licence"].lower().removeprefix("cc ").replace(" ", "/")
            assert f"https://creativecommons.org/licenses/{address}/" in licence


def test_every_setting_of_the_spectrogram_is_told(folder):
    settings = tiny_pipeline(f_min=55.0, window_normalized=False, mel_norm="slaney")
    settings.feature_extractor.save_pretrained(folder / "feature_extractor")
    card = render_card(NAMES[0], folder=folder)
    assert set(SETTINGS) == set(settings.feature_extractor.mel_settings)
    assert table_row(card, "`f_min`")[0] == "55"
    assert table_row(card, "`window_normalized`")[0] == "no"
    assert table_row(card, "`mel_norm`")[0] == "slaney"
    # 20 log10 of the root energy of a Hann window of 1200 samples is 26.5 dB, of the 100 dB that are 0..1.
    assert "looks alike, but every value that is not cut off is 0.27 too low" in card


def test_the_offset_of_a_wrong_window_is_what_the_extractor_makes(pipeline_folder):
    """What the card says of the commonest mistake, measured."""
    sound = np.random.default_rng(0).normal(size=(1, 8000)).astype(np.float32) * 5e-4
    right, wrong = (
        tiny_pipeline(window_normalized=normalized).feature_extractor(sound[0], sampling_rate=SAMPLE_RATE)
        for normalized in (True, False)
    )
    difference = wrong["input_features"] - right["input_features"]
    inside = (wrong["input_features"] < 1) & (right["input_features"] > 0)
    assert inside.any()
    np.testing.assert_allclose(difference[inside], 0.265, atol=0.001)
    assert "is 0.27 too high" in render_card(NAMES[0], folder=pipeline_folder)


def test_schedules_of_the_scheduler_are_listed_the_shortest_first(folder):
    pipeline = tiny_pipeline()
    pipeline.scheduler.with_schedule("mine", [1e-4, 0.02, 0.3], default=True).save_pretrained(folder / "scheduler")
    card = render_card(NAMES[0], folder=folder)
    assert table_row(card, "`mine` (default)") == ["3", "0.0001, 0.02, 0.3"]
    assert table_row(card, "`50`") == ["50", "linear from 0.0001 to 0.05"]
    assert table_row(card, "`25`")[1].startswith("1e-06, 2e-06, then each the sum")
    assert "# mine, 6, 25, 50, 1000" in card


def test_steps_stand_beside_griffin_lim(folder):
    write_metrics(
        folder,
        **{
            "50": figures(num_steps=50, ls_mse=0.25),
            "6": figures(num_steps=6, ls_mse=0.3125, mcd=3.125),
            "griffin_lim_32": figures(num_iterations=32, ls_mse=0.75, mcd=2.5),
        },
    )
    card = render_card(NAMES[0], folder=folder)
    table = [line for line in card.splitlines() if line.startswith(("| 6 ", "| 50 ", "| Griffin-Lim"))]
    assert [line.split(" | ")[0] for line in table] == ["| 6 steps", "| 50 steps", "| Griffin-Lim, 32 iterations"]
    assert table_row(card, "6 steps") == ["0.312", "3.12", "1.000", "0.25"]
    results = {result.metric_name: result.metric_value for result in ModelCard(card).data.eval_results}
    assert results["6 steps: LS-MSE"] == 0.3125
    assert results["Griffin-Lim, 32 iterations: MCD, dB"] == 2.5
    assert "on 40 clips (2.5 minutes)" in card


@pytest.mark.parametrize(
    ("own", "verdict"),
    [
        (
            (0.5, 4.0, 1.0),
            "nearer to the recordings by LS-MSE 0.500 to 0.700, MCD 4.00 to 4.50, multi-resolution STFT 1.000 to 1.100\n",
        ),
        ((0.8, 4.0, 1.2), "nearer to the recordings by MCD 4.00 to 4.50, but not nearer by LS-MSE 0.800 to 0.700, multi"),
        ((0.8, 5.0, 1.2), "all clips: not nearer by LS-MSE 0.800 to 0.700, MCD 5.00 to 4.50, multi-resolution STFT 1.2"),
    ],
    ids=["better", "mixed", "worse"],
)
def test_whether_it_beats_griffin_lim_is_said_as_it_is(folder, own, verdict):
    """Of Griffin-Lim, what is best counts, with whatever number of iterations."""
    write_metrics(
        folder,
        **{
            "6": figures(num_steps=6, **dict(zip(DISTANCES, own, strict=True))),
            "griffin_lim_32": figures(num_iterations=32, ls_mse=0.7, mcd=4.6, mr_stft=1.1),
            "griffin_lim_64": figures(num_iterations=64, ls_mse=0.9, mcd=4.5, mr_stft=1.3),
        },
    )
    assert verdict in render_card(NAMES[0], folder=folder)


def test_kinds_of_clips_have_tables_of_their_own(folder):
    card = render_card(NAMES[0], folder=folder)
    assert "Music alone (2 of the clips):" in card
    assert "Speech alone (1 of the clips):" in card
    assert len(re.findall(r"^- (all clips|music|speech): ", card, flags=re.MULTILINE)) == 3


def test_a_thousand_steps_may_have_a_table_of_their_own(folder):
    write_metrics(
        folder,
        "metrics_1000.json",
        **{"1000": figures(num_steps=1000, ls_mse=0.125), "griffin_lim_64": figures(num_iterations=64)},
    )
    card = render_card(NAMES[0], folder=folder)
    assert table_row(card, "1,000 steps")[0] == "0.125"
    assert "on 40 clips (2.5 minutes) only" in card
    files = write_model_repository(folder, folder.parent / "repository").files
    assert {"metrics.json", "metrics_1000.json"} <= set(files)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"split": None}, "lacks split"),
        ({"clips": None}, "lacks clips"),
        ({"results": {"6": figures(num_steps=6)}}, "results of WaveGrad and of Griffin-Lim"),
        ({"results": {"griffin_lim_32": figures(num_iterations=32)}}, "results of WaveGrad and of Griffin-Lim"),
        ({"results": []}, "results of WaveGrad and of Griffin-Lim"),
    ],
)
def test_metrics_that_lack_something_are_refused(folder, change, problem):
    change_json(folder / "metrics.json", **change)
    with pytest.raises(HubError, match=problem):
        render_card(NAMES[0], folder=folder)


def test_lacking_figures_are_named(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["results"]["6"]["mcd"], metrics["results"]["griffin_lim_2"]["kinds"]["music"]["ls_mse"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(HubError, match=r"lacks results.6.mcd, results.griffin_lim_2.kinds.music.ls_mse"):
        render_card(NAMES[0], folder=folder)


def test_half_precision_is_said(folder):
    assert "half precision" not in render_card(NAMES[0], folder=folder)
    pipeline = tiny_pipeline()
    pipeline.model.half()
    pipeline.model.save_pretrained(folder / "model")
    assert "half precision" in render_card(NAMES[0], folder=folder)


def test_the_usage_code_runs(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stereo = np.random.default_rng(0).normal(size=(6000, 2)) * 0.1
    soundfile.write("my-recording.wav", stereo, 44_100)
    blocks = re.findall(
        r"```python\n(.*?)```", render_card(NAMES[0], folder=folder, repository=str(folder)), flags=re.DOTALL
    )
    assert len(blocks) == 4
    names = {}
    for block in blocks[:3]:  # the last is for where Encore is not
        exec(compile(block, "card", "exec"), names)  # noqa: S102 - our own text
    written, sample_rate = soundfile.read("copy.wav")
    assert sample_rate == SAMPLE_RATE
    assert len(written) == 3000
    assert names["copy"].shape == (1, names["mel"].shape[2] * 300)


@pytest.mark.parametrize("command", ["train", "search_schedule", "evaluate"])
def test_the_commands_on_the_card_exist(command, folder):
    package = Path(sys.modules["hub_models"].__file__).parent
    assert f"hub_models.wavegrad.{command}" in render_card(NAMES[0], folder=folder)
    assert (package / "wavegrad" / f"{command}.py").is_file()


def test_a_folder_without_a_card_gets_a_short_one(folder):
    repository = write_model_repository(folder, folder.parent / "repository", repository="someone/vocoder", license="mit")
    data = ModelCard.load(repository.folder / "README.md").data
    assert (data.library_name, data.pipeline_tag, data.license) == ("diffusers", "audio-to-audio", "mit")
    assert 'from_pretrained("someone/vocoder", trust_remote_code=True)' in (repository.folder / "README.md").read_text()


def test_without_a_model_the_command_says_what_to_do(tmp_path, monkeypatch, capsys):
    module, index = sys.modules["hub_models.bundled"], read_index()
    monkeypatch.setattr(module, "BUNDLED_FOLDER", tmp_path)
    monkeypatch.setattr(module, "read_index", lambda: index)
    assert main(["card", NAMES[0]]) == 1
    assert "config.json: train the model first (runs/" in capsys.readouterr().err
