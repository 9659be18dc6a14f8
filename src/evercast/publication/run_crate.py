"""What an archived run was, as RO-Crate metadata of the Provenance Run Crate profile, for people and catalogues.

The crate is the folder ``data/`` of an archive version. It names the workflow, the rule of every stage as the tool that
it ran, one action per unit with what it read and wrote, document, inputs, results and published bundles. It is a
description: what evercast itself reads are the plan, the receipts and the record of the archive.

Profiles: RO-Crate 1.1, Workflow RO-Crate 1.0, and Process, Workflow and Provenance Run Crate 0.5.
Terms that the context of RO-Crate 1.1 lacks are defined in the file itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

from evercast.artifacts.files import read_json
from evercast.publication.run_crate_entities import DESCRIBED, README_FILE, WFRUN, Crate
from evercast.runtime.plans import FrozenPlan
from evercast.runtime.receipts import read_receipt
from evercast.spec.codec import from_json
from evercast.spec.model import Analysis

__all__ = ["CRATE_FILE", "run_crate_files"]

CRATE_FILE: Final = "ro-crate-metadata.json"


def run_crate_files(frozen: FrozenPlan, names: Collection[str]) -> dict[str, bytes]:
    """Return ``ro-crate-metadata.json`` and ``README.md`` of a finished run, the same bytes each time.

    Args:
        frozen: the plan that was run, with its document; its receipts are read.
        names: every other file of the crate, relative to it.

    Raises:
        IntegrityError: a receipt or the frozen document is missing or damaged.
    """
    analysis = from_json(Analysis, read_json(frozen.file.parent / "analysis.json"))
    receipts = {unit.id: read_receipt(frozen.folder.receipt(unit)) for unit in frozen.plan.units}
    made = Crate(frozen, analysis, frozenset({*names, README_FILE}), receipts)
    return {CRATE_FILE: _metadata(made), README_FILE: _readme(analysis, made).encode()}


def _metadata(made: Crate) -> bytes:
    from rocrate.model.contextentity import ContextEntity  # noqa: PLC0415 - half a second to import
    from rocrate.rocrate import ROCrate  # noqa: PLC0415

    crate = ROCrate(version="1.1")
    for key, value in made.root().items():
        crate.root_dataset[key] = value
    crate.metadata["conformsTo"] = [
        {"@id": "https://w3id.org/ro/crate/1.1"}, {"@id": "https://w3id.org/workflowhub/workflow-ro-crate/1.0"}
    ]  # fmt: skip
    crate.metadata.extra_terms = {name: WFRUN + name for name in ("containerImage", "ContainerImage", "SIFImage")}
    for entity in made.entities():
        crate.add(ContextEntity(crate, entity.pop("@id"), properties=entity))
    body = crate.metadata.generate()
    body["@graph"].sort(key=lambda entity: (entity["@id"] != CRATE_FILE, entity["@id"] != "./", entity["@id"]))
    return json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def _readme(analysis: Analysis, made: Crate) -> str:
    lines = [
        f"# {analysis.title}",
        "",
        "An archived run of an analysis with evercast. `ro-crate-metadata.json` describes it (RO-Crate 1.1, Provenance",
        "Run Crate 0.5); `python read_archive.py` verifies the archive with Python alone.",
        "",
        "- `document/`: the analysis document as written, and the files beside it",
        *(f"- `{name}`: {text}" for name, text in DESCRIBED.items() if name in made.names),
        f"- `units/`: what each of the {len(made.units)} units wrote, with its receipt",
        "- `results/`: what was found and drawn",
    ]
    if made.inputs:
        lines.append("- `inputs/`: files that were fetched, named by their sha256")
    return "\n".join([*lines, ""])
