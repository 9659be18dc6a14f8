"""A workspace of the background and a patchset, from the workspaces of several signal points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evercast.errors import InvalidInput
from evercast.publication.pyhf_checks import workspace_digest
from evercast.spec.model import SignalPoints

__all__ = ["background_and_patchset"]

Workspace = Mapping[str, Any]


def background_and_patchset(
    workspaces: Mapping[str, Workspace], signal: SignalPoints, *, description: str, inspire_id: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the workspace of what all points share, and the patchset that adds the signal of each.

    A sample is background where it stands in a channel of every point with the same content. Whatever else a point has
    is added by its patch. Observations and measurements must be the same.

    Args:
        workspaces: name of the point -> its complete workspace.
        signal: labels and values.
        description: what the patchset is of.
        inspire_id: of the publication; pyhf asks for it.

    Raises:
        InvalidInput: ``publication.signal-points``: workspaces that do not go together, or without a signal.
    """
    first, *others = workspaces.values()
    for name, other in workspaces.items():
        if _frame(other) != _frame(first):
            raise _refused(f"the point '{name}' has other channels, observations or measurements than the first")
    background = dict(first)
    background["channels"] = [
        {**channel, "samples": [one for one in channel["samples"] if all(_has(o, channel, one) for o in others)]}
        for channel in first["channels"]
    ]
    empty = [channel["name"] for channel in background["channels"] if not channel["samples"]]
    if empty:
        raise _refused(f"the points share no sample in the channel '{empty[0]}'")
    patches = [
        {
            "metadata": {"name": name, "values": list(signal.points[name].values)},
            "patch": _patch(background, workspace, name),
        }
        for name, workspace in workspaces.items()
    ]
    metadata = {
        "references": {"hepdata": f"ins{inspire_id:07d}"},
        "digests": {"sha256": workspace_digest(background)},
        "labels": list(signal.labels),
        "description": description,
    }
    return background, {"version": "1.0.0", "metadata": metadata, "patches": patches}


def _refused(message: str) -> InvalidInput:
    return InvalidInput(message, code="publication.signal-points", where="$.publish.pyhf.signal_points")


def _frame(workspace: Workspace) -> object:
    return [[channel["name"] for channel in workspace["channels"]], workspace["observations"], _settings(workspace)]


def _settings(workspace: Workspace) -> object:
    return workspace["measurements"]


def _has(workspace: Workspace, channel: Mapping[str, Any], sample: object) -> bool:
    return any(other["name"] == channel["name"] and sample in other["samples"] for other in workspace["channels"])


def _patch(background: Workspace, workspace: Workspace, name: str) -> Sequence[Mapping[str, object]]:
    """Return the operations that add to each channel what it has beyond the background."""
    operations: list[Mapping[str, object]] = []
    for number, (common, channel) in enumerate(zip(background["channels"], workspace["channels"], strict=True)):
        operations += [
            {"op": "add", "path": f"/channels/{number}/samples/-", "value": sample}
            for sample in channel["samples"]
            if sample not in common["samples"]
        ]
    if not operations:
        raise _refused(f"the point '{name}' has nothing beside what all points share: it has no signal")
    return operations
