"""Muon for matrices, AdamW for the rest."""

import pytest
import torch
from torch import nn

from hub_models.training.muon import MuonWithAdamW, orthogonalised


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
        self.table = nn.Parameter(torch.ones(3, 4))
        self.head = nn.Linear(8, 5)

    def forward(self, ids):
        return self.head(self.body(self.embedding(ids))) + self.table.sum()


def seeded_network(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network()


def train(network: Network, optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> float:
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(0, 7, (32,), generator=generator)
        loss = nn.functional.cross_entropy(network(ids), ids % 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("shape", [(6, 6), (4, 20), (20, 4), (1, 5)])
def test_singular_values_become_nearly_equal(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    matrix[0] *= 30  # far from equal before
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.max() < 1.3
    assert values.max() / values.min() < 0.5 * torch.linalg.cond(matrix) or torch.linalg.cond(matrix) < 2
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    direction = orthogonalised(matrix).flatten() @ (left @ right).flatten() / (min(shape) ** 0.5)
    assert direction / orthogonalised(matrix).norm() > 0.95


def test_only_matrices_inside_the_model_are_muons():
    network = seeded_network()
    optimizer = MuonWithAdamW(network)
    muon, adamw = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    assert muon == {id(network.body[0].weight), id(network.body[2].weight)}
    assert muon | adamw == {id(p) for p in network.parameters()}
    assert not muon & adamw


def test_gpt2s_linear_layers_are_muons_and_an_output_that_is_an_embeddings_table_is_not():
    class Conv1D(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(4, 6)), nn.Parameter(torch.zeros(6))

    inner = nn.Module()
    inner.table, inner.layer, inner.output = nn.Embedding(5, 4), Conv1D(), nn.Linear(4, 5, bias=False)
    inner.output.weight = inner.table.weight
    muon = MuonWithAdamW(nn.Sequential(inner)).param_groups[0]["params"]
    assert [id(p) for p in muon] == [id(inner.layer.weight)]


def test_the_rest_moves_as_with_torchs_adamw():
    ours, theirs = seeded_network(), seeded_network()
    settings = {"lr": 1e-2, "betas": (0.9, 0.95), "weight_decay": 0.1}
    optimizer, reference = MuonWithAdamW(ours, **settings), torch.optim.AdamW(theirs.parameters(), **settings)
    for step in range(5):
        for network in (ours, theirs):
            generator = torch.Generator().manual_seed(step)
            for parameter in network.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
        reference.step()
    for name in ("table", "head.weight", "head.bias", "embedding.weight", "body.0.bias"):
        torch.testing.assert_close(ours.get_parameter(name), theirs.get_parameter(name))


def test_an_update_of_a_matrix_is_about_as_large_as_adamws():
    network = seeded_network()
    before = network.body[0].weight.detach().clone()
    optimizer = MuonWithAdamW(network, lr=1e-2)
    network.body[0].weight.grad = torch.randn(16, 8)
    optimizer.step()
    size = (network.body[0].weight - before).square().mean().sqrt().item() / 1e-2
    assert 0.1 < size < 0.4


def test_it_learns():
    network = seeded_network()
    optimizer = MuonWithAdamW(network, lr=3e-2)
    first = train(network, optimizer, 1)
    assert train(network, optimizer, 150, first=1) < 0.1 * first


def test_it_goes_on_from_its_state_exactly():
    whole, part = seeded_network(), seeded_network()
    optimizer = MuonWithAdamW(whole, lr=1e-2)
    train(whole, optimizer, 10)
    before = MuonWithAdamW(part, lr=1e-2)
    train(part, before, 4)
    resumed = seeded_network(1)
    resumed.load_state_dict(part.state_dict())
    after = MuonWithAdamW(resumed, lr=1e-2)
    after.load_state_dict(before.state_dict())
    train(resumed, after, 6, first=4)
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
