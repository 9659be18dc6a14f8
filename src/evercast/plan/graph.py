"""The plan of an analysis: document in, units with keys out. Pure but for the digests of files beside the document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evercast.plan.builder import Builder
from evercast.plan.keys import canonical_digest
from evercast.plan.learning import add_ensemble
from evercast.plan.model import Plan
from evercast.plan.origins import add_command
from evercast.plan.selections import add_selections, add_varied_selections
from evercast.plan.statistics import add_fit, add_last, add_serialization, add_toys, add_training_statistics
from evercast.spec.codec import to_json
from evercast.spec.model import Analysis

__all__ = ["make_plan", "make_selection_plan", "used_sources"]


def make_plan(
    analysis: Analysis, *, document_folder: Path, pseudo: bool, images: Mapping[str, str] | None = None
) -> Plan:  # fmt: skip
    """Return the plan of an analysis.

    Args:
        analysis: a checked document.
        document_folder: where the relative paths of the document start.
        images: name of an image in the document -> sha256 of the image that it stands for.
        pseudo: draw the observed events from simulation instead of fetching the public ones.

    Raises:
        InvalidInput: a file is missing, a reference does not resolve, or pseudo-data are wanted and not declared.
    """
    builder = Builder(analysis=analysis, folder=document_folder, pseudo=pseudo, images=images or {})
    for stage in analysis.stages:
        add_command(builder, stage)
    add_selections(builder)
    add_varied_selections(builder)
    for ensemble in analysis.ensembles:
        add_ensemble(builder, ensemble)
    add_serialization(builder)
    for likelihood in analysis.likelihoods:
        add_fit(builder, likelihood)
    for study in analysis.inference.toys:
        add_toys(builder, study)
    for likelihood in analysis.likelihoods:
        add_training_statistics(builder, likelihood)
    add_last(builder)
    units = tuple(builder.units.values())
    return Plan(
        name=analysis.name,
        pseudo=pseudo,
        digest=canonical_digest({"units": [unit.id for unit in units], "document": to_json(analysis)}),
        units=units,
        networks=tuple(builder.networks),
        files=builder.files,
    )


def make_selection_plan(
    analysis: Analysis, *, document_folder: Path, images: Mapping[str, str] | None = None
) -> Plan:  # fmt: skip
    """Return the plan of the samples of an analysis alone: where their events come from, and their selection.

    The analysis may have neither observed events nor likelihoods. The units are those of `make_plan` with the same
    keys.

    Raises:
        InvalidInput: a file is missing, or a reference does not resolve.
    """
    builder = Builder(analysis=analysis, folder=document_folder, pseudo=False, images=images or {})
    for stage in analysis.stages:
        add_command(builder, stage)
    add_selections(builder)
    units = tuple(builder.units.values())
    return Plan(
        name=analysis.name,
        pseudo=False,
        digest=canonical_digest(
            {"units": [unit.id for unit in units], "document": to_json(analysis), "only": "events"}
        ),
        units=units,
        files=builder.files,
    )


def used_sources(plan: Plan) -> tuple[str, ...]:
    """Return the names of the public files that a run of the plan needs."""
    return tuple(unit.name for unit in plan.of_stage("fetch"))
