"""Packings of harmonic spheres: their energy, its minima, contacts, and the way down to the jamming point."""
