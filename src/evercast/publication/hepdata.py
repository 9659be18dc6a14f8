"""The HEPData part of a publication: a submission directory, its archive, and the analyses JSON that HEPData harvests.

::

    hepdata/submission/submission.yaml, one YAML file per table, pictures, resources
    hepdata/submission.tar.gz          the same, to be uploaded
    hepdata/analyses.json              where implementations are, for HEPData to link to; needs publish.hepdata

Tables are written by hepdata_lib, which is the extra ``hepdata`` of evercast. Its own packing is not used: it
writes into the current folder and calls ImageMagick for pictures.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import yaml

from evercast.artifacts.files import atomic_write_json, disk_errors, read_json
from evercast.errors import EnvironmentUnfit
from evercast.publication.authors import author_line, is_pseudo, origin_of
from evercast.publication.bundle_context import PublicationContext
from evercast.publication.hepdata_analyses import analyses_json
from evercast.publication.hepdata_checks import old_resolver, require_sound_submission
from evercast.publication.hepdata_pictures import write_pictures
from evercast.publication.hepdata_resources import Resource, pack, resources_of
from evercast.publication.hepdata_tables import (
    Column,
    TableContent,
    cut_flow_tables,
    diagnostics_table,
    interval_table,
    parameter_tables,
    scan_tables,
    template_tables,
)
from evercast.publication.licences import LICENCES
from evercast.publication.report.view import JsonView, read_view
from evercast.spec.model import Analysis, BinnedChannel

__all__ = ["write_hepdata"]

_DIGITS: Final = 7
_LONGEST: Final = 64


def write_hepdata(root: Path, context: PublicationContext) -> None:
    """Write the submission, checked by our own rules and by hepdata-validator.

    Args:
        root: the publication; workspaces and bundles of earlier parts become resources.
        context: the run.

    Raises:
        EnvironmentUnfit: ``publication.no-hepdata-lib``; or the disk refuses.
        InvalidInput: ``publication.hepdata`` with all that is wrong with the submission.
    """
    library = _library()
    folder = root / "hepdata" / "submission"
    with disk_errors(folder):
        folder.mkdir(parents=True)
    resources = resources_of(root, context, folder)
    _write_head(library, folder, context, resources)
    for content in _unique(_tables(root, context)):
        _write_table(library, folder, content, context.analysis)
    require_sound_submission(folder)
    pack(folder, root / "hepdata" / "submission.tar.gz", inside="submission")
    harvested = analyses_json(root, context)
    if harvested is not None:
        atomic_write_json(root / "hepdata" / "analyses.json", harvested)


def _library() -> ModuleType:
    try:
        with old_resolver():
            import hepdata_lib  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as err:
        raise EnvironmentUnfit(
            "hepdata_lib is not installed; it writes the tables of a HEPData submission",
            code="publication.no-hepdata-lib",
            hint="install the extra 'hepdata' (README.md of evercast, Installation), or publish the other parts only",
        ) from err
    found: ModuleType = hepdata_lib
    return found


def _tables(root: Path, context: PublicationContext) -> Iterator[TableContent]:
    results = JsonView(dict(context.results))
    yield interval_table(results)
    yield from scan_tables(results)
    yield from parameter_tables(results)
    units = context.frozen.plan.of_stage("selection")
    summaries = {unit.name: context.frozen.folder.unit(unit) / "summary.json" for unit in units}
    yield from cut_flow_tables({name: read_view(path) for name, path in summaries.items() if path.is_file()})
    for path, name, bins in _workspaces(root, context):
        body: Any = read_json(path)
        yield from template_tables(body, name, bins)
    yield diagnostics_table(JsonView(dict(context.diagnostics)))


def _workspaces(
    root: Path, context: PublicationContext
) -> Iterator[tuple[Path, str, Mapping[str, tuple[str, str, Sequence[float]]]]]:
    """Yield the published workspace and the projections, with what is known of their bins."""
    if context.workspace is not None:
        yield context.likelihood / "workspace.json", context.workspace, _bins(context.analysis, context.workspace)
    for name in context.bundles:
        path = root / "bundles" / name / "projection.json"
        if path.is_file():
            yield path, f"projection of {name}", _bins(context.analysis, name)


def _bins(analysis: Analysis, likelihood: str) -> Mapping[str, tuple[str, str, Sequence[float]]]:
    channels = analysis.likelihoods[likelihood].channels
    return {
        name: (channel.observable, analysis.selection.observables[channel.observable].unit, channel.edges)
        for name, channel in channels.items()
        if isinstance(channel, BinnedChannel)
    }


def _unique(tables: Iterator[TableContent]) -> Iterator[TableContent]:
    """Yield the tables under names that are short enough and differ, also as names of files."""
    seen: set[str] = set()
    for content in tables:
        name, number = content.name[:_LONGEST], 2
        while name.lower() in seen:
            end = f" ({number})"
            name, number = content.name[: _LONGEST - len(end)] + end, number + 1
        seen.add(name.lower())
        yield replace(content, name=name)


def _write_head(library: ModuleType, folder: Path, context: PublicationContext, resources: Sequence[Resource]) -> None:
    """Write the first document of ``submission.yaml``: what holds for all tables."""
    metadata = context.analysis.metadata
    submission = library.Submission()
    for resource in (one for one in resources if one.location is not None):
        submission.add_additional_resource(
            resource.description, resource.location, copy_file=False, file_type=resource.kind,
            resource_license=_licence(metadata.license),
        )  # fmt: skip
    left_out = [f"Too large for this record: {one.description}." for one in resources if one.location is None]
    origin = origin_of(context.analysis, pseudo=is_pseudo(context.frozen))
    made = f"Made by {author_line(context.analysis)}. {origin}."
    comment = " ".join(part for part in (context.analysis.title + ".", metadata.description, made, *left_out) if part)
    head: dict[str, object] = {
        "data_license": _licence(metadata.license),
        "comment": comment,
        "additional_resources": submission.additional_resources,
    }
    record = context.analysis.publish.hepdata
    if record is not None:
        head["record_ids"] = [{"type": "inspire", "id": record.inspire_id}]
    with disk_errors(folder):
        text = yaml.safe_dump(head, explicit_start=True, allow_unicode=True, sort_keys=True)
        (folder / "submission.yaml").write_text(text, encoding="utf-8")


def _licence(identifier: str) -> dict[str, str]:
    known = LICENCES.get(identifier)
    if known is None:
        return {"name": identifier, "url": f"https://spdx.org/licenses/{identifier}.html"}
    return {"name": identifier, "url": known.url, "description": f"{known.name}. {known.meaning}"}


def _write_table(library: ModuleType, folder: Path, content: TableContent, analysis: Analysis) -> None:
    """Write a table and its entry in ``submission.yaml``."""
    table = library.Table(content.name)
    table.description, table.location = content.description, "Written by a run of the analysis"
    table.keywords = {
        "cmenergies": [1000.0 * energy for energy in analysis.metadata.sqrt_s_tev],
        "phrases": ["likelihood", "reinterpretation"],
    }
    table.add_data_license(**_licence(analysis.metadata.license))
    for column in content.columns:
        table.add_variable(_variable(library, column))
    if content.drawn:
        stem = content.name.lower().replace(" ", "_")
        for description, location in write_pictures(folder, stem, content):
            table.add_additional_resource(description, location)
    with disk_errors(folder), contextlib.redirect_stdout(io.StringIO()):
        table.write_yaml(str(folder))


def _variable(library: ModuleType, column: Column) -> object:
    binned = bool(column.values) and isinstance(column.values[0], tuple)
    variable = library.Variable(
        column.name, is_independent=column.independent, is_binned=binned, units=column.unit,
        values=list(column.values), zero_uncertainties_warning=False,
    )  # fmt: skip
    variable.digits = _DIGITS
    for name, value in column.qualifiers.items():
        variable.add_qualifier(name, value)
    for label, values in column.errors.items():
        pairs = any(isinstance(value, tuple) for value in values)
        if all(value is None for value in values):
            continue
        error = library.Uncertainty(label, is_symmetric=not pairs)
        if pairs:
            error._values = [value if isinstance(value, tuple) else None for value in values]
        else:
            error.values = list(values)
        variable.add_uncertainty(error)
    return variable
