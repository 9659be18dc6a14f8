"""What must hold in a pyhf patchset beyond its names: as many values for each patch as labels, no values twice."""

from __future__ import annotations

from collections.abc import Mapping

from evercast.errors import InvalidInput
from evercast.likelihood.workspace_text import entries_of, mapping_of, text_of

__all__ = ["check_patchset"]


def check_patchset(patchset: Mapping[str, object], *, where: str) -> None:
    """Refuse a patchset that pyhf refuses: its patches could not be told apart.

    Args:
        patchset: the JSON document.
        where: the file, for messages.

    Raises:
        InvalidInput: ``workspace.multiplicity``: a patch has more or fewer values than there are labels;
            ``workspace.duplicate``: two have the same name or the same values; ``workspace.invalid``.
    """
    metadata = patchset.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    names: set[str] = set()
    seen: dict[str, str] = {}
    for number, entry in enumerate(entries_of(patchset, "patches", "$")):
        place = f"$.patches[{number}].metadata"
        own = mapping_of(entry.get("metadata"), place)
        name, values = text_of(own, "name", place), own.get("values")
        if name in names:
            raise InvalidInput(
                f"the patch '{name}' stands twice", code="workspace.duplicate", where=f"{where}: {place}"
            )
        names.add(name)
        if not isinstance(values, list) or not isinstance(labels, list):
            continue  # without labels the values mean nothing
        if len(values) != len(labels):
            message = f"the patch '{name}' has {len(values)} values; the patchset has {len(labels)} labels"
            raise InvalidInput(message, code="workspace.multiplicity", where=f"{where}: {place}")
        if values and (other := seen.setdefault(repr(values), name)) != name:
            message = f"the patches '{other}' and '{name}' have the same values {values}"
            raise InvalidInput(message, code="workspace.duplicate", where=f"{where}: {place}")
