"""Three-level systems sampled by openai/jukebox itself: every mode, from labels to codes, sound and alignments.

Golden levels count from the bottom, 0 the finest; ours from the top.
"""

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hub_models.jukebox.labels import window_metadata
from hub_models.jukebox.modeling_jukebox import JukeboxModel
from hub_models.jukebox.sampling import JukeboxSampler
from hub_models.jukebox.sampling_plan import SamplingPlan, Song
from hub_models.jukebox.tokenization_jukebox import JukeboxTokenizer

from .conftest import GOLDEN, golden_folders, parametrize_cases

conversion = pytest.importorskip("conversion.openai_jukebox", reason="the converters lie in the repository")

AUDIO_TOLERANCE = 1e-5
ATTENTION_TOLERANCE = 1e-5
IDS = GOLDEN / "jukebox" / "ids"


def _modes() -> list[tuple[Path, str]]:
    cases = [(folder, json.loads((folder / "case.json").read_text())) for folder in golden_folders("jukebox")]
    return [(folder, mode) for folder, case in cases if case.get("kind") == "chain" for mode in case["modes"]]


MODES = _modes()
every_mode = parametrize_cases("folder_and_mode", MODES, [f"{folder.name}-{mode}" for folder, mode in MODES])


@cache
def _arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "io.npz") as arrays:
        return dict(arrays)


@cache
def _model(folder: Path) -> JukeboxModel:
    return JukeboxModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Gives the folder of a case's converted model."""

    @cache
    def convert(folder: Path) -> Path:
        output = tmp_path_factory.mktemp("jukebox") / folder.name
        conversion.convert_model(folder, output, ids=IDS if IDS.is_dir() else None)
        return output

    return convert


class Mode(SimpleNamespace):
    """One mode of one case: what went in, and tensors that came out."""

    def __init__(self, folder: Path, name: str, model_folder: Path):
        case = json.loads((folder / "case.json").read_text())
        super().__init__(**case["modes"][name])
        self.model_folder = model_folder
        prefix = f"{name}/"
        arrays = {key.removeprefix(prefix): a for key, a in _arrays(folder).items() if key.startswith(prefix)}
        self.arrays = {key: torch.from_numpy(array) for key, array in arrays.items()}
        self.model = _model(model_folder)
        self.config = self.model.config
        self.config.vqvae_config.hop_fraction = self.hop_fraction[::-1]
        self.levels = len(self.model.priors)

    def golden_level(self, level: int) -> int:
        return self.levels - 1 - level

    def labels(self) -> list[list[torch.Tensor]]:
        """The labels that the original made, with all lyrics."""
        labels = []
        for level in range(self.levels):
            golden, genres = self.golden_level(level), self.config.prior_configs[level].max_nb_genres
            rows = []
            for y, info in zip(self.arrays[f"y_{golden}"], self.info[golden], strict=True):
                lyrics = info["full_tokens"] if level == 0 and self.config.prior_configs[0].nb_relevant_lyric_tokens else []
                rows.append(torch.tensor([0, 0, 0, *y[3 : 4 + genres].tolist(), *lyrics]))
            labels.append(rows)
        return labels

    def songs(self, version: str) -> tuple[Song, ...]:
        return tuple(Song(meta["artist"], meta["genre"], meta["lyrics"]) for meta in getattr(self, f"metas_{version}"))

    def prompt_codes(self) -> list[torch.Tensor]:
        """Codes that went in, the top level first."""
        empty = torch.zeros(self.n_samples, 0, dtype=torch.long)
        return [self.arrays.get(f"zs_in_{self.golden_level(level)}", empty) for level in range(self.levels)]

    def check_codes(self, codes):
        for level in range(self.levels):
            assert torch.equal(codes[level], self.arrays[f"z_{self.golden_level(level)}"]), f"codes of level {level}"

    def check_audio(self, level: int, audio: torch.Tensor):
        expected = self.arrays.get(f"x_level_{self.golden_level(level)}")
        if expected is not None:
            torch.testing.assert_close(audio, expected, rtol=0, atol=AUDIO_TOLERANCE)


@pytest.fixture
def mode(folder_and_mode, converted):
    folder, name = folder_and_mode
    return Mode(folder, name, converted(folder))


@every_mode
def test_labels_of_windows_are_those_of_the_original(mode):
    for level, config in enumerate(mode.config.prior_configs):
        prefix = f"get_y_level{mode.golden_level(level)}_start"
        starts = [key.removeprefix(prefix) for key in mode.arrays if key.startswith(prefix)]
        assert starts
        for start in map(int, starts):
            found = window_metadata(mode.labels()[level], config, start, mode.total_length, mode.offset)
            assert torch.equal(found, mode.arrays[f"{prefix}{start}"])
        whole = window_metadata(mode.labels()[level], config, 0, mode.total_length, mode.offset, single_precision=False)
        whole[:, 2] = mode.arrays[f"y_{mode.golden_level(level)}"][:, 2]  # there the sample's length, here the window's
        assert torch.equal(whole, mode.arrays[f"y_{mode.golden_level(level)}"])


@every_mode
def test_tokenizer_makes_the_labels_of_the_original(mode):
    if not IDS.is_dir():
        pytest.skip(f"there are no lists of artists and genres in {IDS}")
    tokenizer = JukeboxTokenizer.from_pretrained(mode.model_folder)
    for level, config in enumerate(mode.config.prior_configs):
        songs = mode.songs(tokenizer.version[level])
        labels = [tokenizer(song.artist, song.genre, song.lyrics)["input_ids"][level] for song in songs]
        found = window_metadata(labels, config, 0, mode.total_length, mode.offset)
        assert torch.equal(found, window_metadata(mode.labels()[level], config, 0, mode.total_length, mode.offset))


@every_mode
def test_model_samples_what_the_original_samples(mode):
    below, top = mode.sampling_kwargs[0], mode.sampling_kwargs[-1]
    arguments = {
        "top_k": top["top_k"],
        "chunk_size": top["chunk_size"],
        "max_batch_size": top["max_batch_size"],
        "lower_batch_size": below["max_batch_size"],
        "sample_length": mode.sample_length,
        "total_length": mode.total_length,
        "offset": mode.offset,
    }
    model, labels = mode.model, mode.labels()
    if mode.kind == "ancestral":
        codes = model.ancestral_sample(labels, mode.n_samples, **arguments)
    elif mode.kind == "primed":
        for level, found in enumerate(reversed(model.encode(mode.arrays["prompt"]))):
            assert torch.equal(found, mode.arrays[f"prompt_z_{mode.golden_level(level)}"])
        codes = model.primed_sample(mode.arrays["prompt"], labels, **arguments)
    else:
        sample = {"continue": model.continue_sample, "upsample": model.upsample}[mode.kind]
        codes = sample(mode.prompt_codes(), labels, **arguments)
    mode.check_codes(codes)
    for level, codes_of_level in enumerate(codes):
        mode.check_audio(level, model.decode([codes_of_level], start_level=mode.golden_level(level)))
    for number in range(mode.n_samples):
        if f"alignment_{number}" in mode.arrays:
            found = model.align(codes, labels, mode.total_length, mode.offset)[number]
            expected = mode.arrays[f"alignment_{number}"]
            torch.testing.assert_close(found, expected, rtol=0, atol=ATTENTION_TOLERANCE)


@every_mode
def test_sampler_samples_what_the_original_samples(mode, tmp_path):
    rate = mode.config.sampling_rate
    top_first = mode.sampling_kwargs[::-1]
    plan = SamplingPlan(
        mode=mode.kind,
        seconds=mode.sample_length / rate,
        total_seconds=mode.total_length / rate,
        offset_seconds=mode.offset / rate,
        number_of_samples=mode.n_samples,
        temperatures=[level["temp"] for level in top_first],
        top_k=[level["top_k"] for level in top_first],
        max_batch_sizes=[level["max_batch_size"] for level in top_first],
        hop_fractions=mode.hop_fraction[::-1],
    )
    prompt = {"ancestral": None, "primed": mode.arrays.get("prompt")}.get(mode.kind, mode.prompt_codes())
    sampler = JukeboxSampler(mode.model_folder, low_memory=True)
    result = sampler.sample(plan, tmp_path / "run", prompt=prompt, labels=mode.labels())
    mode.check_codes([torch.stack(rows) for rows in result.codes])
    for level, sounds in result.audio.items():
        mode.check_audio(level, torch.stack(sounds))
    assert all(
        torch.equal(found, saved)
        for level, rows in zip(result.codes, sampler.load(tmp_path / "run").codes, strict=True)
        for found, saved in zip(level, rows, strict=True)
    )
