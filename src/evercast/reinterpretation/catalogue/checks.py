"""Whether an entry of the catalogue is what it says: every digest of it compared, whatever it is."""

from __future__ import annotations

import time

from evercast.artifacts.archive_verify import known_signer, verify_archive
from evercast.artifacts.bundle_open import SIGNATURE_FILE, SUMS_FILE, open_bundle
from evercast.artifacts.key_ring import KeyRing
from evercast.artifacts.signatures import check_signature
from evercast.errors import EnvironmentUnfit, EvercastError, IntegrityError
from evercast.events.sources import SearchPath
from evercast.reinterpretation.catalogue.index import read_index
from evercast.reinterpretation.catalogue.model import Entry
from evercast.reinterpretation.wrapped.data import RecordData
from evercast.reinterpretation.wrapped.read import read_wrapped

__all__ = ["problems_of_entry"]


def problems_of_entry(entry: Entry, *, search_path: SearchPath, keys: KeyRing | None = None) -> list[EvercastError]:
    """Return what is wrong with an analysis; empty where all is as it must be.

    Of a wrapped likelihood every file, background, patch and its selection is compared, of an archive and a bundle
    every file and signature. What is kept elsewhere is not looked at, and said so.

    Args:
        entry: of the catalogue.
        search_path: where files of records are looked for.
        keys: whose keys are known; None knows nobody's.
    """
    if entry.url is not None:
        hint = f"evercast catalogue get {entry.shown_name} FOLDER brings it here"
        return [EnvironmentUnfit(f"it is kept at {entry.url}", code="catalogue.elsewhere", hint=hint)]
    try:
        if entry.path == entry.index:
            read_index(entry.path)  # an index that cannot be read is listed as one entry
        if entry.kind == "wrapped likelihood":
            analysis = read_wrapped(entry.path)
            data = RecordData(analysis=analysis, folder=entry.path.parent, search_path=search_path)
            return [*_listed(entry), *data.problems(), *_selection(data)]
        _verify(entry, keys)
    except EvercastError as err:
        return [err]
    return _listed(entry)


def _selection(data: RecordData) -> list[EvercastError]:
    """Return what is wrong with the selection that an analysis preserves, if it does."""
    if data.analysis.selection is None:
        return []
    from evercast.reinterpretation.requests.preserved import preserved_selection  # noqa: PLC0415 - where there is one

    try:
        preserved_selection(data)
    except EvercastError as err:
        return [err]
    return []


def _verify(entry: Entry, keys: KeyRing | None) -> None:
    today = time.strftime("%Y%m%d", time.gmtime())
    if entry.kind == "archive":
        verify_archive(entry.path, today=today, keys=keys, expected_id=entry.digest)
    elif entry.kind == "neural bundle":
        bundle = open_bundle(entry.path)
        if bundle.id != entry.digest:
            message = f"its id is {bundle.id}; expected {entry.digest}"
            raise IntegrityError(message, code="verify.id", where=str(entry.path))
        if bundle.signed:
            signer = check_signature(entry.path / SUMS_FILE, entry.path / SIGNATURE_FILE)
            known_signer(signer, keys, today, str(entry.path))
    else:
        from evercast.spec import load_analysis  # noqa: PLC0415 - with this kind only

        load_analysis(entry.path, check_files=False)


def _listed(entry: Entry) -> list[EvercastError]:
    """Return the problem that was found when the entry was listed: its index names another digest."""
    if entry.problem is None or entry.index is None or entry.exit_code != IntegrityError.exit_code:
        return []
    return [IntegrityError(entry.problem, code="catalogue.index-digest")]
