"""The README's tour runs as it stands there, top to bottom."""

import re
from pathlib import Path

import pretty_midi
import soundfile

from hub_models import list_bundled

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tour_runs(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    blocks = [block for block in blocks if "gradio_client" not in block]  # tests/spaces/test_tour.py has a Studio for those
    assert len(blocks) >= 4
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own text
    for name in ("song", "morph", "denser", "groove", "whole", "band", "performance", "continued", "piece"):
        assert pretty_midi.PrettyMIDI(str(tmp_path / f"{name}.mid")).instruments
    samples, sample_rate = soundfile.read(tmp_path / "song.wav")
    assert sample_rate == 44_100
    assert samples.shape[1] == 2
    assert abs(samples).max() > 0.05
    assert names["again"].to_dict() == names["piece"].to_dict()
    assert abs(soundfile.read(tmp_path / "piece.wav")[0]).max() > 0.05
    samples, sample_rate = soundfile.read(tmp_path / "jukebox.wav")
    assert (sample_rate, round(len(samples) / sample_rate)) == (22_050, 2)
    assert (tmp_path / "jukebox-run" / "plan.json").is_file()


def test_every_bundled_model_stands_in_the_table_with_its_card():
    for model in list_bundled():
        assert f"[`{model.name}`](model_cards/{model.name}.md)" in README
        assert (ROOT / "model_cards" / f"{model.name}.md").is_file()


def test_the_make_targets_it_names_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
