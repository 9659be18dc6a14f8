"""Who made an analysis, and whose data it is of: two things that a publication never takes for one."""

from __future__ import annotations

from typing import Final

from evercast.plan.recipes import ReportRecipe
from evercast.runtime.plans import FrozenPlan
from evercast.spec.model import Analysis, Author

__all__ = ["UNNAMED", "author_line", "is_person", "is_pseudo", "orcid_url", "origin_of"]

UNNAMED: Final = "the authors of this analysis"
"""What stands in place of the authors where the document names none."""


def author_line(analysis: Analysis) -> str:
    """Return the authors in one line, or `UNNAMED`.

    Args:
        analysis: the document.
    """
    return "; ".join(author.name for author in analysis.metadata.authors) or UNNAMED


def origin_of(analysis: Analysis, *, pseudo: bool) -> str:
    """Return whose data were analysed, as a sentence without its end.

    Args:
        analysis: the document.
        pseudo: the observed events were drawn from simulation.
    """
    experiment = analysis.metadata.experiment
    return f"Data: simulated pseudo-data; experiment: {experiment}" if pseudo else f"Data: {experiment}"


def is_pseudo(frozen: FrozenPlan) -> bool:
    """Return whether the observed events of a run were drawn from simulation."""
    recipes = [unit.recipe for unit in frozen.plan.of_stage("report")]
    return any(isinstance(recipe, ReportRecipe) and recipe.pseudo for recipe in recipes)


def is_person(author: Author) -> bool:
    """Return whether the name is that of a person: family name, comma, given names."""
    family, comma, given = author.name.partition(",")
    return bool(comma and family.strip() and given.strip()) and "," not in given


def orcid_url(author: Author) -> str | None:
    """Return the ORCID iD of an author as an address; None without one."""
    return None if author.orcid is None else f"https://orcid.org/{author.orcid}"
