"""Submissions that hepdata-validator takes although they are wrong, or HEPData would not take; and a sound one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evercast.errors import EvercastError, InvalidInput
from evercast.publication import hepdata
from evercast.publication.hepdata_checks import require_sound_submission

HEAD = """---
comment: a measurement
additional_resources:
- {description: pyhf workspace, location: workspace.json, type: HistFactory}
- {description: code, location: 'https://example.org/code'}
---
name: Scan
description: a scan
keywords: []
data_file: scan.yaml
"""
TABLE = """independent_variables:
- header: {name: mu}
  values: [{value: 0.0}, {value: 1.0}]
dependent_variables:
- header: {name: t}
  values: [{value: 4.0}, {value: 0.5, errors: [{symerror: 0.1, label: stat}]}]
"""


def submission(folder: Path) -> Path:
    folder.mkdir()
    (folder / "submission.yaml").write_text(HEAD)
    (folder / "scan.yaml").write_text(TABLE)
    (folder / "workspace.json").write_text("{}")
    return folder


def rewrite(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a NaN": (rewrite("scan.yaml", "{value: 4.0}", "{value: .nan}"), "a value of 't' is nan"),
    "an infinite value": (rewrite("scan.yaml", "{value: 4.0}", "{value: -.inf}"), "a value of 't' is -inf"),
    "a NaN as an error": (rewrite("scan.yaml", "symerror: 0.1", "symerror: .nan"), "a value of 't' is nan"),
    "a NaN as text": (rewrite("scan.yaml", "{value: 4.0}", "{value: 'NaN'}"), "is the text 'NaN'"),
    "an infinite value as text": (rewrite("scan.yaml", "{value: 0.0}", "{value: '-inf'}"), "is the text '-inf'"),
    "a missing table": (lambda f: (f / "scan.yaml").unlink(), "'scan.yaml' is named and missing"),
    "a missing resource": (lambda f: (f / "workspace.json").unlink(), "'workspace.json' is named and missing"),
    "a resource elsewhere": (rewrite("submission.yaml", "workspace.json", "../workspace.json"), "named and missing"),
    "a file of a Macintosh": (lambda f: (f / "._scan.yaml").write_bytes(b"\0\5"), "'._scan.yaml' is hidden"),
    "a hidden file": (lambda f: (f / ".DS_Store").write_bytes(b"x"), "'.DS_Store' is hidden"),
    "a file that nobody names": (lambda f: (f / "notes.txt").write_text("x"), "'notes.txt' is named by nothing"),
    "a folder": (lambda f: (f / "more").mkdir(), "more is no regular file"),
    "a link": (lambda f: (f / "link.yaml").symlink_to("scan.yaml"), "link.yaml is no regular file"),
    "a name with a blank": (lambda f: (f / "a b.txt").write_text("x"), "'a b.txt' is hidden or has a name"),
    "an empty file": (lambda f: (f / "workspace.json").write_text(""), "workspace.json is empty"),
    "a large table": (
        rewrite("scan.yaml", "dependent", "#" + "x" * (10 << 20) + "\ndependent"), "HEPData takes 10485760"),
    "columns of different lengths": (rewrite("scan.yaml", "{value: 4.0}, ", ""), "columns have [1, 2] rows"),
    "no table": (rewrite("submission.yaml", HEAD[HEAD.index("---\nname"):], ""), "names no table"),
    "a table twice": (lambda f: (f / "submission.yaml").write_text(HEAD + HEAD[4:]), "scan.yaml is named twice"),
    "no YAML": (lambda f: (f / "scan.yaml").write_text("a: [1"), "scan.yaml is no YAML"),
    "an object of Python": (
        rewrite("scan.yaml", "{value: 4.0}", "{value: !!python/object/apply:os.getcwd []}"), "scan.yaml is no YAML"),
    "a key that HEPData does not know": (rewrite("scan.yaml", "{name: t}", "{name: t, colour: red}"), "colour"),
}  # fmt: skip


def test_a_sound_submission_passes(tmp_path: Path) -> None:
    require_sound_submission(submission(tmp_path / "s"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_submission_is_refused(fault: str, tmp_path: Path) -> None:
    folder = submission(tmp_path / "s")
    change, message = FAULTS[fault]
    change(folder)
    with pytest.raises(InvalidInput) as caught:
        require_sound_submission(folder)
    assert caught.value.code == "publication.hepdata"
    assert caught.value.exit_code == 3
    assert message in caught.value.message


def test_without_hepdata_lib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hepdata_lib", None)  # as where it is not installed
    with pytest.raises(EvercastError) as caught:
        hepdata._library()
    assert (caught.value.code, caught.value.exit_code) == ("publication.no-hepdata-lib", 6)
    assert "install the extra 'hepdata'" in str(caught.value)
    assert "pip install" not in str(caught.value)  # no index has it: whoever registered the name would be trusted
