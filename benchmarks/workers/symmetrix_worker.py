"""Time symmetrix-xl on one structure; run in its environment. A call checks the neighbour list, too."""

import json
from importlib.metadata import version

from ase import Atoms
from request import graph, request
from symmetrix import Symmetrix
from timing import measure

job = request()
arrays = graph(job)
atoms = Atoms(
    arrays["z"].numpy(), arrays["pos"].numpy(), cell=arrays["cell"][0].numpy(), pbc=arrays["pbc"][0].numpy()
)
calculator = Symmetrix(
    job["symmetrix_file"], dtype="float32", streamed_edges="direct", execution_profile="speed"
)


def evaluate() -> None:
    """Energy, forces and stress; the neighbour list is kept while atoms move less than its skin."""
    calculator.calculate(atoms, properties=["energy", "forces", "stress"], system_changes=[])


result = measure(evaluate, job["seconds"])
result["energy"] = float(calculator.results["energy"])
result["versions"] = {"symmetrix-xl": version("symmetrix-xl")}
print(json.dumps(result))
