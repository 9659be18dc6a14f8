"""Log ratios of your own events from the ONNX files of this bundle; needs numpy and onnxruntime.

python -I read_onnx.py [FOLDER]     compares all files with their sha256, log ratios with reference_vectors.json
Copied beside your own program: from read_onnx import log_ratios; log_ratios("FOLDER", "ENSEMBLE", observables)
"""

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime


def tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors file: the weights, where they are not inside of the graph."""
    content, found = memoryview(path.read_bytes()), {}
    start = 8 + int.from_bytes(content[:8], "little")
    for name, entry in json.loads(bytes(content[8:start])).items():
        if name != "__metadata__":
            found[name] = np.frombuffer(content[start:][slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
    return found


def log_ratios(folder: str | Path, ensemble: str, observables: np.ndarray, rows: int = 2048) -> dict[str, np.ndarray]:
    """Return PROCESS, PROCESS.PARAMETER.up or .down, PROCESS.polynomial -> values; inputs as manifest.json has them."""
    graphs = json.loads((Path(folder) / "manifest.json").read_text())["publication"]["onnx"]["graphs"]
    values, found = np.asarray(observables, dtype=np.float32), dict[str, np.ndarray]()
    for graph in [one for one in graphs if one["ensemble"] == ensemble]:
        session = onnxruntime.InferenceSession(Path(folder) / graph["file"], providers=["CPUExecutionProvider"])
        weights = tensors(Path(folder) / graph["weights_file"]) if graph["weights"] == "inputs" else {}
        feeds = ({"observables": values[row : row + rows], **weights} for row in range(0, len(values), rows))
        columns = zip(*(session.run(None, feed) for feed in feeds), strict=True)
        found |= {entry.name: np.concatenate(one) for entry, one in zip(session.get_outputs(), columns, strict=True)}
    return found


def main(folder: str | Path) -> int:
    """Print the largest difference to the reference vectors; return 0 where every output is there and agrees."""
    said = json.loads((Path(folder) / "manifest.json").read_text())
    digests = {path.name: sha256(path.read_bytes()).hexdigest() for path in Path(folder).iterdir() if path.is_file()}
    if wrong := [name for name, entry in said["files"].items() if digests.get(name) != entry["sha256"]]:
        sys.exit(f"missing, or not as manifest.json says: {', '.join(wrong)}")
    vectors = json.loads((Path(folder) / "reference_vectors.json").read_text())
    tolerance, right = vectors["log_ratio_tolerance"], [sorted(vectors["log_ratio"]) == sorted(said["ensembles"])]
    for ensemble, body in vectors["log_ratio"].items():
        wanted = body["log_ratio"] | {f"{process}.polynomial": one for process, one in body["polynomials"].items()}
        for name, processes in body["variations"].items():
            wanted |= {f"{one}.{name}.{side}": sides[side] for one, sides in processes.items() for side in sides}
        for label in sorted((found := log_ratios(folder, ensemble, body["observables"])) | wanted):
            one, other = np.array(found.get(label, [])), np.array(wanted.get(label, []))
            off = np.abs(one - other) if one.shape == other.shape != (0,) else np.full((1, *other.shape), np.nan)
            right.append(0 < off.size == np.sum(off <= tolerance["abs"] + tolerance["rel"] * np.abs(other)))
            print(f"{ensemble} {label}: largest difference {np.max(off, initial=0):.2g}")  # noqa: T201
    return 0 if len(right) > 1 and all(right) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
