"""Artifacts of every format version that was ever written: they are opened, verified and evaluated, for ever."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from evercast import open_likelihood
from evercast.artifacts.event_table import read_event_table
from evercast.artifacts.weights import read_weights
from evercast.cli import main
from evercast.reinterpretation.archived import open_archived
from evercast.reinterpretation.compare import compare_runs, results_of

GOLDEN = Path(__file__).parents[1] / "golden"
DIGESTS: Final = {
    "v1.0": "0d3e27af8afaeafdef9863d5bb358509ccd0ccc9e88b14beb3b168c15dc38869",
}
"""Version -> sha256 of its SHA256SUMS. What stands here never changes; a new version of a format adds a line."""

VERSIONS = sorted(DIGESTS)
Opened = Callable[[str, str], Path]


def test_every_golden_version_is_listed() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir() if path.name.startswith("v")) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_artifacts_never_change(version: str) -> None:
    sums = (GOLDEN / version / "SHA256SUMS").read_bytes()
    assert hashlib.sha256(sums).hexdigest() == DIGESTS[version]
    listed = dict(reversed(line.split("  ")) for line in sums.decode().splitlines())
    files = {path.name for path in (GOLDEN / version).iterdir()} - {"SHA256SUMS"}
    assert files == listed.keys()
    for name, digest in listed.items():
        assert hashlib.sha256((GOLDEN / version / name).read_bytes()).hexdigest() == digest


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """What unpacks an artifact of a version and returns its folder."""
    folder = tmp_path_factory.mktemp("golden")

    def unpack(version: str, name: str) -> Path:
        target = folder / version / name
        if not target.exists():
            content = (GOLDEN / version / f"{name}.tar.xz").read_bytes()
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as packed:
                packed.extractall(target, filter="data")
        (top,) = target.iterdir()
        return top

    return unpack


def expectation(version: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((GOLDEN / version / "expect.json").read_text())
    return body


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["bundle", "archive"])
def test_golden_artifacts_are_verified(version: str, name: str, opened: Opened) -> None:
    assert main(["verify", str(opened(version, name))]) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_bundle_gives_its_numbers(version: str, opened: Opened) -> None:
    expected = expectation(version)
    likelihood = open_likelihood(opened(version, "bundle"))
    for point, value in zip(expected["points"], expected["twice_nll"], strict=True):
        found = float(likelihood.twice_nll(dict(zip(expected["parameters"], point, strict=True))))
        assert found == pytest.approx(value, abs=2e-3)  # tolerances.results.twice_nll: another processor
    fit = likelihood.fit()
    best = dict(zip(fit.names, fit.theta.tolist(), strict=True))["mu"]
    assert best == pytest.approx(expected["mu"]["neural"]["value"], abs=1e-3 * expected["mu"]["neural"]["uncertainty"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_archive_is_read_to_its_last_array(version: str, opened: Opened) -> None:
    archived = open_archived(opened(version, "archive"))
    expected, side = expectation(version), archived.side
    assert archived.version.bag.id == expected["archive"]
    assert archived.version.record.name == "tiny"
    for unit in side.plan.units:
        assert side.receipt(unit) is not None
    for unit in side.plan.of_stage("selection"):
        assert len(read_event_table(side.folder(unit) / "events.zarr")) > 100
    for unit in side.plan.of_stage("training"):
        assert read_weights(side.folder(unit) / "weights.safetensors").members == (0, 1)
    found = {name: view.at("observed", "fit", "parameters", "mu").value for name, view in results_of(side).items()}
    assert found == expected["mu"]
    comparison = compare_runs(side, side)
    assert comparison.verdict == "same-bits"
    assert [row.verdict for row in comparison.declared] == ["numeric"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_machine_of_today_is_compared_with_that_of_a_golden_archive(
    version: str, opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["check-env", str(opened(version, "archive")), "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert code == (6 if any(finding["effect"] == "blocks" for finding in findings) else 4)
    found = {f"{finding['kind']} {finding['name']}": finding for finding in findings}
    assert found["document schema"]["effect"] == "same"
    assert found["code evercast"]["effect"] == "may-change"  # it has not the source that runs here
    assert found["default pyhf.AsymptoticCalculator.test_stat"]["old"] == "'qtilde'"


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_artifacts_need_no_migration(version: str, opened: Opened, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("bundle", "archive"):
        assert main(["migrate", str(opened(version, name))]) == 0
    assert capsys.readouterr().out.count("nothing to do") == 2
