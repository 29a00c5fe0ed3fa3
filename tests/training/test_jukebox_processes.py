"""Several processes share the encoding of songs and train a prior as one would on the joint batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_jukebox import TOP, command, log_of, train_prior, train_vqvae, write_songs

HERE = Path(__file__).parent
SETTINGS = ("--label-dropout", "0.3", "--evaluate-every", "2")


def test_two_processes_encode_and_train_as_one(tmp_path):
    torch.set_num_threads(1)
    songs = write_songs(tmp_path / "songs")
    vqvae = train_vqvae(songs, tmp_path / "vqvae", max_steps=1)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"]
    # `--multi_gpu` starts one process per device with torchrun; for CPUs Accelerate has only MPI, which few machines hold.
    launch += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    model = ("--level", "top", "--vqvae", vqvae, "--preset", "jukebox-tiny", "--override", *TOP)
    arguments = command("prior", songs, tmp_path / "two/run", *model, *SETTINGS, "--batch-size", "2")
    environment = {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*launch, "-m", "hub_models.jukebox.train", *arguments],
        env=os.environ | environment | {"PYTHONPATH": str(HERE.parents[1])},
        check=True,
        timeout=300,
    )
    one = train_prior("top", songs, vqvae, tmp_path / "one/run", *SETTINGS)
    for split in ("train", "validation"):
        for line, expected in zip(log_of(tmp_path / "two/run", split), log_of(one, split), strict=True):
            assert line["bits"] == pytest.approx(expected["bits"], rel=1e-5)
    codes = list((tmp_path / "one/cache").glob("codes-*/level_*"))
    assert len(codes) == 6  # three levels of two splits
    for path in codes:
        assert path.read_bytes() == (tmp_path / "two/cache" / path.parent.name / path.name).read_bytes()
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path / "two/run", one))
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=2e-5)
