"""The VQ-VAE's codebooks: nearest codes, and the moving averages that learn them, over all processes of a training.

Shape letters: N batch, T time, D width of a vector, K codes, R rows (all vectors of a batch, N * T).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from transformers import PreTrainedConfig
from transformers import initialization as init

#: One random selection of rows: a permutation of them, and the noise (R, D) that tells repeated rows apart, if any.
Draw = tuple[Tensor, Tensor | None]

#: Buffers of a codebook that published weights do not have.
CODEBOOK_AVERAGES = ("code_sums", "code_counts")

#: Distances are computed for so many (row, code) pairs at a time: as many as fit into a processor's cache.
PAIRS_AT_A_TIME = 1 << 20


@dataclass
class Quantised:
    """What a codebook makes of vectors.

    Attributes:
        codes: (N, T) int64.
        vectors: (N, D, T), those of the codes; the gradient passes straight through to the input.
        commitment_loss: (), mean squared distance from the codes' vectors.
        metrics: of training; empty in evaluation.
    """

    codes: Tensor
    vectors: Tensor
    commitment_loss: Tensor
    metrics: dict[str, Tensor]


class Codebook(nn.Module):
    """Vectors that stand for codes, learnt as moving averages of what is nearest to them (section 3.1 and appendix B.1).

    Three buffers hold its state, and nothing else does, so that a training resumes exactly from a `state_dict`:

    - `codebook` (K, D). Zeros: not yet initialised; the first batch of training will do it.
    - `code_sums` (K, D) and `code_counts` (K,), the moving averages of the sum and number of rows nearest to each code. Zero
      counts: unknown, as in published weights, which have the codebook alone. Training then starts from what they would be
      if all codes were used alike ([`restore`]).

    Args:
        config: a [`JukeboxVQVAEConfig`].
        hop_length: samples per code of this level.
    """

    def __init__(self, config: PreTrainedConfig, hop_length: int):
        super().__init__()
        self.decay = config.lmu
        self.revival_threshold = config.revival_threshold
        self.rows_per_example = config.sample_length // hop_length
        self.register_buffer("codebook", torch.zeros(config.nb_discrete_codes, config.embed_dim))
        self.register_buffer("code_sums", torch.zeros(config.nb_discrete_codes, config.embed_dim))
        self.register_buffer("code_counts", torch.zeros(config.nb_discrete_codes))

    @property
    def is_initialised(self) -> bool:
        """Whether there is anything in the codebook."""
        return bool(self.codebook.any())

    def nearest(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (R,) of rows (R, D), the first of several that are equally near, and their squared distances (R,)."""
        codebook = self.codebook.float()
        transposed, norms = codebook.T.contiguous(), codebook.square().sum(-1)
        codes, squared_distances = [], []
        for part in rows.split(max(1, PAIRS_AT_A_TIME // len(codebook))):
            # |x|^2 - 2 x.k + |k|^2, summed in the original's order: it decides between codes that are nearly equally near.
            squares = part.square().sum(-1, keepdim=True)
            nearest = torch.addmm(squares, part, transposed, alpha=-2).add_(norms).min(dim=1)
            codes.append(nearest.indices)
            squared_distances.append(nearest.values)
        return torch.cat(codes), torch.cat(squared_distances)

    def encode(self, hidden_states: Tensor) -> Tensor:
        """(N, D, T) to codes (N, T)."""
        return self.nearest(_rows(hidden_states.float()))[0].view(len(hidden_states), -1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (N, T) to their vectors (N, D, T)."""
        return F.embedding(codes, self.codebook).mT

    def forward(self, hidden_states: Tensor, draws: "Draws") -> Quantised:
        """Quantises (N, D, T), and learns from it in training. Codes and vectors are those from before it learns."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            hidden_states = hidden_states.float()
            rows = _rows(hidden_states.detach())
            if self.training:
                self._prepare(rows, draws)
            codes, distances = self.nearest(rows)
            codes_of_items = codes.view(len(hidden_states), -1)
            vectors = self.decode(codes_of_items)
            commitment_loss = F.mse_loss(hidden_states, vectors)
            metrics = {}
            if self.training:
                metrics["quantisation_error"] = distances.mean()
                metrics["latent_deviation"] = (rows - rows.mean()).norm() / math.sqrt(rows.numel())
                metrics |= self._learn(rows, codes, draws)
            return Quantised(codes_of_items, hidden_states + (vectors - hidden_states).detach(), commitment_loss, metrics)

    @torch.no_grad()
    def restore(self):
        """Sets the moving averages to what they would be if every code stood for equally many rows at its very place.

        How many is reckoned from one example per process, as in the original, whatever the batch size.
        """
        rows = self.rows_per_example * _number_of_processes()
        self.code_counts.fill_(rows / len(self.codebook))
        self.code_sums.copy_(self.codebook * self.code_counts[:, None])

    def _prepare(self, rows: Tensor, draws: "Draws"):
        if self.code_counts.any():
            return
        if self.is_initialised:
            self.restore()
            return
        self.codebook.copy_(self.random_rows(rows, draws))
        self.code_sums.copy_(self.codebook)
        self.code_counts.fill_(1)

    def _learn(self, rows: Tensor, codes: Tensor, draws: "Draws") -> dict[str, Tensor]:
        sums = torch.zeros_like(self.code_sums).index_add_(0, codes, rows)
        counts = torch.bincount(codes, minlength=len(self.codebook)).to(sums)
        if _number_of_processes() > 1:
            distributed.all_reduce(sums)
            distributed.all_reduce(counts)
        previous, random_rows = self.codebook.clone(), self.random_rows(rows, draws)
        # After the initialisation a code with one row in the batch is just not revived: 0.99 * 1 + 0.01 * 1 >= 1 in float32
        # hangs on this order of operations.
        self.code_sums.copy_(self.decay * self.code_sums + (1.0 - self.decay) * sums)
        self.code_counts.copy_(self.decay * self.code_counts + (1.0 - self.decay) * counts)
        is_used = self.code_counts >= self.revival_threshold
        # Averages of a revived code are left as they are, as in the original.
        means = self.code_sums / self.code_counts[:, None]
        self.codebook.copy_(torch.where(is_used[:, None], means, random_rows))
        probabilities = counts / counts.sum()
        return {
            "codebook_entropy": -(probabilities * torch.log(probabilities + 1e-8)).sum(),
            "codebook_usage": is_used.sum().float(),
            "codes_used": (counts >= self.revival_threshold).sum().float(),
            "codebook_change": (self.codebook - previous).norm() / math.sqrt(previous.numel()),
        }

    def random_rows(self, rows: Tensor, draws: "Draws") -> Tensor:
        """(K, D): rows of the first process's batch; where there are too few, they are repeated, with a little noise."""
        number = len(self.codebook)
        repeats = -(-number // len(rows))
        permutation, noise = draws.next(len(rows) * repeats, rows.shape[1] if repeats > 1 else None, rows.device)
        if repeats > 1:
            rows = rows.repeat(repeats, 1) + noise * (0.01 / math.sqrt(rows.shape[1]))
        chosen = rows[permutation[:number]].contiguous()
        if _number_of_processes() > 1:
            distributed.broadcast(chosen, 0)
        return chosen


class Bottleneck(nn.Module):
    """The codebooks of all levels, the finest first."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.level_blocks = nn.ModuleList(Codebook(config, hop_length) for hop_length in config.hop_lengths)


class Draws:
    """Random selections of rows, one after the other: for each level the initialisation's, if need be, and the revival's.

    Args:
        generator: where they come from; torch's own by default.
        given: selections to use in their stead.
    """

    def __init__(self, generator: torch.Generator | None = None, given: Iterator[Draw] | None = None):
        self.generator = generator
        self.given = given if given is None else iter(given)

    def next(self, rows: int, noise_width: int | None, device: torch.device) -> Draw:
        """A permutation (rows,) and, unless `noise_width` is None, standard normal noise (rows, noise_width)."""
        if self.given is not None:
            permutation, noise = next(self.given)
            return permutation.to(device), None if noise is None else noise.to(device)
        source = self.generator.device if self.generator is not None else device
        noise = None
        if noise_width is not None:
            noise = torch.randn(rows, noise_width, generator=self.generator, device=source).to(device)
        return torch.randperm(rows, generator=self.generator, device=source).to(device), noise


def _rows(hidden_states: Tensor) -> Tensor:
    return hidden_states.mT.reshape(-1, hidden_states.shape[1])


def _number_of_processes() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


@torch.no_grad()
def initialize_codebook(module: nn.Module):
    """A part of `_init_weights`: a codebook that has not been initialised, or averages that are not known."""
    if isinstance(module, Codebook):
        for buffer in module.buffers():
            init.zeros_(buffer)
