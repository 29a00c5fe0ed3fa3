"""One training step of a small `hier-mel_16bar`, on CPU: our LSTM beside torch's.

    python benchmarks/music_vae_training.py

- Ours: the loss of a batch of one-hot melodies, its gradients, clipping and a step of Adam, as `train.py` does it on a CPU:
  products with one-hot inputs are look-ups, those with inputs that stay the same are made once, and the gradient of a
  recurrent weight is one product over all steps (`hub_models/music_vae/recurrent.py`).
- The peer: the same model, whose LSTM layers hand their inputs to `torch.nn.LSTM` as they are.

Both take turns, on the same batch. By default at the size of the bundled model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from reporting import Row, common_arguments, report, spread, time_in_turn
from torch import nn

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor
from hub_models.music_vae.recurrent import LSTM

PRESET = "hier-mel_16bar"


def torch_forward(self: LSTM, parts: list[torch.Tensor], state=None, lengths=None):
    """The forward of `torch.nn.LSTM`, on all inputs side by side."""
    steps = max(part.shape[1] for part in parts)
    inputs = torch.cat([part.expand(-1, steps, -1) for part in parts], dim=-1)
    return nn.LSTM.forward(self, self.input_dropout(inputs), state)


@contextmanager
def torch_lstm() -> Iterator[None]:
    """Within the context, models run with torch's LSTM."""
    ours, LSTM.forward = LSTM.forward, torch_forward
    try:
        yield
    finally:
        LSTM.forward = ours


def training_step(model: MusicVAEModel, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor]) -> float:
    """The loss before the step."""
    optimizer.zero_grad()
    loss = model(**batch, generator=torch.Generator().manual_seed(0)).loss
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def torch_training_step(*arguments) -> float:
    with torch_lstm():
        return training_step(*arguments)


def main() -> None:
    parser = common_arguments("Speed of a training step, against torch's own LSTM.")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1], help="numbers of threads to measure")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each, after the warm-up")
    parser.add_argument("--batch-size", type=int, default=32, help="melodies in a batch")
    parser.add_argument("--hidden-size", type=int, default=192, help="units of every layer")
    parser.add_argument("--latent-size", type=int, default=256)
    arguments = parser.parse_args()

    sizes = {"encoder_hidden_sizes": [arguments.hidden_size], "decoder_hidden_sizes": [arguments.hidden_size] * 2}
    config = MusicVAEConfig.from_preset(PRESET, latent_size=arguments.latent_size, **sizes)
    torch.manual_seed(0)
    model = MusicVAEModel(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    labels = torch.randint(0, config.output_size, (arguments.batch_size, config.max_sequence_length))
    batch = MusicVAEProcessor.from_preset(PRESET).features(labels)
    rows, details = [], {"arguments": {k: str(v) for k, v in vars(arguments).items()}, "threads": {}}
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        seconds = time_in_turn(
            {
                "ours": partial(training_step, model, optimizer, batch),
                "torch": partial(torch_training_step, model, optimizer, batch),
            },
            arguments.repeats,
        )
        measured = {name: spread(values) for name, values in seconds.items()}
        ours, peer = measured["ours"]["median"], measured["torch"]["median"]
        what = f"a step of {arguments.batch_size} melodies, {threads} thread{'s' * (threads > 1)}"
        rows.append(Row(what, "s", ours, peer, "torch.nn.LSTM", "ratio < 1", ours < peer))
        details["threads"][threads] = measured
    size = f"{arguments.hidden_size} units, {config.max_sequence_length} steps"
    report(f"MusicVAE training: {PRESET} with {size}, median of {arguments.repeats}", rows, details, arguments.json)


if __name__ == "__main__":
    main()
