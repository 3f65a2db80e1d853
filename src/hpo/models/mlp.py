"""A multilayer perceptron."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from hpo.errors import ConfigError
from hpo.models.layers import activation as activation_layer
from hpo.models.layers import check_at_least, choice

_NORMS: Mapping[str | None, Callable[[int], nn.Module] | None] = {
    None: None,
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


class MLP(nn.Sequential):
    """Maps (N, *) with `input_size` values per sample to class scores (N, num_classes).

    Each of `num_layers` hidden layers is linear (fc1, fc2, ...), `norm`, `activation`, `dropout`; one more
    linear layer gives the scores. Layers that are not wanted are left out: the rest keeps its names.

    Raises ConfigError for a name or size that is not possible, and for inputs of another size.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_classes: int,
        dropout: float | None = None,
        num_layers: int = 1,
        activation: str = "relu",
        norm: str | None = None,
    ) -> None:
        check_at_least(0, num_layers=num_layers)
        check_at_least(1, input_size=input_size, hidden_size=hidden_size, num_classes=num_classes)
        make_norm = choice("norm", norm, _NORMS)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        width = input_size
        for number in range(1, num_layers + 1):
            layers[f"fc{number}"] = nn.Linear(width, hidden_size)
            width = hidden_size
            if make_norm is not None:
                layers[f"norm{number}"] = make_norm(width)
            layers[f"activation{number}"] = activation_layer(activation)
            # nn.Dropout(0) would draw random numbers all the same
            if dropout:
                layers[f"dropout{number}"] = nn.Dropout(dropout)
        layers[f"fc{num_layers + 1}"] = nn.Linear(width, num_classes)
        super().__init__(layers)
        self.input_size = input_size

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs.flatten(start_dim=1) if inputs.ndim > 1 else inputs
        if inputs.ndim < 2 or hidden.shape[1] != self.input_size:
            raise ConfigError(
                f"mlp expects inputs (N, *) of {self.input_size} values per sample, "
                f"but got {tuple(inputs.shape)}; see model_config.input_size"
            )
        for layer in self:
            hidden = layer(hidden)
        return hidden
