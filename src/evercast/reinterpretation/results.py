"""Results of a replay against the archived ones, number by number, in units of the stated uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from evercast.publication.report.view import JsonView
from evercast.publication.results import quantity_of
from evercast.reinterpretation.verdict import Verdict, worst
from evercast.spec.model import Expected, Tolerances
from evercast.spec.quantities import OUTCOMES

__all__ = ["DeclaredRow", "ResultRow", "compare_declared", "compare_result", "worst_row"]

_TEXTS: Final = (("status",), ("guard", "passed"), ("observed", "status"), ("expected", "status"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One number of a fit, archived and made anew; None where one of them was not computed.

    Args:
        quantity: as in the ``expected`` of a document, or ``twice_nll`` and ``p``.
        sigma: stated uncertainty of the archived number; None where there is none.
        tolerance: largest difference that is allowed; None: it is shown and not judged.
        rule: the tolerance in words.
        main: whether it is about the parameter of interest.
    """

    quantity: str
    old: float | str | None
    new: float | str | None
    sigma: float | None
    tolerance: float | None
    rule: str
    main: bool
    verdict: Verdict

    @property
    def difference(self) -> float | None:
        """New less archived; None where one of them is no number."""
        if isinstance(self.old, str) or isinstance(self.new, str) or self.old is None or self.new is None:
            return None
        return self.new - self.old


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredRow:
    """One number that the document declares under ``expected``."""

    key: str
    value: float
    tolerance: float
    old: float | None
    new: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """How rows are judged: with the archived networks, or with networks trained anew."""

    tolerances: Tolerances
    retrained: bool
    noise: float | None

    @property
    def sigma(self) -> float:
        return self.tolerances.retraining.sigma if self.retrained else self.tolerances.results.sigma


def compare_result(
    old: JsonView, new: JsonView, tolerances: Tolerances, *, retrained: bool, noise: float | None = None
) -> tuple[ResultRow, ...]:
    """Return the rows of one likelihood.

    Args:
        old: archived ``result.json``.
        new: the one made anew.
        tolerances: of the document.
        retrained: whether networks behind it have other weights than the archived ones.
        noise: bootstrap error of the archived ensemble on the parameter of interest; None where it is not known.
    """
    return tuple(_rows(old, new, _Rule(tolerances=tolerances, retrained=retrained, noise=noise)))


def _rows(old: JsonView, new: JsonView, rule: _Rule) -> Iterator[ResultRow]:
    poi = old.text("poi") or new.text("poi") or ""
    for keys in _TEXTS:
        yield from _text_row(old, new, keys)
    for prefix in OUTCOMES:
        side = "expected" if prefix else "observed"
        names = [name for name, _ in old.items(side, "fit", "parameters")]
        names += [name for name, _ in new.items(side, "fit", "parameters") if name not in names]
        poi_sigma = quantity_of(old, f"{prefix}{poi}_uncertainty")
        for name in sorted(names, key=lambda name: name != poi):
            sigma = quantity_of(old, f"{prefix}{name}_uncertainty")
            for kind in ("hat", "uncertainty"):
                yield from _number(old, new, f"{prefix}{name}_{kind}", sigma, rule, main=name == poi)
        for name in ("interval_low", "interval_high", "limit"):
            yield from _number(old, new, prefix + name, poi_sigma, rule, main=True)
        yield from _number(old, new, f"{prefix}significance", 1.0, rule, main=True)
        yield from _likelihood_row(old, new, side, prefix, rule)


def _text_row(old: JsonView, new: JsonView, keys: tuple[str, ...]) -> Iterator[ResultRow]:
    before, after = (view.at(*keys).value for view in (old, new))
    if before is None and after is None:
        return
    yield ResultRow(
        quantity=".".join(keys), old=str(before), new=str(after), sigma=None, tolerance=None, rule="equal", main=False,
        verdict="same-bits" if before == after else "differs",
    )  # fmt: skip


def _number(
    old: JsonView, new: JsonView, quantity: str, sigma: float | None, rule: _Rule, *, main: bool
) -> Iterator[ResultRow]:
    before, after = quantity_of(old, quantity), quantity_of(new, quantity)
    if before is None and after is None:
        return
    numeric = rule.tolerances.numeric
    allowed = numeric.abs + numeric.rel * abs(before or 0.0)
    text = f"{numeric.abs:g} + {numeric.rel:g} |x|"
    if sigma is not None and sigma > 0.0:
        allowed, text = rule.sigma * sigma, f"{rule.sigma:g} sigma"
    if rule.retrained and main and rule.noise is not None and quantity.endswith("_hat"):
        noise = rule.tolerances.retraining.noise * math.sqrt(2.0) * rule.noise
        if noise < allowed:
            allowed, text = noise, f"{rule.tolerances.retraining.noise:g} bootstrap errors of the ensembles"
    yield _judged(quantity, before, after, sigma=sigma, allowed=allowed, rule=rule, text=text, main=main)


def _likelihood_row(old: JsonView, new: JsonView, side: str, prefix: str, rule: _Rule) -> Iterator[ResultRow]:
    """Yield 2 NLL, whose value has a meaning with the same networks only, and the p-value."""
    asked = (
        ("twice_nll", ("fit", "twice_nll"), rule.tolerances.results.twice_nll),
        ("p", ("significance", "p"), rule.tolerances.results.probability),
    )
    for name, keys, allowed in asked:
        before, after = old.number(side, *keys), new.number(side, *keys)
        if before is None and after is None:
            continue
        text = "shown only: it follows the networks" if rule.retrained else f"{allowed:g}"
        tolerance = None if rule.retrained else allowed
        yield _judged(prefix + name, before, after, sigma=None, allowed=tolerance, rule=rule, text=text, main=False)


def _judged(
    quantity: str, old: float | None, new: float | None, *,
    sigma: float | None, allowed: float | None, rule: _Rule, text: str, main: bool,
) -> ResultRow:  # fmt: skip
    verdict: Verdict = "differs"
    if old is not None and new is not None:
        if old == new:
            verdict = "same-bits"
        elif allowed is None:
            verdict = "not-compared"
        elif abs(new - old) <= allowed:
            verdict = "statistical" if rule.retrained else "numeric"
    return ResultRow(
        quantity=quantity, old=old, new=new, sigma=sigma, tolerance=allowed, rule=text, main=main, verdict=verdict
    )


def compare_declared(
    declared: Mapping[str, Expected], *, old: Mapping[str, JsonView], new: Mapping[str, JsonView]
) -> tuple[DeclaredRow, ...]:
    """Return every number that the document declares, with the archived and the new one.

    Args:
        declared: ``LIKELIHOOD.QUANTITY`` -> number and tolerance.
        old: likelihood -> archived result.
        new: likelihood -> result made anew; one that was not made anew is not judged.
    """
    return tuple(_declared(key, number, old, new) for key, number in declared.items())


def _declared(
    key: str, declared: Expected, old: Mapping[str, JsonView], new: Mapping[str, JsonView]
) -> DeclaredRow:  # fmt: skip
    likelihood, _, quantity = key.partition(".")
    before = quantity_of(old[likelihood], quantity) if likelihood in old else None
    after = quantity_of(new[likelihood], quantity) if likelihood in new else None
    tolerance = declared.tolerance()
    verdict: Verdict = "not-compared"
    if likelihood in new:
        close = after is not None and abs(after - declared.value) <= tolerance
        verdict = "differs" if not close else "same-bits" if after == declared.value else "numeric"
    return DeclaredRow(key=key, value=declared.value, tolerance=tolerance, old=before, new=after, verdict=verdict)


def worst_row(rows: tuple[ResultRow, ...]) -> Verdict:
    """Return the verdict on a likelihood."""
    return worst(row.verdict for row in rows)
