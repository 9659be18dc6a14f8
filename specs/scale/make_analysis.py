"""Writes the two documents of the scale analysis: 20 processes, 50 systematics, five networks for each density.

    python make_analysis.py tiny > analysis.yaml    # few events and small networks: run as a whole on two cores
    python make_analysis.py full > full.yaml        # sizes of an experiment: to plan and to dry-run

Both declare 20 x (1 + 2 x 50) x 5 = 10,100 networks: for each process its ratio to the reference, and for each
systematic its density at +1 and at -1 over the nominal one; each is learned by five networks, one for each fold of the
cross-fitting. Observed events, which no network has seen, are evaluated by all five.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from make_events import YIELDS

MOMENTUM_SYSTEMATICS = 25
WEIGHT_SYSTEMATICS = 25


@dataclass(frozen=True, kw_only=True)
class Size:
    """All that differs between the two documents.

    A strong decay of the weights keeps networks that learn from a few hundred events near a ratio of 1.
    """

    name: str
    comment: str
    events: int
    width: int
    depth: int
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    activation: str
    memory_mb: int
    runtime_min: int


SIZES = {
    "tiny": Size(
        name="scale", comment="Few events and small networks: the whole of it runs on two cores.",
        events=400, width=4, depth=1, activation="tanh", epochs=2, batch=32, learning_rate=5e-2, weight_decay=2.0,
        memory_mb=300, runtime_min=5,
    ),
    "full": Size(
        name="scale_full", comment="Sizes of an experiment: to plan and to dry-run.",
        events=1_000_000, width=128, depth=4, activation="silu", epochs=50, batch=1024, learning_rate=1e-3,
        weight_decay=0.0, memory_mb=2000, runtime_min=60,
    ),
}  # fmt: skip


def systematics() -> list[str]:
    """Return one line for each systematic: jets measured otherwise, or events of another weight."""
    lines = []
    for number in range(1, MOMENTUM_SYSTEMATICS + 1):
        slope = f"0.02 * tanh(eta - {(number - 13) / 10:g})"
        up, down = f'"pt * (1.01 + {slope})"', f'"pt * (0.99 - {slope})"'
        lines.append(
            f"jet_{number:02d}: {{kind: kinematic, processes: all, up: {{jets.pt: {up}}}, down: {{jets.pt: {down}}}}}"
        )
    for number in range(1, WEIGHT_SYSTEMATICS + 1):
        slope = f"0.1 * tanh((lead - {40 + 4 * number}) / 30)"
        lines.append(f'theory_{number:02d}: {{kind: weight, processes: all, up: "1 + {slope}", down: "1 - {slope}"}}')
    return lines


def indented(lines: list[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def document(size: Size) -> str:
    """Return the document."""
    kinds = [*YIELDS, "observed"]
    jets = "{pt: [pt1, pt2], eta: [eta1, eta2], phi: [phi1, phi2], mass: [m1, m2]}"
    wanted = " ".join(f"{kind}={{outputs.{kind}}}" for kind in kinds)
    file = f"format: csv, events: {size.events}, collections: {{jets: {jets}}}"
    samples = [
        f"{kind}: {{files: [{{stage: events.{kind}, {file}}}], "
        f"normalisation: {{yield_events: {events:.6g}, region: all_events}}}}"
        for kind, events in YIELDS.items()
    ]
    coefficients = {"signal": "coefficient: mu, "}
    processes = [
        f"{kind}: {{sample: {kind}, {coefficients.get(kind, '')}title: {kind.replace('_', ' ')}}}" for kind in YIELDS
    ]
    names = ", ".join(YIELDS)
    return f"""\
# yaml-language-server: $schema=../../src/evercast/schemas/1.0.0/analysis.schema.json
# Written by make_analysis.py. 20 processes, 50 systematics, five networks for each density (one for each fold):
# 20 x (1 + 2 x 50) x 5 = 10,100 networks. {size.comment}
schema: analysis/1.0.0
name: {size.name}
title: Twenty processes and fifty systematics
metadata:
  experiment: toy
  sqrt_s_tev: [13]
  luminosity_fb: 1
  license: CC0-1.0
  description: >-
    As many networks as a measurement of an LHC experiment needs, on events drawn by make_events.py. It shows that they
    are planned, trained, evaluated and fitted; mu is measured, but nothing is learned from it.

stages:
  events:
    run: "python {{inputs.script}} --events {size.events} {wanted}"
    inputs: {{script: make_events.py}}
    outputs:
{chr(10).join(f"      {kind}: {kind}.csv" for kind in kinds)}
    resources: {{cores: 1, memory_mb: {size.memory_mb}, runtime_min: {size.runtime_min}}}

samples:
{indented(samples)}
  observed:
    role: data
    files: [{{stage: events.observed, format: csv, events: {sum(YIELDS.values()):.0f}, collections: {{jets: {jets}}}}}]

selection:
  columns: [flavour]
  seed: 1
  observables:
    lead: {{expression: "pt(jets[0])", unit: GeV, label: leading jet}}
    pair: {{expression: "mass(jets[0] + jets[1])", unit: GeV, label: pair of jets}}
    score: {{expression: "flavour", unit: "1", label: flavour}}
  regions:
    all_events: {{cut: "lead > 0"}}
    SR: {{cut: "score > -1", label: signal region}}
    CR: {{cut: "score <= -1", label: control region}}

parameters:
  mu: {{poi: true, initial: 1, bounds: [0, 20], label: '$\\mu$'}}

processes:
{indented(processes)}

systematics:
{indented(systematics())}

ensembles:
  ratios:
    region: SR
    processes: [{names}]
    reference: {{{", ".join(f"{kind}: 1" for kind in YIELDS)}}}
    observables: [lead, pair, score]
    model: {{kind: mlp, width: {size.width}, depth: {size.depth}, activation: {size.activation}}}
    members: 1
    folds: 5
    seed: 5
    training:
      epochs: {size.epochs}
      batch: {size.batch}
      optimiser: adamw
      learning_rate: {size.learning_rate:g}
      weight_decay: {size.weight_decay:g}
      schedule: cosine

likelihoods:
  neural:
    title: learned density ratios
    channels:
      SR: {{kind: unbinned, ensemble: ratios}}
      CR:
        kind: binned
        region: CR
        observable: lead
        edges: [0, 60, 5000]
        processes: [{", ".join(list(YIELDS)[1:])}]
        mc_statistics: false

inference: {{scan_points: 9, scan_range: [0, 4]}}
"""


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in SIZES:
        sys.exit(f"usage: python make_analysis.py {'|'.join(SIZES)}")
    sys.stdout.write(document(SIZES[sys.argv[1]]))


if __name__ == "__main__":
    main()
