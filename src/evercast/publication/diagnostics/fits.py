"""Checks of the fits: coverage (11), noise of the ensemble (6), and what is said of every fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scipy import stats

from evercast.publication.diagnostics import thresholds
from evercast.publication.diagnostics.check import (
    Check,
    Status,
    Topic,
    check_id,
    judged,
    not_applicable,
    shared_out,
    topic,
)
from evercast.publication.diagnostics.contents import RunContents
from evercast.publication.report.units import of_stage
from evercast.publication.report.view import JsonView, read_view
from evercast.publication.results import LikelihoodResult, quantity_of
from evercast.spec.model import Expected

__all__ = ["fit_checks", "selection_checks"]


def fit_checks(run: RunContents) -> Iterator[Check]:
    """Yield the checks of every fit, of the studies of coverage, and of the numbers that the document declares.

    Raises:
        IntegrityError: a file of the run is damaged.
    """
    results = run.results()
    for result in results:
        yield _guard(result)
        if result.trusted:
            yield from _observed(result)
        yield from _coverage(run, result.name)
        yield from _drawn(run, result.name)
        yield from _ensemble_noise(run, result.name)
    if not run.pseudo():
        for key, number in run.analysis.expected.items():
            yield _declared(key, number, run)


def _plain(name: str, subject: str, *identity: str) -> Topic:
    return Topic(id=check_id(*identity), name=name, number=None, subject=subject)


def _guard(result: LikelihoodResult) -> Check:
    about = _plain("fit guard", result.name, "guard", result.name)
    bound = [
        name for side in (result.observed,) if side is not None for name, p in side.parameters.items() if p.at_bound
    ]
    status: Status = "red" if not result.trusted else "amber" if bound else "green"
    text = "; ".join((result.status, *result.guard)) or result.status
    if bound:
        text += f"; at a bound: {', '.join(bound)}"
    return Check(id=about.id, name=about.name, number=None, subject=about.subject, status=status, message=text)


def _observed(result: LikelihoodResult) -> Iterator[Check]:
    """Yield the distance of the observed from the expected result, where both are there."""
    observed, expected = result.observed, result.expected
    if observed is None or expected is None or not expected.uncertainty:
        return
    if observed.value is None or expected.value is None:
        return
    distance = abs(observed.value - expected.value) / expected.uncertainty
    yield judged(
        _plain("observed against expected", result.name, "distance", result.name), distance,
        thresholds.DISTANCE_OF_DATA, f"the observed best value is {distance:.1f} expected uncertainties away",
    )  # fmt: skip


def _coverage(run: RunContents, likelihood: str) -> Iterator[Check]:
    studies = [
        (unit.name, body)
        for unit in of_stage(run.units, "study")
        if (body := read_view(unit.folder / "result.json")).text("purpose") == "coverage"
        and body.text("likelihood") == likelihood
    ]
    if not studies:
        reason = "the document has no study with purpose coverage for this likelihood"
        yield not_applicable(topic(11, None, likelihood, "coverage", likelihood), reason)
    for name, body in studies:
        yield _one_coverage(topic(11, name, likelihood, "coverage", name), body)


def _drawn(run: RunContents, likelihood: str) -> Iterator[Check]:
    """Yield how many independent events stand behind those that the pseudo-experiments of each study draw."""
    for unit in of_stage(run.units, "study"):
        body = read_view(unit.folder / "result.json")
        if body.text("likelihood") != likelihood:
            continue
        for channel, entry in body.items("simulation"):
            expected, size = entry.number("expected_events"), entry.number("effective_sample_size")
            if expected is None or not size:
                continue
            ratio = expected / size
            yield judged(
                topic(5, "events behind pseudo-experiments", f"{unit.name}, {channel}", "drawn", unit.name, channel),
                ratio, thresholds.DRAWN_EVENTS,
                f"{expected:.4g} events are expected, drawn from simulated events worth {size:.4g}: the best fits of "
                f"all pseudo-experiments share a shift of about {ratio**0.5:.2g} standard deviations",
            )  # fmt: skip


def _one_coverage(about: Topic, body: JsonView) -> Check:
    points = [found for entry in body.entries("coverage") if (found := _covered(entry)) is not None]
    if not points:
        failed = body.text("status") == "failed"
        why = f"the study failed: {body.text('reason')}" if failed else "the study holds no coverage"
        return not_applicable(about, why)
    limits = shared_out(thresholds.COVERAGE, len(points))
    worst = min(points, key=lambda item: item.p)
    figure = {
        "kind": "coverage", "confidence_level": [item.level for item in points],
        "value": [item.value for item in points], "covered": [item.share * item.toys for item in points],
        "toys": [item.toys for item in points],
    }  # fmt: skip
    return judged(
        about, abs(worst.share - worst.level), limits,
        f"{100 * worst.share:.1f} % of {worst.toys} pseudo-experiments at {worst.value:g} hold the true value at "
        f"{100 * worst.level:.4g} % confidence level (asymptotic intervals), p = {worst.p:.2g}, the least likely of "
        f"{len(points)}",
        p=worst.p, figure=figure,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Covered:
    value: float
    level: float
    share: float
    toys: int
    p: float


def _covered(entry: JsonView) -> _Covered | None:
    """Return one line of the coverage of a study; None where it is not whole."""
    value, level, share = entry.number("value"), entry.number("confidence_level"), entry.number("asymptotic")
    toys = entry.whole("toys")
    if value is None or level is None or share is None or not toys:
        return None
    p = _p_binomial(round(share * toys), toys, level)
    return _Covered(value=value, level=level, share=share, toys=toys, p=p)


def _p_binomial(covered: int, toys: int, level: float) -> float:
    return float(stats.binomtest(min(covered, toys), toys, level).pvalue)


def _ensemble_noise(run: RunContents, likelihood: str) -> Iterator[Check]:
    unit = run.unit("training_statistics", likelihood)
    if unit is None:
        return
    body = read_view(unit.folder / "result.json")
    sigma = body.number("expected", "sigma")
    noise = body.number("expected", "estimates", "ensemble_noise", "sigma")
    if sigma is None or noise is None or not sigma > 0:
        return
    yield judged(
        topic(6, "noise of the ensemble", likelihood, "ensemble-noise", likelihood), noise / sigma,
        thresholds.ENSEMBLE_NOISE,
        f"resampling the members of the ensemble moves the parameter of interest by {noise:.3g}, "
        f"{noise / sigma:.2g} of its uncertainty",
    )  # fmt: skip


def _declared(key: str, declared: Expected, run: RunContents) -> Check:
    """Return the comparison with a number of the document; what was not computed is to be looked at."""
    about = _plain(f"{key}, as declared in the document", key.partition(".")[0], "declared", key)
    tolerance = declared.tolerance()
    found = declared_quantity(run, key)
    if found is None:
        text = f"{declared.value:g} ± {tolerance:g} wanted, not computed"
        return Check(id=about.id, name=about.name, number=None, subject=about.subject, status="amber", message=text)
    close = abs(found - declared.value) <= tolerance
    return Check(
        id=about.id, name=about.name, number=None, subject=about.subject, status="green" if close else "red",
        value=found, message=f"{found:.5g} found, {declared.value:g} ± {tolerance:g} wanted",
    )  # fmt: skip


def declared_quantity(run: RunContents, key: str) -> float | None:
    """Return the number behind ``LIKELIHOOD.QUANTITY`` of a run, None where it was not computed.

    The names of quantities are those of `evercast.spec.quantities`.
    """
    likelihood, _, quantity = key.partition(".")
    return quantity_of(run.result_view(likelihood), quantity)


def selection_checks(run: RunContents) -> Iterator[Check]:
    """Yield the effective sample size of every simulated sample in every region.

    Raises:
        IntegrityError: a summary is not JSON.
    """
    for unit in of_stage(run.units, "selection"):
        summary = read_view(unit.folder / "summary.json")
        if summary.text("role") == "data":
            continue
        for region, body in summary.items("regions"):
            size = body.number("effective_sample_size")
            if size is not None and (body.number("events") or 0) > 0:
                yield judged(
                    _plain("selected events", f"{unit.name} in {region}", "selected", unit.name, region),
                    max(size, 1e-9) ** -0.5, thresholds.SELECTED_EVENTS,
                    f"{size:.0f} effective events; the value is 1/√N",
                )  # fmt: skip
