"""Runs on disk: killed at any moment they go on, bit for bit; damaged, foreign and full disks are told."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hub_models.jukebox.model_parts import OtherModelError
from hub_models.jukebox.sampling import JukeboxSampler
from hub_models.jukebox.sampling_plan import SamplingError, SamplingPlan, Song
from hub_models.jukebox.sampling_run import CodesNotSavedError, RunError

from .small_models import CODES, quick_model, small_folder, small_model, small_tokenizer

PLAN = SamplingPlan(songs=Song("flute", "folk"), seconds=0.3, number_of_samples=3, max_batch_sizes=2, seed=5)


class Killed(BaseException):
    """Stands for a process that is no more."""


@pytest.fixture
def sampler():
    return JukeboxSampler(quick_model(), tokenizer=small_tokenizer())


def same(result, other):
    return all(
        torch.equal(row, row_of_other)
        for rows, rows_of_other in zip(result.codes, other.codes, strict=True)
        for row, row_of_other in zip(rows, rows_of_other, strict=True)
    )


def test_a_run_on_disk_gives_what_sampling_in_memory_gives(sampler, tmp_path):
    result = sampler.sample(PLAN, tmp_path / "run")
    assert same(result, sampler.sample(PLAN))
    assert sorted(os.listdir(tmp_path / "run")) == [*(f"level_{level}.safetensors" for level in range(3)), "plan.json"]


def test_a_complete_run_is_read_and_not_sampled_again(sampler, tmp_path):
    result = sampler.sample(PLAN, tmp_path)
    again = JukeboxSampler(quick_model(), tokenizer=small_tokenizer())
    assert same(result, again.resume(tmp_path))
    assert same(result, again.load(tmp_path))
    assert not again.load(tmp_path).stopped
    assert not any(prior.calls for prior in again._parts._model.priors)


def test_a_stopped_run_goes_on(sampler, tmp_path):
    looks = []
    stopped = sampler.sample(PLAN, tmp_path, on_progress=looks.append, should_stop=lambda: len(looks) >= 4)
    assert stopped.stopped
    assert sampler.load(tmp_path).stopped
    looks.clear()
    result = sampler.resume(tmp_path, on_progress=looks.append)
    assert same(result, sampler.sample(PLAN))
    assert looks[-1].tokens == looks[-1].total_tokens < 3 * (18 + 36 + 72)


def test_a_primed_run_needs_its_sound_no_more(sampler, tmp_path):
    plan = dataclasses.replace(PLAN, mode="primed")
    sound = torch.sin(torch.arange(100) * 0.3)
    sampler.sample(plan, tmp_path, prompt=sound, should_stop=lambda: True)
    assert same(sampler.resume(tmp_path), sampler.sample(plan, prompt=sound))


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_run_that_is_killed_while_it_writes_goes_on_from_the_last_window(sampler, tmp_path, monkeypatch, step):
    plan = dataclasses.replace(PLAN, number_of_samples=2, max_batch_sizes=1, levels=[0, 1])
    whole = sampler.sample(plan)
    original = getattr(os, step)
    moment = 0
    while True:
        folder, left = tmp_path / str(moment), [moment]

        def die(*arguments, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, step, die)
            try:
                sampler.sample(plan, folder)
                break
            except Killed:
                pass
        if (folder / "plan.json").is_file():
            assert same(sampler.resume(folder), whole), f"killed at {step} number {moment}"
        else:
            assert same(sampler.sample(plan, folder), whole), f"killed at {step} number {moment}"
        moment += 1
    assert moment >= 10


def test_a_run_is_the_same_after_kill_9(tmp_path):
    """A real process is killed while it upsamples."""
    model_folder, run = small_folder(tmp_path / "model"), tmp_path / "run"
    plan = dataclasses.replace(PLAN, number_of_samples=2, max_batch_sizes=1)
    code = (
        "from hub_models.jukebox.sampling import JukeboxSampler\n"
        "from hub_models.jukebox.sampling_plan import SamplingPlan\n"
        "import json\n"
        f"sampler = JukeboxSampler({str(model_folder)!r})\n"
        "told = lambda look: print(look.level, look.window, flush=True) if look.window_done else None\n"
        f"plan = SamplingPlan.from_dict(json.loads({json.dumps(plan.to_dict())!r}))\n"
        f"sampler.sample(plan, {str(run)!r}, on_progress=told)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        for line in process.stdout:
            if line.strip() == "2 2":
                process.kill()
                break
    assert process.returncode == -9
    sampler = JukeboxSampler(model_folder)
    left = sampler.load(run)
    assert left.stopped
    assert len(left.codes[0][1]) == 18
    assert same(sampler.resume(run), sampler.sample(plan))


# ---- Full disks


def fill_disk(monkeypatch, after: int):
    """Writes fail from the given one on."""
    original, count = os.fsync, [0]

    def fail(descriptor):
        count[0] += 1
        if count[0] > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(descriptor)

    monkeypatch.setattr(os, "fsync", fail)


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(sampler, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fill_disk(patch, after=10)
        with pytest.raises(
            CodesNotSavedError, match="codes of level 0 after window 1 of 1 failed, the disk is full"
        ) as caught:
            sampler.sample(PLAN, tmp_path)
        assert caught.value.errno == errno.ENOSPC
        assert str(tmp_path) in str(caught.value)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
    assert [len(row) for row in sampler.load(tmp_path).codes[0]] == [18, 18, 0]
    assert same(sampler.resume(tmp_path), sampler.sample(PLAN))


def test_a_disk_that_is_full_at_once_leaves_no_run(sampler, tmp_path, monkeypatch):
    fill_disk(monkeypatch, after=0)
    with pytest.raises(CodesNotSavedError, match="the disk is full"):
        sampler.sample(PLAN, tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(RunError, match="holds no sampling run"):
        sampler.resume(tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_told(sampler, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CodesNotSavedError, match="Saving the plan failed"):
        sampler.sample(PLAN, tmp_path / "file" / "run")


# ---- Other models, damaged and foreign files


def test_a_folder_with_a_run_is_not_overwritten(sampler, tmp_path):
    sampler.sample(PLAN, tmp_path)
    with pytest.raises(RunError, match="holds a run already: resume it, or choose another folder"):
        sampler.sample(PLAN, tmp_path)


def test_a_run_of_another_model_is_refused(sampler, tmp_path):
    sampler.sample(PLAN, tmp_path)
    other = quick_model()
    other.priors[1].weight.data += 1
    with pytest.raises(OtherModelError, match="was sampled with other priors"):
        JukeboxSampler(other, tokenizer=small_tokenizer()).resume(tmp_path)
    other = quick_model()
    other.vqvae.bottleneck.level_blocks[2].codebook[-1, -1] += 1e-3
    with pytest.raises(OtherModelError, match="belongs to another model"):
        JukeboxSampler(other, tokenizer=small_tokenizer()).load(tmp_path)
    other = quick_model()
    other.priors.half()
    with pytest.raises(OtherModelError, match="was sampled in float32, this model computes in float16"):
        JukeboxSampler(other, tokenizer=small_tokenizer()).resume(tmp_path)


def test_a_run_goes_on_only_in_the_type_that_it_was_begun_in(tmp_path):
    folder = small_folder(tmp_path / "model", lyrics=False)
    plan = dataclasses.replace(PLAN, levels=[0], seconds=0.1, number_of_samples=1)
    JukeboxSampler(folder).sample(plan, tmp_path / "run", should_stop=lambda: True)
    with pytest.raises(OtherModelError):
        JukeboxSampler(folder, dtype="bfloat16").resume(tmp_path / "run")


def change_codes(folder: Path, level: int, change):
    path = folder / f"level_{level}.safetensors"
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    tensors = load_file(path)
    metadata = header["__metadata__"]
    change(tensors, metadata)
    save_file(tensors, path, metadata)


def longer(tensors, metadata):
    tensors["sample_0"] = tensors["sample_0"].repeat(2)


def beyond(tensors, metadata):
    tensors["sample_1"][3] = CODES


def negative(tensors, metadata):
    tensors["sample_1"][3] = -1


def foreign(tensors, metadata):
    metadata["vqvae"] = "0" * 32


def of_another_level(tensors, metadata):
    metadata["level"] = "1"


def fewer(tensors, metadata):
    del tensors["sample_2"]


def floats(tensors, metadata):
    tensors["sample_0"] = tensors["sample_0"].float()


def uneven(tensors, metadata):
    tensors["sample_1"] = tensors["sample_1"][:0].clone()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (longer, "Sample 0 of level 0 has 36 codes; this run has 0, 18 there"),
        (beyond, "Codes of level 0 are from 0 to 31; those of sample 1 are not"),
        (negative, "Codes of level 0 are from 0 to 31"),
        (foreign, "belong to another model, run or level"),
        (of_another_level, "belong to another model, run or level"),
        (fewer, "must hold the codes of 3 samples, got sample_0, sample_1"),
        (floats, "must hold rows of int32"),
        (uneven, "Samples 0 to 1 of level 0 have come differently far"),
    ],
)
def test_codes_that_no_run_has_are_refused(sampler, tmp_path, change, message):
    sampler.sample(PLAN, tmp_path)
    change_codes(tmp_path, 0, change)
    with pytest.raises(RunError, match=message):
        sampler.resume(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 100, None])
def test_codes_that_are_no_safetensors_are_refused(sampler, tmp_path, content):
    sampler.sample(PLAN, tmp_path)
    path = tmp_path / "level_1.safetensors"
    path.write_bytes(path.read_bytes()[:-7] if content is None else content)
    with pytest.raises(RunError, match=r"level_1\.safetensors are missing or damaged"):
        sampler.resume(tmp_path)


def edit(key, value):
    def change(plan):
        plan[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit("format", "song"), "is not the plan of a sampling run"),
        (edit("version", 2), "has version 2; 1 is read"),
        (edit("plan", {"mode": "ancestral", "colour": 1}), "A plan has the fields"),
        (edit("labels", [[[0]]]), "is damaged: its model, labels or prompt_lengths cannot be used"),
        (edit("labels", [[[2**70] * 5] * 3] * 3), "is damaged"),
        (edit("prompt_lengths", [-1, 0, 0]), "is damaged"),
        (edit("model", None), "is damaged"),
    ],
)
def test_a_damaged_plan_is_refused(sampler, tmp_path, change, message):
    sampler.sample(PLAN, tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    change(plan)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises((RunError, SamplingError), match=message):
        sampler.resume(tmp_path)


@pytest.mark.parametrize("content", ["", "[1, 2]", "{"])
def test_a_plan_that_is_no_plan_is_refused(sampler, tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(RunError, match=r"plan\.json is not"):
        sampler.load(tmp_path)


def test_times_of_words_are_kept(tmp_path):
    sampler = JukeboxSampler(small_model(), tokenizer=small_tokenizer())
    plan = SamplingPlan(songs=Song(lyrics="la hey"), seconds=0.2, levels=[0], align_lyrics=True)
    result = sampler.sample(plan, tmp_path)
    assert len(result.words[0]) == 2
    assert sampler.load(tmp_path).words == result.words
    (tmp_path / "alignment.json").unlink()
    assert sampler.resume(tmp_path).words == result.words
    (tmp_path / "alignment.json").write_text('[[{"word": "la"}]]')
    with pytest.raises(RunError, match=r"alignment\.json is damaged"):
        sampler.load(tmp_path)
