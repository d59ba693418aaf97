"""SymnetsCalculator: a force field or tensor model as an ASE calculator."""

import copy
import os
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes, all_properties
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress

from symnets.data import AtomGraph
from symnets.device import on_device, usable_device
from symnets.models import Compiled, ForceField, TensorModel
from symnets.simulate._native_steps import NativeSteps, Volumes, voigt
from symnets.simulate._skin import SkinnedNeighbors


class SymnetsCalculator(Calculator):
    """ASE calculator of a force field, or of a model of tensors.

    A force field gives `energy` and `free_energy` (eV, equal), `energies` (eV, of each atom), `forces`
    (eV/Å), and `stress` for periodic structures whose cell has a volume (eV/Å³, Voigt order xx yy zz yz xz
    xy, ASE's sign: (1/V) dE/dstrain). The native program of a `Compiled` force field also gives `stresses`,
    (atoms, 6) in eV/Å³: the symmetrised share of each atom in dE/dstrain, divided by the volume. Their sum is
    the stress.

    A `TensorModel` gives these results only if it has energies. An output of the kind dipole or charges is
    `dipole` (e·Å) or `charges` (e), for the charge `atoms.info["charge"]` of the structure, zero by default.
    `get_property(name, atoms)` gives all other outputs under their own names, in the units of the training
    data.

    Args:
        model: a force field or tensor model, the path of a saved one, or the name of a published one, see
            `foundation_model`. A model is copied, so that training it or moving it to another device does not
            change the calculator.
        device: where the model runs, see `usable_device`; by default the device of the force field, and the
            CPU for a saved one.
        dtype: dtype of the model's weights and arithmetic; by default that of the model. Positions and
            neighbour distances are always float64.
        skin: length in Å added to the cutoff of the neighbour list, see `SkinnedNeighbors`; results do not
            depend on it.

    Raises:
        ValueError: the model is not a force field or tensor model, or the device cannot be used. A
            calculation raises it for an element that the model was not trained on, no atoms, positions that
            are not finite, two atoms at the same position, or a periodic cell without volume.

    Example:

            atoms.calc = SymnetsCalculator("runs/ethanol/model.safetensors")
            atoms.get_forces()
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
        "stresses",
    ]

    def __init__(
        self,
        model: ForceField | TensorModel | str | os.PathLike[str],
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        skin: float = 0.5,
    ) -> None:
        super().__init__()
        if device is not None:
            device = usable_device(device)
        if isinstance(model, str | os.PathLike):
            own = _loaded(model, device=device or "cpu", dtype=dtype)
        elif not isinstance(model, ForceField | TensorModel):
            raise ValueError(
                f"model: expected a ForceField or the path of a saved one, got {type(model).__name__}; "
                "wrap a model of atomic energies as ForceField(model)"
            )
        else:
            with torch.inference_mode(False):  # copies of weights that can be differentiated
                own = copy.deepcopy(model).to(device=device, dtype=dtype)
        self.model: ForceField | TensorModel = own.eval().requires_grad_(False)
        self.tensors = self._tensors()
        if isinstance(self.model, TensorModel):
            energies = [] if self.model.force_field is None else self.implemented_properties
            self.implemented_properties = [*energies, *self.tensors]  # pyright: ignore
        tensors = (*self.model.parameters(), *self.model.buffers())
        self.device = tensors[0].device if tensors else torch.device(device or "cpu")
        weights = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
        self.dtype = dtype or (weights[0] if weights else torch.get_default_dtype())
        self.neighbors = SkinnedNeighbors(self.model.cutoff, skin, device=self.device)
        force_field = self._force_field
        self._native = NativeSteps(force_field, self.neighbors) if type(force_field) is Compiled else None
        self._volume = Volumes()
        self._virials: np.ndarray | None = None
        self._last: Atoms | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute energy, forces and stress in one pass, and those tensors that are requested."""
        if atoms is not None:
            self.atoms = self._last = self._copied(atoms)
        assert isinstance(self.atoms, Atoms)
        if system_changes:
            self.results = {}
        wanted = {name: self.tensors[name] for name in properties if name in self.tensors}
        if not wanted and self._calculated_natively(self.atoms, properties):
            return
        self._check(self.atoms)
        self._virials, force_field = None, self._force_field
        with on_device(self.device):
            graph = self._graph(self.atoms)
            if wanted and isinstance(self.model, TensorModel):
                charge = float(self.atoms.info.get("charge", 0))
                graph.charge = torch.tensor([charge], dtype=torch.float64, device=self.device)
                with torch.no_grad():
                    found = self.model.tensors(graph, wanted.values())
                for name, output in wanted.items():
                    value = found[output].double().numpy(force=True)
                    self.results[name] = value if self.model.outputs[output].of_atoms else value[0]
            if force_field is None or len(wanted) == len(properties):
                return
            prediction = force_field(graph)
        energy = float(prediction.energy)
        self.results |= {
            "energy": energy,
            "free_energy": energy,
            "energies": prediction.node_energy.numpy(force=True),
            "forces": prediction.forces.double().numpy(force=True),
        }
        if prediction.stress is not None:
            stress = prediction.stress[0].double().numpy(force=True)
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """Changes since the last calculation, as ASE's method; it takes microseconds if only atoms moved."""
        last = self.atoms
        if not isinstance(last, Atoms) or last.positions.shape != atoms.positions.shape:
            return super().check_state(atoms, tol)
        charges = {"initial_charges", "initial_magmoms"}
        if not _same_cell(last, atoms) or charges & (last.arrays.keys() | atoms.arrays.keys()):
            return super().check_state(atoms, tol)
        if last.positions.tobytes() == atoms.positions.tobytes():
            return []
        moved = (np.abs(last.positions - atoms.positions) > tol).any()
        return ["positions"] if moved else super().check_state(atoms, tol)

    def _copied(self, atoms: Atoms) -> Atoms:
        """Copy of the atoms; if only atoms moved, it shares all but the arrays with the last copy."""
        last = self._last
        if last is None or atoms.constraints or atoms.info or last.info or not _same_cell(last, atoms):
            return atoms.copy()
        twin = copy.copy(last)
        twin.arrays = {name: array.copy() for name, array in atoms.arrays.items()}
        return twin

    @property
    def _force_field(self) -> ForceField | None:
        return self.model if isinstance(self.model, ForceField) else self.model.force_field

    def _calculated_natively(self, atoms: Atoms, properties: Sequence[str]) -> bool:
        """Compute all results with the native program, if there is one."""
        if self._native is None:
            return False
        if self._virials is None or "energy" not in self.results:
            found = self._native(atoms, self._check)
            if found is None:
                return False
            energy = float(found.energy.sum())
            self._virials = found.virials
            self.results |= {
                "energy": energy,
                "free_energy": energy,
                "energies": found.energy.copy(),
                "forces": found.forces.copy(),
            }
            if (volume := self._volume(atoms)) is not None:
                self.results["stress"] = voigt(found.virials.sum(axis=0), volume)
        if "stresses" in properties and (volume := self._volume(atoms)) is not None:
            self.results["stresses"] = voigt(self._virials, volume)
        return True

    def structure_tensors(self, atoms: Atoms) -> list[str]:
        """Names of the properties that are tensors of a structure, such as `dipole`, where they are defined.

        A structure with periodic boundaries has no dipole.
        """
        if not isinstance(self.model, TensorModel):
            return []
        outputs = {name: self.model.outputs[output] for name, output in self.tensors.items()}
        return [
            name
            for name, output in outputs.items()
            if not output.of_atoms and not (output.kind.startswith("dipole") and atoms.pbc.any())
        ]

    def _tensors(self) -> dict[str, str]:
        """Names of the model's outputs by property: ASE's `dipole` and `charges`, and those with other names.

        An output with the name of another ASE property is left out.
        """
        names = {}
        if isinstance(self.model, TensorModel):
            for name, output in self.model.outputs.items():
                kind = "dipole" if output.kind.startswith("dipole") else output.kind
                if kind in ("dipole", "charges") and kind not in names:
                    names[kind] = name
                elif name not in all_properties:
                    names[name] = name
        return names

    def _check(self, atoms: Atoms) -> None:
        if len(atoms) == 0:
            raise ValueError("atoms: expected at least one atom, got an empty structure")
        invalid = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
        if len(invalid):
            raise ValueError(
                f"positions: expected finite numbers, those of {_listed(atoms, invalid)} are not finite"
            )
        if not np.isfinite(atoms.cell.array).all():
            raise ValueError(f"cell: expected finite numbers, got {atoms.cell.array.tolist()}")
        unknown = np.flatnonzero(~np.isin(atoms.numbers, self.model.species))
        if len(unknown):
            known = ", ".join(chemical_symbols[z] for z in self.model.species)
            raise ValueError(f"species: the model was trained on {known}, not on {_listed(atoms, unknown)}")

    def _graph(self, atoms: Atoms) -> AtomGraph:
        pos, edge_index, edge_shift = self.neighbors(atoms)
        floats = {"device": self.device, "dtype": self.dtype}
        return AtomGraph(
            pos=pos.to(self.dtype),
            z=torch.from_numpy(atoms.numbers.astype(np.int64)).to(self.device),
            cell=torch.from_numpy(np.array(atoms.cell.array, dtype=np.float64, order="C")).to(**floats)[None],
            pbc=torch.from_numpy(atoms.pbc.astype(bool)).to(self.device)[None],
            edge_index=edge_index,
            edge_shift=edge_shift.to(self.dtype),
        )


def _same_cell(a: Atoms, b: Atoms) -> bool:
    """Whether two structures have the same elements, cell and periodicity, bit for bit."""
    return (
        a.numbers.tobytes() == b.numbers.tobytes()
        and a.cell.array.tobytes() == b.cell.array.tobytes()
        and a.pbc.tobytes() == b.pbc.tobytes()
    )


def _loaded(
    path: str | os.PathLike[str], *, device: torch.device | str, dtype: torch.dtype | None
) -> ForceField | TensorModel:
    """Load a force field or tensor model; ValueError if the file holds another model."""
    from symnets.models import load

    model = load(path, device=device, dtype=dtype)
    if isinstance(model, ForceField | TensorModel):
        return model
    return load(path, ForceField)  # raises ValueError with the class of the model


def _listed(atoms: Atoms, indices: np.ndarray) -> str:
    """Atoms by symbol and index, such as `N (atom 3), N (atom 7)`; at most five."""
    names = ", ".join(f"{atoms.symbols[i]} (atom {i})" for i in indices[:5])
    return names + (f" and {len(indices) - 5} more" if len(indices) > 5 else "")
