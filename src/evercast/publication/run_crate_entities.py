"""The entities of the RO-Crate of a run: workflow, tools, actions, files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from evercast import __version__
from evercast.plan import Unit
from evercast.publication.authors import UNNAMED, is_person, is_pseudo, orcid_url, origin_of
from evercast.publication.licences import LICENCES
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import Receipt
from evercast.spec.model import Analysis

__all__ = ["DESCRIBED", "README_FILE", "WFRUN", "Crate", "Entity"]

README_FILE: Final = "README.md"
_PROFILES: Final = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WFRUN: Final = "https://w3id.org/ro/terms/workflow-run#"
_LANGUAGE: Final = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_SNAKEMAKE: Final = "https://snakemake.github.io"
_BIOSCHEMAS: Final = "https://bioschemas.org/profiles"
_WORKFLOW: Final = "workflow/Snakefile"
_DONE: Final = "http://schema.org/CompletedActionStatus"
DESCRIBED: Final = {
    "analysis.json": "The analysis document as evercast read it, with all defaults",
    "plan.json": "Every unit of the run with its recipe and what it needs",
    "expected.json": "Numbers that a replay must give, with tolerances",
    "environment.json": "The machine, package versions and their defaults",
    "read_archive.py": "Verifies the archive with the standard library of Python alone",
}

Entity = dict[str, Any]


def _ids(identities: Sequence[str]) -> list[dict[str, str]] | dict[str, str]:
    """Return references; one alone stands without a list, as RO-Crate asks."""
    found = [{"@id": identity} for identity in identities]
    return found[0] if len(found) == 1 else found


def _time(text: str) -> str:
    return text.removesuffix("Z") + "+00:00" if text.endswith("Z") else text


class Crate:
    """The entities of the crate of one run."""

    def __init__(
        self, frozen: FrozenPlan, analysis: Analysis, names: frozenset[str], receipts: Mapping[str, Receipt]
    ) -> None:
        self.frozen, self.analysis, self.names, self.receipts = frozen, analysis, names, receipts
        self.units = frozen.plan.units
        self.stages = list(dict.fromkeys(unit.stage for unit in self.units))
        self.folders = [unit for unit in self.units if any(name.startswith(self._folder(unit)) for name in names)]
        self.inputs = sorted(name for name in names if name.startswith("inputs/"))
        self.document = sorted(name for name in names if name.startswith("document/"))

    def root(self) -> Entity:
        """Return the properties of the root data entity."""
        metadata = self.analysis.metadata
        licence = LICENCES.get(metadata.license)
        described = metadata.description or self.analysis.title
        origin = origin_of(self.analysis, pseudo=is_pseudo(self.frozen))
        return {
            "name": self.analysis.title,
            "description": f"{described} {origin}. The run of an analysis with evercast: document, inputs, units, "
            "results.",
            "datePublished": max(receipt.ended for receipt in self.receipts.values())[:10],
            "license": metadata.license if licence is None else {"@id": licence.url},
            "conformsTo": _ids(list(_PROFILES)),
            "mainEntity": {"@id": _WORKFLOW},
            "hasPart": _ids(self._parts()),
            "mentions": _ids(["#run", *(self._action(unit) for unit in self.units)]),
            "author": _ids([entity["@id"] for entity in self._authors()] or ["#authors"]),
            "publisher": {"@id": "#authors"},
        }

    def _parts(self) -> list[str]:
        known = [name for name in DESCRIBED if name in self.names]
        folders = [self._folder(unit) for unit in self.folders]
        tools = [self._tool(stage) for stage in self.stages]
        return [README_FILE, _WORKFLOW, *tools, *self.document, *self.inputs, *known, *folders, *self._collections()]

    def _collections(self) -> list[str]:
        found = [part for part in ("results/", "code/") if any(name.startswith(part) for name in self.names)]
        bundles = {"/".join(name.split("/")[:2]) for name in self.names if name.startswith("bundles/")}
        return [*found, *(f"{bundle}/" for bundle in sorted(bundles))]

    def entities(self) -> list[Entity]:
        """Return all entities but the root and the descriptor."""
        return [
            *self._profiles(), *self._people(), *self._workflow(), *self._files(), *self._steps(), *self._run(),
            *(self._unit(unit) for unit in self.units), *self._images(),
        ]  # fmt: skip

    def _profiles(self) -> list[Entity]:
        return [
            {"@id": identity, "@type": "CreativeWork", "name": name, "version": identity.rpartition("/")[2]}
            for identity, name in _PROFILES.items()
        ]

    def _people(self) -> list[Entity]:
        metadata = self.analysis.metadata
        record, authors = self.analysis.publish.hepdata, self._authors()
        group: Entity = {"@id": "#authors", "@type": "Organization", "name": UNNAMED.capitalize()}
        if authors:
            group["member"] = _ids([entity["@id"] for entity in authors])
        if record is not None and record.url is not None:
            group["url"] = record.url
        if metadata.contacts:
            group["description"] = f"Contacts: {', '.join(metadata.contacts)}"
        places = [{"@id": identity, "@type": "Organization", "name": name} for name, identity in self._places().items()]
        found: list[Entity] = [group, *authors, *places]
        licence = LICENCES.get(metadata.license)
        if licence is not None:
            found.append(
                {"@id": licence.url, "@type": "CreativeWork", "name": licence.name, "description": licence.meaning}
            )
        return found

    def _authors(self) -> list[Entity]:
        """Return those whom the document names; an ORCID iD is their address."""
        found: list[Entity] = []
        for number, author in enumerate(self.analysis.metadata.authors, start=1):
            kind = "Person" if is_person(author) else "Organization"
            entity: Entity = {"@id": orcid_url(author) or f"#author-{number}", "@type": kind, "name": author.name}
            if author.affiliation is not None:
                entity["affiliation"] = {"@id": self._places()[author.affiliation]}
            found.append(entity)
        return found

    def _places(self) -> dict[str, str]:
        """Return affiliation -> identity, each once."""
        names = dict.fromkeys(author.affiliation for author in self.analysis.metadata.authors)
        return {name: f"#affiliation-{number}" for number, name in enumerate(filter(None, names), start=1)}

    def _workflow(self) -> list[Entity]:
        snakemake = next(iter(self.receipts.values())).versions.get("snakemake", "unknown")
        return [
            {
                "@id": _WORKFLOW, "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
                "name": "The workflow of evercast", "version": __version__, "programmingLanguage": {"@id": _LANGUAGE},
                "encodingFormat": "text/plain",
                "conformsTo": {"@id": f"{_BIOSCHEMAS}/ComputationalWorkflow/1.0-RELEASE"},
                "input": _ids(["#document"]), "output": _ids(["#results"]),
                "hasPart": _ids([self._tool(stage) for stage in self.stages]),
                "step": _ids([f"#step-{stage}" for stage in self.stages]), "url": _WORKFLOW,
                "license": "Apache-2.0",
            },
            {
                "@id": f"{_BIOSCHEMAS}/ComputationalWorkflow/1.0-RELEASE", "@type": "CreativeWork",
                "name": "Bioschemas ComputationalWorkflow profile", "version": "1.0-RELEASE",
            },
            {
                "@id": f"{_BIOSCHEMAS}/FormalParameter/1.0-RELEASE", "@type": "CreativeWork",
                "name": "Bioschemas FormalParameter profile", "version": "1.0-RELEASE",
            },
            {
                "@id": _LANGUAGE, "@type": "ComputerLanguage", "name": "Snakemake", "url": _SNAKEMAKE,
                "identifier": _SNAKEMAKE,
            },
            {
                "@id": _SNAKEMAKE, "@type": "SoftwareApplication", "name": "Snakemake", "url": _SNAKEMAKE,
                "softwareVersion": snakemake,
            },
            self._parameter("#document", "analysis document", "File", "document/analysis.yaml", required=True),
            self._parameter("#results", "published results", "Dataset", "results/", required=False),
        ]  # fmt: skip

    def _parameter(self, identity: str, name: str, kind: str, example: str, *, required: bool) -> Entity:
        return {
            "@id": identity, "@type": "FormalParameter", "name": name, "additionalType": kind,
            "workExample": {"@id": example}, "valueRequired": required,
            "conformsTo": {"@id": f"{_BIOSCHEMAS}/FormalParameter/1.0-RELEASE"},
        }  # fmt: skip

    def _files(self) -> list[Entity]:
        found = [{**_file(README_FILE, "What is in this folder", kind="text/markdown"), "about": {"@id": "./"}}]
        for name in self.document:
            entity = _file(name, "The analysis document as written" if name.endswith("analysis.yaml") else
                           "Read by the analysis, beside its document")  # fmt: skip
            if name == "document/analysis.yaml":
                entity["exampleOfWork"] = {"@id": "#document"}
            found.append(entity)
        found += [_file(name, "An input, named by its sha256", kind="application/octet-stream") for name in self.inputs]
        found += [_file(name, text) for name, text in DESCRIBED.items() if name in self.names]
        texts = {"results/": "What the run found and drew", "code/": "The source code of evercast that ran"}
        for name in self._collections():
            entity = _folder(name, texts.get(name, "A published likelihood"))
            if name == "results/":
                entity["exampleOfWork"] = {"@id": "#results"}
            found.append(entity)
        found += [
            _folder(self._folder(unit), f"What the unit {unit.id} of stage {unit.stage} wrote") for unit in self.folders
        ]
        return found

    def _steps(self) -> list[Entity]:
        found: list[Entity] = []
        for position, stage in enumerate(self.stages):
            tool = _file(self._tool(stage), f"The rule of stage {stage}")
            tool |= {
                "@type": ["File", "SoftwareSourceCode"],
                "version": __version__,
                "url": self._tool(stage),
                "programmingLanguage": {"@id": _LANGUAGE},
            }
            found += [
                tool,
                {
                    "@id": f"#step-{stage}", "@type": "HowToStep", "name": stage, "position": str(position),
                    "workExample": {"@id": self._tool(stage)},
                },
                {
                    "@id": f"#control-{stage}", "@type": "ControlAction", "name": f"orchestration of stage {stage}",
                    "instrument": {"@id": f"#step-{stage}"},
                    "object": _ids([self._action(unit) for unit in self.units if unit.stage == stage]),
                    "actionStatus": _DONE,
                },
            ]  # fmt: skip
        return found

    def _run(self) -> list[Entity]:
        started = min(receipt.started for receipt in self.receipts.values())
        ended = max(receipt.ended for receipt in self.receipts.values())
        return [
            {
                "@id": "#run", "@type": "CreateAction", "name": f"Run of the analysis {self.frozen.plan.name}",
                "description": f"{len(self.units)} units; plan {self.frozen.plan.digest}",
                "instrument": {"@id": _WORKFLOW}, "object": _ids([*self.document, *self.inputs]),
                "result": _ids(["results/"]), "startTime": _time(started), "endTime": _time(ended),
                "agent": {"@id": "#authors"}, "actionStatus": _DONE,
            },
            {
                "@id": "#orchestration", "@type": "OrganizeAction", "name": "Run of Snakemake",
                "instrument": {"@id": _SNAKEMAKE}, "object": _ids([f"#control-{stage}" for stage in self.stages]),
                "result": {"@id": "#run"}, "startTime": _time(started), "endTime": _time(ended),
                "agent": {"@id": "#authors"}, "actionStatus": _DONE,
            },
        ]  # fmt: skip

    def _unit(self, unit: Unit) -> Entity:
        receipt = self.receipts[unit.id]
        there = {one.id: self._folder(one) for one in self.folders}
        read = {reference.partition(":")[0] for reference in unit.inputs.values()}
        objects = [folder for identity, folder in there.items() if identity in read]
        files = [f"document/{reference.removeprefix('file:')}" for reference in unit.inputs.values()
                 if reference.startswith("file:")]  # fmt: skip
        entity: Entity = {
            "@id": self._action(unit), "@type": "CreateAction", "name": f"{unit.stage}: {unit.name}",
            "description": f"Unit {unit.id}; key {unit.key}; {receipt.seconds:.3g} s, {receipt.max_rss_mb:.3g} MB",
            "instrument": {"@id": self._tool(unit.stage)}, "startTime": _time(receipt.started),
            "endTime": _time(receipt.ended), "agent": {"@id": "#authors"}, "actionStatus": _DONE,
            "result": _ids([there.get(unit.id, "results/")]),
        }  # fmt: skip
        objects += [name for name in files if name in self.document]
        if objects:
            entity["object"] = _ids(sorted(objects))
        if receipt.container is not None:
            entity["containerImage"] = {"@id": f"#image-{receipt.container.sha256}"}
        return entity

    def _images(self) -> list[Entity]:
        used = {receipt.container.sha256: receipt.container.image for receipt in self.receipts.values()
                if receipt.container is not None}  # fmt: skip
        found = []
        for digest, name in used.items():
            entity: Entity = {
                "@id": f"#image-{digest}", "@type": "ContainerImage", "name": name, "sha256": digest,
                "additionalType": {"@id": f"{WFRUN}SIFImage"},
            }  # fmt: skip
            found.append(entity)
        return found

    def _tool(self, stage: str) -> str:
        return f"workflow/workflow/rules/{stage}.smk"

    def _folder(self, unit: Unit) -> str:
        return f"units/{unit.stage}/{unit.id}/"

    def _action(self, unit: Unit) -> str:
        return f"#unit-{unit.id}"


def _file(name: str, description: str, *, kind: str | None = None) -> Entity:
    kinds = {"json": "application/json", "yaml": "application/yaml", "py": "text/x-python", "csv": "text/csv"}
    kind = kind or kinds.get(name.rpartition(".")[2], "text/plain")
    return {"@id": name, "@type": "File", "name": name, "description": description, "encodingFormat": kind}


def _folder(name: str, description: str) -> Entity:
    return {"@id": name, "@type": "Dataset", "name": name.rstrip("/"), "description": description}
