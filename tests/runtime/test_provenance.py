"""What a process says of itself."""

from __future__ import annotations

import json
import subprocess
import sys

WORDS = """
import json
from evercast.runtime.provenance import PeakMemory

def use(megabytes):
    peak = PeakMemory()
    held = bytearray(megabytes * 1_000_000)
    held[::4096] = bytes(len(held[::4096]))
    return peak.of, peak.mb()

print(json.dumps([use(megabytes) for megabytes in (20, 400, 20)]))
"""


def test_the_peak_of_a_small_unit_is_not_that_of_a_large_one_before_it() -> None:
    done = subprocess.run([sys.executable, "-c", WORDS], capture_output=True, text=True, check=True)
    (_, first), (kind, large), (last_kind, last) = json.loads(done.stdout)
    assert large > 400 > first
    if kind == "unit":
        assert last < 200
    assert (last_kind == "unit") == (last < 200), "where the kernel keeps the peak, it is said to be the job's"
