"""The training command of the Transformer Autoencoder: new models, fine-tuning, and encoders for a decoder that can play."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_transformer_autoencoder import CONTEXT, ENCODERS, TINY, command, run, write_performances

from hub_models.training import NoTrainingDataError
from hub_models.training.checkpoints import ResumeError
from hub_models.training.data_order import ExampleKey
from hub_models.transformer_autoencoder import TransformerAutoencoderConfig, TransformerAutoencoderForConditionalGeneration
from hub_models.transformer_autoencoder.data import Conditions, CropDataset, collate
from hub_models.transformer_autoencoder.performances import Piece
from hub_models.transformer_autoencoder.train import (
    batch_size_of,
    build_conditions,
    build_config,
    compute_metrics,
    parse_arguments,
    parse_overrides,
    start_from_decoder,
)

REPOSITORY = Path(__file__).parents[2]
load = TransformerAutoencoderForConditionalGeneration.from_pretrained


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_performances(tmp_path_factory.mktemp("music"))


@pytest.fixture(scope="module")
def unconditional(folder, tmp_path_factory):
    return run(folder, tmp_path_factory.mktemp("run") / "unconditional", max_steps=3)


def lines_of(output, split):
    lines = [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == split]


def tiny_model(encoders, **changes):
    torch.manual_seed(0)
    overrides = parse_overrides([*TINY, *ENCODERS[encoders]]) | changes
    return TransformerAutoencoderForConditionalGeneration(TransformerAutoencoderConfig(**overrides)).eval()


def random_batch(conditions, count=3, seed=0):
    draw = np.random.default_rng(seed)
    tokens = np.stack(
        [278 + draw.integers(0, 32, 40), 2 + draw.integers(20, 60, 40), 178 + draw.integers(0, 40, 40)], axis=1
    )
    dataset = CropDataset([Piece("random", (tokens.flatten(),), 41, 81)], CONTEXT, conditions, count)
    return collate([dataset[ExampleKey(0, index)] for index in range(count)])


# Runs


@pytest.mark.parametrize("encoders", ["performance", "melody", "melody-performance"])
def test_models_of_every_kind_are_trained_and_validated(folder, tmp_path, encoders):
    noisy = ["--noisy"] if encoders == "melody-performance" else []
    output = run(folder, tmp_path / "run", *noisy, encoders=encoders)
    model = load(output)
    assert model.config.is_conditional
    (validation,) = lines_of(output, "validation")
    assert validation["nll"] == pytest.approx(validation["loss"], rel=1e-5)  # no label smoothing
    assert 3 < validation["nll"] < 9  # ln 310 is 5.7
    assert 0 <= validation["accuracy"] <= 1
    summary = json.loads((output / "data_summary.json").read_text())
    assert summary["train_crops_per_epoch"] == 2 * summary["train_pieces"] == 8
    assert summary["conditions"]["noisy"] == bool(noisy)


def test_the_command_line_trains_a_new_model(folder, tmp_path):
    output = tmp_path / "run"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    train = ["-m", "hub_models.transformer_autoencoder.train", *command(folder, output)]
    subprocess.run([*launch, *train], cwd=REPOSITORY, check=True, timeout=240)
    assert {"config.json", "model.safetensors", "processor_config.json"} <= {path.name for path in output.iterdir()}
    assert load(output).config.context_length == CONTEXT
    assert len(lines_of(output, "train")) == 2


def test_training_learns_what_the_music_is_made_of(folder, tmp_path):
    output = run(
        folder, tmp_path / "run", "--learning-rate", "0.02", "--warmup-steps", "5", "--evaluate-every", "60", max_steps=60
    )
    losses = [line["nll"] for line in lines_of(output, "train")]
    assert losses[0] > 5.3
    assert np.mean(losses[-5:]) < 5.1  # four short pieces of random notes, and a model of 15,000 weights
    assert lines_of(output, "validation")[-1]["nll"] < 5.2


def test_fine_tuning_starts_from_the_given_weights(folder, unconditional, tmp_path):
    before = load_file(unconditional / "model.safetensors")
    more = ["--init-from", unconditional, "--learning-rate", "1e-9", "--warmup-steps", "0"]
    output = run(folder, tmp_path / "tuned", *more, encoders=None, max_steps=1)
    after = load_file(output / "model.safetensors")
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=1e-7, rtol=0)


def test_a_run_goes_on_where_it_stopped_and_not_with_other_data(folder, tmp_path):
    whole = run(folder, tmp_path / "whole", encoders="melody-performance", max_steps=4)
    parts = run(folder, tmp_path / "parts", encoders="melody-performance", max_steps=2)
    run(folder, parts, encoders="melody-performance", max_steps=4)
    for name, weight in load_file(whole / "model.safetensors").items():
        assert torch.equal(weight, load_file(parts / "model.safetensors")[name]), name
    with pytest.raises(ResumeError, match=r"conditions\.noisy was False and is now True"):
        run(folder, parts, "--noisy", encoders="melody-performance", max_steps=5)


# A decoder that can play


@pytest.mark.parametrize("encoders", ["performance", "melody", "melody-performance"])
@pytest.mark.parametrize("changes", [{}, {"performance_encoder": "sequence", "melody_encoder": False}])
def test_with_new_encoders_a_model_begins_by_computing_what_the_decoder_did(encoders, changes):
    source, model = tiny_model("unconditional"), tiny_model(encoders, **changes)
    start_from_decoder(model, source)
    config = model.config
    batch = random_batch(Conditions(style=config.performance_encoder != "none", melody=config.melody_encoder))
    alone = {name: value for name, value in batch.items() if name in ("input_ids", "labels")}
    torch.testing.assert_close(model(**batch).logits, source(**alone).logits)


def test_the_performance_encoder_begins_as_the_decoder_and_learns():
    source, model = tiny_model("unconditional"), tiny_model("performance")
    start_from_decoder(model, source)
    encoder, decoder = model.model.performance_encoder.state_dict(), source.model.decoder.state_dict()
    assert torch.equal(encoder.pop("embedding.weight"), source.model.event_embedding.weight)
    assert encoder.keys() == decoder.keys()
    for name, weight in decoder.items():
        assert torch.equal(encoder[name], weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = random_batch(Conditions(style=True))
    for _ in range(2):  # the first step moves the zeros, the second what lies behind them
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.model.performance_encoder.layers.parameters())


def test_fewer_layers_in_the_encoder_are_the_decoders_first():
    source, model = tiny_model("unconditional"), tiny_model("performance", num_encoder_layers=1)
    start_from_decoder(model, source)
    first = source.model.decoder.layers[0].state_dict()
    for name, weight in model.model.performance_encoder.layers[0].state_dict().items():
        assert torch.equal(weight, first[name])


def test_a_decoder_of_another_size_or_with_encoders_is_refused():
    with pytest.raises(ValueError, match="only what belongs to the encoders may be overridden"):
        start_from_decoder(tiny_model("melody", hidden_size=32), tiny_model("unconditional"))
    with pytest.raises(ValueError, match="takes a model without encoders"):
        start_from_decoder(tiny_model("melody-performance"), tiny_model("melody"))
    with pytest.raises(ValueError, match="layers"):
        start_from_decoder(tiny_model("melody", num_hidden_layers=3), tiny_model("unconditional"))


def test_the_command_line_gives_encoders_to_a_decoder(folder, unconditional, tmp_path):
    more = ["--init-decoder-from", unconditional, "--override", "performance_encoder=style", "melody_encoder=true"]
    still = ["--learning-rate", "1e-9", "--warmup-steps", "0"]
    output = run(folder, tmp_path / "run", *more, *still, encoders=None, max_steps=2)
    model = load(output)
    assert model.config.context_length == CONTEXT
    before = lines_of(unconditional, "validation")[-1]["nll"]
    alone = run(folder, tmp_path / "alone", "--init-from", unconditional, *still, encoders=None, max_steps=2)
    assert lines_of(output, "validation")[-1]["nll"] == pytest.approx(lines_of(alone, "validation")[-1]["nll"], abs=1e-4)
    assert 3 < before < 9


# Options


def options_of(*more):
    return parse_arguments(["--data", "music", "--output", "run", *more])


def test_the_defaults_are_the_originals_numbers():
    options = options_of()
    config = build_config(options)
    assert (config.hidden_size, config.context_length, config.max_relative_position) == (384, 2048, 1024)
    assert batch_size_of(options, config) == 1
    assert (options.replications, options.transpose, options.schedule, options.warmup_steps) == (10, 3, "rsqrt", 8000)


def test_a_batch_has_so_many_tokens():
    options = options_of("--override", "context_length=512", "--tokens-per-batch", "4100")
    assert batch_size_of(options, build_config(options)) == 8
    options = options_of("--override", "context_length=512", "--batch-size", "3")
    assert batch_size_of(options, build_config(options)) == 3
    options = options_of("--tokens-per-batch", "1024")
    with pytest.raises(ValueError, match="--tokens-per-batch 1024 is less than one crop of 2048 tokens"):
        batch_size_of(options, build_config(options))


def test_the_models_encoders_decide_the_conditions():
    for name, (style, melody) in {
        "unconditional": (False, False),
        "performance": (True, False),
        "melody": (False, True),
        "melody-performance": (True, True),
    }.items():
        options = options_of("--override", *TINY, *ENCODERS[name])
        assert build_conditions(options, build_config(options)) == Conditions(style=style, melody=melody)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--noisy"], "--noisy is about what the performance encoder hears"),
        (["--style-crop", "different"], "--style-crop is about what the performance encoder hears"),
        (["--melody-source", "skyline"], "--melody-source needs a model with a melody encoder"),
        (["--override", "performance_encoder=style", "--original-noise"], "--original-noise goes with --noisy"),
        (["--override", "hidden=3"], "write KEY=VALUE with one of these keys: .*hidden_size"),
    ],
)
def test_options_that_do_not_fit_the_model_are_refused(more, message):
    options = options_of(*more)
    with pytest.raises(ValueError, match=message):
        build_conditions(options, build_config(options))


def test_no_data_is_said_with_what_there_is(folder, tmp_path):
    with pytest.raises(NoTrainingDataError, match=r"split 'tests'; the splits are train, validation"):
        run(folder, tmp_path / "run", "--train-split", "tests")
    short = ["context_length=4096", "performance_encoder=style"]
    with pytest.raises(NoTrainingDataError, match="4 are shorter than a crop of 4096 tokens"):
        run(folder, tmp_path / "run", "--override", *TINY, *short, "--batch-size", "1", encoders=None)


def test_the_metrics_are_means_over_the_tokens_that_are_there():
    model = tiny_model("unconditional", label_smoothing=0.1)
    rows = [{"target": np.array([278, 41, 188])}, {"target": np.array([280])}]
    batch = collate(rows)
    metrics = compute_metrics(model, batch, torch.Generator())
    log_probabilities = model(batch["input_ids"]).logits.log_softmax(-1)
    expected = -torch.stack(
        [log_probabilities[0, i, t] for i, t in enumerate([278, 41, 188])] + [log_probabilities[1, 0, 280]]
    )
    torch.testing.assert_close(metrics["nll"], expected.mean())
