"""Likelihoods from disk: combination documents, parametrisations, patchsets with all their patches."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evercast.artifacts.files import sha256_file
from evercast.artifacts.likelihood_file import LIKELIHOOD_FILE, write_likelihood
from evercast.artifacts.likelihood_folder import Index, IndexEntry, write_index
from evercast.artifacts.likelihood_source import LikelihoodSource, open_likelihood_source, open_patchset
from evercast.errors import IntegrityError, InvalidDocument, InvalidInput, UsageError
from evercast.likelihood.combination import combine
from evercast.likelihood.evaluate import Likelihood
from evercast.likelihood.histfactory import read_workspace
from indexed_likelihood import write_indexed
from statistics_inputs import gaussian_mixture, synthetic_workspace

NAMES = sorted({p.name.split("[")[0] for p in read_workspace(synthetic_workspace()).parameters} - {"mu"})
SIGNAL = "/channels/0/samples/0/data"


def write(path: Path, body: object) -> Path:
    path.write_text(json.dumps(body))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two workspaces, one of them with a patchset."""
    write(tmp_path / "one.json", synthetic_workspace(seed=1))
    background = synthetic_workspace(seed=2)
    write(tmp_path / "two.json", background)
    digest = hashlib.sha256(json.dumps(background, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    patches = [
        {
            "metadata": {"name": f"m_{mass}", "values": [mass]},
            "patch": [{"op": "replace", "path": SIGNAL, "value": [9.0, 5.0, mass / 100]}],
        }
        for mass in (100, 200)
    ]
    write(tmp_path / "patchset.json", {"metadata": {"digests": {"sha256": digest}}, "patches": patches})
    return tmp_path


def document(**parts: object) -> dict[str, object]:
    return {"schema": "combination/1.0.0", "name": "both", "parts": parts}


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_document_combines_what_lies_beside_it(folder: Path, suffix: str) -> None:
    second = {"path": "two.json", "patchset": "patchset.json", "patch": "m_200",
              "rename": {name: f"two_{name}" for name in NAMES}}  # fmt: skip
    path = write(folder / f"both.{suffix}", document(one={"path": "one.json"}, two=second))
    found = open_likelihood_source(LikelihoodSource(path=path))
    parts = {
        "one": open_likelihood_source(LikelihoodSource(path=folder / "one.json")),
        "two": open_likelihood_source(
            LikelihoodSource(path=folder / "two.json", patchset=folder / "patchset.json", patch="m_200")
        ),
    }
    expected = combine(parts, rename={"two": {name: f"two_{name}" for name in NAMES}})
    assert found.name == "both"
    assert found.parameter_names == expected.parameter_names
    theta = Likelihood(expected).initial + 0.03
    assert Likelihood(found).twice_nll(theta) == Likelihood(expected).twice_nll(theta)


def test_binned_unbinned_and_combined_parts_nest(folder: Path) -> None:
    (folder / "neural").mkdir()
    write_indexed(folder / "neural", gaussian_mixture())
    rename = {"mu": "mu_T1"}
    write(folder / "inner.yaml", document(one={"path": "one.json"}))
    outer = document(inner={"path": "inner.yaml"}, T1={"path": "neural", "rename": rename}) | {"poi": "mu_T1"}
    found = open_likelihood_source(LikelihoodSource(path=write(folder / "outer.yaml", outer)))
    assert {channel.name for channel in found.channels} == {"inner_SR", "CR", "T1_SR"}
    assert found.poi is not None
    assert found.poi.name == "mu_T1"
    assert np.isfinite(Likelihood(found).twice_nll(Likelihood(found).initial))


def test_parameters_that_disagree_on_disk_are_all_named(folder: Path) -> None:
    changed = synthetic_workspace(seed=2)
    lumi = changed["measurements"][0]["config"]["parameters"][0]
    lumi.update(sigmas=[0.05], bounds=[[0.5, 1.5]])
    write(folder / "two.json", changed)
    rename = {name: f"two_{name}" for name in NAMES if name != "lumi"}
    path = write(folder / "both.json", document(one={"path": "one.json"}, two={"path": "two.json", "rename": rename}))
    with pytest.raises(InvalidInput, match=r"'lumi': lower bound 0.9 in one, 0.5 in two;.*width 0.02 in one, 0.05"):
        open_likelihood_source(LikelihoodSource(path=path))


@pytest.mark.parametrize("escape", ["../one.json", "/one.json", "a/../../one.json"])
def test_a_path_that_leads_out_of_the_folder_is_refused(folder: Path, escape: str) -> None:
    path = write(folder / "both.json", document(one={"path": escape}))
    with pytest.raises(IntegrityError, match=r"leads out") as failure:
        open_likelihood_source(LikelihoodSource(path=path))
    assert failure.value.code == "combination.path"


def test_a_combination_that_holds_itself_ends(folder: Path) -> None:
    path = write(folder / "self.yaml", document(own={"path": "self.yaml"}))
    with pytest.raises(InvalidInput, match="more than 8 deep"):
        open_likelihood_source(LikelihoodSource(path=path))


def test_mistakes_in_a_document_have_their_lines(folder: Path) -> None:
    (folder / "bad.yaml").write_text(
        "schema: combination/1.0.0\nname: both\nparts:\n  one:\n    path: one.json\n    renam: {a: b}\n  two: {}\n"
    )
    with pytest.raises(InvalidDocument) as failure:
        open_likelihood_source(LikelihoodSource(path=folder / "bad.yaml"))
    assert sorted(problem.line or 0 for problem in failure.value.problems) == [6, 7]


def test_options_of_a_workspace_do_not_fit_a_combination(folder: Path) -> None:
    path = write(folder / "both.json", document(one={"path": "one.json"}))
    with pytest.raises(UsageError, match="in the parts"):
        open_likelihood_source(LikelihoodSource(path=path, measurement="fit"))


def test_a_parametrisation_is_read_and_applied(folder: Path) -> None:
    (folder / "kappa.yaml").write_text(
        "schema: parametrisation/1.0.0\n"
        "parameters:\n  kappa: {initial: 1.0, bounds: [0, 4], poi: true}\n"
        "coefficients:\n  signal: kappa**2\n"
    )
    plain = open_likelihood_source(LikelihoodSource(path=folder / "one.json"))
    found = open_likelihood_source(LikelihoodSource(path=folder / "one.json", parametrisation=folder / "kappa.yaml"))
    assert found.poi is not None
    assert found.poi.name == "kappa"
    assert set(found.parameter_names) == {*plain.parameter_names, "kappa"} - {"mu"}


def test_interpolation_codes_reach_the_modifiers(folder: Path) -> None:
    source = LikelihoodSource(path=folder / "one.json", interpolation={"normsys": "code1", "histosys": "code0"})
    plain, changed = (
        Likelihood(open_likelihood_source(entry)) for entry in (LikelihoodSource(path=source.path), source)
    )
    theta = plain.initial.copy()
    assert plain.twice_nll(theta) == changed.twice_nll(theta)
    theta[plain.index("jes")] = 0.5
    assert plain.twice_nll(theta) != changed.twice_nll(theta)


def test_every_patch_of_a_set_is_the_likelihood_of_that_patch(folder: Path) -> None:
    opened = open_patchset(LikelihoodSource(path=folder / "two.json", patchset=folder / "patchset.json"))
    assert list(opened.patches) == ["m_100", "m_200"]
    for name in opened.patches:
        alone = open_likelihood_source(
            LikelihoodSource(path=folder / "two.json", patchset=folder / "patchset.json", patch=name)
        )
        found = opened.model(name)
        assert found.name == alone.name
        theta = Likelihood(alone).initial + 0.02
        assert Likelihood(found).twice_nll(theta) == Likelihood(alone).twice_nll(theta)


def test_a_folder_of_patch_files_is_a_patchset(folder: Path) -> None:
    patches = folder / "patches"
    patches.mkdir()
    for name in ("m_2", "m_1"):
        write(patches / f"patch.{name}.json", [{"op": "replace", "path": SIGNAL, "value": [1.0, 2.0, 3.0]}])
    opened = open_patchset(LikelihoodSource(path=folder / "two.json", patchset=patches))
    assert list(opened.patches) == ["m_1", "m_2"]
    (folder / "empty").mkdir()
    with pytest.raises(InvalidInput, match="no patch"):
        open_patchset(LikelihoodSource(path=folder / "two.json", patchset=folder / "empty"))


def test_a_patchset_of_another_workspace_is_refused(folder: Path) -> None:
    with pytest.raises(IntegrityError, match="sha256"):
        open_patchset(LikelihoodSource(path=folder / "one.json", patchset=folder / "patchset.json"))


def test_one_file_as_two_parts_counts_its_data_twice(folder: Path) -> None:
    (folder / "copy.json").write_bytes((folder / "one.json").read_bytes())
    parts = document(one={"path": "one.json"}, again={"path": "copy.json"})
    with pytest.raises(InvalidInput, match="'one' and 'again' are the same file") as failure:
        open_likelihood_source(LikelihoodSource(path=write(folder / "both.json", parts)))
    assert failure.value.code == "combination.twice"
    apart = write(folder / "apart.json", parts | {"uncorrelate": NAMES})
    assert "again_lumi" in open_likelihood_source(LikelihoodSource(path=apart)).parameter_names


def test_the_name_of_a_patch_without_its_set_says_what_is_missing(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="m_100 is not a file") as failure:
        open_likelihood_source(LikelihoodSource(path=folder / "two.json", patch="m_100"))
    assert "--patchset FILE" in failure.value.hint
    source = LikelihoodSource(path=folder / "two.json", patchset=folder / "patchset.json", patch="m_20")
    with pytest.raises(InvalidInput, match="for example: m_200, m_100"):
        open_likelihood_source(source)


def test_a_bundle_without_its_events_says_where_to_get_them(tmp_path: Path) -> None:
    write_indexed(tmp_path, gaussian_mixture())
    (tmp_path / "events.safetensors").unlink()
    with pytest.raises(IntegrityError, match=r": events.safetensors does not exist") as failure:
        open_likelihood_source(LikelihoodSource(path=tmp_path))
    assert str(failure.value).count(str(tmp_path)) == 1
    assert "published" in failure.value.hint


@pytest.mark.parametrize("left", [(), ("index.json",)])
def test_a_folder_that_nothing_vouches_for_is_not_opened(tmp_path: Path, left: tuple[str, ...]) -> None:
    write_indexed(tmp_path, gaussian_mixture(), path="inside")
    for name in left:
        (tmp_path / name).write_text((tmp_path / name).read_text().replace('"inside"', '"another"'))
    if not left:
        (tmp_path / "index.json").unlink()
    with pytest.raises(IntegrityError, match=r"no manifest[.]json") as failure:
        open_likelihood_source(LikelihoodSource(path=tmp_path / "inside"))
    assert (failure.value.code, failure.value.exit_code) == ("bundle.missing", 5)


def test_a_likelihood_of_a_run_is_opened_by_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_indexed(tmp_path, gaussian_mixture(), path="inside")
    expected = open_likelihood_source(LikelihoodSource(path=tmp_path)).parameter_names
    assert open_likelihood_source(LikelihoodSource(path=tmp_path / "inside")).parameter_names == expected
    monkeypatch.chdir(tmp_path / "inside")
    assert open_likelihood_source(LikelihoodSource(path=Path())).parameter_names == expected
    file = tmp_path / "inside" / "likelihood.json"
    file.write_text(file.read_text().replace('"bounds"', '"bounds" '))
    with pytest.raises(IntegrityError) as failure:
        open_likelihood_source(LikelihoodSource(path=tmp_path / "inside"))
    assert failure.value.code == "likelihood.digest"


def test_two_likelihoods_of_one_run_count_their_events_twice(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    first, second = gaussian_mixture(), replace(gaussian_mixture(), name="second")
    for path, model in (("one", first), ("two", second)):
        (tmp_path / "run" / path).mkdir()
        write_likelihood(tmp_path / "run" / path, model)
    entries = {
        model.name: IndexEntry(kind="folder", path=path, sha256=sha256_file(tmp_path / "run" / path / LIKELIHOOD_FILE))
        for path, model in (("one", first), ("two", second))
    }
    index = Index(schema="likelihood-index/1.0.0", analysis="a", run_id="0" * 16, likelihoods=entries)
    write_index(tmp_path / "run", index)
    parts = {name: {"path": "run", "likelihood": name} for name in entries}
    path = write(tmp_path / "both.json", document(**parts))
    with pytest.raises(InvalidInput, match="are of one run") as failure:
        open_likelihood_source(LikelihoodSource(path=path))
    assert failure.value.code == "combination.same-run"
    allowed = write(tmp_path / "allowed.json", {**document(**parts), "same_run": True})
    both = Likelihood(open_likelihood_source(LikelihoodSource(path=allowed)))
    alone = Likelihood(open_likelihood_source(LikelihoodSource(path=tmp_path / "run", name=first.name)))
    assert both.twice_nll(both.initial) == pytest.approx(2 * alone.twice_nll(alone.initial), rel=1e-12)
