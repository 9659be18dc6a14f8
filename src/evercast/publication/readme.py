"""``README.md`` of a published bundle: whose it is, how it is used, where it holds, under which licence."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from evercast.artifacts.files import atomic_write_bytes
from evercast.artifacts.validity import SUPPORT_FILE
from evercast.publication.authors import author_line, origin_of
from evercast.publication.bundle_context import BundleContext
from evercast.publication.licences import LICENCES
from evercast.publication.page_usage import software_text

__all__ = ["add_readme"]

_FILE: Final = "README.md"
_TEXT: Final = """# {title}

A likelihood on learned density ratios: a complete statistical model of the observed events. Give it values of the
parameters, and it returns -2 ln L.

- Published by: {authors}
- {origin}
- Run: {run_id}; disclosure: {disclosure}
- Licence: {licence}, in `LICENSE.txt`; how to cite it: `CITATION.cff`

`index.html` is a page about it, `report.html` the report of the whole analysis. `manifest.json` says what everything
means: observables with units, processes, yields, conventions in formulas, the sha256 of every file; `evercast verify`
or `sha256sum -c manifest-sha256.txt` compare them.

## Where it holds

`validity.json` is the domain: experiment, energy, ranges of the observables, the support on which the networks were
trained, a box of parameters, and the rule. Outside of it the likelihood says nothing. evercast refuses events outside;
other programs must look themselves. {points}

## With evercast

    evercast verify FOLDER               # digests, and numbers computed again
    evercast fit FOLDER                  # best values, uncertainties, fit guard
    evercast scan FOLDER --json          # profile likelihood

In Python:

    import evercast
    likelihood = evercast.open_likelihood("FOLDER")
    likelihood.twice_nll({{"{poi}": {initial:g}}})
    likelihood.fit().value("{poi}")

{software}

## Without evercast

{readers}
"""
_READ_NUMPY: Final = """Needs numpy alone; compares its -2 ln L and log ratios with the reference vectors:

    python -I FOLDER/read_numpy.py FOLDER"""
_READ_ONNX: Final = """Needs numpy and onnxruntime; does the same with the networks in `model.onnx`:

    python -I FOLDER/read_onnx.py FOLDER"""
_LAST: Final = """\
With `-I` Python takes no module from the folder of the program. A program of your own reads the safetensors files
and follows the formulas in the manifest and in `architecture.json` (where networks are published); it must reproduce
`reference_vectors.json`."""
_WIDTH: Final = 119
_EVENTS: Final = """
`support.safetensors` holds simulated training events row by row, as points of the support, and
`reference_vectors.json` some more: whoever has the bundle has these events."""
_NO_EVENTS: Final = """
No simulated event is in the bundle with its observables."""


def _points(folder: Path) -> str:
    """Return whether simulated events are given away, in words."""
    return (_EVENTS if (folder / SUPPORT_FILE).is_file() else _NO_EVENTS).strip()


def add_readme(folder: Path, context: BundleContext) -> Mapping[str, object]:
    """Write ``README.md`` in place of that of the core; call it after the readers were written.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
    """
    manifest: Mapping[str, Any] = context.manifest
    poi = next((one for one in context.model.parameters if one.poi), context.model.parameters[0])
    licence = context.analysis.metadata.license
    known = LICENCES.get(licence)
    shown = [_READ_NUMPY, *([_READ_ONNX] if (folder / "read_onnx.py").is_file() else []), _LAST]
    text = _TEXT.format(
        title=manifest["title"],
        authors=author_line(context.analysis),
        origin=origin_of(context.analysis, pseudo=context.pseudo),
        run_id=manifest["run_id"],
        disclosure=manifest["disclosure"],
        licence=licence if known is None else f"{known.name} <{known.url}>",
        points=_points(folder),
        poi=poi.name,
        initial=poi.initial,
        software=textwrap.fill(software_text(manifest), _WIDTH),
        readers="\n\n".join(shown),
    )
    atomic_write_bytes(folder / _FILE, text.encode())
    return {"file": _FILE}
