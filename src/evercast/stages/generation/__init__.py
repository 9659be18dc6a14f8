"""Stage generation: simulated events of one part of a generator."""

from evercast.stages.generation.pythia import GenerationSummary, pythia_seed, run

__all__ = ["GenerationSummary", "pythia_seed", "run"]
