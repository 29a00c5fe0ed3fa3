"""Sampling 16 two-bar melodies at the size of `cat-mel_2bar_big`, on CPU.

    python benchmarks/music_vae_sampling.py --peer-python ~/encore-peers/magenta/bin/python

- Ours: `MusicVAEModel.decode` of 16 latent vectors, 32 steps, temperature 0.5, random weights, after a warm-up.
- The floor: the matrix products that no implementation in float32 can avoid, with `torch.mm` on the model's own weights
  as they lie in memory, in the order and the blocks of rows that run fastest here (weight times columns, 1,024 rows at a
  time: on two threads twice as fast as rows times the transposed weight), and nothing else - no gates, no softmax, no
  draws, no biases. In each of the 32 steps, for a batch of 16: the recurrent product of every layer, the input product of
  every layer but the first, and the output projection. Once: z to the initial state, and z through the first layer's input
  weights. The first layer's other input is one-hot, so its product is a look-up and does not count.
- The peer: Magenta on TensorFlow 2.15, the same sizes, random weights, one `Session.run` on the finished graph. Without
  `--peer-python`, the figures published for it, which come from another machine.

Ours and the floor take turns.
"""

from functools import partial

import torch
from reporting import Row, common_arguments, report, run_peer, spread, time_in_turn

from hub_models import MusicVAEConfig, MusicVAEModel
from hub_models.music_vae.recurrent import LSTMStepper

PRESET = "cat-mel_2bar_big"
# Seconds by number of threads: Magenta on TensorFlow 2.15.1, Xeon at 2.5 GHz, 2 cores, otherwise idle.
PUBLISHED_SECONDS = {1: 2.74, 2: 1.49}
MAX_RATIO_TO_FLOOR = 1.5


@torch.inference_mode()
def matrix_products(model: MusicVAEModel, latents: torch.Tensor, length: int) -> None:
    """The floor, as the module's docstring defines it. latents: (B, latent_size)."""
    decoder = model.decoder
    recurrent = [weight for name, weight in decoder.lstm.named_parameters() if name.startswith("weight_hh")]
    inputs = [weight for name, weight in decoder.lstm.named_parameters() if name.startswith("weight_ih")]
    hidden = torch.ones(decoder.initial_state.hidden_sizes[0], len(latents))
    torch.mm(latents, decoder.initial_state.weight.t())
    torch.mm(latents, inputs[0][:, decoder.head.feedback_size :].t())
    weights = (*recurrent, *inputs[1:], decoder.output_projection.weight)
    per_step = [block for weight in weights for block in weight.split(LSTMStepper.BLOCK_ROWS)]
    for _ in range(length):
        for weight in per_step:
            torch.mm(weight, hidden)


@torch.inference_mode()
def sample(model: MusicVAEModel, latents: torch.Tensor, length: int, temperature: float) -> torch.Tensor:
    """Ours: latents (B, latent_size) to sequences (B, length)."""
    return model.decode(latents, length=length, temperature=temperature, generator=torch.Generator().manual_seed(0))


def main() -> None:
    parser = common_arguments("Speed of sampling, against Magenta and against the weights' matrix products alone.")
    parser.add_argument("--peer-python", default=None, help="Python of an environment with peers/requirements-magenta.txt")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1], help="numbers of threads to measure")
    parser.add_argument("--repeats", type=int, default=7, help="measurements of each, after the warm-up")
    parser.add_argument("--batch-size", type=int, default=16, help="melodies at once")
    parser.add_argument("--length", type=int, default=32, help="steps of a melody")
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--hidden-size", type=int, default=2048, help="units of every decoder layer")
    parser.add_argument("--num-layers", type=int, default=3, help="decoder layers")
    parser.add_argument("--latent-size", type=int, default=512)
    arguments = parser.parse_args()

    config = MusicVAEConfig.from_preset(
        PRESET,
        decoder_hidden_sizes=[arguments.hidden_size] * arguments.num_layers,
        encoder_hidden_sizes=[16],  # takes no part
        latent_size=arguments.latent_size,
    )
    torch.manual_seed(0)
    model = MusicVAEModel(config).eval()
    latents = torch.randn(arguments.batch_size, config.latent_size)
    published_size = (arguments.batch_size, arguments.length, arguments.hidden_size, arguments.num_layers)
    rows, details = [], {"arguments": {k: str(v) for k, v in vars(arguments).items()}, "threads": {}}
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        seconds = time_in_turn(
            {
                "ours": partial(sample, model, latents, arguments.length, arguments.temperature),
                "floor": partial(matrix_products, model, latents, arguments.length),
            },
            arguments.repeats,
        )
        measured = {name: spread(values) for name, values in seconds.items()}
        peer, peer_name = None, "no --peer-python, and no published figure for this size"
        if arguments.peer_python:
            answer = run_peer(arguments.peer_python, "magenta_sampling.py", *_peer_arguments(arguments, threads))
            measured["peer"] = spread(answer["seconds"])
            peer, peer_name = measured["peer"]["median"], f"Magenta on TensorFlow {answer['tensorflow']}"
        elif published_size == (16, 32, 2048, 3) and threads in PUBLISHED_SECONDS:
            peer, peer_name = PUBLISHED_SECONDS[threads], "Magenta, PUBLISHED figure, another machine (2 cores)"
        ours, floor = measured["ours"]["median"], measured["floor"]["median"]
        what = f"{arguments.batch_size} melodies, {threads} thread{'s' * (threads > 1)}"
        met = ours < peer if arguments.peer_python else None  # figures of another machine decide nothing
        rows.append(Row(what, "s", ours, peer, peer_name, "ratio < 1", met))
        limit = f"ratio <= {MAX_RATIO_TO_FLOOR}"
        rows.append(Row(what, "s", ours, floor, "matrix products alone", limit, ours <= MAX_RATIO_TO_FLOOR * floor))
        details["threads"][threads] = measured
    size = f"{arguments.num_layers} layers of {arguments.hidden_size}, {arguments.length} steps"
    report(f"MusicVAE sampling: {size}, median of {arguments.repeats}", rows, details, arguments.json)


def _peer_arguments(arguments, threads: int) -> list[object]:
    names = ("repeats", "batch_size", "length", "temperature", "hidden_size", "num_layers", "latent_size")
    options = [(f"--{name.replace('_', '-')}", getattr(arguments, name)) for name in names]
    return ["--threads", threads, *(part for option in options for part in option)]


if __name__ == "__main__":
    main()
