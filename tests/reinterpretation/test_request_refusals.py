"""Requests that cannot be answered are refused before anything is run, with the place, both values and an exit code."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from evercast.cli import main
from evercast.errors import InvalidInput
from evercast.events.sources import SearchPath
from evercast.reinterpretation.requests.catalogue import entry_named, find_analysis, read_catalogue
from evercast.reinterpretation.wrapped.data import json_digest
from small_record import OPTIONS, PATTERN, background, patch, write_record

BACKGROUND = json_digest(background())
YIELDS = "channels: {SR: {events: [3.0, 2.0, 1.0], uncertainty: [0.1, 0.1, 0.1]}}, systematic: 0.1"
DIGESTS = f"sha256: {'a' * 64}, size_bytes: 1, background: {BACKGROUND}"
CROSS_SECTION = "value_pb: 0.01, relative_uncertainty: 0.1"


def request(
    signal: str,
    *,
    wanted: str = "{}",
    collision: str = "{beams: pp, sqrt_s_tev: 13}",
    analysis: str = "name: small-search",
) -> str:
    return f"""\
schema: request/1.0.0
name: ask
analysis: {{{analysis}}}
collision: {collision}
signal: {signal}
wanted: {wanted}
"""


def own(yields: str = YIELDS, cross_section: str = CROSS_SECTION, values: str = "[150, 30]") -> str:
    return f"{{points: {{mine: {{values: {values}, cross_section: {{{cross_section}}}, yields: {{{yields}}}}}}}}}"


def patched(folder: Path, content: str | None = None, **stated: object) -> str:
    """Return a signal that is a patch file, which is written; `stated` replaces what the request says of it."""
    text = json.dumps(patch(3.0)) if content is None else content
    (folder / "patch.json").write_text(text)
    said = {
        "path": "patch.json", "sha256": hashlib.sha256(text.encode()).hexdigest(), "size_bytes": len(text.encode()),
        "background": BACKGROUND, **stated,
    }  # fmt: skip
    return f"{{points: {{mine: {{patch: {json.dumps(said)}}}}}}}"


def check(folder: Path, text: str) -> int:
    (folder / "request.yaml").write_text(text)
    return main(["request", "check", str(folder), "--json"])


def error(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return json.loads(capsys.readouterr().out)["error"]


def test_what_is_right_passes(draft: Path, capsys) -> None:
    for signal in ("{published: all}", "{published: [P_100_10]}", own(), patched(draft)):
        assert check(draft, request(signal)) == 0, signal
        assert json.loads(capsys.readouterr().out)["background"] == BACKGROUND


@pytest.mark.parametrize(
    ("text", "exit_code", "code", "says"),
    [
        (request("{published: [P_150_10]}"), 3, "request.unknown-point", "m_a 100 to 300 GeV"),
        (request("{published: [P_100_10, P_100_10]}"), 3, "request.duplicate-point", "stands twice"),
        (request("{published: []}"), 3, "request.no-signal", "no signal point"),
        (request("{published: all}", wanted="{mu: 11}"), 3, "request.mu", "0 to 10"),
        (request("{published: all}", collision="{beams: pp, sqrt_s_tev: 8}"), 3, "request.collision", "at 8 TeV"),
        (request("{published: all}", collision="{beams: ee, sqrt_s_tev: 13}"), 3, "request.collision", "ee"),
        (request("{published: all}", analysis="name: small-search, likelihood: b"), 3, "request.likelihood", "main"),
        (request("{published: all}", analysis="name: unknown-search"), 3, "catalogue.unknown", "unknown-search"),
        (request("{published: all}", analysis="name: ../../etc"), 3, "spec.pattern", "../../etc"),
        (
            request("{published: all}", analysis=f"name: small-search, digest: {'a' * 64}"),
            5, "request.analysis-digest", "names another one",
        ),
        (request("{published: all}", analysis="name: small-search, digest: AB"), 3, "spec.pattern", "64 hexadecimal"),
        (request(own(cross_section="value_pb: 0, relative_uncertainty: 0")), 3, "spec.out-of-range", "value_pb"),
        (request(own(cross_section="value_pb: -1, relative_uncertainty: 0")), 3, "spec.out-of-range", "value_pb"),
        (request(own(cross_section="value_pb: .nan, relative_uncertainty: 0")), 3, None, "value_pb"),
        (request(own(cross_section="value_pb: 1e-3 pb, relative_uncertainty: 0")), 3, "spec.wrong-type", "1e-3 pb"),
        (request(own(cross_section="value: 0.01, relative_uncertainty: 0")), 3, None, "value_pb"),
        (request(own(cross_section="value_pb: 5e-5, relative_uncertainty: 0.1")), 3, "request.cross-section", "5.5"),
        (request(own(yields="channels: {SR: {events: [1.0]}}")), 3, "request.bins", "3 bins; the signal has 1"),
        (
            request(own(yields="channels: {SR: {events: [1.0, 2.0], uncertainty: [0.1]}}")),
            3, "request.bins", "'SR' has 3 bins; the signal has 2 as events and 1 as uncertainty",
        ),
        (
            request(own(yields="channels: {SR: {events: [1.0, 2.0, 3.0], uncertainty: [0.1]}}")),
            3, "request.bins", "'SR' has 3 bins; the signal has 3 as events and 1 as uncertainty",
        ),
        (request(own(yields="channels: {SRX: {events: [1.0]}}")), 3, "request.channel", "it has SR, CR"),
        (request(own(yields="channels: {SR: {events: [-1.0, 1, 1]}}")), 3, "spec.out-of-range", "events"),
        (request(own(values="[150]")), 3, "request.multiplicity", "1 values, the analysis has 2 axes"),
        (request("{points: {mine: {values: [1, 2]}}}"), 3, "request.signal-form", "neither"),
        (request("{published: all, image: docker://x}"), 3, "spec.unknown-key", "image"),
        (request("{published: all}") + "command: rm -rf x\n", 3, "spec.unknown-key", "command"),
        (
            request(own()).replace("yields:", f"patch: {{path: ../x.json, {DIGESTS}}}, yields:"),
            5, "spec.unsafe-path", "..",
        ),
        (request("{published: all}").replace("request/1.0.0", "request/9.0.0"), 3, "spec.version", "request/9.0.0"),
    ],
)  # fmt: skip
def test_a_document_with_a_fault(text, exit_code, code, says, draft: Path, capsys) -> None:
    assert check(draft, text) == exit_code
    found = error(capsys)
    problems = found.get("problems") or [found]
    assert code is None or code in {problem["code"] for problem in problems}
    assert says in json.dumps(found, ensure_ascii=False)
    assert not (draft / "runs").exists()


def test_a_point_that_is_not_in_the_record_is_named_at_its_field(draft: Path, capsys) -> None:
    (draft / "request.yaml").write_text(request("{published: [P_150_10]}"))
    assert main(["request", "check", str(draft / "request.yaml"), "--json"]) == 3  # the document stands for its folder
    found = error(capsys)
    assert (found["code"], found["where"]) == ("request.unknown-point", "$.signal.published")


def test_a_tar_file_of_an_archive_is_not_taken_for_a_document(draft: Path, tmp_path: Path, capsys) -> None:
    with tarfile.open(tmp_path / "archive.tar", "w", format=tarfile.USTAR_FORMAT) as packed:
        packed.add(draft, "v1")
    (draft / "request.yaml").write_text(request("{published: all}"))
    assert main(["request", "check", str(draft), "--analysis", str(tmp_path / "archive.tar"), "--json"]) == 2
    found = error(capsys)
    assert "evercast archive pull" in found["hint"]


def test_signals_of_the_requester_need_a_cross_section_and_a_collision(draft: Path, capsys) -> None:
    text = request(f"{{points: {{mine: {{yields: {{{YIELDS}}}}}}}}}")
    assert check(draft, "".join(line for line in text.splitlines(keepends=True) if "collision" not in line)) == 3
    assert {problem["code"] for problem in error(capsys)["problems"]} == {
        "request.no-cross-section", "request.no-collision",
    }  # fmt: skip


def patch_fault(folder: Path, kind: str) -> str:  # noqa: C901, PLR0911 - one fault each
    text = json.dumps(patch(3.0))
    if kind == "background":
        return patched(folder, background="0" * 64)
    if kind == "digest":
        return patched(folder, sha256="0" * 64)
    if kind == "size":
        return patched(folder, size_bytes=len(text) + 1)
    if kind == "negative":
        return patched(folder, text.replace("1.5", "-0.5"))
    if kind == "no poi":
        return patched(folder, text.replace("mu_SIG", "mu_other"))
    if kind == "hs3":
        return patched(folder, json.dumps({"distributions": [], "metadata": {"hs3_version": "0.2"}}))
    if kind == "patchset":
        return patched(folder, json.dumps({"patches": [], "metadata": {}}))
    if kind == "cut":
        return patched(folder, text[:40])
    if kind == "nan":
        return patched(folder, text.replace("1.5", "NaN"))
    signal = patched(folder)
    (folder / "patch.json").unlink()
    if kind == "link":
        (folder / "real.json").write_text(text)
        (folder / "patch.json").symlink_to("real.json")
    elif kind == "folder":
        (folder / "patch.json").mkdir()
    return signal


@pytest.mark.parametrize(
    ("kind", "exit_code", "code", "says"),
    [
        ("background", 5, "request.background", BACKGROUND),
        ("digest", 5, "request.file-digest", "the request states 000"),
        ("size", 5, "request.file-size", "the request states"),
        ("link", 5, "request.file-link", "link"),
        ("folder", 3, "request.no-file", "regular file"),
        ("missing", 3, "request.no-file", "no such file"),
        ("negative", 3, "request.negative-bin", "-0.5 events in bin 1 of 'SR'"),
        ("no poi", 3, "request.no-poi", "mu_SIG"),
        ("hs3", 3, "request.not-a-patch", "an HS3 workspace"),
        ("patchset", 3, "request.not-a-patch", "patchset"),
        ("cut", 3, "wrap.not-json", "not valid JSON"),
        ("nan", 3, "wrap.not-json", "NaN"),
    ],
)
def test_a_patch_file_with_a_fault(kind, exit_code, code, says, draft: Path, capsys) -> None:
    assert check(draft, request(patch_fault(draft, kind))) == exit_code
    found = error(capsys)
    assert found["code"] == code
    assert says in found["message"]
    assert "mine" in found["where"] or "patch.json" in found["where"]


def test_the_same_signal_under_two_names_is_refused(draft: Path, capsys) -> None:
    signal = patched(draft)
    twice = signal.replace("{points: {", "{points: {other: " + signal.partition("mine: ")[2][:-2] + ", ")
    assert check(draft, request(twice)) == 3
    found = error(capsys)
    assert found["code"] == "request.duplicate-point"
    assert "the same signal" in found["message"]


def test_a_grid_beyond_the_limit_is_refused_at_once(draft: Path, capsys) -> None:
    names = ", ".join(f"P_{number}_1" for number in range(6000))
    assert check(draft, request(f"{{published: [{names}]}}")) == 5
    assert "6000 points; one request may have 5000" in error(capsys)["message"]


def test_data_of_the_analysis_that_were_changed_are_refused(draft: Path, wrapped: Path, capsys) -> None:
    (wrapped / "files" / "BkgOnly.json").write_text(json.dumps(background()).replace("150.0", "151.0"))
    assert check(draft, request("{published: all}")) == 5
    assert error(capsys)["code"] == "wrapped.checksum"


def test_two_analyses_of_one_name_are_listed(draft: Path, tmp_path: Path, capsys) -> None:
    record = write_record(tmp_path / "other-record", {"P_100_10": 1.0})
    other = tmp_path / "others" / "small-search"
    words = ["wrap", str(record), "--name", "small-search", *OPTIONS, *PATTERN, "--keep-files", "--output", str(other)]
    assert main(words) == 0
    assert main(["catalogue", "add", str(tmp_path / "others")]) == 0
    capsys.readouterr()
    assert check(draft, request("{published: all}")) == 3
    found = error(capsys)
    assert found["code"] == "catalogue.ambiguous"
    assert found["message"].count("small-search ") == 2
    text = request("{published: all}")
    (draft / "request.yaml").write_text(text)
    assert main(["request", "check", str(draft), "--analysis", str(other), "--json"]) == 0


def test_a_request_is_checked_without_what_computes_and_draws(draft: Path) -> None:
    words = ["request", "check", str(draft)]
    program = (
        "import sys; from evercast.cli import main; code = main(sys.argv[1:]); "
        "print(code, sorted({'jax', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "0 []"


def test_a_request_is_not_answered_before_it_is_submitted(draft: Path, capsys) -> None:
    assert main(["respond", str(draft), "--json"]) == 3
    assert error(capsys)["code"] == "request.state"


def test_a_request_refused_with_a_reason_says_so_and_can_be_submitted_again(draft: Path, capsys) -> None:
    assert main(["request", "submit", str(draft)]) == 0
    assert main(["respond", str(draft), "--refuse", "the grid is too coarse"]) == 0
    assert main(["request", "status", str(draft)]) == 0
    assert "refused" in (text := capsys.readouterr().out)
    assert "the grid is too coarse" in text
    assert main(["respond", str(draft)]) == 3
    assert main(["request", "submit", str(draft)]) == 0
    capsys.readouterr()
    assert main(["request", "status", str(draft), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "submitted"


def test_a_history_that_was_changed_is_told(draft: Path, capsys) -> None:
    assert main(["request", "submit", str(draft)]) == 0
    place = draft / "history" / "0001-draft.json"
    place.write_text(place.read_text().replace("T", "U", 1))
    capsys.readouterr()
    assert main(["request", "status", str(draft), "--json"]) == 5
    assert error(capsys)["code"] == "request.history"
    shutil.rmtree(draft / "history")
    assert main(["request", "status", str(draft), "--json"]) == 3


@pytest.mark.parametrize("path", ["https://example.org/patch.json", "/etc/passwd", "~/patch.json", "a/../../b.json"])
def test_a_patch_elsewhere_is_refused_and_nothing_is_looked_up(path: str, draft: Path, capsys) -> None:
    assert check(draft, request(patched(draft, path=path))) == 5
    (problem,) = error(capsys)["problems"]
    assert problem["code"] == "spec.unsafe-path"
    assert problem["path"] == "$.signal.points.mine.patch.path"


@pytest.mark.usefixtures("wrapped")
def test_a_digest_that_begins_two_analyses_is_refused_with_both(tmp_path: Path) -> None:
    catalogue = read_catalogue(tmp_path / "config" / "catalogue.json")
    (entry,) = catalogue.entries()
    digest = str(entry.digest)
    search = SearchPath(cache=tmp_path / "cache", network=False)
    assert find_analysis(digest[:8], catalogue, search).analysis.name == "small-search"
    with pytest.raises(InvalidInput, match="no preserved analysis"):
        find_analysis("0" * 12, catalogue, search)
    other = replace(entry, digest=digest[:20] + "0" * 44, path=tmp_path / "twin.yaml")
    with pytest.raises(InvalidInput, match=r"is 2 analyses: small-search .*twin\.yaml") as caught:
        entry_named(digest[:8], (entry, other))
    assert caught.value.code == "catalogue.ambiguous"
