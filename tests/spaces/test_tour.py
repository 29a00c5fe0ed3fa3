"""The tours of the READMEs for programmers run as they stand there, on a Studio that is running."""

import re

import pytest

from hub_models import audio, midi

from .conftest import CHECKOUT, STUDIO

ADDRESS = "http://127.0.0.1:7860"


def tours(readme):
    """The blocks of Python that talk to a Studio."""
    blocks = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [block for block in blocks if "gradio_client" in block]


@pytest.mark.parametrize("readme", [CHECKOUT / "README.md", STUDIO / "README.md"], ids=["project", "space"])
def test_the_tour_runs(studio, readme, tmp_path, monkeypatch):
    (block,) = tours(readme)
    assert ADDRESS in block
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block.replace(ADDRESS, studio), str(readme), "exec"), names)  # noqa: S102 - our own text
    assert len(names["morph"]["segments"]) == 8
    for path in (names["tune"], names["song"], names["piano"], names["piece"]):
        assert any(instrument.notes for instrument in midi.load(path).instruments)
    for path in (names["tune_wav"], names["song_wav"], names["piano_wav"], names["vocoded"], tmp_path / "piece.wav"):
        assert abs(audio.load(str(path))[0]).max() > 0
