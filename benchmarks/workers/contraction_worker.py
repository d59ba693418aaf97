"""Time the symmetric contraction by symnets or mace; run by ops.py in the environment of the package."""

import json
from importlib.metadata import version

import torch
from request import request
from timing import measure
from torch import Tensor

job = request()
nodes, channels, correlation, n_species = job["nodes"], job["channels"], job["correlation"], 3
irreps_in = "+".join(f"{channels}x{degree}{'eo'[degree % 2]}" for degree in range(job["lmax"] + 1))
irreps_out = f"{channels}x0e+{channels}x1o"
generator = torch.Generator().manual_seed(0)
species = torch.randint(n_species, (nodes,), generator=generator)
n_components = (job["lmax"] + 1) ** 2
if job["package"] == "symnets":
    from symnets.ops import SymmetricContraction

    layer = SymmetricContraction(irreps_in, irreps_out, correlation)
    x = torch.randn(nodes, n_components * channels, generator=generator, requires_grad=True)
    weights = [torch.randn(n_species, layer.n_paths, channels, generator=generator, requires_grad=True)]

    def product() -> Tensor:
        """Contraction of all nodes."""
        return layer(x, weights[0], species)
else:
    from e3nn import o3
    from mace.modules.symmetric_contraction import SymmetricContraction

    options = {"num_elements": n_species, "use_reduced_cg": job["variant"] == "reduced"}
    layer = SymmetricContraction(o3.Irreps(irreps_in), o3.Irreps(irreps_out), correlation, **options)
    x = torch.randn(nodes, channels, n_components, generator=generator, requires_grad=True)
    one_hot = torch.nn.functional.one_hot(species, n_species).float()
    weights = list(layer.parameters())

    def product() -> Tensor:
        """Contraction of all nodes."""
        return layer(x, one_hot)


def forward() -> None:
    """Evaluate without gradients."""
    with torch.no_grad():
        product()


def backward() -> None:
    """Evaluate with the gradient of the sum of squares."""
    torch.autograd.grad(product().square().sum(), [x, *weights], allow_unused=True)


result = measure({"forward": forward, "backward": backward}[job["order"]], job["seconds"])
result["versions"] = {"torch": torch.__version__}
if job["package"] == "mace":
    result["versions"] |= {name: version(name) for name in ("mace-torch", "e3nn")}
print(json.dumps(result))
