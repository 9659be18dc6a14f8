"""Where everything came from: versions, digests, seeds and times of every unit, as a document and as tables."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from evercast.publication.report.blocks import Block, Cell, Section, Table
from evercast.publication.report.units import Unit
from evercast.publication.report.view import JsonView
from evercast.spec.model import Analysis

__all__ = ["provenance_document", "provenance_section"]

_PACKAGES = (
    "evercast", "numpy", "jax", "equinox", "optax", "iminuit", "pyhf", "awkward", "uproot", "zarr", "snakemake",
    "pythia8mc",
)  # fmt: skip


def provenance_document(analysis: Analysis, units: tuple[Unit, ...], *, pseudo: bool) -> dict[str, object]:
    """Return the content of ``provenance.json``: nothing in it names a machine, a user or a folder."""
    return {
        "schema": "provenance/1.0.0",
        "analysis": analysis.name,
        "pseudo_data": pseudo,
        "versions": _versions(),
        "sources": {
            name: {"url": source.url, "sha256": source.sha256, "license": source.license}
            for name, source in analysis.sources.items()
        },
        "units": [_unit(unit) for unit in units],
    }


def provenance_section(units: tuple[Unit, ...]) -> Section:
    """Return a table of all units and one of the versions they ran with."""
    rows = tuple(
        (
            Cell(f"{unit.stage}/{unit.name}", "code"),
            Cell((unit.key or "–")[:12], "code"),
            Cell(_number(unit.receipt.number("seconds"), "{:.1f}"), "number"),
            Cell(_number(unit.receipt.number("max_rss_mb"), "{:.0f}"), "number"),
            Cell(_seeds(unit.receipt.at("seeds")), "code"),
            Cell((unit.receipt.text("ended") or "–")[:19].replace("T", " ")),
        )
        for unit in units
    )
    headers = ("unit", "key", "time [s]", "memory [MB]", "seeds", "finished (UTC)")
    blocks: list[Block] = [_version_table(units)]
    blocks.append(Table(title=f"Units of work ({len(rows)})", headers=headers, rows=rows, folded=len(rows) > 25))
    lead = "A key is the digest of a recipe and the keys of its inputs; provenance.json has the digest of every file."
    return Section(anchor="provenance", title="Provenance", lead=lead, blocks=tuple(blocks))


def _unit(unit: Unit) -> dict[str, object]:
    kept = ("versions", "seeds", "started", "ended", "seconds", "max_rss_mb", "files")
    body: dict[str, object] = {"stage": unit.stage, "name": unit.name, "key": unit.key, "inputs": dict(unit.inputs)}
    return body | {name: unit.receipt.at(name).value for name in kept}


def _versions() -> Mapping[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _version_table(units: tuple[Unit, ...]) -> Table:
    seen: dict[str, set[str]] = {name: {text} for name, text in _versions().items() if text}
    for unit in units:
        for package, body in unit.receipt.items("versions"):
            text = body.text()
            if text:
                seen.setdefault(package, set()).add(text)
    rows = tuple((Cell(name, "code"), Cell(", ".join(sorted(texts)))) for name, texts in seen.items())
    note = "More than one version in a line means that units were made with different ones."
    return Table(title="Versions", headers=("package", "version"), rows=rows, note=note, folded=True)


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _seeds(view: JsonView) -> str:
    value = view.value
    if isinstance(value, Mapping):
        texts = [f"{key}={item}" for key, item in value.items() if isinstance(item, int | str)]
    elif isinstance(value, list):
        texts = [str(item) for item in value]
    else:
        texts = [] if value is None else [str(value)]
    return f"{', '.join(texts[:3])}{f' … ({len(texts)})' if len(texts) > 3 else ''}" or "–"
