"""The signals of a request as a pyhf patchset, with the digest of the background that they belong to."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evercast.reinterpretation.requests.frozen import FrozenRequest

__all__ = ["patchset_of"]


def patchset_of(frozen: FrozenRequest) -> dict[str, object]:
    """Return the patchset of all points: valid by the schema of pyhf, its digest that of the background.

    pyhf wants the same number of values for each patch, names of letters, digits and '_', and an INSPIRE number: points
    without values are numbered, other characters become '_', and where the analysis states no number it is 0000000.
    """
    points, analysis = frozen.points, frozen.analysis
    count = len(analysis.axes)
    placed = count > 0 and all(len(point.values) == count for point in points)
    labels = [axis.name for axis in analysis.axes] if placed else ["number"]
    names = _names([point.name for point in points])
    return {
        "version": "1.0.0",
        "metadata": {
            "references": {"hepdata": f"ins{analysis.metadata.inspire_id or 0:07d}"},
            "description": f"signals of the request {frozen.request['name']} for {analysis.name}, {frozen.likelihood}",
            "digests": {"sha256": analysis.likelihoods[frozen.likelihood].background.sha256},
            "labels": labels,
        },
        "patches": [
            {
                "metadata": {"name": names[point.name], "values": list(point.values) if placed else [number]},
                "patch": list(frozen.patch(point)),
            }
            for number, point in enumerate(points)
        ],
    }


def _names(names: list[str]) -> Mapping[str, str]:
    """Return name -> a name of letters, digits and '_', each used once."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        taken = set(found.values())
        found[name] = (
            plain
            if plain not in taken
            else next(other for number in range(2, len(names) + 2) if (other := f"{plain}_{number}") not in taken)
        )
    return found
