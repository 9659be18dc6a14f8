"""The binned projection of this likelihood with pyhf, numpy and scipy alone; formulas of factors are respected.

python read_projection.py [FOLDER]       best fit of the parameter of interest, and where -2 ln L rises by 1
from read_projection import Projection
Projection("FOLDER").twice_nll({"mu": 1.2})          what is not named stands at its initial value

projection.json alone is a wider model where projection_parametrisation.json stands beside it: each factor c_PROCESS of
the workspace is then a formula of other parameters, which that file gives.
"""

import ast
import json
import math
import operator
import sys
from pathlib import Path
from typing import Any

try:
    import pyhf
    from scipy.optimize import brentq, minimize
except ImportError as missing:
    sys.exit(f"this needs pyhf and scipy: {missing}; pip install pyhf scipy")

OPERATORS: dict[type, Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
FUNCTIONS: dict[str, Any] = {"abs": abs, "min": min, "max": max}
FUNCTIONS |= {name: getattr(math, name) for name in ("sqrt", "exp", "log", "sin", "cos", "tanh")}


def value_of(node: Any, values: dict[str, float]) -> float:
    """Return a formula at parameter values; only arithmetic and FUNCTIONS are known, so that nothing else can run."""
    match node:
        case ast.Expression(body=body):
            return value_of(body, values)
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=op, operand=operand):
            return float(OPERATORS[type(op)](value_of(operand, values)))
        case ast.BinOp(op=op, left=left, right=right):
            return float(OPERATORS[type(op)](value_of(left, values), value_of(right, values)))
        case ast.Call(func=ast.Name(id=name), args=args) if name in FUNCTIONS:
            return float(FUNCTIONS[name](*(value_of(one, values) for one in args)))
    raise ValueError(f"not a formula: {ast.unparse(node)}")


class Projection:
    """The likelihood: parameters with start values and bounds, and -2 ln L."""

    def __init__(self, folder: str | Path) -> None:
        beside = Path(folder) / "projection_parametrisation.json"
        tied = json.loads(beside.read_text()) if beside.exists() else {"parameters": {}, "coefficients": {}}
        workspace = pyhf.Workspace(json.loads((Path(folder) / "projection.json").read_text()))
        poi = workspace.get_measurement()["config"]["poi"]
        self.model = workspace.model(poi_name=poi or None)
        self.data = workspace.data(self.model)
        self.formulas = {f"c_{one}": ast.parse(text, mode="eval") for one, text in tied["coefficients"].items()}
        config = self.model.config
        known = zip(config.par_names, config.suggested_init(), config.suggested_bounds(), strict=True)
        self.start = {name: (first, bounds) for name, first, bounds in known if name not in self.formulas}
        for name, entry in tied["parameters"].items():
            self.start[name] = (entry["initial"], tuple(entry.get("bounds", (-5.0, 5.0))))
        self.poi = next((name for name, entry in tied["parameters"].items() if entry["poi"]), poi)
        new = [name for name, entry in tied["parameters"].items() if entry.get("constraint") == "normal"]
        self.constrained = [name for name in new if name not in config.par_names]

    def twice_nll(self, values: dict[str, float]) -> float:
        """Return -2 ln L; infinite where a formula or the model is undefined."""
        all_values = {name: first for name, (first, _) in self.start.items()} | values
        try:
            found = {name: value_of(node, all_values) for name, node in self.formulas.items()}
        except (ValueError, ZeroDivisionError):
            return math.inf
        parameters = [found.get(name, all_values.get(name)) for name in self.model.config.par_names]
        extra = sum(all_values[name] ** 2 + math.log(2 * math.pi) for name in self.constrained)
        total = -2.0 * float(self.model.logpdf(parameters, self.data)[0]) + extra
        return total if math.isfinite(total) else math.inf

    def fit(self, **fixed: float) -> tuple[dict[str, float], float]:
        """Return the best values and -2 ln L there, some parameters held."""
        free = [name for name in self.start if name not in fixed]

        def function(point: Any) -> float:
            return min(self.twice_nll(fixed | dict(zip(free, map(float, point), strict=True))), 1e9)

        bounds = [self.start[name][1] for name in free]
        point = [min(max(self.start[name][0], low), high) for name, (low, high) in zip(free, bounds, strict=True)]
        for _ in range(3):  # its steps are finite differences: a second start from the end mends a first that stopped
            point = minimize(function, point, bounds=bounds, method="SLSQP", options={"ftol": 1e-10, "maxiter": 500}).x
        return fixed | dict(zip(free, map(float, point), strict=True)), function(point)


def main(folder: str | Path) -> int:
    """Print the best fit and the interval."""
    likelihood = Projection(folder)
    best, lowest = likelihood.fit()
    name, value = likelihood.poi, best[likelihood.poi]

    def rise(at: float) -> float:
        return likelihood.fit(**{name: at})[1] - lowest - 1.0

    bounds = likelihood.start[name][1]
    ends = [brentq(rise, value, bound, xtol=1e-3) if rise(bound) > 0 else bound for bound in bounds]
    print(f"{name} = {value:.4f}, -2 ln L rises by less than 1 from {ends[0]:.4f} to {ends[1]:.4f}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
