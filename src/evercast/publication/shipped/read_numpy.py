"""Reads this likelihood with numpy alone: L(theta) from the published log ratios, and log ratios from the networks.

    python -I read_numpy.py [FOLDER]   compares every file with its sha256, then all numbers with reference_vectors.json

Copy it beside your own program to import it (imported from here, Python would write a __pycache__ into the bundle):

    from read_numpy import Likelihood, Networks
    likelihood = Likelihood("FOLDER")
    likelihood.twice_nll({"mu": 1.2})                         # -2 ln L; what is not named is at its initial value
    Networks("FOLDER").log_ratios("ENSEMBLE", observables)    # where the networks are published

Formulas: `conventions` in manifest.json and `formulas` in architecture.json. Licence of this program: Apache-2.0.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import operator
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
DTYPES = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U64": "<u8", "BOOL": "|b1"}


def read_safetensors(path: Path) -> dict[str, Array]:
    """Return the tensors of a safetensors file: 8 bytes with the length of a JSON header, the header, the numbers."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            flat = np.frombuffer(content[start + first : start + last], dtype=DTYPES[entry["dtype"]])
            tensors[name] = flat.reshape(entry["shape"])
    return tensors


# Formulas of coefficients: numbers, parameters, + - * /, whole powers and these functions.
FUNCTIONS: dict[str, Callable[..., float]] = {
    "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "abs": abs, "min": min, "max": max, "sin": math.sin,
    "cos": math.cos, "tanh": math.tanh,
}  # fmt: skip
BINARY: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip


def formula(text: str, theta: Mapping[str, float]) -> float:
    """Return the value of a coefficient; nan where it is undefined."""

    def value(node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return theta[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return value(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                return BINARY[type(op)](value(left), value(right))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                return FUNCTIONS[name](*map(value, arguments))
        raise ValueError(f"{text!r} is no formula of this format")

    tree = ast.parse(text, mode="eval").body
    try:
        return float(value(tree))
    except (ArithmeticError, TypeError, ValueError) as err:
        if "no formula" in str(err):
            raise
        return math.nan


def factor(code: str, alpha: float, up: Any, down: Any) -> Any:
    """Return a factor that is 1 at 0, `up` at +1 and `down` at -1 (HistFactory codes 0, 1 and 4)."""
    if code == "0":
        return 1 + (alpha * (up - 1) if alpha > 0 else alpha * (1 - down))
    log_up, log_down = np.log(up), np.log(down)
    if code == "1" or abs(alpha) >= 1:
        return np.exp(alpha * log_up if alpha > 0 else -alpha * log_down)
    # A polynomial of degree 6 that meets values, slopes and curvatures of the exponentials at +1 and -1.
    s0, a0 = (up + down) / 2, (up - down) / 2
    s1, a1 = (up * log_up - down * log_down) / 2, (up * log_up + down * log_down) / 2
    s2, a2 = (up * log_up**2 + down * log_down**2) / 2, (up * log_up**2 - down * log_down**2) / 2
    terms = (
        (15 * a0 - 7 * s1 + a2) / 8,
        (-24 + 24 * s0 - 9 * a1 + s2) / 8,
        (-5 * a0 + 5 * s1 - a2) / 4,
        (12 - 12 * s0 + 7 * a1 - s2) / 4,
        (3 * a0 - 3 * s1 + a2) / 8,
        (-8 + 8 * s0 - 5 * a1 + s2) / 8,
    )
    return 1 + sum(term * alpha**power for power, term in enumerate(terms, start=1))


def shift(code: str, alpha: float, up: Array, down: Array) -> Array:
    """Return what is added to a template; `up` = template at +1 - nominal, `down` = nominal - template at -1."""
    mean, bend = (up + down) / 2, (up - down) / 2
    if code == "0":
        return np.asarray(alpha * (up if alpha > 0 else down))
    if code == "2":
        if abs(alpha) <= 1:
            return np.asarray(mean * alpha + bend * alpha**2)
        side = 1 if alpha > 0 else -1
        return np.asarray(bend + side * mean + (mean + 2 * side * bend) * (alpha - side))
    if abs(alpha) > 1:  # code 4p
        return np.asarray(alpha * (up if alpha > 0 else down))
    return np.asarray(alpha * mean + alpha**2 * (15 - 10 * alpha**2 + 3 * alpha**4) * bend / 8)


def twice_poisson(rate: float, count: float) -> float:
    """Return -2 ln Poisson(count | rate), without a difference of large numbers."""
    if count == 0:
        return 2 * rate if rate >= 0 else math.inf
    if not rate > 0:
        return math.inf
    if count > 1000:  # ln n! - n ln n + n by its series
        constant = 0.5 * math.log(2 * math.pi * count) + 1 / (12 * count) - 1 / (360 * count**3)
    else:
        constant = math.lgamma(count + 1) - count * math.log(count) + count
    excess = (rate - count) / count
    logarithm = math.log1p(excess) if excess > -0.5 else math.log(rate / count)
    return 2 * (count * (excess - logarithm) + constant)


class Likelihood:
    """The likelihood in a folder; `dataset` is "observed" or "asimov" (simulated events, expected counts)."""

    def __init__(self, folder: str | Path = ".", dataset: str = "observed") -> None:
        body = json.loads((Path(folder) / "likelihood.json").read_text())
        self.parameters: list[dict[str, Any]] = body["parameters"]
        self.channels: list[dict[str, Any]] = body["channels"]
        self.initial: dict[str, float] = {one["name"]: one["initial"] for one in self.parameters}
        self.dataset = dataset
        self.tensors = read_safetensors(Path(folder) / "events.safetensors")

    def twice_nll(self, parameters: Mapping[str, float] | None = None) -> float:
        """Return -2 ln L; infinite where it is not defined."""
        unknown = (parameters or {}).keys() - self.initial.keys()
        if unknown:
            raise KeyError(f"unknown parameter {min(unknown)!r}; there are {', '.join(self.initial)}")
        theta = {**self.initial, **(parameters or {})}
        with np.errstate(all="ignore"):
            total = sum(self._constraint(one, theta[one["name"]]) for one in self.parameters)
            for channel in self.channels:
                total += self._binned(channel, theta) if channel["kind"] == "binned" else self._unbinned(channel, theta)
        return math.inf if math.isnan(total) else float(total)

    @staticmethod
    def _constraint(one: Mapping[str, Any], value: float) -> float:
        if one["constraint"] == "poisson":
            return twice_poisson(one["factor"] * value, one["global_observable"])
        if one["constraint"] == "normal":
            pull = (value - one["global_observable"]) / one["width"]
            return float(pull**2 + 2 * math.log(one["width"]) + math.log(2 * math.pi))
        return 0.0

    @staticmethod
    def _scale(entry: Mapping[str, Any], theta: Mapping[str, float]) -> float:
        """Return coefficient x normfactors x normalisation variations."""
        scale = formula(entry["coefficient"], theta)
        for one in entry["modifiers"]:
            if one["kind"] == "normfactor":
                scale *= theta[one["parameter"]]
            elif one["kind"] == "normsys":
                scale *= float(factor(one["code"], theta[one["parameter"]], one["up"], one["down"]))
        return scale

    def expected_counts(self, channel: Mapping[str, Any], theta: Mapping[str, float]) -> Array:
        """Return the expected events in each bin of a binned channel."""
        rates = np.zeros(len(channel["observed"]))
        for sample in channel["samples"]:
            nominal = np.array(sample["nominal"])
            template, gamma = nominal.copy(), np.ones(len(nominal))
            for one in sample["modifiers"]:
                if one["kind"] == "histosys":
                    up, down = np.array(one["up"]) - nominal, nominal - np.array(one["down"])
                    template += shift(one["code"], theta[one["parameter"]], up, down)
                elif one["kind"] == "bin_factor":
                    gamma *= [1.0 if name is None else theta[name] for name in one["parameters"]]
            rates += self._scale(sample, theta) * gamma * template
        return rates

    def _binned(self, channel: Mapping[str, Any], theta: Mapping[str, float]) -> float:
        counts = channel["observed"]
        if self.dataset == "asimov":
            counts = self.expected_counts(channel, self.initial).tolist()
        rates = self.expected_counts(channel, theta).tolist()
        return sum(twice_poisson(rate, count) for rate, count in zip(rates, counts, strict=True))

    def _ratios(
        self, channel: Mapping[str, Any], which: str, theta: Mapping[str, float]
    ) -> tuple[Array, Array, set[int]]:
        """Return (events, components) density ratios with their morphs, weights, and which components have a morph."""
        prefix = f"{channel['name']}.{which}"
        log = self.tensors[f"{prefix}.log_ratio"].astype(float)
        names, moved, column = [one["process"] for one in channel["components"]], set(), 0
        ratio = np.ones_like(log)
        for number, anchor in enumerate(channel["anchors"]):
            up, down = (self.tensors[f"{prefix}.{side}"][:, number].astype(float) for side in ("log_up", "log_down"))
            alpha, own = theta[anchor["parameter"]], names.index(anchor["process"])
            code = "4" if anchor["interpolation"] == "code4" else "1"
            ratio[:, own] *= factor(code, alpha, np.exp(up), np.exp(down))
            moved.add(own)
        for morph in channel["polynomials"]:
            own = names.index(morph["process"])
            for term in morph["terms"]:
                power = math.prod(theta[name] ** exponent for name, exponent in term)
                log[:, own] += self.tensors[f"{prefix}.coefficients"][:, column].astype(float) * power
                column += 1
            moved.add(own)
        return np.exp(log) * ratio, self.tensors[f"{prefix}.weight"].astype(float), moved

    def _unbinned(self, channel: Mapping[str, Any], theta: Mapping[str, float]) -> float:
        expected = np.array([one["yield_events"] * self._scale(one, theta) for one in channel["components"]])
        ratio, weight, moved = self._ratios(channel, self.dataset, theta)
        shape = expected.copy()
        if moved and channel["normalise_morphs"]:
            over, reference_weight, _ = self._ratios(channel, "reference", theta)
            mean = reference_weight @ over / reference_weight.sum()
            for own in moved:
                shape[own] /= mean[own]
        intensity = ratio @ shape
        counted = weight != 0
        if not np.all(intensity[counted] > 0):
            return math.inf
        return 2 * float(expected.sum() - weight[counted] @ np.log(intensity[counted]))


class Networks:
    """The networks of a bundle: inputs in the order and the units of `observables` in manifest.json."""

    def __init__(self, folder: str | Path = ".") -> None:
        self.folder = Path(folder)
        self.ensembles = json.loads((self.folder / "manifest.json").read_text())["ensembles"]
        self.architectures = json.loads((self.folder / "architecture.json").read_text())["networks"]

    def log_ratios(self, ensemble: str, observables: Array) -> dict[str, Array]:
        """Return log ratios of processes, ln p(x | +-1) / p(x | 0) of variations, and coefficients of polynomials."""
        entry = self.ensembles[ensemble]
        found = {label: self._ratio(ensemble, label, one, observables) for label, one in entry["processes"].items()}
        for parameter, processes in entry["variations"].items():
            for process, sides in processes.items():
                for side, one in sides.items():
                    label = f"{process}.{parameter}.{side}"
                    found[label] = self._ratio(ensemble, label, one, observables)
        for process, one in entry["polynomials"].items():
            label = f"{process}.polynomial"
            outputs = self._outputs(ensemble, label, one["weights"], observables)
            found[label] = outputs.mean(axis=(0, 1)) - np.array(one["constants"])
        return found

    def _ratio(self, ensemble: str, label: str, one: Mapping[str, Any], observables: Array) -> Array:
        logits = self._outputs(ensemble, label, one["weights"], observables)[..., 0]
        mean_log = self.ensembles[ensemble]["combine"] == "mean_log_ratio"
        by_fold = logits.mean(axis=0) if mean_log else log_mean(logits)
        found = log_mean(by_fold)
        if one.get("calibration"):
            edges, values = (np.array(one["calibration"][key]) for key in ("edges", "values"))
            found = found + values[np.searchsorted(edges, found, side="right")]
        return np.asarray(found - one["log_norm"])

    def _outputs(self, ensemble: str, label: str, file: str, observables: Array) -> Array:
        """Return (members, folds, events, outputs)."""
        tensors = {name: values.astype(float) for name, values in read_safetensors(self.folder / file).items()}
        form = self.architectures[ensemble][label]
        hidden = np.asarray(observables).astype(np.float32).astype(float)
        hidden = (hidden - tensors["standardise.mean"][:, :, None]) / tensors["standardise.scale"][:, :, None]
        for layer in range(form["depth"] + 1):
            weight, bias = tensors[f"layers.{layer}.weight"], tensors[f"layers.{layer}.bias"]
            hidden = hidden @ weight.swapaxes(-1, -2) + bias[:, :, None]
            if layer < form["depth"]:
                hidden = ACTIVATIONS[form["activation"]](hidden)
        return np.asarray(hidden)


def log_mean(values: Array) -> Array:
    """Return the logarithm of the mean of exponentials over the first axis."""
    largest = values.max(axis=0)
    return np.asarray(largest + np.log(np.exp(values - largest).mean(axis=0)))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": lambda z: z * (1 + np.tanh(z / 2)) / 2,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "gelu": lambda z: z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2,
}


NETWORK_TOLERANCE = {"abs": 1e-9, "rel": 1e-9}  # of networks in float64, as here; that of the vectors is for float32


def damaged(folder: str | Path) -> list[str]:
    """Return the files that are missing or have another sha256 than manifest.json says."""
    declared = json.loads((Path(folder) / "manifest.json").read_text())["files"]
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir() if path.is_file()
    }
    return [name for name, entry in declared.items() if found.get(name) != entry["sha256"]]


def compared(what: str, found: Any, expected: Any, tolerance: Mapping[str, float]) -> bool:
    """Print the largest difference; return whether there are numbers, as many as expected, and all agree."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    if found.shape != expected.shape or found.size == 0:
        print(f"{what}: {found.shape} numbers, expected {expected.shape}: NOT compared")  # noqa: T201
        return False
    difference = np.abs(found - expected)
    right = bool((difference <= tolerance["abs"] + tolerance["rel"] * np.abs(expected)).all())
    print(f"{what}: largest difference {difference.max():.3g}{'' if right else ', which is too much'}")  # noqa: T201
    return right


def main(folder: str) -> int:
    """Compare with digests and reference vectors; return 0 where there are some of everything and all agree."""
    wrong = damaged(folder)
    if wrong:
        print(f"missing, or not as manifest.json says: {', '.join(wrong)}")  # noqa: T201
        return 1
    vectors, manifest = (
        json.loads((Path(folder) / name).read_text()) for name in ("reference_vectors.json", "manifest.json")
    )
    points, right = vectors["likelihood"], []
    without = any(not one["simulated_events"] for one in manifest["channels"].values())
    if points or not (vectors["dataset"] == "asimov" and without):  # then there are no data that it could be shown of
        likelihood = Likelihood(folder, vectors["dataset"])
        found = [likelihood.twice_nll(point["parameters"]) for point in points]
        wanted = [point["twice_nll"] for point in points]
        right.append(compared(f"-2 ln L at {len(points)} points", found, wanted, vectors["likelihood_tolerance"]))
    ensembles = manifest["ensembles"] if manifest["disclosure"] != "ratios" else {}
    for ensemble in sorted({*ensembles, *vectors["log_ratio"]}):
        body = vectors["log_ratio"][ensemble]
        made = Networks(folder).log_ratios(ensemble, np.array(body["observables"]))
        expected = dict(body["log_ratio"])
        for parameter, processes in body["variations"].items():
            for process, sides in processes.items():
                expected |= {f"{process}.{parameter}.{side}": values for side, values in sides.items()}
        expected |= {f"{process}.polynomial": values for process, values in body["polynomials"].items()}
        for label in {**expected, **made}:
            values, wanted = made.get(label, np.zeros(0)), expected.get(label, [])
            right.append(compared(f"{ensemble} {label}", values, wanted, NETWORK_TOLERANCE))
    return 0 if right and all(right) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parent)))
