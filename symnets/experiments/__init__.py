"""Experiments, one phenomenon a module, and what runs them on grids.

Nothing is imported here: `from symnets.experiments import jamming_plane` takes the experiment,
`from symnets.experiments.sweep import sweep` what runs it.
"""
