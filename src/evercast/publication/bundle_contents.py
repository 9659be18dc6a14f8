"""What may stand in a bundle: names of files, names of tensors, programs, and a page that does nothing but show.

Everything is compared with a list of what is allowed, since a list of what is not has holes. A digest says that a file
is the one that was sealed, not that it is harmless: a program that stands beside likelihood.json is run by somebody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from evercast.artifacts.bundle_open import Bundle
from evercast.artifacts.likelihood_file import EVENTS_FILE
from evercast.artifacts.validity import SUPPORT_FILE, read_validity
from evercast.artifacts.weights import read_tensors
from evercast.errors import IntegrityError
from evercast.likelihood.model import LikelihoodModel, UnbinnedChannelModel
from evercast.publication.findings import Finding
from evercast.publication.page_check import require_quiet_page
from evercast.publication.programs import KNOWN_PROGRAMS

__all__ = ["check_contents", "check_tensors"]

_ALWAYS: Final = frozenset({"likelihood.json", EVENTS_FILE, "reference_vectors.json", "README.md"})
_PUBLISHED: Final = frozenset(
    {"validity.json", "results.json", "diagnostics.json", "LICENSE.txt", "CITATION.cff", "index.html", "report.html"}
)
_COPIES: Final = (".onnx", ".stablehlo")
_SETS: Final = ("observed", "asimov", "reference")
_OF_EVENTS: Final = ("log_ratio", "weight", "log_up", "log_down", "coefficients")
_SHOWN: Final = 5


def check_contents(bundle: Bundle) -> Iterator[Finding]:
    """Yield that all files have a place in the format, that programs are those of evercast, and the page is quiet.

    Raises:
        IntegrityError: ``bundle.disclosure``, a file that the level keeps back; ``bundle.unknown-file``;
            ``bundle.program``, a program that is not one of evercast; ``bundle.page``.
    """
    names = set(bundle.files)
    _check_level(bundle, names)
    programs = sorted(name for name in names if name in KNOWN_PROGRAMS)
    unknown = sorted(names - allowed_names(bundle) - set(programs))
    if unknown:
        program = next((name for name in unknown if name.endswith(".py")), None)
        raise _refused(
            bundle,
            "bundle.unknown-file" if program is None else "bundle.program",
            f"the format has no place for {', '.join(unknown[:_SHOWN])}",
        )
    for name in programs:
        if bundle.files[name] not in KNOWN_PROGRAMS[name].values():
            raise _refused(bundle, "bundle.program", f"{name} is not the program that evercast ships under this name")
    if programs:
        yield Finding(name="programs", detail=f"{', '.join(programs)} are those that evercast ships, by their sha256")
    pages = sorted(name for name in names if name.endswith(".html"))
    for name in pages:
        require_quiet_page(bundle.folder / name)
    if pages:
        yield Finding(name="pages", detail=f"no script in {', '.join(pages)}, and nothing that is loaded")


def allowed_names(bundle: Bundle) -> set[str]:
    """Return the names of files that the manifest gives a meaning, programs left out.

    Copies of the networks are the matter of `evercast.publication.graph_copies`, which refuses those not named.
    """
    said = bundle.manifest.get("publication", {})
    found = {*_ALWAYS, *(_PUBLISHED if bundle.published else ())}
    for section, keys in (("workspace", ("file",)), ("projection", ("file", "parametrisation"))):
        found |= {str(said.get(section, {}).get(key)) for key in keys}
    if bundle.manifest["disclosure"] != "ratios":
        found |= {"architecture.json", "support.safetensors", *_weights(bundle.manifest["ensembles"])}
        found |= {name for name in bundle.files if name.endswith(_COPIES)}
    return found


def _weights(ensembles: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of all files with weights that a manifest names."""
    for ensemble in ensembles.values():
        entries = [*ensemble["processes"].values(), *ensemble["polynomials"].values()]
        for processes in ensemble["variations"].values():
            entries += [side for sides in processes.values() for side in sides.values()]
        yield from (str(entry["weights"]) for entry in entries)


def _check_level(bundle: Bundle, names: set[str]) -> None:
    """Refuse files with networks, or with events of the support, in a bundle that says it keeps them back."""
    kept = sorted(
        name
        for name in names
        if name.startswith(("weights-", "architecture.json", "support.safetensors", "model")) or name.endswith(_COPIES)
    )
    if bundle.manifest["disclosure"] == "ratios" and kept:
        raise _refused(bundle, "bundle.disclosure", f"it says 'ratios', and holds {', '.join(kept[:_SHOWN])}")


def check_tensors(bundle: Bundle, model: LikelihoodModel) -> None:
    """Refuse tensors of events that the format does not know, or that the level of disclosure keeps back.

    Args:
        bundle: as opened.
        model: its likelihood, whose channels name the tensors.

    Raises:
        IntegrityError: ``bundle.disclosure``.
    """
    level = bundle.manifest["disclosure"]
    allowed: set[str] = set()
    for channel in model.channels:
        if isinstance(channel, UnbinnedChannelModel):
            allowed |= {f"{channel.name}.{kind}.{name}" for kind in _SETS for name in _OF_EVENTS}
            allowed.add(f"{channel.name}.asimov.process")
            if level == "events":
                allowed.add(f"{channel.name}.observed.observables")
    _check_tensors_of(bundle, EVENTS_FILE, allowed)
    if SUPPORT_FILE in bundle.files and "validity.json" in bundle.files:
        supports = (one.support for one in read_validity(bundle.folder).ensembles.values())
        _check_tensors_of(bundle, SUPPORT_FILE, {one.tensor for one in supports if one is not None})


def _check_tensors_of(bundle: Bundle, file: str, allowed: set[str]) -> None:
    more = sorted(set(read_tensors(bundle.folder / file).arrays) - allowed)
    if more:
        kind = "observables of events: " if more[0].endswith(".observables") else ""
        said = f"it says {bundle.manifest['disclosure']!r}, and {file} holds {kind}{', '.join(more[:_SHOWN])}"
        raise _refused(bundle, "bundle.disclosure", said)


def _refused(bundle: Bundle, code: str, message: str) -> IntegrityError:
    hints = {
        "bundle.program": "do not run it, nor any program from this folder; get the bundle from where it was published",
        "bundle.unknown-file": "it was added after evercast published the bundle, or a newer version of evercast did",
    }
    return IntegrityError(message, code=code, where=str(bundle.folder), hint=hints.get(code))
