"""Texts of the neural bundle: how to use it, and the formulas of its networks."""

from __future__ import annotations

from typing import Final

__all__ = ["FORMULAS", "README"]

README: Final = """# {title}

The core of a likelihood on learned density ratios, as a run of evercast left it; `evercast publish` completes it.
`manifest.json` says what it is: observables with units, processes, yields, conventions in formulas, and the sha256 of
every file. `likelihood.json` holds parameters, constraints and coefficients; `events.safetensors` the log ratios of the
observed and of simulated events.

    evercast fit FOLDER                  # best values, uncertainties, fit guard
    evercast scan FOLDER --json          # profile likelihood

In Python:

    import evercast
    likelihood = evercast.open_likelihood("FOLDER")
    likelihood.twice_nll()               # at the initial values

Without evercast: read the safetensors files with any reader, follow the formulas in `architecture.json` (where the
networks are published) and in the manifest, and compare with `reference_vectors.json` before use.
"""

FORMULAS: Final = {
    "input": "x rounded to float32; h_0 = (x - standardise.mean) / standardise.scale",
    "layer": "h_i = activation(layers.(i-1).weight h_(i-1) + layers.(i-1).bias), i = 1 ... depth",
    "logit": "layers.(depth).weight h_depth + layers.(depth).bias",
    "silu": "z / (1 + exp(-z))",
    "relu": "max(z, 0)",
    "tanh": "tanh(z)",
    "gelu": "z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))) / 2",
    "mean_log_ratio": "over members, in each fold: mean of the logits; then over folds: log of the mean of exp",
    "mean_ratio": "over members, in each fold: log of the mean of exp(logit); then over folds: log of the mean of exp",
    "calibration": "log r + values[b], b = number of edges <= log r",
    "normalisation": "log r - log_norm",
    "variation": "ln p(x | +-1) / p(x | 0) of a process: its networks combined as those of a ratio, minus log_norm",
    "polynomial": "ln p(x | alpha) / p(x | 0) of a process = sum over terms of coefficient x product of powers of "
    "parameters; coefficients: the mean of the outputs over members and folds, minus constants",
}
