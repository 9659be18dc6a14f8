"""The readers that a bundle carries, run where nothing but numpy (and onnxruntime) can be imported."""

import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evercast.artifacts.bundle_open import open_bundle
from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import read_likelihood
from evercast.likelihood.evaluate import Likelihood
from evercast.publication import readers
from evercast.publication.graph_copies import write_onnx
from evercast.publication.page_usage import usage_section
from evercast.publication.readers import write_readers
from evercast.publication.report.blocks import Code
from invented_bundle import write_invented_bundle
from invented_networks import ensemble, events

NUMPY = ("numpy",)
ONNX = ("numpy", "onnxruntime", "flatbuffers", "protobuf", "packaging")
FORBIDDEN = ("evercast", "jax", "scipy", "safetensors", "onnx", "pyhf")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_invented_bundle(tmp_path_factory.mktemp("invented"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with links to the files of single packages, as if nothing else were installed."""
    made = tmp_path_factory.mktemp("site")
    for folder, packages in (("numpy", NUMPY), ("onnx", ONNX)):
        (made / folder).mkdir()
        for package in packages:
            tops = {str(file).split("/")[0] for file in metadata.files(package) or () if not str(file).startswith("..")}
            for top in tops - {"__pycache__"}:
                place = Path(str(metadata.distribution(package).locate_file(top)))
                if not (made / folder / top).exists():
                    (made / folder / top).symlink_to(place)
    return made


def run(site: Path, program: str, *, check: bool = True) -> str:
    """Run Python with one folder of packages, no other site, no environment."""
    start = (
        f"import sys; sys.path.append({str(site)!r}); import importlib.util as u\n"
        f"assert not [name for name in {FORBIDDEN!r} if u.find_spec(name)]\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", start + program],
        capture_output=True,
        text=True,
        check=False,
        env={},
        cwd="/",
    )
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done.stdout if check else f"{done.returncode}\n{done.stdout}{done.stderr}"


def as_script(path: Path) -> str:
    return f"import runpy; sys.argv = [{str(path)!r}]; runpy.run_path({str(path)!r}, run_name='__main__')"


def differences(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"largest difference (\S+)", text)]


def test_numpy_alone_gives_likelihood_and_log_ratios(bundle: Path, site: Path) -> None:
    text = run(site / "numpy", as_script(bundle / "read_numpy.py"))
    found = differences(text)
    assert len(found) == 6
    assert found[0] < 1e-9
    assert max(found) < 1e-9


def test_numpy_and_onnxruntime_give_the_log_ratios(bundle: Path, site: Path) -> None:
    text = run(site / "onnx", as_script(bundle / "read_onnx.py"))
    found = differences(text)
    assert len(found) == 5
    assert max(found) < 1e-5


def test_onnx_example_is_short(bundle: Path) -> None:
    assert len((bundle / "read_onnx.py").read_text().splitlines()) <= 60


def test_large_weights_are_read_beside_the_graph(tmp_path: Path, bundle: Path, site: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "model.onnx").unlink()
    manifest["publication"]["onnx"] = write_onnx(folder, manifest, inside_limit=0)
    write_digests(folder, manifest)
    text = run(site / "onnx", as_script(folder / "read_onnx.py"))
    assert len(differences(text)) == 5
    assert max(differences(text)) < 1e-5


def test_events_of_ones_own_are_evaluated_alike(bundle: Path, site: Path) -> None:
    inputs = events(5000, seed=77)
    program = (
        f"sys.path.append({str(bundle)!r}); import numpy as np; from read_onnx import log_ratios\n"
        f"x = np.random.default_rng(77).normal(100.0, 40.0, size=(5000, 3))\n"
        f"found = log_ratios({str(bundle)!r}, 'invented', x)\n"
        "print({label: (v.shape, float(v.sum())) for label, v in found.items()})"
    )
    found = eval(run(site / "onnx", program))  # noqa: S307 - printed by the line above
    for label, values in ensemble().reference(inputs).items():
        assert found[label][0] == values.shape
        assert found[label][1] == pytest.approx(values.sum(), abs=0.02)


@pytest.mark.parametrize("number", range(5))
def test_numpy_agrees_at_any_point(bundle: Path, site: Path, number: int) -> None:
    likelihood = Likelihood(read_likelihood(bundle))
    random = np.random.default_rng(number)
    point = dict(zip(likelihood.names, likelihood.initial.tolist(), strict=True))
    point |= {"mu": random.uniform(0.0, 6.0), "jes": random.normal(0.0, 1.5), "jer": random.normal(0.0, 1.5)}
    point |= {"lumi": random.uniform(0.9, 1.1), "stat[0]": random.uniform(0.5, 1.5), "free": random.uniform(0.5, 1.5)}
    program = (
        f"sys.path.append({str(bundle)!r}); from read_numpy import Likelihood\n"
        f"print(repr(Likelihood({str(bundle)!r}).twice_nll({point!r})))"
    )
    expected = likelihood.twice_nll(np.array([point[name] for name in likelihood.names]))
    assert np.isfinite(expected)
    assert float(run(site / "numpy", program)) == pytest.approx(expected, abs=1e-6, rel=1e-9)


@pytest.mark.parametrize("alpha", [-3.0, -1.0, -0.3, 0.0, 0.7, 1.0, 2.5])
def test_numpy_agrees_where_interpolations_change(bundle: Path, site: Path, alpha: float) -> None:
    likelihood = Likelihood(read_likelihood(bundle))
    theta = likelihood.initial.copy()
    theta[likelihood.index("jes")] = alpha
    theta[likelihood.index("jer")] = -alpha
    program = (
        f"sys.path.append({str(bundle)!r}); from read_numpy import Likelihood\n"
        f"print(repr(Likelihood({str(bundle)!r}).twice_nll({{'jes': {alpha}, 'jer': {-alpha}}})))"
    )
    assert float(run(site / "numpy", program)) == pytest.approx(likelihood.twice_nll(theta), abs=1e-6, rel=1e-9)


def test_numpy_says_where_the_likelihood_is_not_defined(bundle: Path, site: Path) -> None:
    program = (
        f"sys.path.append({str(bundle)!r}); from read_numpy import Likelihood\n"
        f"print(Likelihood({str(bundle)!r}).twice_nll({{'mu': -1.0}}))"
    )
    assert run(site / "numpy", program).strip() == "inf"


def test_numpy_names_an_unknown_parameter(bundle: Path, site: Path) -> None:
    program = (
        f"sys.path.append({str(bundle)!r}); from read_numpy import Likelihood\n"
        f"Likelihood({str(bundle)!r}).twice_nll({{'nu': 1.0}})"
    )
    assert "unknown parameter 'nu'; there are mu, jes" in run(site / "numpy", program, check=False)


@pytest.mark.parametrize(
    "text", ["__import__('os').system('touch canary')", "().__class__", "mu if 1 else 2", "[mu]", "mu.real", "f(mu)"]
)
def test_numpy_reads_formulas_and_nothing_else(bundle: Path, site: Path, text: str) -> None:
    program = f"sys.path.append({str(bundle)!r}); from read_numpy import formula\nformula({text!r}, {{'mu': 1.0}})"
    said = run(site / "numpy", program, check=False)
    assert said.startswith("1\n")
    assert "is no formula of this format" in said


def test_huge_powers_end_at_once(bundle: Path, site: Path) -> None:
    program = f"sys.path.append({str(bundle)!r}); from read_numpy import formula\nprint(formula('9**9**9', {{}}))"
    assert run(site / "numpy", program).strip() == "nan"


def test_a_damaged_bundle_fails_its_own_comparison(tmp_path: Path, bundle: Path, site: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    other = ensemble(activation="tanh")
    body = json.loads((folder / "architecture.json").read_text())
    body["networks"]["invented"] = {label: one.architecture.to_json() for label, one in other.networks()}
    (folder / "architecture.json").write_text(json.dumps(body))
    write_digests(folder, json.loads((folder / "manifest.json").read_text()))
    assert run(site / "numpy", as_script(folder / "read_numpy.py"), check=False).startswith("1\n")


def test_ratios_alone_come_without_the_onnx_reader(tmp_path: Path, site: Path) -> None:
    folder = write_invented_bundle(tmp_path, disclosure="ratios")
    assert not (folder / "read_onnx.py").exists()
    assert write_readers(folder) == {"read_numpy.py": {"packages": ["numpy"]}}
    found = differences(run(site / "numpy", as_script(folder / "read_numpy.py")))
    assert len(found) == 1
    assert found[0] < 1e-9


def test_blind_data_are_replaced_by_asimov_data(tmp_path: Path, site: Path) -> None:
    folder = write_invented_bundle(tmp_path, blind=True, copies=False)
    assert json.loads((folder / "reference_vectors.json").read_text())["dataset"] == "asimov"
    assert differences(run(site / "numpy", as_script(folder / "read_numpy.py")))[0] < 1e-9


def write_digests(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest with the digests of what stands in the folder now, so that the numbers alone can be wrong."""
    outside = ("manifest.json", "manifest-sha256.txt")
    manifest["files"] = {
        path.name: {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name not in outside
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("reader", ["numpy", "onnx"])
@pytest.mark.parametrize("name", ["weights-signal", "events.safetensors", "README.md"])
@pytest.mark.parametrize("change", ["one byte", "missing"])
def test_readers_compare_every_file_with_its_digest(
    tmp_path: Path, bundle: Path, site: Path, reader: str, name: str, change: str
) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    if name == "README.md":  # a file that no reader has a use for
        (folder / name).write_text("read me")
        write_digests(folder, json.loads((folder / "manifest.json").read_text()))
    (path,) = folder.glob(f"*{name}*")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    if change == "one byte":
        path.write_bytes(content)
    said = run(site / reader, as_script(folder / f"read_{reader}.py"), check=False)
    assert said.startswith("1\n")
    assert f"missing, or not as manifest.json says: {path.name}" in said
    assert "Traceback" not in said


def test_the_numpy_reader_is_held_to_double_precision(tmp_path: Path, bundle: Path, site: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    vectors = json.loads((folder / "reference_vectors.json").read_text())
    vectors["log_ratio"]["invented"]["log_ratio"]["signal"][0] += 1e-7
    (folder / "reference_vectors.json").write_text(json.dumps(vectors))
    write_digests(folder, json.loads((folder / "manifest.json").read_text()))
    said = run(site / "numpy", as_script(folder / "read_numpy.py"), check=False)
    assert said.startswith("1\n")
    assert "invented signal: largest difference 1e-07, which is too much" in said
    assert run(site / "onnx", as_script(folder / "read_onnx.py"), check=False).startswith("0\n")


def test_the_reader_of_the_projection_says_what_it_needs(site: Path) -> None:
    program = Path(readers.__file__).parent / "shipped" / "read_projection.py"
    said = run(site / "numpy", as_script(program), check=False)
    assert said.startswith("1\nthis needs pyhf and scipy: ")
    assert "Traceback" not in said


def test_what_the_page_shows_leaves_the_bundle_as_it_is(tmp_path: Path, bundle: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    manifest = json.loads((folder / "manifest.json").read_text())
    blocks = usage_section(folder, manifest, read_likelihood(folder)).blocks
    shown = [block.text for block in blocks if isinstance(block, Code) and "from read_" in block.text]
    assert len(shown) == 2
    for text in shown:
        assert "FOLDER" in text
        copied, program = text.replace("FOLDER", str(folder)).split("\npython\n")
        (copy,) = (line.partition("#")[0].split() for line in copied.splitlines() if line.startswith("cp "))
        subprocess.run(copy, cwd=tmp_path, check=True)
        events_of_ones_own = "import numpy as np; events = np.full((10, 3), 100.0)\n"
        subprocess.run([sys.executable, "-c", events_of_ones_own + program], cwd=tmp_path, env={}, check=True)
    assert open_bundle(folder).files
    assert (tmp_path / "__pycache__").is_dir()  # Python did write one, beside the copies


def edited_vectors(path: Path, bundle: Path, change: str) -> Path:
    """A copy of the bundle whose vectors, or whose list of graphs, say less, or something that is no number."""
    folder = Path(shutil.copytree(bundle, path / "bundle"))
    vectors = json.loads((folder / "reference_vectors.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    body = vectors["log_ratio"]["invented"]
    if change == "no vectors":
        vectors["log_ratio"] = {}
    elif change == "no points":
        vectors["likelihood"] = []
    elif change == "not a number":
        body["log_ratio"]["signal"][3] = float("nan")
    elif change == "not a value of L":
        vectors["likelihood"][0]["twice_nll"] = float("nan")
    elif change == "a process without vectors":
        del body["log_ratio"]["signal"]
    elif change == "vectors of no process":
        body["log_ratio"]["other"] = body["log_ratio"]["signal"]
    elif change == "fewer events":
        body["log_ratio"]["signal"] = body["log_ratio"]["signal"][:1]
    elif change == "no events":
        body["observables"] = []
        body["log_ratio"] = {name: [] for name in body["log_ratio"]}
    elif change == "no graphs":
        manifest["publication"]["onnx"]["graphs"] = []
    (folder / "reference_vectors.json").write_text(json.dumps(vectors))
    write_digests(folder, manifest)
    return folder


BOTH = (
    "no vectors", "not a number", "a process without vectors", "vectors of no process", "fewer events", "no events",
)  # fmt: skip


@pytest.mark.parametrize("change", [*BOTH, "no graphs"])
def test_the_onnx_reader_passes_nothing_that_it_did_not_compare(
    tmp_path: Path, bundle: Path, site: Path, change: str
) -> None:
    folder = edited_vectors(tmp_path, bundle, change)
    assert run(site / "onnx", as_script(folder / "read_onnx.py"), check=False).startswith("1\n")


@pytest.mark.parametrize("change", [*BOTH, "no points", "not a value of L"])
def test_the_numpy_reader_passes_nothing_that_it_did_not_compare(
    tmp_path: Path, bundle: Path, site: Path, change: str
) -> None:
    folder = edited_vectors(tmp_path, bundle, change)
    assert run(site / "numpy", as_script(folder / "read_numpy.py"), check=False).startswith("1\n")


def test_an_unchanged_copy_passes_both(tmp_path: Path, bundle: Path, site: Path) -> None:
    folder = edited_vectors(tmp_path, bundle, "nothing")
    assert run(site / "numpy", as_script(folder / "read_numpy.py"), check=False).startswith("0\n")
    assert run(site / "onnx", as_script(folder / "read_onnx.py"), check=False).startswith("0\n")
