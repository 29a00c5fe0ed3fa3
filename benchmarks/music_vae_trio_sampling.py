"""Sampling eight 16-bar trios at the size of `hierdec-trio_16bar`, on CPU: speed, and memory for more of them.

    python benchmarks/music_vae_trio_sampling.py --peer-python ~/encore-peers/magenta/bin/python

Time, ours and the floor taking turns:

- Ours: `MusicVAEModel.decode` of 8 latent vectors, 256 steps, temperature 0.5, random weights, after a warm-up.
- The floor: the matrix products that no implementation in float32 can avoid, with `torch.mm` of the batch's rows and weights
  transposed beforehand, which of all ways runs fastest here for eight rows, in the order of the model, and nothing else - no
  gates, no softmax, no draws, no biases. Of the conductor: z to its initial state; in each of 16 steps
  the recurrent product of every layer and the input product of every layer but the first, which reads a zero. Of each of the
  three decoders of a segment, for each of 16 segments: its embedding to the initial state, and through the input weights of
  the first layer; in each of 16 steps the recurrent product of every layer, the input product of every layer but the first,
  and the output projection. What a step reads of the step before is one-hot, so its product is a look-up and does not count.
- The peer: Magenta on TensorFlow 2.15, the same sizes, random weights, one `Session.run` on the finished graph.
- Teacher forcing: all segments of the batch as one, as the model does it, beside the same decoders run segment by segment.

Memory: what the process grows by while it samples, at the most, with `batch_size` samples and with 8 times as many; each in
a process of its own, on Linux, which alone lets a process set back the record of its peak.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from reporting import Row, common_arguments, report, run_peer, spread, time_in_turn

from hub_models import MusicVAEConfig, MusicVAEModel
from hub_models.music_vae.recurrent import LSTM

PRESET = "hierdec-trio_16bar"
MAX_RATIO_TO_FLOOR = 1.5
MORE_SAMPLES = 8  # times the batch size
MAX_MEMORY_RATIO = 1.2


def build_model(arguments) -> MusicVAEModel:
    """The preset's decoder at the sizes asked for, with random weights."""
    segments = [arguments.segments, arguments.length // arguments.segments]
    config = MusicVAEConfig.from_preset(
        PRESET,
        decoder_hidden_sizes=[arguments.hidden_size] * arguments.num_layers,
        encoder_hidden_sizes=[16],  # takes no part
        latent_size=arguments.latent_size,
        max_sequence_length=arguments.length,
        decoder_level_lengths=segments,
    )
    torch.manual_seed(0)
    return MusicVAEModel(config).eval()


def floor_weights(model: MusicVAEModel) -> dict:
    """The weights of the floor, transposed once: (input, output), contiguous."""
    decoder = model.decoder
    return {
        "segments": (decoder.num_segments, decoder.segment_length),
        "start": _transposed(decoder.initial_state.weight),
        "conductor": _transposed(*_step_weights(decoder.conductor)),
        "once": [_transposed(part.initial_state.weight, _constant_weight(part)) for part in decoder.core.parts],
        "per_step": [_transposed(*_step_weights(part.lstm), part.output_projection.weight) for part in decoder.core.parts],
    }


@torch.inference_mode()
def matrix_products(weights: dict, latents: torch.Tensor) -> None:
    """The floor, as the module's docstring defines it. latents: (B, latent_size)."""
    segments, length = weights["segments"]
    rows = torch.ones(len(latents), len(weights["conductor"][0]))
    _multiply(weights["start"], latents)
    for _ in range(segments):
        _multiply(weights["conductor"], rows)
    for _ in range(segments):
        for once_of_part, steps_of_part in zip(weights["once"], weights["per_step"], strict=True):
            _multiply(once_of_part, rows)
            for _ in range(length):
                _multiply(steps_of_part, rows)


def _step_weights(lstm: LSTM) -> list[torch.Tensor]:
    """The recurrent weights, and the input weights of the layers but the first."""
    weights = [lstm.weights(layer)[:2] for layer in range(lstm.num_layers)]
    return [weight_hh for _, weight_hh in weights] + [weight_ih for weight_ih, _ in weights[1:]]


def _constant_weight(part) -> torch.Tensor:
    """The columns of the first layer's input weight that read the embedding of the segment."""
    return part.lstm.weights(0)[0][:, part.head.feedback_size :]


def _transposed(*weights: torch.Tensor) -> list[torch.Tensor]:
    return [weight.detach().t().contiguous() for weight in weights]


def _multiply(weights: list[torch.Tensor], rows: torch.Tensor) -> None:
    for weight in weights:
        torch.mm(rows, weight)


@torch.inference_mode()
def sample(model: MusicVAEModel, latents: torch.Tensor, temperature: float, batch_size: int | None = None) -> torch.Tensor:
    """Ours: latents (B, latent_size) to sequences (B, length, 3)."""
    generator = torch.Generator().manual_seed(0)
    return model.decode(latents, temperature=temperature, generator=generator, batch_size=batch_size or len(latents))


@torch.inference_mode()
def teacher_forced(model: MusicVAEModel, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Ours: all segments of the batch at once, to outputs (B, length, output_size)."""
    return model.teacher_forced_logits(latents, labels)


@torch.inference_mode()
def teacher_forced_by_segments(model: MusicVAEModel, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The same outputs, one segment after the other."""
    decoder = model.decoder
    feedback = torch.nn.functional.pad(decoder.head.feedback(labels)[:, :-1], (0, 0, 1, 0))
    embeddings = model.segment_embeddings(latents).unbind(1)
    segments = feedback.split(decoder.segment_length, dim=1)
    return torch.cat([decoder.core(*inputs) for inputs in zip(embeddings, segments, strict=True)], dim=1)


def memory_growth(arguments, num_samples: int) -> float | None:
    """MB that sampling needs beyond the model, at the most; None where the system cannot tell."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    options = [(f"--{name.replace('_', '-')}", str(getattr(arguments, name))) for name in (*SIZES, "temperature")]
    command = [sys.executable, __file__, "--measure-memory", str(num_samples), *(part for pair in options for part in pair)]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{finished.stderr[-2000:]}")
    return json.loads(finished.stdout)


def measure_memory(arguments) -> float:
    """Run in a process of its own by [`memory_growth`]."""
    torch.set_num_threads(1)
    model = build_model(arguments)
    latents = torch.randn(arguments.measure_memory, arguments.latent_size)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _memory("VmRSS")
    sample(model, latents, arguments.temperature, arguments.batch_size)
    return _memory("VmHWM") - before


def _memory(name: str) -> float:
    """MB by the name that the kernel gives it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


SIZES = ("batch_size", "length", "segments", "hidden_size", "num_layers", "latent_size")


def main() -> None:
    parser = common_arguments("Speed of sampling trios, against Magenta and the weights' matrix products; and its memory.")
    parser.add_argument("--peer-python", default=None, help="Python of an environment with peers/requirements-magenta.txt")
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1], help="numbers of threads to measure")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each, after the warm-up")
    parser.add_argument("--batch-size", type=int, default=8, help="trios at once")
    parser.add_argument("--length", type=int, default=256, help="steps of a trio")
    parser.add_argument("--segments", type=int, default=16, help="segments of a trio")
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--hidden-size", type=int, default=1024, help="units of every layer of conductor and decoders")
    parser.add_argument("--num-layers", type=int, default=2, help="layers of conductor and decoders")
    parser.add_argument("--latent-size", type=int, default=512)
    parser.add_argument("--measure-memory", type=int, default=None, help="only print the MB that so many samples need")
    arguments = parser.parse_args()
    if arguments.measure_memory:
        print(measure_memory(arguments))
        return

    model = build_model(arguments)
    latents = torch.randn(arguments.batch_size, arguments.latent_size)
    labels = sample(model, latents, arguments.temperature)
    rows, details = [], {"arguments": {k: str(v) for k, v in vars(arguments).items()}, "threads": {}}
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        seconds = time_in_turn(
            {
                "ours": partial(sample, model, latents, arguments.temperature),
                "floor": partial(matrix_products, floor_weights(model), latents),
                "teacher_forced": partial(teacher_forced, model, latents, labels),
                "teacher_forced_by_segments": partial(teacher_forced_by_segments, model, latents, labels),
            },
            arguments.repeats,
        )
        measured = {name: spread(values) for name, values in seconds.items()}
        ours, floor, forced, by_segments = (measured[name]["median"] for name in seconds)
        what = f"{arguments.batch_size} trios, {threads} thread{'s' * (threads > 1)}"
        if arguments.peer_python:
            names = (*SIZES, "repeats", "temperature")
            options = [(f"--{name.replace('_', '-')}", getattr(arguments, name)) for name in names]
            command = ["--config", PRESET, "--threads", threads, *(part for option in options for part in option)]
            answer = run_peer(arguments.peer_python, "magenta_sampling.py", *command)
            measured["peer"] = spread(answer["seconds"])
            peer, peer_name = measured["peer"]["median"], f"Magenta on TensorFlow {answer['tensorflow']}"
            rows.append(Row(what, "s", ours, peer, peer_name, "ratio < 1", ours < peer))
        limit = f"ratio <= {MAX_RATIO_TO_FLOOR}"
        rows.append(Row(what, "s", ours, floor, "matrix products alone", limit, ours <= MAX_RATIO_TO_FLOOR * floor))
        what = f"{what}, teacher-forced"
        rows.append(Row(what, "s", forced, by_segments, "segment by segment", "ratio < 1", forced < by_segments))
        details["threads"][threads] = measured
    few, many = arguments.batch_size, MORE_SAMPLES * arguments.batch_size
    memory = {number: memory_growth(arguments, number) for number in (few, many)}
    if memory[few] is not None:
        name, limit = f"memory for {many} trios, {few} at a time", f"ratio <= {MAX_MEMORY_RATIO}"
        met = memory[many] <= MAX_MEMORY_RATIO * memory[few]
        rows.append(Row(name, "MB", memory[many], memory[few], f"the same for {few}", limit, met))
    details["memory_megabytes"] = memory
    size = f"{arguments.num_layers} layers of {arguments.hidden_size}, {arguments.length} steps"
    report(f"MusicVAE trios: {size}, median of {arguments.repeats}", rows, details, arguments.json)


if __name__ == "__main__":
    main()
