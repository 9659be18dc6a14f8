"""The analyses JSON 1.0.0 that HEPData harvests from tools, to link records to implementations of their analyses."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from evercast import __version__
from evercast.publication.bundle_context import PublicationContext
from evercast.publication.licences import LICENCES
from evercast.runtime.receipts import read_receipt

__all__ = ["analyses_json"]

_SCHEMA_VERSION: Final = "1.0.0"


def analyses_json(root: Path, context: PublicationContext) -> dict[str, object] | None:
    """Return the document; None where the publication has no number on INSPIRE or no address.

    The date is that of the run, so that publishing again gives the same bytes.

    Args:
        root: the publication, with what earlier parts wrote.
        context: the run.

    Raises:
        IntegrityError: the receipt of the serialization is damaged.
    """
    record = context.analysis.publish.hepdata
    if record is None or record.url is None:
        return None
    paths = [f"bundles/{name}" for name in context.bundles if (root / "bundles" / name).is_dir()]
    paths += [f"pyhf/{name}" for name in (context.workspace,) if name is not None and (root / "pyhf" / name).is_dir()]
    if not paths:
        return None
    unit = context.frozen.plan.of_stage("serialization")[0]
    licence = LICENCES.get(context.analysis.metadata.license)
    body: dict[str, object] = {
        "schema_version": _SCHEMA_VERSION,
        "tool": "evercast",
        "version": __version__,
        "date_created": read_receipt(context.frozen.folder.receipt(unit)).ended,
        "implementations_description": "neural likelihoods and pyhf workspaces",
        "url_templates": {"main_url": f"{record.url.rstrip('/')}/{{name}}"},
        "analyses": [
            {
                "inspire_id": record.inspire_id,
                "pretty_name": context.analysis.title,
                "implementations": [{"name": path, "path": path} for path in paths],
            }
        ],
    }
    if licence is not None:
        body["implementations_license"] = {"name": context.analysis.metadata.license, "url": licence.url}
    return body
