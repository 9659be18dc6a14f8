"""Evaluations in files: JSON, or Parquet with what must be known of the values in its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evercast.artifacts.files import atomic_write_bytes, atomic_write_json, canonical_json
from evercast.errors import NumericalFailure
from evercast.interop.evaluation import Evaluation

__all__ = ["write_evaluation"]


def write_evaluation(path: Path, evaluation: Evaluation, body: Mapping[str, object]) -> None:
    """Write all values of an evaluation, whole or not at all.

    A Parquet file has one column per label, the coefficients of a polynomial as ``LABEL[NUMBER]``, and `body` without
    the values as JSON in its metadata, under ``evercast``: whether events were extrapolated stands there.

    Args:
        path: ends in ``.parquet`` or ``.json``.
        evaluation: of events.
        body: its JSON form, with what it is of.

    Raises:
        EnvironmentUnfit: the disk is full or read-only.
        NumericalFailure: a value is not finite.
    """
    if path.suffix == ".json":
        atomic_write_json(path, body)
        return
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet  # noqa: PLC0415

    columns: dict[str, np.ndarray] = {}
    for label, values in evaluation.values.items():
        if not np.isfinite(values).all():
            raise NumericalFailure(f"values of {label!r} are not finite", code="evaluation.not-finite")
        parts = {label: values} if values.ndim == 1 else {f"{label}[{n}]": one for n, one in enumerate(values.T)}
        columns |= parts
    said = canonical_json({key: value for key, value in body.items() if key != "values"})
    table = pa.table(columns).replace_schema_metadata({b"evercast": said})
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, write_page_checksum=True)
    atomic_write_bytes(path, sink.getvalue().to_pybytes())
