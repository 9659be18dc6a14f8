"""What those who write a part of a published bundle are given: the run, its document, its results, the likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from evercast.artifacts.files import read_json
from evercast.artifacts.likelihood_file import read_likelihood
from evercast.artifacts.neural_bundle import MANIFEST_FILE
from evercast.errors import IntegrityError
from evercast.likelihood.model import LikelihoodModel
from evercast.plan.recipes import StageName
from evercast.publication.authors import is_pseudo
from evercast.runtime.plans import FrozenPlan
from evercast.spec.model import Analysis

__all__ = ["BundleContext", "PublicationContext"]


@dataclass(frozen=True, kw_only=True, eq=False)
class BundleContext:
    """One likelihood of a finished run, about to be published.

    Args:
        frozen: the plan that was run, with its run folder.
        analysis: the document.
        likelihood: name of the likelihood in the document.
        core: the folder of its core bundle in the run, ``results/NAME/likelihood/LIKELIHOOD``.
        results: content of the run's ``fit.json``.
        diagnostics: content of the run's ``diagnostics.json``.
        said: contributor -> what it says of its files, for those that are called after it.
    """

    frozen: FrozenPlan
    analysis: Analysis
    likelihood: str
    core: Path
    results: Mapping[str, object]
    diagnostics: Mapping[str, object]
    said: dict[str, Mapping[str, object]] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> Mapping[str, object]:
        """The manifest of the core bundle.

        Raises:
            IntegrityError: it is missing or damaged.
        """
        body = read_json(self.core / MANIFEST_FILE)
        if not isinstance(body, dict):
            raise IntegrityError("the manifest is no object", code="bundle.manifest", where=str(self.core))
        return body

    @cached_property
    def model(self) -> LikelihoodModel:
        """The likelihood with its observed data, opened from the core bundle when it is first asked for.

        Raises:
            IntegrityError: a file of the core bundle is missing or damaged.
        """
        return read_likelihood(self.core)

    @property
    def pseudo(self) -> bool:
        """Whether the observed events were drawn from simulation."""
        return is_pseudo(self.frozen)

    @property
    def result(self) -> Mapping[str, object]:
        """The fit result of this likelihood, as in ``fit.json``; empty where the run has none."""
        results = self.results.get("results")
        found = results.get(self.likelihood) if isinstance(results, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def outputs(self, stage: StageName) -> Mapping[str, Path]:
        """Return unit name -> folder with its output, for every unit of a stage of the run.

        Args:
            stage: such as ``selection``; names of its units are those of samples, likelihoods...
        """
        units = self.frozen.plan.of_stage(stage)
        return {unit.name: self.frozen.folder.unit(unit) for unit in units}


@dataclass(frozen=True, kw_only=True, eq=False)
class PublicationContext:
    """A finished run about to be published.

    Args:
        frozen: the plan that was run, with its run folder.
        document: the analysis document that the user named.
        analysis: its content.
        likelihood: folder ``likelihood/`` of the serialization, its files compared with their receipt.
        results: content of ``fit.json``.
        diagnostics: content of ``diagnostics.json``.
        bundles: name -> context of every likelihood that is published as a neural bundle.
        workspace: the likelihood that is published as a pyhf workspace; None where none is.
        key: PEM file of the private Ed25519 key to sign with; None signs nothing.
    """

    frozen: FrozenPlan
    document: Path
    analysis: Analysis
    likelihood: Path
    results: Mapping[str, object]
    diagnostics: Mapping[str, object]
    bundles: Mapping[str, BundleContext]
    workspace: str | None
    key: Path | None = None
