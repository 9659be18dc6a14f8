"""The log of a job has what libraries say on stdout, as Pythia does, and not stderr alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workflow_documents import environment

SAYS = """
import os, sys
from pathlib import Path
from evercast.runtime.job_logs import append_to_log
append_to_log(Path(sys.argv[1]), stage="generation", job="some", output=sys.argv[2] == "yes")
os.write(1, b"no process switched on\\n")
os.write(2, b"a warning\\n")
"""


@pytest.mark.parametrize("output", ["yes", "no"])
def test_what_a_library_says_is_in_the_log(tmp_path: Path, output: str) -> None:
    plan = tmp_path / "work" / "plans" / "0123" / "plan.json"
    line = [sys.executable, "-c", SAYS, str(plan), output]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=True)
    said = (tmp_path / "work" / "logs" / "generation" / "some.log").read_text().splitlines()[1:]
    words = "no process switched on"
    assert (said, done.stdout) == (([words, "a warning"], "") if output == "yes" else (["a warning"], words + "\n"))
    assert done.stderr == ""
