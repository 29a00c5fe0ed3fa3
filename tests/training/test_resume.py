"""A run that is stopped, killed or broken off goes on as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import TINY, make_task, start

from hub_models.music_vae.train import compute_loss, main
from hub_models.training.checkpoints import INCOMPLETE, ResumeError, checkpoint_folders

REPOSITORY = Path(__file__).parents[2]


def weights(output):
    return load_file(output / "model.safetensors")


def assert_equal_weights(one, other):
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def log_lines(output):
    lines = [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_a_killed_run_resumes_bit_for_bit(midi_folder, tmp_path):
    """SIGKILL at an arbitrary moment: during a step, a validation or, most of the time, a save."""

    def command(output, max_steps):
        return (
            f"--data {midi_folder} --cache {tmp_path / 'cache'} --num-proc 1 --output {output} --max-steps {max_steps} "
            "--batch-size 8 --save-every 2 --log-every 1 --evaluate-every 3 --ema-decay 0.9 --keep-best lowest:loss "
            f"--no-progress --trackers --override dropout=0.3 sampling_rate=1.0 {' '.join(TINY)}"
        ).split()

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-m", "hub_models.music_vae.train", *command(killed, 100_000)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while len(checkpoint_folders(killed)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.3))
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()

    steps = int(checkpoint_folders(killed)[-1].name.removeprefix("step-")) + 5
    main(command(killed, steps))
    main(command(whole, steps))
    assert_equal_weights(killed, whole)
    assert_equal_weights(killed / "best", whole / "best")
    assert log_lines(killed) == log_lines(whole)
    last_step = f"checkpoints/step-{steps:08d}"
    for name in ("model.safetensors", "ema.safetensors"):
        first, second = load_file(killed / last_step / name), load_file(whole / last_step / name)
        assert all(torch.equal(first[key], second[key]) for key in first | second)
    assert not list((killed / "checkpoints").glob(f"{INCOMPLETE}*"))


def test_resuming_across_epochs_gives_the_same_weights(tmp_path):
    start(tmp_path / "parts", max_steps=7, ema_decay=0.5, gradient_accumulation_steps=2)
    start(tmp_path / "parts", max_steps=17, ema_decay=0.5, gradient_accumulation_steps=2)
    start(tmp_path / "whole", max_steps=17, ema_decay=0.5, gradient_accumulation_steps=2)
    assert_equal_weights(tmp_path / "parts", tmp_path / "whole")


def test_other_data_order_gives_other_weights(tmp_path):
    """What makes the equalities above mean something."""
    start(tmp_path / "one", seed=1)
    start(tmp_path / "two", seed=2)
    assert not torch.equal(weights(tmp_path / "one")["latent_mean.weight"], weights(tmp_path / "two")["latent_mean.weight"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path, capsys, number):
    def loss_with_signal(model, batch, step, generator):
        if step == 2:
            os.kill(os.getpid(), number)
        return compute_loss(model, batch, step, generator)

    before = signal.getsignal(number)
    state, _, _ = start(tmp_path / "run", make_task(loss=loss_with_signal), max_steps=1000)
    assert state.step == 3
    assert [folder.name for folder in checkpoint_folders(tmp_path / "run")] == ["step-00000003"]
    assert number.name in capsys.readouterr().out
    assert signal.getsignal(number) == before
    start(tmp_path / "run", max_steps=6)
    start(tmp_path / "whole", max_steps=6)
    assert_equal_weights(tmp_path / "run", tmp_path / "whole")


def test_a_time_budget_ends_the_run_with_a_checkpoint(tmp_path):
    state, _, _ = start(tmp_path, max_steps=1000, max_seconds=0.01)
    assert state.step == 1
    assert (tmp_path / "model.safetensors").exists()
    assert checkpoint_folders(tmp_path)[-1].name == "step-00000001"


def test_what_an_interrupted_save_left_is_ignored_and_removed(tmp_path):
    start(tmp_path, max_steps=3)
    left_over = tmp_path / "checkpoints" / f"{INCOMPLETE}step-00000009"
    left_over.mkdir()
    (left_over / "model.safetensors").write_bytes(b"half")
    unfinished = tmp_path / "checkpoints" / "step-00000008"  # complete by name, but without the file written last
    unfinished.mkdir()
    state, _, _ = start(tmp_path, max_steps=4)
    assert state.step == 4
    assert not left_over.exists()


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    start(tmp_path, max_steps=7, save_every=2, keep_checkpoints=2)
    assert [folder.name for folder in checkpoint_folders(tmp_path)] == ["step-00000006", "step-00000007"]


def test_a_given_checkpoint_is_resumed_in_another_folder(tmp_path):
    start(tmp_path / "first", max_steps=4, save_every=2, keep_checkpoints=5)
    start(tmp_path / "second", max_steps=4, resume=str(tmp_path / "first/checkpoints/step-00000002"))
    assert_equal_weights(tmp_path / "first", tmp_path / "second")


def test_a_run_with_other_settings_is_refused_and_names_them(tmp_path):
    start(tmp_path, max_steps=2)
    with pytest.raises(ResumeError, match=r"learning_rate was 0.001 and is now 0.5"):
        start(tmp_path, max_steps=4, learning_rate=0.5)
    with pytest.raises(ResumeError, match="data"):
        start(tmp_path, make_task(identity={"data": "other"}), max_steps=4)


def test_never_resume_refuses_a_folder_with_a_run(tmp_path):
    start(tmp_path, max_steps=2)
    with pytest.raises(ResumeError, match="already holds a run"):
        start(tmp_path, max_steps=4, resume="never")


def test_a_folder_with_a_foreign_model_is_not_overwritten(tmp_path):
    make_task().model.save_pretrained(tmp_path)
    with pytest.raises(ResumeError, match="--init-from"):
        start(tmp_path)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ResumeError, match="not a complete checkpoint"):
        start(tmp_path / "run", resume=str(tmp_path))


def test_a_finished_run_started_again_stays_as_it_is(tmp_path):
    start(tmp_path, max_steps=3)
    before = weights(tmp_path)
    state, _, _ = start(tmp_path, max_steps=3)
    assert state.step == 3
    assert all(torch.equal(value, weights(tmp_path)[name]) for name, value in before.items())
