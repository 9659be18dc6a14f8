"""Real or simulated observed events: the decision, taken before the plan is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from evercast.errors import EnvironmentUnfit
from evercast.events.sources import available, fetch_source, search_path_from_environment
from evercast.plan import used_sources
from evercast.plan.recipes import FetchRecipe
from evercast.runtime.plans import FrozenPlan, plan_document
from evercast.runtime.receipts import is_finished
from evercast.spec.model import Source

__all__ = ["bring_sources", "decide_pseudo_data"]


def decide_pseudo_data(document: Path, *, mode: str) -> tuple[bool, str]:
    """Return whether the observed events are to be drawn from simulation, and why, as text for the screen.

    Args:
        document: the analysis.
        mode: never, if-unavailable or always.

    Raises:
        InvalidInput: the document is not valid.
    """
    if mode == "always":
        return True, "the observed events are simulated pseudo-data, as asked"
    if mode == "never":
        return False, "the observed events are those of the document"
    analysis, plan = plan_document(document, pseudo=False)
    names = used_sources(plan)
    if not names:
        return False, "the observed events are those of the document"
    missing = _first_missing({name: analysis.sources[name] for name in names})
    if missing is None:
        return False, f"real data: all {len(names)} public files are at hand"
    name, reason = missing
    return True, f"SIMULATED PSEUDO-DATA, because the public file {name} cannot be had: {reason}"


def bring_sources(frozen: FrozenPlan) -> None:
    """Bring the public files that a run still needs into the cache, so that one that cannot be had stops it at once.

    Raises:
        EnvironmentUnfit: ``source.unavailable``.
        IntegrityError: ``source.checksum``.
    """
    place = search_path_from_environment(os.environ)
    for unit in frozen.plan.units:
        recipe = unit.recipe
        if isinstance(recipe, FetchRecipe) and not is_finished(unit, receipt_file=frozen.folder.receipt(unit)):
            fetch_source(recipe.source, place)


def _first_missing(sources: Mapping[str, Source]) -> tuple[str, str] | None:
    """Return the first source that neither cache, search path nor network have, and why; None where all can be had."""
    place = search_path_from_environment(os.environ)
    for name, source in sources.items():
        if available(source, place):
            continue
        try:
            fetch_source(source, place)
        except EnvironmentUnfit as err:
            return name, err.message
    return None
