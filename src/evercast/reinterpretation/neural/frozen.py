"""A submitted request to an archive, frozen: ``runs/RUN/`` with ``request.json``, ``request.yaml``, ``neural.json``.

What is run lies in ``work/``, shared by all submissions of the folder: ``document/``, ``cache/`` and ``run/``, a run
folder whose units are known by their keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evercast import __version__
from evercast.artifacts.files import atomic_write_bytes, atomic_write_json, canonical_json, make_folder, read_json
from evercast.errors import IntegrityError
from evercast.reinterpretation.neural.resolve import NeuralResolved
from evercast.reinterpretation.requests.declared import DeclaredSignal
from evercast.reinterpretation.requests.kept import check_inputs, keep_file, keep_inputs
from evercast.reinterpretation.requests.model import Request, SideFile, request_to_json
from evercast.spec.codec import from_json, to_json

__all__ = ["FrozenNeural", "FrozenNeuralPoint", "freeze_neural", "read_frozen_neural"]

_FILE: Final = "neural.json"
_SCHEMA: Final = "neural-request/1.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenNeuralPoint:
    """A signal of a submitted request; `kind` is ``process``, ``model_point`` or ``parametrisation``."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenNeural:
    """What was submitted.

    Args:
        root: folder of the request.
        run: identity, 64 digits.
        request: canonical form.
        archive: folder of the version of the archive; `archive_id` its id.
        analysis: name of the archived analysis.
        likelihood: that is asked.
        signals: point -> its events as the engine reads them.
    """

    root: Path
    run: str
    request: Mapping[str, Any]
    archive: Path
    archive_id: str
    analysis: str
    likelihood: str
    signals: Mapping[str, DeclaredSignal]

    @property
    def folder(self) -> Path:
        """Where the copies lie."""
        return self.root / "runs" / self.run[:12]

    @property
    def response(self) -> Path:
        """Where the response is written."""
        return self.root / "responses" / self.run[:12]

    @property
    def work(self) -> Path:
        """Where derived documents, inputs and units lie; absolute, since jobs run in other folders."""
        return self.root.absolute() / "work"

    @property
    def inputs(self) -> Path:
        """Folder of the derived documents, in which the files of the requester are kept by their digests."""
        return self.work / "document"

    def parametrisation(self, stated: SideFile) -> Path:
        """Return where the document of another parametrisation is kept."""
        return self.inputs / "inputs" / f"{stated.sha256}.yaml"

    def asked(self) -> Request:
        """Return the request itself."""
        body = {key: part for key, part in self.request.items() if key != "schema"}
        signal = dict(body["signal"])
        every = signal.get("published") == "all"
        signal["published"] = () if every else signal.get("published", ())
        return from_json(Request, {**body, "signal": {**signal, "every": every}})

    @property
    def points(self) -> tuple[FrozenNeuralPoint, ...]:
        """What is asked, in order."""
        request = self.asked()
        found = [
            FrozenNeuralPoint(name=name, kind="model_point" if point.model_point else "process")
            for name, point in request.signal.points.items()
        ]
        if request.signal.parametrisation is not None:
            found.append(FrozenNeuralPoint(name="parametrisation", kind="parametrisation"))
        return tuple(found)


def freeze_neural(resolved: NeuralResolved, *, root: Path, document: Path) -> FrozenNeural:
    """Copy a request and its files, and return the copy; one that is there already is used as it is.

    Raises:
        IntegrityError: a file is not the one that is stated.
        EnvironmentUnfit: the disk refuses.
    """
    body = request_to_json(resolved.request)
    archived = resolved.archived
    identity = archived.version.bag.id
    said: dict[str, Any] = {
        "archive_id": identity, "analysis": archived.side.analysis.name, "likelihood": resolved.likelihood,
        "signals": {name: to_json(signal) for name, signal in resolved.signals.items()},
    }  # fmt: skip
    run = _identity(body, said)
    frozen = FrozenNeural(
        root=root, run=run, request=body, archive=archived.folder.resolve(), archive_id=identity,
        analysis=said["analysis"], likelihood=resolved.likelihood, signals=resolved.signals,
    )  # fmt: skip
    keep_inputs(root, frozen.inputs, resolved.signals.values())
    stated = resolved.request.signal.parametrisation
    if stated is not None:
        keep_file(root / stated.path, frozen.parametrisation(stated), digest=stated.sha256)
    make_folder(frozen.folder)
    atomic_write_bytes(frozen.folder / "request.yaml", document.read_bytes())
    atomic_write_json(frozen.folder / "request.json", body)
    atomic_write_json(frozen.folder / _FILE, {"schema": _SCHEMA, "run": run, "archive": str(frozen.archive), **said})
    return frozen


def _identity(body: Mapping[str, object], said: Mapping[str, Any]) -> str:
    known = {key: said[key] for key in ("archive_id", "analysis", "likelihood", "signals")}
    return hashlib.sha256(canonical_json({"request": body, **known, "evercast": __version__})).hexdigest()


def read_frozen_neural(root: Path, run: str) -> FrozenNeural:
    """Return a submitted request.

    Args:
        root: folder of the request.
        run: identity, or its first 12 digits.

    Raises:
        IntegrityError: ``request.frozen``: a copy is missing or was changed.
    """
    folder = root / "runs" / run[:12]
    said, request = read_json(folder / _FILE), read_json(folder / "request.json")
    keys = ("run", "archive", "archive_id", "analysis", "likelihood")
    texts = isinstance(said, dict) and all(isinstance(said.get(key), str) for key in keys)
    if not isinstance(said, dict) or not texts or not isinstance(request, dict) or "signals" not in said:
        raise IntegrityError("the copies of the request are damaged", code="request.frozen", where=str(folder))
    if _identity(request, said) != said["run"] or not said["run"].startswith(run):
        message = "the copies of the request are not those that were submitted with this evercast"
        raise IntegrityError(message, code="request.frozen", where=str(folder), hint="submit the request again")
    frozen = FrozenNeural(
        root=root, run=said["run"], request=request, archive=Path(said["archive"]), archive_id=said["archive_id"],
        analysis=said["analysis"], likelihood=said["likelihood"],
        signals={name: from_json(DeclaredSignal, body) for name, body in said["signals"].items()},
    )  # fmt: skip
    check_inputs(frozen.inputs, frozen.signals.values())
    return frozen
