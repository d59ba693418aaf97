"""Ensemble: several modules of the same architecture as one."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap


class Ensemble(nn.Module):
    """S modules of equal structure, called at once: outputs have a leading axis S.

        Ensemble(models)(x)[s] = models[s](x)

    Works for any module that `torch.func.vmap` can go through; for fully connected nets `Dense`
    with members is faster. Parameters and buffers are stacked copies: training the ensemble does not
    change the modules it was made of; `member(s)` gives one back.

    Args:
        models: of the same classes and shapes, at least one; with the same parameters frozen.

    Note:
        Layers that draw random numbers draw different ones for each member. Batch normalisation in
        training mode changes buffers in place, which vmap refuses; use eval mode or another norm.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        if not models:
            raise ValueError("models: expected at least one, got none")
        shapes = [{k: v.shape for k, v in model.state_dict().items()} for model in models]
        for number, shape in enumerate(shapes):
            if shape != shapes[0] or type(models[number]) is not type(models[0]):
                raise ValueError(
                    f"models: expected one architecture, but number {number} "
                    f"({type(models[number]).__name__}) differs from number 0 "
                    f"({type(models[0]).__name__}) in class, names or shapes"
                )
        parameters, buffers = stack_module_state(list(models))
        self._names = list(parameters), list(buffers)
        self.members = len(models)
        # Dots are not allowed in the names of parameters.
        self.stacked = nn.ParameterList([_copy(p, p) for p in parameters.values()])
        for index, buffer in enumerate(buffers.values()):
            self.register_buffer(f"buffer_{index}", buffer.detach().clone())
        # In a tuple: a template, not a submodule.
        self._template = (copy.deepcopy(models[0]).to("meta"),)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Outputs of all members for the same inputs, (S, ...)."""
        parameters, buffers = self._state()
        template = self._template[0].train(self.training)

        def call(parameters: dict, buffers: dict) -> Tensor:
            return functional_call(template, (parameters, buffers), inputs)

        return vmap(call, randomness="different")(parameters, buffers)

    def member(self, index: int) -> nn.Module:
        """One of the modules, with the weights it has now."""
        parameters, buffers = self._state()
        device = self.stacked[0].device
        model = copy.deepcopy(self._template[0]).to_empty(device=device)
        tensors = dict(model.named_parameters()) | dict(model.named_buffers())
        with torch.no_grad():
            for name, value in (parameters | buffers).items():
                tensors[name].copy_(value[index])  # buffers that are not persistent too
        for p, mine in zip(model.parameters(), self.stacked, strict=True):
            p.requires_grad_(mine.requires_grad)
        return model.train(self.training)

    def select(self, indices: Sequence[int] | Tensor) -> "Ensemble":
        """Some of the members, as a copy."""
        chosen = torch.as_tensor(indices, device=self.stacked[0].device)
        twin = copy.copy(self)
        twin._modules, twin._buffers = dict(self._modules), dict(self._buffers)
        twin.members = len(chosen)
        twin.stacked = nn.ParameterList([_copy(p[chosen], p) for p in self.stacked])
        for name, buffer in self._buffers.items():
            twin._buffers[name] = None if buffer is None else buffer[chosen]
        return twin

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        names, buffer_names = self._names
        buffers = {name: getattr(self, f"buffer_{i}") for i, name in enumerate(buffer_names)}
        return dict(zip(names, self.stacked, strict=True)), buffers


def _copy(value: Tensor, parameter: Tensor) -> nn.Parameter:
    """A parameter with this value, frozen if the other one is."""
    return nn.Parameter(value.detach().clone(), requires_grad=parameter.requires_grad)


def mean_prediction(outputs: Tensor) -> Tensor:
    """Average over the member axis, f̄ = (1/S) Σ_s f_s."""
    return torch.mean(outputs, 0)
