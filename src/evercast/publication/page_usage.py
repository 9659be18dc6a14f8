"""The part of a bundle's page that shows how it is used, in as many environments as it has files for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from evercast.likelihood.model import LikelihoodModel
from evercast.publication.report.blocks import Block, Code, Paragraph, Section

__all__ = ["software_text", "usage_section"]


def software_text(manifest: Mapping[str, Any]) -> str:
    """Return where the program is that made a bundle, in sentences.

    Args:
        manifest: of the core bundle.
    """
    return (
        f"The likelihood was written by evercast {manifest['versions'].get('evercast', '(version unknown)')}. Its "
        "source code is in the folder data/code of the archive of this run; data/lock.json there names its revision "
        "and the versions of all packages, README.md in the source says how to install it. Do not take a package of "
        "that name from a package index: nobody vouches for it."
    )


def usage_section(folder: Path, manifest: Mapping[str, Any], model: LikelihoodModel) -> Section:
    """Return how the likelihood is used: with evercast, with numpy, with onnxruntime, with pyhf.

    Args:
        folder: of the bundle; what it holds is shown.
        manifest: of the core bundle.
        model: the likelihood, for the name of its parameter of interest.
    """
    poi = next((one.name for one in model.parameters if one.poi), model.parameters[0].name)
    initial = next(one.initial for one in model.parameters if one.name == poi)
    ensemble = next(iter(manifest["ensembles"]), "ENSEMBLE")
    networks = manifest["disclosure"] != "ratios"
    blocks: list[Block] = [
        Code(
            title="1. With evercast",
            text=_evercast(poi, initial, networks=networks),
            note=f"{_EVERCAST_NOTE} {software_text(manifest)}",
        )
    ]
    if (folder / "read_numpy.py").is_file():
        blocks.append(Code(title="2. With numpy alone", text=_numpy(poi, initial, ensemble, networks=networks)))
    if (folder / "read_onnx.py").is_file():
        blocks.append(Code(title="3. With numpy and onnxruntime", text=_onnx(ensemble)))
    if (folder / "projection.json").is_file():
        tied = (folder / "projection_parametrisation.json").is_file()
        text, note = (_PYHF_TIED, _PYHF_TIED_NOTE) if tied else (_PYHF, _PYHF_NOTE)
        blocks.append(Code(title="With pyhf: a binned projection", text=text, note=note))
    blocks.append(
        Paragraph(
            text="In every environment: compare with reference_vectors.json before use. The readers do it when they "
            "are run as programs, evercast verify does it with all digests."
        )
    )
    lead = "FOLDER is the folder of this page. Nothing is fetched from anywhere."
    return Section(anchor="use", title="How to use it", lead=lead, blocks=tuple(blocks))


_EVERCAST_NOTE: Final = (
    "Signal models of your own: likelihood.reparametrise({...}); with other measurements: likelihood.combine(other)."
)
_PYHF_NOTE: Final = (
    "A histogram of the learned observable. It is weaker than the likelihood itself; README.md and manifest.json state "
    "by how much."
)
_PYHF: Final = """pip install pyhf
pyhf inspect FOLDER/projection.json
pyhf fit FOLDER/projection.json --value"""

_PYHF_TIED: Final = """pip install pyhf
pyhf inspect FOLDER/projection.json
python -I FOLDER/read_projection.py FOLDER
evercast fit FOLDER/projection.json --parametrisation FOLDER/projection_parametrisation.json"""
_PYHF_TIED_NOTE: Final = (
    f"{_PYHF_NOTE} Its coefficients are no products of parameters, so the workspace has a free factor for each process "
    "and the file beside it says which formula it is; pyhf fit alone takes the factors as independent."
)

_COLUMN: Final = 52
"""Where comments begin."""
_COPY: Final = "imported from FOLDER it would leave a cache there, and FOLDER be refused"


def _lines(*lines: str | tuple[str, str]) -> str:
    """Return lines of code; of a pair the second is a comment, all in one column."""
    return "\n".join(line if isinstance(line, str) else f"{line[0]:<{_COLUMN}}  # {line[1]}" for line in lines)


def _evercast(poi: str, initial: float, *, networks: bool) -> str:
    own = (
        [("own = likelihood.evaluate(events)", "(events, observables) -> log ratios, or a refusal")] if networks else []
    )
    return _lines(
        ("evercast verify FOLDER", "digests, and every number computed again"),
        "evercast fit FOLDER",
        "evercast scan FOLDER",
        "",
        "import evercast",
        'likelihood = evercast.open_likelihood("FOLDER")',
        (f'likelihood.twice_nll({{"{poi}": {initial:g}}})', "-2 ln L"),
        f'likelihood.fit().value("{poi}")',
        "likelihood.limit()",
        *own,
    )


def _numpy(poi: str, initial: float, ensemble: str, *, networks: bool) -> str:
    own = [(f'Networks("FOLDER").log_ratios("{ensemble}", events)', "your own events")] if networks else []
    return _lines(
        "pip install numpy",
        ("python -I FOLDER/read_numpy.py FOLDER", "compares digests and reference vectors"),
        "",
        ("cp FOLDER/read_numpy.py .", _COPY),
        "python",
        "from read_numpy import Likelihood, Networks",
        (f'Likelihood("FOLDER").twice_nll({{"{poi}": {initial:g}}})', "what is not named is at its initial value"),
        *own,
    )


def _onnx(ensemble: str) -> str:
    return _lines(
        "pip install numpy onnxruntime",
        ("python -I FOLDER/read_onnx.py FOLDER", "compares digests and reference vectors"),
        "",
        ("cp FOLDER/read_onnx.py .", _COPY),
        "python",
        "from read_onnx import log_ratios",
        (f'log_ratios("FOLDER", "{ensemble}", events)', "process -> log ratio of each of your events"),
    )
