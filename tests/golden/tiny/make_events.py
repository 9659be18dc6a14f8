"""Events of the tiny analysis: one observable, a Gaussian signal at 1.5 on a Gaussian background at 0."""

import random
import sys
from pathlib import Path

kind, output = sys.argv[1:]
draw = random.Random(f"tiny {kind}")  # noqa: S311
counts = {"signal": {1.5: 400}, "background": {0.0: 400}, "observed": {1.5: 40, 0.0: 100}}[kind]
values = [draw.gauss(mean, 1.0) for mean, count in counts.items() for _ in range(count)]
with Path(output).open("w") as stream:
    stream.write("x_reco\n" + "".join(f"{value:.6f}\n" for value in values))
