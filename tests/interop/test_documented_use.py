"""The page on using a likelihood says what is true: its Python runs, and the reference names every method."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pyhf
import pytest

from evercast.interop.likelihood_object import OpenedLikelihood
from invented_bundle import write_invented_bundle
from invented_networks import OBSERVABLES, events

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to" / "use-a-likelihood.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # pyhf uses it


def test_the_python_of_the_page_runs(tmp_path: Path) -> None:
    (tmp_path / "bundles" / "neural").mkdir(parents=True)
    write_invented_bundle(tmp_path / "bundles" / "neural", smooth=True)
    shutil.copy(tmp_path / "bundles" / "neural" / "read_numpy.py", tmp_path)
    columns = dict(zip(OBSERVABLES, events(100, seed=5).T, strict=True))
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "events.parquet")
    model = pyhf.simplemodels.uncorrelated_background(signal=[12.0], bkg=[50.0], bkg_uncertainty=[3.0])
    (tmp_path / "another-measurement.json").write_text(
        json.dumps(pyhf.Workspace.build(model, [51.0, *model.config.auxdata]))
    )
    program = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    assert program.count("evercast.open_likelihood") == 2
    environment = {"SPEY_CHECKUPDATE": "OFF", "JAX_PLATFORMS": "cpu", "HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "<likelihood 'invented'" in done.stdout


def test_the_reference_names_every_public_name_of_the_object() -> None:
    public = [name for name in vars(OpenedLikelihood) if not name.startswith("_")]
    missing = [name for name in public if f"`{name}" not in REFERENCE]
    assert not missing
