"""What a step does, what is written, what is refused."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import make_arguments, make_task, start

from hub_models.music_vae.modeling_music_vae import MusicVAEModel
from hub_models.music_vae.train import compute_loss
from hub_models.training.data_order import MicroBatches, permutation
from hub_models.training.ema import ExponentialMovingAverage
from hub_models.training.schedules import learning_rate_schedule


def log_of(output, split="train"):
    lines = [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == split]


@pytest.mark.parametrize("step", [0, 1, 1000, 50_000])
def test_the_exponential_schedule_is_the_originals(tmp_path, step):
    arguments = make_arguments(
        tmp_path, schedule="exponential", learning_rate=1e-3, minimum_learning_rate=1e-5, decay_rate=0.9999
    )
    assert learning_rate_schedule(arguments)(step) == pytest.approx((1e-3 - 1e-5) * 0.9999**step + 1e-5, rel=1e-12)


@pytest.mark.parametrize("step", [1, 100, 7999, 8000, 8001, 50_000])
def test_the_rsqrt_schedule_is_tensor2tensors(tmp_path, step):
    """Steps are counted from 1 there: 2 * min(1, s / 8000) * rsqrt(max(s, 8000)) * rsqrt(hidden size)."""
    peak = 2.0 * 8000**-0.5 * 384**-0.5
    rate = learning_rate_schedule(make_arguments(tmp_path, schedule="rsqrt", learning_rate=peak, warmup_steps=8000))
    assert rate(step - 1) == pytest.approx(2.0 * min(1.0, step / 8000) * max(step, 8000) ** -0.5 * 384**-0.5, rel=1e-12)


def test_the_rsqrt_schedule_without_warm_up_falls_from_the_first_step(tmp_path):
    rate = learning_rate_schedule(make_arguments(tmp_path, schedule="rsqrt", learning_rate=1.0))
    assert [rate(step) for step in (0, 3, 99)] == pytest.approx([1.0, 0.5, 0.1])


def test_the_cosine_schedule_goes_from_initial_to_minimum(tmp_path):
    arguments = make_arguments(tmp_path, schedule="cosine", learning_rate=1.0, minimum_learning_rate=0.2, max_steps=100)
    rate = learning_rate_schedule(arguments)
    assert [rate(0), rate(50), rate(100), rate(500)] == pytest.approx([1.0, 0.6, 0.2, 0.2])


def test_warm_up_rises_linearly(tmp_path):
    rate = learning_rate_schedule(make_arguments(tmp_path, learning_rate=0.8, warmup_steps=4))
    assert [rate(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_the_optimizer_uses_the_schedule(tmp_path):
    start(tmp_path, max_steps=5, schedule="exponential", learning_rate=0.1, decay_rate=0.5)
    assert [line["learning_rate"] for line in log_of(tmp_path)] == pytest.approx([0.1, 0.05, 0.025, 0.0125, 0.00625])
    state = torch.load(tmp_path / "checkpoints/step-00000005/optimizer.bin", weights_only=True)
    assert state["param_groups"][0]["lr"] == pytest.approx(0.00625)


def test_every_epoch_takes_each_example_once_in_another_order():
    batches = iter(MicroBatches(10, 4, 1, 0, 1, seed=3))
    keys = [key for _ in range(5) for key in next(batches)]
    assert [key.epoch for key in keys] == [0] * 10 + [1] * 10
    first, second = ([key.index for key in keys if key.epoch == epoch] for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert first == permutation(10, 3, 0).tolist()


def test_batches_larger_than_the_data_hold_several_epochs():
    keys = next(iter(MicroBatches(3, 8, 1, 0, 1, seed=0)))
    assert [key.epoch for key in keys] == [0, 0, 0, 1, 1, 1, 2, 2]


def test_starting_at_a_step_gives_what_reading_from_the_beginning_gives():
    whole = iter(MicroBatches(50, 4, 3, 1, 2, seed=0))
    expected = [next(whole) for _ in range(30)][21:]
    resumed = iter(MicroBatches(50, 4, 3, 1, 2, seed=0, first_step=7))
    assert [next(resumed) for _ in range(9)] == expected


def test_skipped_examples_are_not_read(tmp_path):
    class Counting:
        def __init__(self, dataset):
            self.dataset, self.read = dataset, 0

        def __len__(self):
            return len(self.dataset)

        def __getitems__(self, keys):
            self.read += len(keys)
            return self.dataset.__getitems__(keys)

    start(tmp_path, max_steps=9)
    task = make_task()
    counting = task.train_dataset = Counting(task.train_dataset)
    start(tmp_path, task, max_steps=10)
    assert counting.read == 4  # one batch


def test_ema_follows_its_formula_and_gives_the_weights_back():
    model = torch.nn.Linear(2, 1, bias=False)
    ema = ExponentialMovingAverage(model, 0.5)
    start_value = model.weight.detach().clone()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[10.0, 20.0]]))
    ema.update(step=1000)
    trained = model.weight.detach().clone()
    with ema.applied():
        torch.testing.assert_close(model.weight.detach(), 0.5 * start_value + 0.5 * trained)
    assert torch.equal(model.weight.detach(), trained)
    ema.update(step=1)  # young: decay 2 / 11
    with ema.applied():
        expected = (2 / 11) * (0.5 * start_value + 0.5 * trained) + (9 / 11) * trained
        torch.testing.assert_close(model.weight.detach(), expected)


def test_the_saved_model_has_the_averaged_weights(tmp_path):
    start(tmp_path, max_steps=5, ema_decay=0.9)
    saved = load_file(tmp_path / "model.safetensors")
    checkpoint = tmp_path / "checkpoints/step-00000005"
    averaged, trained = load_file(checkpoint / "ema.safetensors"), load_file(checkpoint / "model.safetensors")
    assert all(torch.equal(saved[name], averaged[name]) for name in saved)
    assert not torch.equal(trained["latent_mean.weight"], saved["latent_mean.weight"])


def test_an_exploded_gradient_is_taken_as_zero(tmp_path):
    def exploding(model, batch, step, generator):
        metrics = compute_loss(model, batch, step, generator)
        factor = {1: 1e9, 2: float("nan")}.get(step, 1.0)
        return metrics | {"loss": metrics["loss"] * factor}

    _, task, _ = start(tmp_path, make_task(loss=exploding), max_steps=3, zero_gradient_norm=1e4, max_gradient_norm=1.0)
    assert all(torch.isfinite(p).all() for p in task.model.parameters())
    assert log_of(tmp_path)[1]["gradient_norm"] > 1e4


def test_gradients_are_clipped(tmp_path):
    """With plain gradient steps hidden behind Adam, clipping shows in the optimizer's memory of the gradient."""
    start(tmp_path, max_steps=1, max_gradient_norm=0.5)
    assert log_of(tmp_path)[0]["gradient_norm"] > 0.5
    state = torch.load(tmp_path / "checkpoints/step-00000001/optimizer.bin", weights_only=True)["state"]
    norm = torch.sqrt(sum((memory["exp_avg"] / 0.1).square().sum() for memory in state.values()))
    assert norm.item() == pytest.approx(0.5, rel=1e-3)


def test_the_best_model_is_kept(tmp_path):
    start(tmp_path, max_steps=6, evaluate_every=1, keep_best="lowest:kl_divergence", learning_rate=0.05)
    values = [line["kl_divergence"] for line in log_of(tmp_path, "validation")]
    assert np.argmin(values) == 0  # the KL grows from nothing
    start(tmp_path / "first", max_steps=1, learning_rate=0.05)
    best = load_file(tmp_path / "best/model.safetensors")
    assert all(torch.equal(value, best[name]) for name, value in load_file(tmp_path / "first/model.safetensors").items())


def test_an_unknown_best_metric_names_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="kl_divergence"):
        start(tmp_path, max_steps=1, evaluate_every=1, keep_best="lowest:nonsense")


def test_validation_metrics_can_be_made_of_the_means_over_all_examples(tmp_path):
    plain = start(tmp_path / "plain", max_steps=1, evaluate_every=1)[1]
    ratio = lambda means: {"ratio": means["kl_divergence"] / means["loss"]}  # noqa: E731
    start(tmp_path / "ratio", make_task(finish_metrics=ratio), max_steps=1, evaluate_every=1, keep_best="lowest:ratio")
    assert plain.finish_metrics is None
    (means,), (finished,) = (log_of(tmp_path / name, "validation") for name in ("plain", "ratio"))
    assert finished["ratio"] == pytest.approx(means["kl_divergence"] / means["loss"])
    assert "loss" not in finished
    assert (tmp_path / "ratio/best/model.safetensors").exists()


def test_the_best_model_needs_validation_data(tmp_path):
    with pytest.raises(ValueError, match="needs validation"):
        start(tmp_path, make_task(validation_dataset=None), evaluate_every=1, keep_best="lowest:loss")


def test_workers_change_nothing(tmp_path):
    start(tmp_path / "none", max_steps=3)
    start(tmp_path / "two", max_steps=3, num_workers=2)
    none, two = (load_file(tmp_path / name / "model.safetensors") for name in ("none", "two"))
    assert all(torch.equal(value, two[name]) for name, value in none.items())


def test_the_output_loads_with_from_pretrained(tmp_path):
    _, task, _ = start(tmp_path, max_steps=2)
    loaded = MusicVAEModel.from_pretrained(tmp_path)
    for (name, value), other in zip(task.model.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(value, other), name


def test_tensorboard_gets_the_metrics(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    start(tmp_path, max_steps=3, evaluate_every=2, trackers=("tensorboard",))
    events = EventAccumulator(str(tmp_path / "logs/training")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3]
    assert [event.step for event in events.Scalars("validation/accuracy")] == [2]


def test_training_lowers_the_loss(tmp_path):
    start(tmp_path, make_task(dropout=0.0, transpose=0), max_steps=60, batch_size=8, learning_rate=0.02)
    losses = [line["reconstruction_loss"] for line in log_of(tmp_path)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_steps", 0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("ema_decay", 1.5),
        ("keep_best", "loss"),
        ("max_seconds", -1),
    ],
)
def test_settings_out_of_range_are_refused_by_name(tmp_path, name, value):
    with pytest.raises(ValueError, match=name.replace("_", "-")):
        make_arguments(tmp_path, **{name: value})
