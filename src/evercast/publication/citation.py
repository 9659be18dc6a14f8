"""How to cite a published likelihood: CITATION.cff (Citation File Format 1.2.0) from the metadata of the document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from evercast.artifacts.files import atomic_write_bytes
from evercast.publication.authors import UNNAMED, is_person, orcid_url, origin_of
from evercast.publication.bundle_context import BundleContext
from evercast.publication.licences import LICENCES
from evercast.spec.model import Analysis, Author, Reference

__all__ = ["CITATION_FILE", "add_citation", "citation_of"]

CITATION_FILE: Final = "CITATION.cff"
_VERSION: Final = "1.2.0"
_DOI: Final = re.compile(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+")
_OTHERS: Final = "The authors of the work"
"""The format asks for authors of every reference; a document names the work only."""


def add_citation(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Write ``CITATION.cff``; return its name and format.

    Raises:
        EnvironmentUnfit: the disk refuses.
    """
    title = str(context.manifest.get("title") or context.analysis.title)
    origin = origin_of(context.analysis, pseudo=context.pseudo)
    body = citation_of(context.analysis, title=title, version=str(context.manifest.get("run_id")), origin=origin)
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120)
    atomic_write_bytes(folder / CITATION_FILE, text.encode())
    return {"file": CITATION_FILE, "format": _VERSION}


def citation_of(analysis: Analysis, *, title: str, version: str, origin: str) -> dict[str, object]:
    """Return the content of ``CITATION.cff``.

    Args:
        analysis: the document.
        title: of what is cited.
        version: of what is cited: the id of the run.
        origin: whose data were analysed, a sentence without its end.
    """
    metadata, record = analysis.metadata, analysis.publish.hepdata
    body: dict[str, object] = {
        "cff-version": _VERSION,
        "message": "If you use this likelihood, please cite it, and the works under references.",
        "type": "dataset",
        "title": title,
        "version": version,
        "authors": [_author(author) for author in metadata.authors] or [{"name": UNNAMED.capitalize()}],
        "abstract": " ".join(part for part in (metadata.description, f"{origin}.") if part),
    }
    if metadata.contacts:
        body["contact"] = [{"name": contact} for contact in metadata.contacts]
    if metadata.license in LICENCES:
        body["license"] = metadata.license
    if record is not None:
        if record.url is not None:
            body["url"] = record.url
        about = "number of the publication on INSPIRE"
        body["identifiers"] = [{"type": "other", "value": f"ins{record.inspire_id}", "description": about}]
    body["keywords"] = ["likelihood", "HistFactory", "neural simulation-based inference", "analysis preservation"]
    if metadata.references:
        body["references"] = [_reference(reference) for reference in metadata.references]
    return body


def _author(author: Author) -> dict[str, str]:
    """Return a person, or an entity, which the format knows without an affiliation."""
    family, _, given = author.name.partition(",")
    entry = (
        {"family-names": family.strip(), "given-names": given.strip()} if is_person(author) else {"name": author.name}
    )
    if is_person(author) and author.affiliation is not None:
        entry["affiliation"] = author.affiliation
    orcid = orcid_url(author)
    return entry if orcid is None else {**entry, "orcid": orcid}


def _reference(reference: Reference) -> dict[str, object]:
    entry: dict[str, object] = {
        "type": "article" if reference.arxiv else "generic",
        "title": reference.title,
        "authors": [{"name": _OTHERS}],
    }
    if reference.doi and _DOI.fullmatch(reference.doi):
        entry["doi"] = reference.doi
    if reference.url:
        entry["url"] = reference.url
    if reference.arxiv:
        entry["identifiers"] = [{"type": "other", "value": f"arXiv:{reference.arxiv}", "description": "arXiv number"}]
    return entry
