"""A record becomes a preserved analysis in one command; what is wrong with a record is named."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pyhf
import pytest

from evercast.artifacts.files import read_json
from evercast.cli import main
from evercast.errors import IntegrityError, InvalidDocument
from evercast.reinterpretation.wrapped.data import json_digest
from evercast.reinterpretation.wrapped.model import analysis_digest
from evercast.reinterpretation.wrapped.read import read_wrapped
from evercast.reinterpretation.wrapped.tar_members import read_members
from small_record import OPTIONS, PATTERN, POINTS, background, patch, patchset, write_record

BASE = ("--name", "small-search", *OPTIONS)


def wrap(record: Path, output: Path, *words: str) -> int:
    return main(["wrap", str(record), *BASE, "--output", str(output), *words, "--json"])


def error(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return json.loads(capsys.readouterr().out)["error"]


def tar_of(path: Path, members: dict[str, bytes], *, link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if link is not None:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    return path


def members(region: str = "Region-A") -> dict[str, bytes]:
    found = {f"{region}/BkgOnly.json": json.dumps(background()).encode()}
    return found | {f"{region}/patch.{name}.json": json.dumps(patch(n)).encode() for name, n in POINTS.items()}


@pytest.mark.usefixtures("user_folders")
def test_loose_patches_are_named_with_their_values_and_digests(tmp_path: Path, capsys) -> None:
    record = write_record(tmp_path / "record")
    assert wrap(record, tmp_path / "out", *PATTERN) == 0
    told = json.loads(capsys.readouterr().out)
    analysis = read_wrapped(tmp_path / "out" / "wrapped.yaml")
    assert told["digest"] == analysis_digest(analysis)
    assert told["patches"] == {"main": 6}
    regions = analysis.likelihoods["main"]
    assert regions.background.sha256 == pyhf.utils.digest(background())
    assert regions.channels == {"SR": 3, "CR": 2}
    assert analysis.points["P_200_50"].values == (200.0, 50.0)
    assert regions.patches["P_200_50"].sha256 == json_digest(patch(3.0))
    assert [(axis.name, axis.unit, axis.title) for axis in analysis.axes] == [
        ("m_a", "GeV", "$m_A$"),
        ("m_b", "GeV", None),
    ]
    assert all(file.path is None for file in analysis.files.values())


@pytest.mark.usefixtures("user_folders")
def test_a_tar_of_several_regions_and_a_patchset_give_the_same_patches(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "likelihoods.tar.gz", members("Region-A") | members("Region-B"))
    assert wrap(archive, tmp_path / "tar", *PATTERN) == 0
    of_tar = read_wrapped(tmp_path / "tar" / "wrapped.yaml")
    assert list(of_tar.likelihoods) == ["region-a", "region-b"]
    assert list(of_tar.files) == ["likelihoods.tar.gz"]
    single = tmp_path / "BkgOnly.json"
    single.write_text(json.dumps(background()))
    (tmp_path / "patchset.json").write_text(json.dumps(patchset(json_digest(background()))))
    assert wrap(single, tmp_path / "set", "--patchset", str(tmp_path / "patchset.json")) == 0
    of_set = read_wrapped(tmp_path / "set" / "wrapped.yaml")
    assert [axis.name for axis in of_set.axes] == ["m_a", "m_b"]
    assert of_set.points == of_tar.points
    digests = [
        {name: place.sha256 for name, place in found.patches.items()}
        for found in (of_set.likelihoods["main"], of_tar.likelihoods["region-a"])
    ]
    assert digests[0] == digests[1]


@pytest.mark.usefixtures("user_folders")
def test_the_same_record_wrapped_again_changes_nothing_and_another_is_refused(tmp_path: Path, capsys) -> None:
    record = write_record(tmp_path / "record")
    assert wrap(record, tmp_path / "out", *PATTERN) == 0
    before = (tmp_path / "out" / "wrapped.yaml").read_bytes()
    assert wrap(record, tmp_path / "out", *PATTERN) == 0
    capsys.readouterr()
    assert wrap(record, tmp_path / "out") == 3
    assert error(capsys)["code"] == "wrap.exists"
    assert (tmp_path / "out" / "wrapped.yaml").read_bytes() == before


def broken_record(folder: Path, kind: str) -> tuple[Path, tuple[str, ...]]:  # noqa: C901 - one fault each
    """Return a record with one thing wrong, and options for it."""
    single, listed = folder / "BkgOnly.json", folder / "patchset.json"
    body = patchset(json_digest(background()))
    single.write_text(json.dumps(background()))
    words: tuple[str, ...] = ("--patchset", str(listed))
    if kind == "hs3":
        single.write_text(json.dumps({"distributions": [], "likelihoods": [], "metadata": {"hs3_version": "0.2"}}))
        words = ()
    elif kind == "patchset alone":
        single, words = listed, ()
    elif kind == "other digest":
        body = patchset("0" * 64)
    elif kind == "multiplicity":
        body["metadata"]["labels"] = ["m_a", "m_b", "m_c"]
    elif kind == "same values":
        body["patches"][1]["metadata"]["values"] = body["patches"][0]["metadata"]["values"]
    elif kind == "same name":
        body["patches"][1]["metadata"]["name"] = body["patches"][0]["metadata"]["name"]
    elif kind == "foreign patch":
        body["patches"][0]["patch"][0]["path"] = "/channels/7/samples/0"
    elif kind == "pattern":
        words = (*words, "--points", "Q_{m_a}")
    elif kind == "cut":
        single.write_text(json.dumps(background())[:500])
    elif kind == "nan":
        single.write_text(json.dumps(background()).replace("150.0", "NaN"))
    elif kind == "duplicate key":
        single.write_text(json.dumps(background()).replace('"name": "SR"', '"name": "SR", "name": "SR"', 1))
    elif kind == "empty":
        single.write_text("")
    listed.write_text(json.dumps(body))
    return single, words


@pytest.mark.usefixtures("user_folders")
@pytest.mark.parametrize(
    ("kind", "exit_code", "code", "says"),
    [
        ("hs3", 3, "wrap.hs3", "HS3 workspace"),
        ("patchset alone", 3, "wrap.no-background", "patchset.json is patchset"),
        ("other digest", 5, "workspace.patchset-digest", "0" * 64),
        ("multiplicity", 3, "wrap.multiplicity", "2 values; the patchset has 3 labels"),
        ("same values", 3, "wrap.duplicate-point", "[100.0, 10.0]"),
        ("same name", 3, "workspace.duplicate", "P_100_10"),
        ("foreign patch", 3, "workspace.patch", "does not fit"),
        ("pattern", 3, "wrap.pattern", "P_100_10"),
        ("cut", 3, "wrap.not-json", "not valid JSON"),
        ("nan", 3, "wrap.not-json", "NaN"),
        ("duplicate key", 3, "wrap.not-json", "'name' stands twice"),
        ("empty", 3, "wrap.not-json", "not valid JSON"),
    ],
)
def test_a_record_with_a_fault_is_refused_and_nothing_is_written(kind, exit_code, code, says, tmp_path, capsys) -> None:
    record, words = broken_record(tmp_path, kind)
    assert wrap(record, tmp_path / "out", *words) == exit_code
    found = error(capsys)
    assert found["code"] == code
    assert says in found["message"]
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("user_folders")
@pytest.mark.parametrize("kind", ["link", "traversal", "cut", "no tar"])
def test_tar_archives_of_strangers(kind: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "likelihoods.tar.gz"
    if kind == "link":
        tar_of(path, members(), link="Region-A/patch.x.json")
    elif kind == "traversal":
        tar_of(path, {"../escaped.json": b"{}", **members()})
    else:
        path.write_bytes(
            gzip.compress(b"no archive") if kind == "no tar" else tar_of(path, members()).read_bytes()[:300]
        )
    unsafe = kind in {"link", "traversal"}
    assert wrap(path, tmp_path / "out") == (5 if unsafe else 3)
    assert error(capsys)["code"] == ("wrap.unsafe-tar" if unsafe else "wrap.not-a-tar")
    assert not (tmp_path.parent / "escaped.json").exists()


@pytest.mark.usefixtures("user_folders")
def test_a_record_without_signals_has_the_axes_that_are_stated(tmp_path: Path, capsys) -> None:
    record = write_record(tmp_path / "record", {})
    assert wrap(record, tmp_path / "out", "--axis", "m_a=GeV", "--axis", "m_b=GeV:$m_B$") == 0
    assert [axis.name for axis in read_wrapped(tmp_path / "out" / "wrapped.yaml").axes] == ["m_a", "m_b"]
    capsys.readouterr()
    with_points = write_record(tmp_path / "other")
    assert wrap(with_points, tmp_path / "no", "--points", "P_{m_a}_{m_b}", "--axis", "m_x=GeV") == 3
    found = error(capsys)
    assert found["code"] == "wrap.axis"
    assert "'m_x'; they are m_a, m_b" in found["message"]


def test_only_the_members_asked_for_are_read_and_all_are_looked_at(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "likelihoods.tar.gz", members())
    wanted = ["Region-A/BkgOnly.json", "Region-A/patch.P_100_10.json"]
    assert set(read_members(path, wanted=wanted)) == set(wanted)
    assert set(read_members(path)) == set(members())
    tar_of(path, members(), link="Region-A/other.json")
    with pytest.raises(IntegrityError, match="it is a link"):
        read_members(path, wanted=wanted)


@pytest.mark.usefixtures("user_folders")
def test_an_address_needs_a_digest_and_stays_untouched_offline(tmp_path: Path, capsys) -> None:
    words = ["wrap", "https://example.org/likelihoods.tar.gz", *BASE, "--output", str(tmp_path / "out"), "--json"]
    assert main(words) == 2
    assert "--sha256" in error(capsys)["message"]
    assert main([*words, "--sha256", "a" * 64, "--size", "10"]) == 6
    assert error(capsys)["code"] == "source.unavailable"


def test_files_kept_beside_the_document_are_checked(wrapped: Path, capsys) -> None:
    assert main(["catalogue", "check", "small-search"]) == 0
    place = wrapped / "files" / "patch.P_100_10.json"
    place.write_text(json.dumps(patch(13.0)))
    capsys.readouterr()
    assert main(["catalogue", "check", "--json"]) == 5
    (row,) = json.loads(capsys.readouterr().out)
    assert [problem["code"] for problem in row["problems"]] == ["wrapped.checksum"]
    assert row["problems"][0]["where"] == str(place)


@pytest.mark.parametrize("name", ["atlas-susy-2018-04", "atlas-susy-2018-06", "atlas-susy-2018-31"])
def test_shipped_documents_are_valid_and_name_only_public_places(name: str, repository: Path) -> None:
    path = repository / "specs" / name / "wrapped.yaml"
    analysis = read_wrapped(path)
    assert analysis.name == name
    assert analysis.metadata.doi
    assert all(file.doi and file.path is None for file in analysis.files.values())
    first = path.read_text().splitlines()[0]
    schema = path.parent / first.split("$schema=")[1]
    assert read_json(schema)["title"].startswith("evercast wrapped analysis")


def test_wrong_documents_are_refused_with_their_lines(tmp_path: Path, wrapped: Path) -> None:
    text = (wrapped / "wrapped.yaml").read_text()
    changes = {
        "wrapped.multiplicity": ("values: [100.0, 10.0]", "values: [100.0]"),
        "wrapped.duplicate-point": ("values: [200.0, 10.0]", "values: [100.0, 10.0]"),
        "wrapped.unknown-file": ("{file: BkgOnly.json,", "{file: Other.json,"),
        "spec.unsafe-path": ("path: files/BkgOnly.json", 'path: "../BkgOnly.json"'),
        "spec.version": ("wrapped-analysis/1.0.0", "wrapped-analysis/2.0.0"),
    }
    for code, (old, new) in changes.items():
        assert old in text
        path = tmp_path / "wrapped.yaml"
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(InvalidDocument) as caught:
            read_wrapped(path)
        assert code in {problem.code for problem in caught.value.problems}
        assert all(problem.line for problem in caught.value.problems)
        assert caught.value.exit_code == (5 if code == "spec.unsafe-path" else 3)


@pytest.mark.usefixtures("user_folders")
@pytest.mark.parametrize("option", [("--name", "Bad Name"), ("--luminosity", "0"), ("--sqrt-s", "-1")])
def test_a_refused_option_is_named_and_leaves_nothing(option: tuple[str, str], tmp_path: Path, capsys) -> None:
    record = write_record(tmp_path / "record")
    before = sorted(tmp_path.rglob("*"))
    assert wrap(record, tmp_path / "out", *PATTERN, "--keep-files", *option) == 3
    said = error(capsys)
    assert said["code"] == "wrap.option"
    assert said["message"].startswith(f"{option[0]}: ")
    assert "wrapped.yaml" not in json.dumps(said)
    assert sorted(tmp_path.rglob("*")) == before
