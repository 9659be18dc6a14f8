"""An answer with what its derived run says beside it: checks, shapes, scans, the updated bundle."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from evercast.artifacts.event_table import read_event_table
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.report.checks import Diagnostics
from evercast.publication.report.view import JsonView
from evercast.reinterpretation.neural.answers import (
    ModelPointAnswer,
    ParametrisationAnswer,
    ProcessAnswer,
)
from evercast.reinterpretation.neural.contents import checks_of, run_contents
from evercast.reinterpretation.neural.frozen import FrozenNeural
from evercast.reinterpretation.neural.shapes import Distribution, distributions
from evercast.reinterpretation.neural.updated import UpdatedBundle

__all__ = ["AnyAnswer", "PointParts", "Scan", "point_parts"]

AnyAnswer = ProcessAnswer | ModelPointAnswer | ParametrisationAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """-2 ln of the profile likelihood ratio: values of the parameter, and the ratio there, None where a fit failed."""

    data: str
    values: tuple[float, ...]
    ratio: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointParts:
    """An answer with what its derived run says beside it.

    Args:
        answer: to one point.
        sample: name of the new sample; None without one.
        contents: the derived run; None where there is none.
        checks: of the new term.
        shapes: the signal beside what the archive has.
        scans: of the parameter of interest.
        bundle: the updated one; `bundle_folder` below the response; `bundle_reason` why there is none.
    """

    answer: AnyAnswer
    sample: str | None = None
    contents: RunContents | None = None
    checks: Diagnostics = field(default_factory=Diagnostics)
    shapes: tuple[Distribution, ...] = ()
    scans: tuple[Scan, ...] = ()
    bundle: UpdatedBundle | None = None
    bundle_folder: str | None = None
    bundle_reason: str | None = None

    def with_bundle(self, made: UpdatedBundle | str, *, folder: str) -> PointParts:
        """Return the parts with a bundle, or with why there is none."""
        if isinstance(made, str):
            return replace(self, bundle_reason=made)
        return replace(self, bundle=made, bundle_folder=folder)


def point_parts(answer: AnyAnswer, frozen: FrozenNeural) -> PointParts:
    """Return an answer with its checks, shapes and scans, read from the derived run.

    Raises:
        IntegrityError: a file of the run is damaged.
    """
    if isinstance(answer, ParametrisationAnswer):
        return PointParts(answer=answer)
    sample = None if answer.selection is None else read_event_table(answer.selection / "events.zarr").sample
    if answer.plan is None or answer.status not in {"ok", "at-bound"}:
        reason = "the signal was not added to the likelihood" if isinstance(answer, ProcessAnswer) else None
        return PointParts(answer=answer, sample=sample, bundle_reason=reason)
    contents = run_contents(answer.plan)
    wanted = frozen.asked().wanted
    names = {answer.likelihood, *([sample] if sample else [])}
    if isinstance(answer, ProcessAnswer):
        names.add(answer.process)
    shapes = (
        distributions(contents, likelihood=answer.likelihood, signal=sample, observed=wanted.observed) if sample else ()
    )
    scans = _scans(contents.result_view(answer.likelihood)) if isinstance(answer, ProcessAnswer) else ()
    return PointParts(
        answer=answer, sample=sample, contents=contents, checks=checks_of(contents, names), shapes=shapes, scans=scans,
        bundle_reason="the derived run is not at hand" if answer.run is None else None,
    )  # fmt: skip


def _scans(result: JsonView) -> tuple[Scan, ...]:
    found = []
    for side in ("observed", "expected"):
        values, ratio = result.numbers(side, "scan", "values"), result.numbers(side, "scan", "t")
        if values.size > 1 and values.shape == ratio.shape:
            data = "observed" if side == "observed" else result.text(side, "asimov") or "expected"
            finite = tuple(float(value) if np.isfinite(value) else None for value in ratio)
            found.append(Scan(data=data, values=tuple(values.tolist()), ratio=finite))
    return tuple(found)
