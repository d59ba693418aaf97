"""One number for all species, or one for each."""

from collections.abc import Sequence


def per_species(name: str, value: float | Sequence[float], n_species: int) -> tuple[float, ...]:
    """`value` for each of `n_species` species, in order of atomic number."""
    if isinstance(value, int | float):
        return (float(value),) * n_species
    if len(value) != n_species:
        raise ValueError(f"{name}: expected one number or {n_species} (one a species), got {len(value)}")
    return tuple(float(v) for v in value)
