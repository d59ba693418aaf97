"""Layers, one concept a file, each with its irreps in and out."""

from symnets.nn.atomic_energy import AtomicEnergy
from symnets.nn.convolution import Convolution
from symnets.nn.edges import EdgeGeometry, Edges
from symnets.nn.gate import Gate
from symnets.nn.interaction import Interaction
from symnets.nn.linear import Linear
from symnets.nn.many_body_interaction import ManyBodyInteraction
from symnets.nn.many_body_product import ManyBodyProduct
from symnets.nn.mlp import MLP
from symnets.nn.radial import BesselBasis, polynomial_envelope
from symnets.nn.sine_basis import SineBasis
from symnets.nn.species import SpeciesIndex, species_numbers
from symnets.nn.species_linear import SpeciesLinear
from symnets.nn.xplor import xplor_envelope
from symnets.ops.layout import blocks, from_e3nn, join, to_e3nn

__all__ = [
    "MLP",
    "AtomicEnergy",
    "BesselBasis",
    "Convolution",
    "EdgeGeometry",
    "Edges",
    "Gate",
    "Interaction",
    "Linear",
    "ManyBodyInteraction",
    "ManyBodyProduct",
    "SineBasis",
    "SpeciesIndex",
    "SpeciesLinear",
    "blocks",
    "from_e3nn",
    "join",
    "polynomial_envelope",
    "species_numbers",
    "to_e3nn",
    "xplor_envelope",
]
