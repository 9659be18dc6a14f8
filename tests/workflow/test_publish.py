"""A finished run is published whole or not at all, verified from what was published alone, and never changed."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import load_file

from evercast.artifacts.event_table import read_event_table
from evercast.artifacts.files import sha256_file
from evercast.artifacts.validity import examine, read_points, read_validity
from evercast.schemas import load_schema
from workflow_documents import evercast

BUNDLE = Path("results/toy/publication/bundles/neural")


@pytest.fixture(scope="session")
def published(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run with its bundle and workspace published; not to be changed."""
    folder = Path(shutil.copytree(toy_run, tmp_path_factory.mktemp("published") / "run", symlinks=True))
    done = publish(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(toy_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that may be changed."""
    return Path(shutil.copytree(toy_run, tmp_path / "run", symlinks=True))


def publish(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return evercast(
        "publish", "analysis.yaml", "--part", "bundles", "--part", "pyhf", "--json", *words, cwd=folder, **more
    )


def refusal(done: subprocess.CompletedProcess[str]) -> Mapping[str, Any]:
    body: Mapping[str, Any] = json.loads(done.stdout)["error"]
    assert body["exit_code"] == done.returncode
    return body


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def manifest(folder: Path) -> Any:
    return json.loads((folder / BUNDLE / "manifest.json").read_text())


def test_the_bundle_holds_what_its_reader_needs(published: Path) -> None:
    names = {path.name for path in (published / BUNDLE).iterdir()}
    assert names >= {
        "manifest.json", "manifest-sha256.txt", "likelihood.json", "events.safetensors", "reference_vectors.json",
        "validity.json", "support.safetensors", "results.json", "diagnostics.json", "LICENSE.txt", "CITATION.cff",
        "README.md", "index.html", "report.html", "model.onnx", "model.stablehlo", "read_numpy.py", "read_onnx.py",
        "workspace.json", "projection.json", "architecture.json", "weights-S.safetensors", "weights-B.safetensors",
    }  # fmt: skip
    assert not [name for name in names if name.startswith(".") or name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("manifest.json", "neural-likelihood"),
        ("validity.json", "validity"),
        ("results.json", "bundle-results"),
        ("reference_vectors.json", "reference-vectors"),
    ],
)
def test_its_documents_obey_their_schemas(published: Path, file: str, kind: str) -> None:
    body = json.loads((published / BUNDLE / file).read_text())
    assert list(jsonschema.Draft202012Validator(load_schema(kind)).iter_errors(body)) == []


def test_sha256sum_alone_verifies_it(published: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", "manifest-sha256.txt"], cwd=published / BUNDLE, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(list((published / BUNDLE).iterdir())) - 1


def test_it_is_verified_from_a_copy_elsewhere(published: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(published / BUNDLE, tmp_path / "elsewhere")
    done = evercast("verify", str(copy), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    said = json.loads(done.stdout)
    assert {one["name"] for one in said["checks"]} >= {
        "files", "documents", "domain", "ratios: numpy", "ratios: float32", "-2 ln L", "best fit", "model.onnx",
    }  # fmt: skip
    assert said["id"] == sha256_file(copy / "manifest-sha256.txt")
    assert "nobody signed it" in evercast("verify", str(copy), cwd=tmp_path).stdout


def test_inspect_tells_what_it_is(published: Path) -> None:
    done = evercast("inspect", str(BUNDLE), "--json", cwd=published)
    said = json.loads(done.stdout)
    assert said["disclosure"] == "networks"
    assert said["observables"] == {"x": "1", "y": "1"}
    assert said["parameters"][:2] == ["mu", "norm_b"]
    assert said["result"].startswith("mu = ")
    text = evercast("inspect", str(BUNDLE), cwd=published).stdout
    assert "license: CC0-1.0" in text


def test_the_same_again_changes_nothing(published: Path) -> None:
    before = tree(published / "results/toy/publication")
    times = {path: path.stat().st_mtime_ns for path in (published / BUNDLE).iterdir()}
    done = publish(published)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["written"] is False
    assert tree(published / "results/toy/publication") == before
    assert {path: path.stat().st_mtime_ns for path in (published / BUNDLE).iterdir()} == times


def test_what_stands_there_is_never_overwritten(published: Path, tmp_path: Path) -> None:
    output = tmp_path / "publication"
    shutil.copytree(published / "results/toy/publication", output)
    (output / "bundles/neural/README.md").write_text("mine\n")
    before = tree(output)
    done = publish(published, "--output", str(output))
    assert (done.returncode, refusal(done)["code"]) == (3, "publication.exists")
    assert "bundles/neural/README.md" in refusal(done)["message"]
    assert tree(output) == before
    assert [path.name for path in tmp_path.iterdir()] == ["publication"]


def test_a_part_is_added_and_another_left_alone(published: Path, tmp_path: Path) -> None:
    output = tmp_path / "publication"
    shutil.copytree(published / "results/toy/publication/bundles", output / "bundles")
    words = ["publish", "analysis.yaml", "--part", "pyhf", "--output", str(output), "--json"]
    added, again = (evercast(*words, cwd=published) for _ in range(2))
    assert (added.returncode, json.loads(added.stdout)["written"]) == (0, True), added.stdout
    assert (again.returncode, json.loads(again.stdout)["written"]) == (0, False), again.stdout
    assert tree(output) == tree(published / "results/toy/publication")
    (output / "bundles/neural/README.md").write_text("mine\n")
    changed = evercast(*words, cwd=published)
    assert refusal(changed)["code"] == "publication.exists"
    assert "'bundles'" in refusal(changed)["message"]


@pytest.mark.parametrize("small_disk", ["200k"], indirect=True)
def test_a_disk_that_is_full_leaves_nothing(published: Path, small_disk: Path) -> None:
    done = publish(published, "--output", str(small_disk / "publication"))
    assert (done.returncode, refusal(done)["code"]) == (6, "disk.full")
    assert list(small_disk.iterdir()) == []


def test_a_signed_bundle_says_who_signed(published: Path, tmp_path: Path) -> None:
    for name in ("own", "other"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", f"{name}.pem"], cwd=tmp_path, check=True)
        public = ["openssl", "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub"]
        subprocess.run(public, cwd=tmp_path, check=True)
    output = tmp_path / "publication"
    assert publish(published, "--output", str(output), "--sign", str(tmp_path / "own.pem")).returncode == 0
    bundle = str(output / "bundles" / "neural")
    assert evercast("verify", bundle, "--key", "own.pub", cwd=tmp_path).returncode == 0
    assert evercast("verify", bundle, "--key", "other.pub", cwd=tmp_path).returncode == 5
    unsigned = str(published / BUNDLE)
    assert evercast("verify", unsigned, "--key", "own.pub", cwd=tmp_path).returncode == 5


def test_the_domain_is_that_of_the_training(published: Path) -> None:
    domain = read_validity(published / BUNDLE)
    ensemble = domain.ensembles["ratios"]
    assert ensemble.support is not None
    assert set(ensemble.training) == {"signal", "background"}
    assert [one.reference for one in ensemble.training.values()] == [0.5, 0.5]
    folder = next((published / "results/toy/work/selection").glob("observed-*"))
    events = read_event_table(folder / "events.zarr").in_region("SR").columns(["x", "y"])
    points = read_points(published / BUNDLE, domain)["ratios"]
    assert examine(domain, "ratios", points, events).problems() == []
    low, high = ensemble.observables[0].low, ensemble.observables[0].high
    assert -0.5 < low < -0.49
    assert high < 10.0
    rate = ensemble.support.false_positive
    assert rate.events > 1000
    assert rate.rate is not None
    assert rate.uncertainty is not None
    assert abs(rate.rate - 0.01) < 5.0 * rate.uncertainty
    scaled = examine(domain, "ratios", points, 1000.0 * events).problems()
    assert any("'x'" in text for text in scaled)


def test_the_vectors_hold_edges_and_points_outside(published: Path) -> None:
    body = json.loads((published / BUNDLE / "reference_vectors.json").read_text())
    inputs = np.array(body["log_ratio"]["ratios"]["observables"])
    assert len(inputs) >= 64
    assert len(body["likelihood"]) >= 5
    assert all(set(point["gradient"]) == set(point["parameters"]) for point in body["likelihood"])
    domain = read_validity(published / BUNDLE)
    points = read_points(published / BUNDLE, domain)["ratios"]
    assert examine(domain, "ratios", points, inputs).outside.sum() >= 2


def test_no_observable_of_an_observed_event_is_given_away(published: Path) -> None:
    """Disclosure networks: every number in every file is compared with the observed observables."""
    folder = next((published / "results/toy/work/selection").glob("observed-*"))
    observed = read_event_table(folder / "events.zarr").in_region("SR").columns(["x", "y"]).ravel()
    for path in sorted((published / BUNDLE).glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            assert not np.isin(observed, tensor.astype(np.float64)).any(), (path.name, name)
            assert not np.isin(observed.astype(np.float32), tensor).any() or path.name != "events.safetensors", name
    for path in sorted((published / BUNDLE).glob("*.json")):
        text = path.read_text()
        assert not [value for value in observed.tolist() if repr(value) in text], path.name


def test_the_page_loads_nothing_and_says_what_it_must(published: Path) -> None:
    page = (published / BUNDLE / "index.html").read_text()
    for text in ("What this is", "How to use it", "Where it may be used", "What was found", "Licence", "onnxruntime"):
        assert text in page
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert 'src="http' not in page
    assert str(published) not in page
    assert "evercast: a later section" not in page


@pytest.mark.parametrize("part", ["unknown", "bundles,pyhf"])
def test_a_part_that_is_none_is_a_wrong_command(published: Path, part: str) -> None:
    done = evercast("publish", "analysis.yaml", "--part", part, "--json", cwd=published)
    assert (done.returncode, refusal(done)["code"]) == (2, "publication.part")


def test_a_likelihood_that_is_not_published_is_named(published: Path) -> None:
    done = publish(published, "--likelihood", "other")
    assert (done.returncode, refusal(done)["code"]) == (3, "publication.likelihood")
    assert "neural" in refusal(done)["message"]


def _diagnostics(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the diagnostics as if the run had found so: the receipt agrees."""
    _change_unit(run, "diagnostics", "diagnostics.json", change)


def _change_unit(run: Path, stage: str, name: str, change: Callable[[dict[str, Any]], object]) -> None:
    unit = next((run / "results/toy/work" / stage).glob("*/receipt.json")).parent
    body = json.loads((unit / name).read_text())
    change(body)
    (unit / name).write_text(json.dumps(body))
    receipt = json.loads((unit / "receipt.json").read_text())
    receipt["files"][name] = {"sha256": sha256_file(unit / name), "size": (unit / name).stat().st_size}
    (unit / "receipt.json").write_text(json.dumps(receipt))


def _red(body: dict[str, Any]) -> None:
    body["publication"] = {"allowed": False, "red": [body["checks"][0]["id"]], "overridden": {}}


def _blind(body: dict[str, Any]) -> None:
    body["results"]["neural"].update(status="blinded", blinded=["SR"], observed=None)


def _another_run(body: dict[str, Any]) -> None:
    body["run_id"] = "f" * 16


def _another_workspace(body: dict[str, Any]) -> None:
    body["workspace_sha256"] = "0" * 64


REFUSALS: dict[str, tuple[Callable[[Path], object], tuple[int, str], str]] = {
    "a red check": (lambda run: _diagnostics(run, _red), (3, "publication.red-check"), "1 check found red"),
    "no verdict": (
        lambda run: _diagnostics(run, lambda body: body.pop("publication")),
        (3, "publication.unchecked"), "publication",
    ),
    "blinded data": (
        lambda run: _change_unit(run, "report", "fit.json", _blind), (3, "publication.blinded"), "'neural' is blinded",
    ),
    "another run": (
        lambda run: _change_unit(run, "serialization", "likelihood/neural/manifest.json", _another_run),
        (3, "publication.run-id"), "different runs",
    ),
    "the workspace of another run": (
        lambda run: _change_unit(run, "serialization", "likelihood/neural/manifest.json", _another_workspace),
        (3, "publication.run-id"), "workspace",
    ),
    "a changed weight": (
        lambda run: next((run / "results/toy/work/serialization").glob("*/*/neural/weights-S.*")).write_bytes(b"x"),
        (5, "unit.file-changed"), "has changed",
    ),
    "a unit that was not run": (
        lambda run: shutil.rmtree(next((run / "results/toy/work/report").iterdir())),
        (1, "run.incomplete"), "have not been run",
    ),
    "a changed document": (
        lambda run: (run / "analysis.yaml").write_text(
            (run / "analysis.yaml").read_text().replace("Gaussian signal", "Another signal")
        ),
        (1, "run.incomplete"), "changed since",
    ),
    "no run": (lambda run: shutil.rmtree(run / "results"), (1, "run.incomplete"), "has not been run"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_must_not_be_published_is_refused(run: Path, name: str) -> None:
    change, expected, words = REFUSALS[name]
    change(run)
    done = publish(run)
    said = refusal(done)
    assert (done.returncode, said["code"]) == expected, said
    assert words in said["message"]
    assert not (run / "results/toy/publication").exists()
    assert not list(run.rglob(".publication*"))


def test_a_secret_in_the_document_is_refused(run: Path) -> None:
    """The text of a document reaches the manifest, the page, the citation."""
    secret = "glpat-" + "q9w8e" * 4

    def leak(body: dict[str, Any]) -> None:
        body["metadata"]["description"] = f"see {secret}"

    _change_unit(run, "serialization", "likelihood/neural/manifest.json", leak)
    done = publish(run)
    said = refusal(done)
    assert (done.returncode, said["code"]) == (5, "publication.secret")
    assert secret not in done.stdout
    assert not (run / "results/toy/publication").exists()


def test_a_reader_with_numpy_alone_gets_the_same_numbers(published: Path, tmp_path: Path) -> None:
    """A process without evercast, jax, safetensors: the shipped reader and numpy."""
    others = ("evercast", "jax", "safetensors", "onnx", "scipy", "pyhf")
    block = f"import sys\nfor name in {others}:\n    sys.modules[name] = None\n"
    (tmp_path / "use.py").write_text(
        block + "sys.path.insert(0, sys.argv[1])\nimport json\nfrom read_numpy import Likelihood\n"
        "points = json.load(open(sys.argv[1] + '/reference_vectors.json'))['likelihood']\n"
        "likelihood = Likelihood(sys.argv[1])\n"
        "print(max(abs(likelihood.twice_nll(p['parameters']) - p['twice_nll']) for p in points))\n"
    )
    command = [sys.executable, "-I", str(tmp_path / "use.py"), str(published / BUNDLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-6


def test_what_a_killed_attempt_left_is_removed(published: Path, tmp_path: Path) -> None:
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
    left = tmp_path / f".publication.{host}-4194999.tmp"  # above the largest number of a process
    other = tmp_path / f".publication.{host}-1.tmp"  # a process that lives
    for folder in (left, other):
        folder.mkdir()
        (folder / "half").write_text("")
    done = publish(published, "--output", str(tmp_path / "publication"))
    assert done.returncode == 0, done.stdout
    assert not left.exists()
    assert other.exists()
