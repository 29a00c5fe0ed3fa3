"""Muon for weight matrices and AdamW for everything else, as one optimizer (https://kellerjordan.github.io/posts/muon/).

A step of Muon is the momentum of a matrix with its singular values made equal. At the scale that
https://arxiv.org/abs/2502.16982 gives it, AdamW's learning rates fit both. torch's own `Muon` takes only matrices and
orthogonalises in bfloat16, which CPUs without it compute ten times slower than float32.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

# Coefficients of the quintic iteration, and how often it runs: enough for singular values between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalised(matrix: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, of (M, N): Newton-Schulz iteration in float32."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
    wide = wide.float() / (wide.float().norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.t()
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.t()


class MuonWithAdamW(torch.optim.Optimizer):
    """
    Args:
        model (`nn.Module`): matrices of its linear layers (GPT-2's `Conv1D` among them) are given to Muon, all other
            parameters to AdamW: embeddings, output layers (linear layers directly below the model, or with an embedding's
            weight), tables, biases, norms.
        lr (`float`): of both.
        betas (`tuple[float, float]`), eps (`float`): AdamW's.
        momentum (`float`): Muon's, with Nesterov's look ahead.
        weight_decay (`float`): decoupled, of all.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        matrices = {
            module.weight
            for name, module in model.named_modules()
            if _is_linear(module) and "." in name and module.weight.requires_grad
        }
        matrices -= {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        common = {"lr": lr, "weight_decay": weight_decay}
        super().__init__(
            [
                {"params": [p for p in parameters if p in matrices], "muon": True, "momentum": momentum, **common},
                {
                    "params": [p for p in parameters if p not in matrices],
                    "muon": False,
                    "betas": betas,
                    "eps": eps,
                    **common,
                },
            ],
            common,
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """One update from the gradients that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._muon if group["muon"] else self._adamw
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update(parameter, group)
        return loss

    def _muon(self, parameter: Tensor, group: dict) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        ahead = parameter.grad.lerp(momentum, group["momentum"])
        # The root mean square of an update is then that of AdamW's, about 0.2, whatever the shape.
        scale = 0.2 * max(parameter.shape) ** 0.5
        parameter.add_(orthogonalised(ahead).to(parameter.dtype), alpha=-group["lr"] * scale)

    def _adamw(self, parameter: Tensor, group: dict) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        state["mean"].lerp_(parameter.grad, 1 - beta1)
        state["square"].lerp_(parameter.grad.square(), 1 - beta2)
        step = float(state["step"])
        size = (state["square"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(state["mean"], size, value=-group["lr"] / (1 - beta1**step))


def _is_linear(module: nn.Module) -> bool:
    """Whether a module multiplies with a matrix; `Conv1D` is the linear layer of GPT-2 and of what descends from it."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
