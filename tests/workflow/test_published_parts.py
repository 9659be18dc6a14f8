"""What a whole run gives to pyhf, to HEPData and to catalogues: read by their own programs."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import json
import struct
import subprocess
import sys
import tarfile
import warnings
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from evercast.publication.bundle_context import PublicationContext
from evercast.publication.citation import citation_of
from evercast.publication.hepdata import write_hepdata
from evercast.publication.hepdata_checks import old_resolver
from evercast.publication.publication import write_bundles
from evercast.publication.publication_source import open_run
from evercast.publication.pyhf_files import write_pyhf
from evercast.publication.run_crate import run_crate_files
from evercast.runtime.plans import FrozenPlan
from evercast.spec.codec import to_json
from evercast.spec.model import Author, HepdataRecord, Reference
from workflow_documents import evercast, small_body, write_document

TERMS = Path(__file__).with_name("ro_crate_terms.json")
URL = "https://example.org/toy"


@pytest.fixture(scope="module")
def context(toy_run: Path) -> PublicationContext:
    """The toy run, as if its document named a record."""
    found = open_run(toy_run / "analysis.yaml", results=toy_run / "results" / "toy")
    record = HepdataRecord(inspire_id=1234567, url=URL)
    return replace(found, analysis=replace(found.analysis, publish=replace(found.analysis.publish, hepdata=record)))


@pytest.fixture(scope="module")
def published(context: PublicationContext, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles, pyhf and HEPData parts of it; not to be changed."""
    root = tmp_path_factory.mktemp("published")
    for write in (write_bundles, write_pyhf, write_hepdata):
        write(root, context)
    return root


def tables(root: Path) -> dict[str, Any]:
    folder = root / "hepdata" / "submission"
    documents = list(yaml.safe_load_all((folder / "submission.yaml").read_text()))
    return {entry["name"]: yaml.safe_load((folder / entry["data_file"]).read_text()) for entry in documents[1:]}


def column(table: Any, name: str, **qualifiers: str) -> list[Any]:
    for entry in (*table["independent_variables"], *table["dependent_variables"]):
        known = {one["name"]: one["value"] for one in entry.get("qualifiers", ())}
        if entry["header"]["name"] == name and qualifiers.items() <= known.items():
            return [cell["value"] for cell in entry["values"]]
    raise AssertionError(f"no column {name} {qualifiers}")


def test_hepdata_validator_accepts_the_archive(published: Path) -> None:
    with old_resolver():
        from hepdata_validator.full_submission_validator import FullSubmissionValidator  # noqa: PLC0415 - it warns

        validator = FullSubmissionValidator(autoload_remote_schemas=False)
        assert validator.validate(archive=str(published / "hepdata" / "submission.tar.gz")), validator.get_messages()
        del validator
        gc.collect()  # it leaves files open


def test_tables_hold_the_numbers_of_the_run(published: Path, context: PublicationContext) -> None:
    found = tables(published)
    results: Any = context.results
    wanted = {"Intervals", "Profile scan binned", "Profile scan neural", "Cut flow", "Diagnostics"}
    wanted |= {"Observable binned SR", "Observable projection of neural SR", "Parameters neural observed"}
    assert wanted <= set(found)
    best = [results["results"][name]["observed"]["fit"]["parameters"]["mu"]["value"] for name in ("binned", "neural")]
    assert column(found["Intervals"], "Best fit", Data="observed") == pytest.approx(best, rel=1e-6)
    scan = results["results"]["neural"]["observed"]["scan"]
    assert column(found["Profile scan neural"], "mu") == pytest.approx(scan["values"], rel=1e-6)
    name = "-2 ln(profile likelihood ratio)"
    assert column(found["Profile scan neural"], name, Data="observed") == pytest.approx(scan["t"], rel=1e-5, abs=1e-9)
    steps = column(found["Cut flow"], "Step")
    expected = column(found["Cut flow"], "Expected events", Sample="signal")
    assert steps[0] == "all events"
    assert expected[0] == pytest.approx(100.0)
    checks: Any = context.diagnostics
    assert column(found["Diagnostics"], "Status") == [one["status"] for one in checks["checks"]]
    assert column(found["Observable binned SR"], "Events", Data="observed") == json.loads(
        (context.likelihood / "workspace.json").read_text()
    )["observations"][0]["data"]  # fmt: skip


def test_workspaces_are_typed_and_the_bundle_is_whole(published: Path) -> None:
    folder = published / "hepdata" / "submission"
    head = next(yaml.safe_load_all((folder / "submission.yaml").read_text()))
    kinds = {entry["location"]: entry.get("type") for entry in head["additional_resources"]}
    assert kinds["workspace-binned.json"] == kinds["projection-neural.json"] == "HistFactory"
    assert head["record_ids"] == [{"type": "inspire", "id": 1234567}]
    assert head["data_license"]["name"] == "CC0-1.0"
    with tarfile.open(folder / "neural-likelihood-neural.tar.gz") as archive:
        content = {member.name.partition("/")[2]: archive.extractfile(member) for member in archive.getmembers()}
        sums = content["manifest-sha256.txt"]
        assert sums is not None
        for line in sums.read().decode().splitlines():
            digest, name = line.split("  ")
            file = content[name]
            assert file is not None
            assert hashlib.sha256(file.read()).hexdigest() == digest


def test_pictures_have_thumbnails_and_no_table_refers_to_nothing(published: Path) -> None:
    folder = published / "hepdata" / "submission"
    for name, least, most in (("profile_scan_neural.png", 800, 1200), ("thumb_profile_scan_neural.png", 200, 260)):
        content = (folder / name).read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        width = struct.unpack(">I", content[16:20])[0]
        assert least <= width <= most


def test_the_same_run_gives_the_same_bytes(
    published: Path, context: PublicationContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    for write in (write_bundles, write_pyhf, write_hepdata):
        write(again, context)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]  # nothing fell into the current folder
    for part in ("pyhf", "hepdata", "bundles"):
        first, second = ({path.relative_to(root).as_posix(): path.read_bytes() for path in (root / part).rglob("*")
                          if path.is_file()} for root in (published, again))  # fmt: skip
        assert first.keys() == second.keys()
        assert [name for name in first if first[name] != second[name]] == []


def test_the_analyses_file_is_what_hepdata_harvests(published: Path) -> None:
    """Its schema 1.0.0 asks for these keys, with an absolute date and a template with the place of a name."""
    body = json.loads((published / "hepdata" / "analyses.json").read_text())
    required = {"schema_version", "tool", "version", "date_created", "implementations_description", "url_templates",
                "analyses"}  # fmt: skip
    assert required <= body.keys() <= required | {"implementations_license"}
    assert body["schema_version"] == "1.0.0"
    assert datetime.fromisoformat(body["date_created"]).tzinfo is not None
    (analysis,) = body["analyses"]
    assert analysis["inspire_id"] == 1234567
    names = [one["name"] for one in analysis["implementations"]]
    assert names == ["bundles/neural", "pyhf/binned"]
    places = [body["url_templates"]["main_url"].format(name=name) for name in names]
    assert places == [f"{URL}/bundles/neural", f"{URL}/pyhf/binned"]
    assert all((published / name).is_dir() for name in names)
    assert body["implementations_license"].keys() == {"name", "url"}


def test_without_a_record_there_is_no_analyses_file(context: PublicationContext, tmp_path: Path) -> None:
    publish = replace(context.analysis.publish, hepdata=None)
    write_hepdata(tmp_path, replace(context, analysis=replace(context.analysis, publish=publish)))
    assert sorted(path.name for path in (tmp_path / "hepdata").iterdir()) == ["submission", "submission.tar.gz"]


def pyhf_command(*words: str, cwd: Path) -> str:
    program = str(Path(sys.executable).with_name("pyhf"))
    done = subprocess.run([program, *words], cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pyhf_reads_the_projection_and_finds_what_the_manifest_says(published: Path) -> None:
    folder = published / "bundles" / "neural"
    said = json.loads((folder / "manifest.json").read_text())["publication"]["projection"]
    assert said["made"]
    assert said["parametrisation"] is None
    assert said["pyhf"]["largest_difference_twice_nll"] < 1e-8
    expected, observed = said["comparison"]["expected"], said["comparison"]["observed"]
    assert 0.95 < expected["interval_length_ratio"] < 1.15
    assert abs(observed["shift_in_uncertainties"]) < 1.0
    assert "normfactor" in pyhf_command("inspect", "projection.json", cwd=folder)
    fitted = json.loads(pyhf_command("fit", "projection.json", "--value", cwd=folder))
    assert fitted["mle_parameters"]["mu"][0] == pytest.approx(observed["projection"]["value"], abs=2e-3)
    readme = (folder / "README.md").read_text()
    assert "## For readers of pyhf workspaces" in readme
    assert f"{observed['projection']['value']:.4g}" in readme


def test_the_report_in_the_bundle_states_the_agreement(published: Path) -> None:
    folder = published / "bundles" / "neural"
    said = json.loads((folder / "manifest.json").read_text())["publication"]
    assert said["report"] == {"file": "report.html"}
    html = (folder / "report.html").read_text()
    part = html[html.index('<section class="part" id="binned-projection">') :]
    for side in ("expected", "observed"):
        compared = said["projection"]["comparison"][side]
        for model in ("unbinned", "projection"):
            low, high = (f"{compared[model][end]:.4g}" for end in ("low", "high"))
            assert f"[{low}, {high}]" in part
            assert f">{compared[model]['value']:.4g}<" in part
            assert f">{compared[model]['uncertainty']:.4g}<" in part
        assert f">{compared['interval_length_ratio']:.4g}<" in part
        assert f">{compared['shift_in_uncertainties']:.4g}<" in part
    assert 'id="results"' in html  # the whole report of the run stands before it
    assert "<!--" not in html


def test_nothing_published_names_the_experiment_as_author_or_installs_by_name(published: Path) -> None:
    """Whoever registered the name of the program on a package index would run code on readers' machines."""
    for path in published.rglob("*"):
        if path.suffix in {".md", ".html", ".txt", ".cff", ".py", ".json", ".yaml"}:
            text = path.read_text()
            assert "pip install evercast" not in text, path
            assert "inspirehep.net" not in text, path
    folder = published / "bundles" / "neural"
    assert "Published by: the authors of this analysis\nData: toy\n" in (folder / "LICENSE.txt").read_text()
    head = next(yaml.safe_load_all((published / "hepdata" / "submission" / "submission.yaml").read_text()))
    assert "Made by the authors of this analysis. Data: toy." in head["comment"]


def test_the_readme_shows_what_a_reader_needs_and_it_works(published: Path) -> None:
    folder = published / "bundles" / "neural"
    text = (folder / "README.md").read_text()
    for part in ("validity.json", "LICENSE.txt", "evercast fit FOLDER", "python -I FOLDER/read_numpy.py FOLDER",
                 "python -I FOLDER/read_onnx.py FOLDER", "data/code", "report.html"):  # fmt: skip
        assert part in text
    code = text[text.index("    import evercast") :].split("\n\n")[0]
    program = "\n".join(line.removeprefix("    ") for line in code.splitlines()).replace("FOLDER", str(folder))
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nprint(repr(likelihood.twice_nll()))"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first = json.loads((folder / "reference_vectors.json").read_text())["likelihood"][0]  # at the initial values
    assert float(done.stdout) == pytest.approx(first["twice_nll"], rel=1e-9)


def test_a_bundle_says_how_it_is_cited(published: Path, context: PublicationContext) -> None:
    body = yaml.safe_load((published / "bundles" / "neural" / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= body.keys()
    assert body["cff-version"] == "1.2.0"
    assert body["type"] == "dataset"
    assert body["license"] == "CC0-1.0"
    assert body["authors"] == [{"name": "The authors of this analysis"}]  # toy is whose data it is, not who made it
    assert body["abstract"].endswith("Data: toy.")
    cited = replace(
        context.analysis.metadata,
        references=(Reference(title="A paper", arxiv="2412.01600"), Reference(title="Data", doi="10.7483/X.Y")),
        authors=(
            Author(name="Doe, Jane", affiliation="A lab", orcid="0000-0002-1825-0097"),
            Author(name="A group", affiliation="Elsewhere"),
        ),
        contacts=("somebody",),
        license="LicenseRef-own",
    )
    more = citation_of(replace(context.analysis, metadata=cited), title="t", version="v", origin="Data: toy")
    assert more["authors"] == [
        {"family-names": "Doe", "given-names": "Jane", "affiliation": "A lab",
         "orcid": "https://orcid.org/0000-0002-1825-0097"},
        {"name": "A group"},
    ]  # fmt: skip
    assert "license" not in more  # the format takes SPDX identifiers only
    assert more["contact"] == [{"name": "somebody"}]
    references: Any = more["references"]
    assert [entry["type"] for entry in references] == ["article", "generic"]
    assert all(entry["authors"] and entry["title"] for entry in references)
    assert references[1]["doi"] == "10.7483/X.Y"


def as_if(context: PublicationContext, folder: Path, *, authors: tuple[Author, ...], url: str | None) -> FrozenPlan:
    """Return the plan of the run as if its document named authors and a record."""
    record = None if url is None else HepdataRecord(inspire_id=1234567, url=url)
    analysis = replace(
        context.analysis,
        metadata=replace(context.analysis.metadata, authors=authors),
        publish=replace(context.analysis.publish, hepdata=record),
    )
    folder.mkdir()
    (folder / "analysis.json").write_text(json.dumps(to_json(analysis)))
    return replace(context.frozen, file=folder / "plan.json")


def crate(frozen: FrozenPlan, folder: Path) -> dict[str, Any]:
    """Write a crate with every file it names, empty but for the metadata; return the metadata."""
    units = [f"units/{unit.stage}/{unit.id}/receipt.json" for unit in frozen.plan.units]
    rules = [f"workflow/workflow/rules/{stage}.smk" for stage in {unit.stage for unit in frozen.plan.units}]
    names = ["document/analysis.yaml", "document/make_events.py", "analysis.json", "plan.json", "workflow/Snakefile",
             "results/fit.json", "code/evercast.tar.gz", "bundles/neural/manifest.json", *units, *rules]  # fmt: skip
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    files = run_crate_files(frozen, names)
    assert files == run_crate_files(frozen, names)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    body: dict[str, Any] = json.loads(files["ro-crate-metadata.json"])
    return body


def test_the_crate_says_which_unit_made_what(context: PublicationContext, tmp_path: Path) -> None:
    graph = {entity["@id"]: entity for entity in crate(context.frozen, tmp_path)["@graph"]}
    units = context.frozen.plan.units
    assert {f"#unit-{unit.id}" for unit in units} <= graph.keys()
    fit = next(unit for unit in units if unit.stage == "fit" and unit.name == "neural")
    action = graph[f"#unit-{fit.id}"]
    assert action["instrument"] == {"@id": "workflow/workflow/rules/fit.smk"}
    assert action["result"] == {"@id": f"units/fit/{fit.id}/"}
    assert action["object"]["@id"].startswith("units/serialization/likelihood-")
    assert graph["#run"]["startTime"] <= action["startTime"] <= action["endTime"] <= graph["#run"]["endTime"]
    assert graph["./"]["author"] == graph["./"]["publisher"] == action["agent"] == {"@id": "#authors"}
    assert graph["#authors"] == {
        "@id": "#authors",
        "@type": "Organization",
        "name": "The authors of this analysis",
    }  # nobody is named by the document, and an address is never made up
    assert "Data: toy." in graph["./"]["description"]
    there = [name for name in graph if not name.startswith(("#", "http")) and name != "./"]
    assert [name for name in there if not (tmp_path / name).exists()] == []


AUTHORS = (Author(name="Doe, Jane", affiliation="A lab", orcid="0000-0002-1825-0097"), Author(name="A group"))
FILES_ON_THE_WEB = "process-run-crate-0.5_5.1"
ORGANISATION_ON_THE_WEB = "ro-crate-1.1_31.2"


def test_the_crate_names_the_authors_of_the_document(context: PublicationContext, tmp_path: Path) -> None:
    body = crate(as_if(context, tmp_path / "plan", authors=AUTHORS, url=URL), tmp_path / "crate")
    graph = {entity["@id"]: entity for entity in body["@graph"]}
    orcid = "https://orcid.org/0000-0002-1825-0097"
    place = {"@id": "#affiliation-1"}
    assert graph[orcid] == {"@id": orcid, "@type": "Person", "name": "Doe, Jane", "affiliation": place}
    assert graph["#affiliation-1"] == {**place, "@type": "Organization", "name": "A lab"}
    assert graph["#author-2"] == {"@id": "#author-2", "@type": "Organization", "name": "A group"}
    assert graph["./"]["author"] == graph["#authors"]["member"] == [{"@id": orcid}, {"@id": "#author-2"}]
    assert graph["#authors"]["url"] == URL


@pytest.mark.parametrize(
    ("profile", "authors", "url", "left"),
    [
        ("ro-crate-1.1", (), URL, set()),
        ("workflow-run-crate-0.5", (), URL, {FILES_ON_THE_WEB}),
        ("provenance-run-crate-0.5", (), URL, {FILES_ON_THE_WEB}),
        ("provenance-run-crate-0.5", AUTHORS[:1], URL, {FILES_ON_THE_WEB, ORGANISATION_ON_THE_WEB}),
        ("provenance-run-crate-0.5", (), None, {FILES_ON_THE_WEB, ORGANISATION_ON_THE_WEB}),
    ],
    ids=["ro-crate", "workflow", "provenance", "authors", "no record"],
)
def test_the_validator_of_run_crates_accepts_it(
    profile: str,
    authors: tuple[Author, ...],
    url: str | None,
    left: set[str],
    context: PublicationContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every required check passes; of the recommended ones all but those that ask for an address that nobody gave."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rocrate_validator import models, services  # noqa: PLC0415 - it warns
        from rocrate_validator.utils.http import HttpRequester  # noqa: PLC0415
        from rocrate_validator.utils.uri import URI  # noqa: PLC0415

    class Served:
        """The context of RO-Crate 1.1 as far as the crate uses it, since there is no network."""

        status_code, ok, text = 200, True, TERMS.read_text()
        headers: ClassVar = {"Content-Type": "application/ld+json"}

        def json(self) -> Any:
            return json.loads(self.text)

    monkeypatch.setattr(HttpRequester, "get", lambda *_, **__: Served(), raising=False)
    folder = tmp_path / "crate"
    crate(as_if(context, tmp_path / "plan", authors=authors, url=url), folder)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        settings = models.ValidationSettings(
            rocrate_uri=URI(str(folder)), profile_identifier=profile, requirement_severity="RECOMMENDED", offline=True,
            skip_availability_check=True, cache_path=tmp_path / "cache",
        )  # fmt: skip
        result = services.validate(settings)
    assert result.passed(models.Severity.REQUIRED), [issue.message for issue in result.get_issues()]
    open_checks = {issue.check.identifier for issue in result.get_issues(models.Severity.RECOMMENDED)}
    assert open_checks <= left


def test_signal_points_of_a_document_become_a_patchset(tmp_path: Path) -> None:
    body = small_body()
    del body["pseudo_data"]
    body["processes"]["S2"] = {"sample": "signal", "coefficient": "mu"}
    channel = body["likelihoods"]["binned"]["channels"]["SR"]
    body["likelihoods"]["other"] = {"channels": {"SR": {**channel, "processes": ["S2", "B"]}}}
    body["likelihoods"]["binned"]["channels"] = {"SR": channel}
    points = {"one": {"likelihood": "binned", "values": [1]}, "two": {"likelihood": "other", "values": [2]}}
    body["publish"]["pyhf"]["signal_points"] = {"labels": ["number"], "points": points}
    write_document(tmp_path, body)
    ran = evercast("run", "analysis.yaml", "--cores", "2", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    refused = evercast("publish", "analysis.yaml", "--part", "pyhf", cwd=tmp_path)
    assert refused.returncode == 3
    assert "publication.no-inspire-id" in refused.stderr
    assert not (tmp_path / "results" / "toy" / "publication").exists()
    body["publish"]["hepdata"] = {"inspire_id": 1234567}
    write_document(tmp_path, body)
    units = sorted((tmp_path / "results" / "toy" / "work" / "serialization").iterdir())
    assert evercast("run", "analysis.yaml", "--cores", "2", cwd=tmp_path).returncode == 0
    assert sorted((tmp_path / "results" / "toy" / "work" / "serialization").iterdir()) == units  # nothing was made anew
    done = evercast("publish", "analysis.yaml", "--part", "pyhf", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "toy" / "publication" / "pyhf" / "binned"
    assert "All good" in pyhf_command("patchset", "verify", "background_only.json", "patchset.json", cwd=folder)
    whole = json.loads((folder / "workspace.json").read_text())
    patched = json.loads(
        pyhf_command("patchset", "apply", "--name", "one", "background_only.json", "patchset.json", cwd=folder)
    )
    for one in (whole, patched):
        one["channels"][0]["samples"].sort(key=lambda sample: str(sample["name"]))
    assert patched == whole
    assert evercast("verify", str(folder / "patchset.json"), cwd=tmp_path).returncode == 0
