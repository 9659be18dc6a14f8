"""`evercast.open_likelihood`: one object for bundles and workspaces, from folders, archives and URLs."""

import doctest
import hashlib
import http.server
import io
import json
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import evercast
from evercast.artifacts.likelihood_source import LikelihoodSource, open_likelihood_source
from evercast.cli import main
from evercast.errors import EnvironmentUnfit, EvercastError, IntegrityError, InvalidInput
from evercast.interop import likelihood_object
from evercast.interop.likelihood_object import OpenedLikelihood
from invented_bundle import write_invented_bundle, write_sums
from invented_networks import OBSERVABLES, ensemble, events
from statistics_inputs import synthetic_workspace

TLS = Path(__file__).parents[1] / "events" / "tls"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_invented_bundle(tmp_path_factory.mktemp("invented"), copies=False, smooth=True)


@pytest.fixture(scope="module")
def likelihood(bundle: Path) -> OpenedLikelihood:
    return evercast.open_likelihood(bundle)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("workspace") / "workspace.json"
    path.write_text(json.dumps(synthetic_workspace()))
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVERCAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def own_events(count: int = 200) -> dict[str, np.ndarray]:
    """Return events in the middle of the training: none of them is outside of its domain."""
    return dict(zip(OBSERVABLES, (100.0 + 0.5 * (events(count, seed=5) - 100.0)).T, strict=True))


# ---------------------------------------------------------------- the object


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, evercast; assert 'open_likelihood' in dir(evercast)\n"
        "heavy = {'numpy', 'jax', 'pyhf', 'pyarrow', 'onnx', 'spey'} & set(sys.modules); assert not heavy, heavy\n"
        "import evercast; evercast.open_likelihood; assert 'spey' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with pytest.raises(AttributeError, match="no attribute 'open_everything'"):
        evercast.open_everything  # noqa: B018


def test_a_bundle_has_the_numbers_of_its_reference_vectors(bundle: Path, likelihood: OpenedLikelihood) -> None:
    vectors = json.loads((bundle / "reference_vectors.json").read_text())
    for point in vectors["likelihood"]:
        assert likelihood.twice_nll(point["parameters"]) == pytest.approx(point["twice_nll"], abs=1e-8)
        assert likelihood.gradient(point["parameters"]) == pytest.approx(point["gradient"], abs=1e-6)
    assert likelihood.twice_nll() == likelihood.twice_nll({"mu": 1.0})


def test_a_bundle_says_what_it_is(likelihood: OpenedLikelihood, bundle: Path) -> None:
    assert (likelihood.name, likelihood.title, likelihood.poi) == ("invented", "an invention", "mu")
    assert list(likelihood.parameters) == ["mu", "jes", "jer", "lumi", "stat[0]", "stat[1]", "free"]
    assert likelihood.parameters["lumi"].width == 0.02
    assert likelihood.folder == bundle
    assert "7 parameters, channels SR, CR, poi mu, data observed" in repr(likelihood)
    assert likelihood.expected_events({"mu": 2.0})["SR"].tolist() == pytest.approx([60.0, 120.0])


def test_a_workspace_is_the_same_object(workspace: Path) -> None:
    found = evercast.open_likelihood(workspace)
    assert (found.name, found.poi, found.folder, dict(found.manifest)) == ("workspace", "mu", None, {})
    assert np.isfinite(found.twice_nll())
    assert evercast.open_likelihood(workspace, name="other").name == "other"
    with pytest.raises(InvalidInput, match="has no networks") as caught:
        found.evaluate(own_events())
    assert caught.value.code == "evaluate.not-published"


def test_a_workspace_takes_patches(workspace: Path, tmp_path: Path) -> None:
    signal = synthetic_workspace()["channels"][0]["samples"][0]["data"]
    path = "/channels/0/samples/0/data/0"
    patch = tmp_path / "patch.json"
    patch.write_text(json.dumps([{"op": "replace", "path": path, "value": 2 * signal[0]}]))
    plain, patched = evercast.open_likelihood(workspace), evercast.open_likelihood(workspace, patch=str(patch))
    difference = patched.expected_events()["SR"] - plain.expected_events()["SR"]
    assert difference[0] == pytest.approx(signal[0])
    assert np.allclose(difference[1:], 0.0)


def test_fits_profiles_and_limits_are_those_of_the_command_line(
    bundle: Path, likelihood: OpenedLikelihood, capsys: pytest.CaptureFixture[str]
) -> None:
    best = likelihood.fit()
    profile = likelihood.profile(points=3)
    assert profile.best.value("mu") == pytest.approx(best.value("mu"), abs=1e-6)
    assert len(profile.scan.values) == 3
    segment = profile.interval.segments[0]
    assert segment.low < best.value("mu") < segment.high
    assert main(["fit", str(bundle), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["twice_nll"] == pytest.approx(best.twice_nll, abs=1e-8)
    held = likelihood.fit(fixed={"mu": 2.0})
    assert held.value("mu") == 2.0
    assert held.twice_nll > best.twice_nll


def test_limits_and_tests_are_those_of_the_command_line(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evercast.open_likelihood(workspace)
    assert main(["cls", str(workspace), "--mu", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["CLs_obs"] == pytest.approx(found.cls(2.0).cls_obs, abs=1e-8)
    assert main(["limit", str(workspace), "--expected", "--json"]) == 0
    limit = found.limit(observed=False)
    assert limit.observed is None
    assert json.loads(capsys.readouterr().out)["expected"] == pytest.approx(limit.expected, rel=1e-6)
    assert found.significance().z >= 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, [1.0, 2.0], True])
def test_values_of_parameters_are_finite_numbers(likelihood: OpenedLikelihood, value: object) -> None:
    for call in (likelihood.twice_nll, likelihood.gradient, likelihood.expected_events):
        with pytest.raises(InvalidInput, match="expected a finite number") as caught:
            call({"mu": value})  # type: ignore[dict-item]
        assert caught.value.code == "likelihood.parameters"
    assert likelihood.twice_nll({"mu": np.float32(1.0)}) == likelihood.twice_nll({"mu": 1})


@pytest.mark.parametrize("parameters", [[1, 2], [], 1.0])
def test_parameters_are_named(likelihood: OpenedLikelihood, parameters: object) -> None:
    with pytest.raises(InvalidInput, match="parameters are name -> value") as caught:
        likelihood.twice_nll(parameters)  # type: ignore[arg-type]
    assert caught.value.code == "likelihood.parameters"


def test_a_likelihood_of_another_name_is_not_there(bundle: Path, workspace: Path) -> None:
    for place, name in ((bundle, "invented"), (workspace, "workspace")):
        assert evercast.open_likelihood(place, likelihood=name).name == name
        with pytest.raises(InvalidInput, match=f"there is no likelihood 'zz'; there is: {name}") as caught:
            evercast.open_likelihood(place, likelihood="zz")
        assert caught.value.code == "likelihood.unknown"


@pytest.mark.parametrize("name", ["weights-signal.safetensors", "events.safetensors", "likelihood.json", "README.md"])
def test_the_command_line_compares_all_digests_too(bundle: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        open_likelihood_source(LikelihoodSource(path=folder))
    assert caught.value.code == "bundle.digest"
    assert main(["fit", str(folder)]) == 5


def test_unknown_parameters_are_named(likelihood: OpenedLikelihood) -> None:
    for call in (likelihood.twice_nll, likelihood.gradient, likelihood.expected_events, likelihood.asimov):
        with pytest.raises(InvalidInput, match="unknown parameter 'jess'") as caught:
            call({"jess": 1.0})
        assert caught.value.hint == "did you mean 'jes'?"
    with pytest.raises(InvalidInput, match="unknown parameter 'nu'"):
        likelihood.fit(fixed={"nu": 1.0})


def test_asimov_data_have_their_minimum_near_where_they_were_made(workspace: Path) -> None:
    made = evercast.open_likelihood(workspace).asimov({"mu": 1.7})
    assert made.fit().value("mu") == pytest.approx(1.7, abs=1e-3)
    assert "data binned" in repr(made)


def test_blind_data_are_looked_at_only_where_that_is_asked_for(tmp_path: Path) -> None:
    folder = write_invented_bundle(tmp_path, blind=True, copies=False, smooth=True)
    blind = evercast.open_likelihood(folder)
    for call in (blind.twice_nll, blind.gradient, blind.fit, blind.profile, blind.limit, blind.significance):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.code == "likelihood.blind"
    assert np.isfinite(blind.asimov().twice_nll())
    assert np.isfinite(evercast.open_likelihood(folder, unblind=True).twice_nll())


def test_another_parametrisation_keeps_the_densities(likelihood: OpenedLikelihood, tmp_path: Path) -> None:
    document = {
        "parameters": {"kappa": {"initial": 1.0, "bounds": [0.0, 5.0], "poi": True}},
        "coefficients": {"signal": "kappa**2"},
    }
    found = likelihood.reparametrise(document)
    assert found.poi == "kappa"
    assert found.twice_nll({"kappa": 1.3, "jes": 0.4}) == pytest.approx(
        likelihood.twice_nll({"mu": 1.69, "jes": 0.4}), abs=1e-8
    )
    path = tmp_path / "kappa.json"
    path.write_text(json.dumps({"schema": "parametrisation/1.0.0", **document}))
    assert likelihood.reparametrise(path).twice_nll({"kappa": 1.3}) == found.twice_nll({"kappa": 1.3})
    with pytest.raises(InvalidInput, match="unknown process 'sgnal'"):
        likelihood.reparametrise({**document, "coefficients": {"sgnal": "kappa"}})
    with pytest.raises(InvalidInput) as caught:
        likelihood.reparametrise({"parametres": {}})
    assert caught.value.code == "reparametrise.document"


def test_likelihoods_combine(likelihood: OpenedLikelihood, workspace: Path) -> None:
    other = evercast.open_likelihood(workspace)
    with pytest.raises(InvalidInput, match="different definitions"):
        likelihood.combine(other)
    both = likelihood.combine(other, uncorrelate=["mu", "jes", "lumi"], poi="invented_mu")
    point = {"invented_mu": 1.2, "workspace_mu": 0.7}
    assert both.twice_nll(point) == pytest.approx(
        likelihood.twice_nll({"mu": 1.2}) + other.twice_nll({"mu": 0.7}), abs=1e-8
    )
    with pytest.raises(InvalidInput, match="are they the same data"):
        likelihood.combine(likelihood)


def test_two_likelihoods_of_one_run_combine_only_where_that_is_meant(
    bundle: Path, likelihood: OpenedLikelihood, workspace: Path, tmp_path: Path
) -> None:
    again = evercast.open_likelihood(bundle, name="again")
    with pytest.raises(InvalidInput, match="are of one run") as caught:
        likelihood.combine(again)
    assert (caught.value.code, caught.value.exit_code) == ("combination.same-run", 3)
    both = likelihood.combine(again, uncorrelate=["stat"], same_run=True)
    assert len(both.model.channels) == 4
    third = evercast.open_likelihood(bundle, name="third")
    with pytest.raises(InvalidInput, match="are of one run"):
        both.combine(third)
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["workspace_sha256"] = hashlib.sha256(workspace.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    with pytest.raises(InvalidInput, match="are of one run"):
        evercast.open_likelihood(folder).combine(evercast.open_likelihood(workspace))


# ---------------------------------------------------------------- events of one's own


def test_own_events_have_the_log_ratios_of_the_weights(likelihood: OpenedLikelihood) -> None:
    found = likelihood.evaluate(own_events())
    assert not found.extrapolated
    for label, values in ensemble().reference(np.stack(list(own_events().values()), axis=1)).items():
        np.testing.assert_allclose(found.values[label], values, atol=1e-5, rtol=1e-5)
    with pytest.raises(InvalidInput, match="there is no log ratio of 'top'"):
        found.log_ratio("top")


def test_own_events_can_be_the_data(bundle: Path, likelihood: OpenedLikelihood) -> None:
    found = likelihood.evaluate(own_events())
    mine = likelihood.with_events(found)
    twice = likelihood.with_events(found, weight=np.full(200, 2.0))
    assert np.isfinite(mine.fit().twice_nll)
    one, two, none = (
        model.twice_nll({"mu": 0.8}) for model in (mine, twice, likelihood.with_events(found, weight=np.zeros(200)))
    )
    assert two - none == pytest.approx(2 * (one - none), rel=1e-9)
    with pytest.raises(InvalidInput, match="200 events have weights of shape"):
        likelihood.with_events(found, weight=[1.0])


def test_columns_are_found_by_name_in_any_order_with_their_units(likelihood: OpenedLikelihood, tmp_path: Path) -> None:
    columns = own_events()
    expected = likelihood.evaluate(columns).values["signal"]
    frame = {"other": np.zeros(200), "pt [GeV]": columns["pt"], "angle": columns["angle"], "mass": columns["mass"]}
    assert np.array_equal(likelihood.evaluate(frame, units={"mass": "GeV"}).values["signal"], expected)
    pyarrow.parquet.write_table(pa.table(frame), tmp_path / "events.parquet")
    assert np.array_equal(likelihood.evaluate(tmp_path / "events.parquet").values["signal"], expected)
    lines = [
        "angle,pt [GeV],mass[GeV]",
        *(f"{a!r},{p!r},{m!r}" for m, a, p in zip(*(columns[n].tolist() for n in OBSERVABLES), strict=True)),
    ]
    (tmp_path / "events.csv").write_text("\n".join(lines) + "\n")
    assert np.array_equal(likelihood.evaluate(str(tmp_path / "events.csv")).values["signal"], expected)


def with_unit(unit: str) -> pa.Table:
    fields = [
        pa.field("mass", pa.float64(), metadata={"unit": unit}),
        pa.field("angle", pa.float64()),
        pa.field("pt", pa.float64()),
    ]
    return pa.table([pa.array(values) for values in own_events().values()], schema=pa.schema(fields))


def test_units_that_a_parquet_file_states_are_compared(likelihood: OpenedLikelihood, tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pyarrow.parquet.write_table(with_unit("GeV"), path)
    assert len(likelihood.evaluate(path)) == 200
    pyarrow.parquet.write_table(with_unit("MeV"), path)
    with pytest.raises(InvalidInput, match="'mass' is in MeV, expected GeV") as caught:
        likelihood.evaluate(path)
    assert (caught.value.code, caught.value.exit_code) == ("events.unit", 3)


def changed_events(**changes: object) -> dict[str, object]:
    made: dict[str, object] = {**own_events(), **changes}
    return {name: values for name, values in made.items() if values is not None}


BAD: dict[str, tuple[dict[str, object], str]] = {
    "missing": (changed_events(mass=None), "events.columns"),
    "renamed": (changed_events(mass=None, m4l=np.ones(200)), "events.columns"),
    "twice": (changed_events(**{"mass [GeV]": np.ones(200)}), "events.columns"),
    "length": (changed_events(mass=np.ones(199)), "events.columns"),
    "unit in the name": (changed_events(mass=None, **{"mass [MeV]": np.ones(200)}), "events.unit"),
    "text": (changed_events(mass=np.array(["1.0"] * 200)), "events.column-type"),
    "objects": (changed_events(mass=np.array([None] * 200)), "events.column-type"),
    "vectors": (changed_events(mass=np.ones((200, 2))), "events.column-type"),
    "not a number": (changed_events(mass=np.full(200, np.nan)), "events.not-finite"),
    "infinite": (changed_events(pt=np.full(200, np.inf)), "events.not-finite"),
    "empty": ({name: np.zeros(0) for name in OBSERVABLES}, "events.empty"),
}


@pytest.mark.parametrize("case", BAD)
def test_events_that_are_not_what_they_must_be_are_refused(likelihood: OpenedLikelihood, case: str) -> None:
    columns, code = BAD[case]
    with pytest.raises(InvalidInput) as caught:
        likelihood.evaluate(columns, allow_extrapolation=True)
    assert (caught.value.code, caught.value.exit_code) == (code, 3)


def test_units_told_by_the_caller_are_compared(likelihood: OpenedLikelihood) -> None:
    with pytest.raises(InvalidInput, match="'pt' is in MeV, expected GeV"):
        likelihood.evaluate(own_events(), units={"pt": "MeV"})


def test_units_told_by_the_caller_are_compared_for_files_too(likelihood: OpenedLikelihood, tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pyarrow.parquet.write_table(pa.table(own_events()), path)
    assert len(likelihood.evaluate(path, units={"pt": "GeV"})) == 200
    with pytest.raises(InvalidInput, match="'pt' is in MeV, expected GeV"):
        likelihood.evaluate(path, units={"pt": "MeV"})
    pyarrow.parquet.write_table(with_unit("MeV"), path)
    with pytest.raises(InvalidInput, match="'mass' is in MeV, expected GeV"):  # what the file says is not overruled
        likelihood.evaluate(path, units={"mass": "GeV"})


@pytest.mark.parametrize("kind", ["mapping", "file"])
def test_a_unit_of_no_observable_is_refused(likelihood: OpenedLikelihood, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "events.parquet"
    pyarrow.parquet.write_table(pa.table(own_events()), path)
    with pytest.raises(InvalidInput, match="'ptt', which is no observable") as caught:
        likelihood.evaluate(path if kind == "file" else own_events(), units={"ptt": "GeV"})
    assert (caught.value.code, caught.value.hint) == ("events.unit", "did you mean 'pt'?")


def test_a_csv_file_without_its_last_line_end_says_what_can_be_done(
    likelihood: OpenedLikelihood, tmp_path: Path
) -> None:
    (tmp_path / "events.csv").write_text("mass,angle,pt\n100,100,100")
    with pytest.raises(InvalidInput, match="if it is whole, add one") as caught:
        likelihood.evaluate(tmp_path / "events.csv")
    assert caught.value.code == "sample.truncated"


def test_events_outside_of_the_domain_are_refused_with_fraction_and_observable(likelihood: OpenedLikelihood) -> None:
    columns = own_events()
    columns["pt"][:40] *= 1000.0
    with pytest.raises(InvalidInput, match="20 % of 200 events have 'pt' outside of") as caught:
        likelihood.evaluate(columns)
    assert (caught.value.code, caught.value.exit_code) == ("validity.outside", 3)
    assert "--allow-extrapolation" in str(caught.value)
    found = likelihood.evaluate(columns, allow_extrapolation=True)
    assert found.extrapolated
    body = found.to_json()
    assert body["extrapolated"] is True
    assert "20 % of 200 events have 'pt'" in body["domain"]["problems"][0]


def test_one_event_outside_is_said_and_one_far_outside_refused(
    likelihood: OpenedLikelihood, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domain = json.loads((bundle / "validity.json").read_text())["ensembles"]["invented"]
    low, high = next((one["low"], one["high"]) for one in domain["observables"] if one["name"] == "pt")
    columns = own_events()
    columns["pt"][7] = high + 0.9 * (high - low)
    found = likelihood.evaluate(columns)
    assert found.domain is not None
    assert found.domain.outside[7]
    assert (found.extrapolated, found.extrapolation_allowed) == (True, False)
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "events.parquet")
    assert main(["evaluate", str(bundle), str(tmp_path / "events.parquet")]) == 0
    assert "events outside of the domain of validity, EXTRAPOLATED" in capsys.readouterr().out
    columns["pt"][7] = high + 1.1 * (high - low)
    with pytest.raises(InvalidInput, match=r"0\.5 % of 200 events have 'pt' outside of .* by more than") as caught:
        likelihood.evaluate(columns)
    assert caught.value.code == "validity.outside"
    allowed = likelihood.evaluate(columns, allow_extrapolation=True).to_json()
    assert (allowed["extrapolated"], allowed["extrapolation_allowed"]) == (True, True)


def test_a_domain_without_points_is_tested_by_its_ranges(tmp_path: Path) -> None:
    folder = write_invented_bundle(tmp_path, copies=False, smooth=True, points=False)
    assert not (folder / "support.safetensors").exists()
    likelihood = evercast.open_likelihood(folder)
    assert not likelihood.evaluate(own_events()).extrapolated
    columns = own_events()
    columns["pt"] *= 1000.0
    with pytest.raises(InvalidInput, match="100 % of 200 events have 'pt' outside of"):
        likelihood.evaluate(columns)


def test_ratios_alone_evaluate_no_events(tmp_path: Path) -> None:
    found = evercast.open_likelihood(write_invented_bundle(tmp_path, disclosure="ratios", smooth=True))
    assert np.isfinite(found.twice_nll())
    with pytest.raises(InvalidInput, match="its disclosure is 'ratios'") as caught:
        found.evaluate(own_events())
    assert caught.value.code == "evaluate.not-published"


def test_a_channel_must_be_one_with_networks(likelihood: OpenedLikelihood) -> None:
    with pytest.raises(InvalidInput, match="there is no unbinned channel 'CR'; there are: SR"):
        likelihood.evaluate(own_events(), channel="CR")


# ---------------------------------------------------------------- the command


def write_events(path: Path, **factors: float) -> Path:
    columns = {name: values * factors.get(name, 1.0) for name, values in own_events(50).items()}
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


def test_the_command_writes_that_it_extrapolated(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside, outside = write_events(tmp_path / "in.parquet"), write_events(tmp_path / "out.parquet", mass=1000.0)
    assert main(["evaluate", str(bundle), str(inside), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["extrapolated"], body["events"], body["likelihood"]) == (False, 50, "invented")
    assert body["observables"] == list(OBSERVABLES)
    assert main(["evaluate", str(bundle), str(outside), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "validity.outside"
    target = tmp_path / "ratios.parquet"
    assert main(["evaluate", str(bundle), str(outside), "--allow-extrapolation", "--output", str(target)]) == 0
    assert "EXTRAPOLATED: 100 % of 50 events have 'mass' outside of" in capsys.readouterr().out
    table = pyarrow.parquet.read_table(target)
    said = json.loads(table.schema.metadata[b"evercast"])
    assert said["extrapolated"] is True
    assert said["domain"]["outside"] == 50
    assert table.column_names[:2] == ["signal", "background"]
    assert "background.polynomial[2]" in table.column_names
    assert len(table) == 50


@pytest.mark.parametrize("words", [["--output", "ratios.npz"], ["--channel"]])
def test_the_command_used_wrongly_writes_nothing(bundle: Path, tmp_path: Path, words: list[str]) -> None:
    path = write_events(tmp_path / "in.parquet")
    assert main(["evaluate", str(bundle), str(path), *words]) == 2
    assert sorted(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------- places


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("inside", ["bundle/", ""])
def test_a_packed_bundle_is_unpacked_once(bundle: Path, tmp_path: Path, cache: Path, suffix: str, inside: str) -> None:
    archive = tmp_path / f"bundle.{suffix}"
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path in bundle.iterdir():
                packed.write(path, f"{inside}{path.name}")
    else:
        with tarfile.open(archive, "w:gz" if suffix.endswith("gz") else "w") as packed:
            for path in bundle.iterdir():
                packed.add(path, f"{inside}{path.name}")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    found = evercast.open_likelihood(archive, sha256=digest)
    assert found.folder == cache / "unpacked" / digest
    assert evercast.open_likelihood(str(archive)).twice_nll() == found.twice_nll()
    assert [path.name for path in (cache / "unpacked").iterdir()] == [digest]


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as packed:
        for member, content in members:
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def zip_of(*members: tuple[str, bytes, int]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content, mode in members:
            made = zipfile.ZipInfo(name)
            made.external_attr = mode << 16
            packed.writestr(made, content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


PACKED: dict[str, tuple[bytes, str]] = {
    "traversal": (tar_of((member("../manifest.json"), b"{}")), "bag.name"),
    "absolute": (tar_of((member("/etc/manifest.json"), b"{}")), "bag.name"),
    "symbolic link": (tar_of((member("manifest.json", kind=tarfile.SYMTYPE, link="/etc/passwd"), b"")), "unpack.kind"),
    "hard link": (tar_of((member("manifest.json", kind=tarfile.LNKTYPE, link="/etc/passwd"), b"")), "unpack.kind"),
    "device": (tar_of((member("manifest.json", kind=tarfile.CHRTYPE), b"")), "unpack.kind"),
    "fifo": (tar_of((member("manifest.json", kind=tarfile.FIFOTYPE), b"")), "unpack.kind"),
    "twice": (tar_of((member("a"), b"1"), (member("a"), b"2")), "unpack.layout"),
    "case": (tar_of((member("a"), b"1"), (member("A"), b"2")), "bag.collision"),
    "two folders": (tar_of((member("a/x"), b"1"), (member("b/x"), b"2")), "unpack.layout"),
    "deep": (tar_of((member("a/b/x"), b"1")), "unpack.layout"),
    "cut": (tar_of((member("manifest.json"), b"x" * 5000))[:1500], "unpack.damaged"),
    "zip traversal": (zip_of(("../manifest.json", b"{}", 0)), "bag.name"),
    "zip link": (zip_of(("manifest.json", b"/etc/passwd", 0o120777)), "unpack.kind"),
    "zip bomb": (zip_of(("manifest.json", bytes(100 << 20), 0)), "unpack.too-large"),
    "zip cut": (zip_of(("manifest.json", bytes(range(256)) * 50, 0))[:200], "unpack.damaged"),
    "empty zip": (zip_of(), "unpack.layout"),
}


@pytest.mark.parametrize("case", PACKED)
def test_hostile_archives_leave_nothing_behind(tmp_path: Path, cache: Path, case: str) -> None:
    content, code = PACKED[case]
    (tmp_path / "bundle.tar").write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        evercast.open_likelihood(tmp_path / "bundle.tar")
    assert (caught.value.code, caught.value.exit_code) == (code, 5)
    assert not (cache / "unpacked").exists() or not list((cache / "unpacked").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) in (["bundle.tar"], ["bundle.tar", "cache"])


def test_a_changed_bundle_is_not_opened(bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    content = bytearray((folder / "events.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "events.safetensors").write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match=r"events[.]safetensors has sha256"):
        evercast.open_likelihood(folder)


@pytest.mark.parametrize("more", [(), ("manifest-sha256.txt",), ("manifest-sha256.txt", "validity.json")])
def test_a_bundle_without_a_manifest_is_not_opened(
    bundle: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    for name in ("manifest.json", *more):
        (folder / name).unlink()
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    for place in (folder, packed):
        with pytest.raises(IntegrityError, match=r"no manifest[.]json") as caught:
            evercast.open_likelihood(place)
        assert (caught.value.code, caught.value.exit_code) == ("bundle.missing", 5)
    assert main(["fit", str(folder)]) == 5
    assert "error[bundle.missing]" in capsys.readouterr().err


def test_a_bundle_without_a_domain_is_not_opened(bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    (folder / "validity.json").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["validity.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    with pytest.raises(EvercastError) as caught:
        evercast.open_likelihood(folder)
    assert (caught.value.code, caught.value.exit_code) == ("validity.missing", 3)


@pytest.mark.parametrize(
    ("place", "sha256", "code"),
    [
        ("nothing", None, "likelihood.missing"),
        ("http://127.0.0.1/workspace.json", None, "source.url"),
        ("ftp://127.0.0.1/workspace.json", None, "source.url"),
        ("file:///etc/passwd", None, "source.url"),
        ("https://127.0.0.1/workspace.json", "abc", "source.digest"),
    ],
)
def test_places_that_are_none(cache: Path, place: str, sha256: str | None, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        evercast.open_likelihood(place, sha256=sha256)
    assert caught.value.code == code


def test_the_digest_of_a_local_file_is_compared(workspace: Path) -> None:
    assert evercast.open_likelihood(workspace, sha256=hashlib.sha256(workspace.read_bytes()).hexdigest()).poi == "mu"
    with pytest.raises(IntegrityError, match="expected 0000"):
        evercast.open_likelihood(workspace, sha256="0" * 64)
    with pytest.raises(InvalidInput, match="a folder was given"):
        evercast.open_likelihood(workspace.parent, sha256="0" * 64)


@pytest.fixture
def server(workspace: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[str]:
    """A TLS server on the loopback interface with the workspace on it; the number of answers is in the path /count."""
    answers = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(len(answers)).encode() if self.path == "/count" else workspace.read_bytes())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    monkeypatch.setenv("EVERCAST_OFFLINE", "0")
    served = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    served.socket = context.wrap_socket(served.socket, server_side=True)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


def test_a_url_is_brought_into_the_cache(
    server: str, workspace: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(workspace.read_bytes()).hexdigest()
    found = evercast.open_likelihood(f"{server}/data/published.json")
    assert found.name == "published"
    assert (cache / "sha256" / digest).read_bytes() == workspace.read_bytes()
    assert found.twice_nll() == evercast.open_likelihood(workspace).twice_nll()
    monkeypatch.setenv("EVERCAST_OFFLINE", "1")
    assert evercast.open_likelihood(f"{server}/data/published.json", sha256=digest).twice_nll() == found.twice_nll()
    with pytest.raises(EnvironmentUnfit, match="the network is not allowed"):
        evercast.open_likelihood(f"{server}/data/published.json")


def test_a_url_with_another_content_is_refused(server: str, cache: Path) -> None:
    with pytest.raises(IntegrityError, match="expected 0000") as caught:
        evercast.open_likelihood(f"{server}/workspace.json", sha256="0" * 64)
    assert caught.value.code == "source.checksum"
    assert not list((cache / "sha256").iterdir())


def test_examples_of_the_object_run() -> None:
    assert doctest.testmod(likelihood_object).failed == 0


def test_a_cache_that_python_left_in_a_bundle_is_named(bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    (folder / "__pycache__").mkdir()
    with pytest.raises(IntegrityError, match="remove it; Python writes it") as caught:
        evercast.open_likelihood(folder)
    assert caught.value.code == "bundle.kind"
