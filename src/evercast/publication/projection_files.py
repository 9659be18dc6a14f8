"""What the binned projection adds to a bundle: a pyhf workspace, formulas beside it, a reader, its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np

from evercast.artifacts.files import atomic_write_bytes, atomic_write_json
from evercast.errors import InvalidInput, NumericalFailure
from evercast.inference.fit import fit
from evercast.likelihood.evaluate import Likelihood
from evercast.publication.bundle_context import BundleContext
from evercast.publication.projection import Projection, project
from evercast.publication.projection_compare import compare_with_likelihood, compare_with_pyhf
from evercast.publication.projection_text import projection_section
from evercast.publication.pyhf_checks import require_sound_workspace
from evercast.publication.pyhf_workspace import Export, workspace_of
from evercast.publication.report.view import JsonView

__all__ = ["PARAMETRISATION_FILE", "PROJECTION_FILE", "add_projection"]

PROJECTION_FILE: Final = "projection.json"
PARAMETRISATION_FILE: Final = "projection_parametrisation.json"
READER_FILE: Final = "read_projection.py"


def add_projection(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Write ``projection.json`` and what belongs to it; return what the manifest says of it.

    Where no projection can be made (no simulated events, no parameter of interest, templates that are negative, a fit
    that fails) the manifest says why, and there is no file.

    Raises:
        InvalidInput: ``publication.workspace``: the projection is not sound.
        EnvironmentUnfit: the disk refuses.
    """
    uncertainty = _expected_uncertainty(context)
    if uncertainty is None:
        return {"made": False, "reason": "there is no expected uncertainty of the parameter of interest"}
    try:
        projection = project(context.model, uncertainty=uncertainty)
        export = workspace_of(projection.model, measurement=context.analysis.name)
        said = _statement(projection, export, context)
    except (InvalidInput, NumericalFailure) as err:
        return {"made": False, "reason": err.message, "code": err.code}
    require_sound_workspace(export.workspace, where=PROJECTION_FILE)
    atomic_write_json(folder / PROJECTION_FILE, export.workspace)
    if export.parametrisation is not None:
        atomic_write_json(folder / PARAMETRISATION_FILE, export.parametrisation)
    reader = resources.files("evercast.publication.shipped").joinpath(READER_FILE)
    atomic_write_bytes(folder / READER_FILE, reader.read_bytes())
    readme = folder / "README.md"
    if readme.is_file():
        atomic_write_bytes(readme, readme.read_bytes().rstrip() + b"\n\n" + projection_section(said).encode())
    return said


def _expected_uncertainty(context: BundleContext) -> float | None:
    """Return the expected standard deviation of the parameter of interest, or half of its interval."""
    view = JsonView(dict(context.result))
    found = view.number("expected", "fit", "parameters", str(view.text("poi")), "uncertainty")
    low, high = view.number("expected", "interval", "low"), view.number("expected", "interval", "high")
    return found or (None if low is None or high is None else (high - low) / 2)


def _statement(projection: Projection, export: Export, context: BundleContext) -> dict[str, object]:
    likelihood = Likelihood(projection.model)
    points = {"initial values": likelihood.initial, "best fit": fit(likelihood).theta}
    discriminant = projection.discriminant
    return {
        "made": True,
        "file": PROJECTION_FILE,
        "parametrisation": None if export.parametrisation is None else PARAMETRISATION_FILE,
        "reader": READER_FILE,
        "observable": {
            "formula": "ln lambda(x | high) / lambda(x | low)",
            "parameter": discriminant.poi,
            "low": discriminant.low,
            "high": discriminant.high,
        },
        "channels": {
            name: {
                "inner_edges": bins.edges.tolist(),
                "effective_events": np.round(bins.effective, 1).tolist(),
                "information": bins.information,
                "information_of_events": bins.unbinned,
            }
            for name, bins in projection.bins.items()
        },
        "approximations": [*projection.dropped, *export.approximations],
        "comparison": compare_with_likelihood(likelihood, context.result, inference=context.analysis.inference),
        "pyhf": compare_with_pyhf(likelihood, export, points),
    }
