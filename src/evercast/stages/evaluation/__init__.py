"""Stage evaluation: what the networks of an ensemble say of the events of every sample, and what it is worth."""

from __future__ import annotations

from evercast.plan.recipes import EvaluationRecipe, Task
from evercast.runtime.device import configure_device
from evercast.stages.evaluation.polynomials import evaluate_polynomials
from evercast.stages.evaluation.ratios import evaluate_ratios
from evercast.stages.evaluation.replicas import evaluate_replicas
from evercast.stages.evaluation.variations import evaluate_variations

__all__ = ["run"]


def run(task: Task[EvaluationRecipe]) -> None:
    """Evaluate the networks and write ``SAMPLE.zarr`` for each sample and ``diagnostics.json``.

    Raises:
        IntegrityError: an input is damaged, or blocks do not make up the ensemble (``evaluation.blocks``).
        InvalidInput: ``training.*`` or ``evaluation.*``, events that cannot be evaluated; ``systematic.identical``.
        NumericalFailure: ``evaluation.not-finite`` or ``evaluation.normalisation``.
        EnvironmentUnfit: ``disk.full`` or ``disk.read-only``; ``device.no-gpu``.
    """
    device = task.recipe.ensemble.training.device
    configure_device(threads=task.threads, cache=task.compiled_functions(), gpus=task.gpus, device=device)
    match task.recipe.learned:
        case "ratio":
            evaluate_ratios(task)
        case "variation":
            evaluate_variations(task)
        case "polynomial":
            evaluate_polynomials(task)
        case "replicas":
            evaluate_replicas(task)
