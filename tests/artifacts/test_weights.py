import hashlib
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from evercast.artifacts.weights import EnsembleWeights, read_tensors, read_weights, write_tensors, write_weights
from evercast.errors import EvercastError, IntegrityError, NumericalFailure
from evercast.networks.architecture import Architecture, Weights


@pytest.fixture
def networks() -> EnsembleWeights:
    rng = np.random.default_rng(3)
    architecture = Architecture(observables=("x", "y"), width=4, depth=2, activation="silu")

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=(3, 2, *shape)).astype(np.float32)

    weights = Weights(
        mean=draw(2),
        scale=np.abs(draw(2)) + np.float32(0.1),
        weight=(draw(4, 2), draw(4, 4), draw(1, 4)),
        bias=(draw(4), draw(4), draw(1)),
    )
    return EnsembleWeights(
        architecture=architecture,
        members=(4, 5, 6),
        folds=2,
        weights=weights,
        labels={"process": "S", "fold_seed": "9"},
    )


@pytest.fixture
def path(tmp_path: Path, networks: EnsembleWeights) -> Path:
    write_weights(tmp_path / "weights.safetensors", networks)
    return tmp_path / "weights.safetensors"


def test_networks_come_back_bit_for_bit(path: Path, networks: EnsembleWeights) -> None:
    found = read_weights(path)
    assert (found.architecture, found.members, found.folds, found.labels) == (
        networks.architecture,
        (4, 5, 6),
        2,
        {"process": "S", "fold_seed": "9"},
    )
    for (name, array), (_, expected) in zip(found.weights.named(), networks.weights.named(), strict=True):
        np.testing.assert_array_equal(array, expected, err_msg=name)


def test_networks_of_a_polynomial_keep_its_terms(tmp_path: Path, networks: EnsembleWeights) -> None:
    terms = ((("jes", 1),), (("jes", 1), ("res", 1)))
    weights = networks.weights
    last = (np.repeat(weights.weight[-1], 2, axis=2), np.repeat(weights.bias[-1], 2, axis=2))
    polynomial = replace(
        networks,
        architecture=replace(networks.architecture, terms=terms),
        weights=replace(weights, weight=(*weights.weight[:-1], last[0]), bias=(*weights.bias[:-1], last[1])),
    )
    write_weights(tmp_path / "polynomial.safetensors", polynomial)
    found = read_weights(tmp_path / "polynomial.safetensors")
    assert found.architecture.terms == terms
    assert found.weights.weight[-1].shape == (3, 2, 2, 4)
    with pytest.raises(IntegrityError, match=r"layers\.2\.bias"):
        write_weights(tmp_path / "wrong.safetensors", replace(polynomial, weights=weights))


@pytest.mark.parametrize(
    "terms", [[], [[]], [["jes", 1]], [[["jes", 0]]], [[["jes", 1.0]]], [[["jes", True]]], [[[3, 1]]], "jes"]
)
def test_terms_that_are_none_are_refused(networks: EnsembleWeights, terms: object) -> None:
    body = networks.architecture.to_json() | {"output": "coefficients", "terms": terms}
    with pytest.raises(IntegrityError) as caught:
        Architecture.from_json(body)
    assert caught.value.code == "weights.architecture"


def test_the_file_is_plain_safetensors(path: Path, networks: EnsembleWeights) -> None:
    found = load_file(path)
    assert sorted(found) == sorted(name for name, _ in networks.weights.named())
    np.testing.assert_array_equal(found["layers.1.weight"], networks.weights.weight[1])


def test_equal_networks_give_equal_bytes(path: Path, tmp_path: Path, networks: EnsembleWeights) -> None:
    write_weights(tmp_path / "again.safetensors", networks)
    digests = {hashlib.sha256(one.read_bytes()).hexdigest() for one in (path, tmp_path / "again.safetensors")}
    assert len(digests) == 1


def _header(path: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def _overlap(header: dict[str, dict[str, object]]) -> None:
    header["layers.0.bias"]["data_offsets"] = header["layers.1.bias"]["data_offsets"]


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "0 bytes"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-4]), "do not fill"),
    "trailing": (lambda p: p.write_bytes(p.read_bytes() + b"\0\0\0\0"), "do not fill"),
    "a header of 2^63 bytes": (lambda p: p.write_bytes(b"\0\0\0\0\0\0\0\x80" + p.read_bytes()[8:]), "the header has"),
    "overlap": (lambda p: _header(p, _overlap), "overlap"),
    "hole": (lambda p: _header(p, lambda h: h.pop("layers.2.bias")), "hole"),
    "a shape that lies": (
        lambda p: _header(p, lambda h: h["layers.0.bias"].update(shape=[3, 2, 5])),
        "needs 120 bytes",
    ),
    "a negative offset": (lambda p: _header(p, lambda h: h["layers.0.bias"].update(data_offsets=[-4, 92])), "at"),
    "an unknown type": (lambda p: _header(p, lambda h: h["layers.0.bias"].update(dtype="F8_E4M3")), "F8_E4M3"),
    "no metadata": (lambda p: _header(p, lambda h: h.pop("__metadata__")), "metadata"),
    "a pickle": (lambda p: p.write_bytes(pickle.dumps({"layers": 1})), "header"),
    "html": (lambda p: p.write_bytes(b"<html><body>not found</body></html>"), "header"),
    "a name twice": (
        lambda p: p.write_bytes((30).to_bytes(8, "little") + b'{"a":{},"a":{}}               '),
        "stands twice",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_and_named(path: Path, name: str) -> None:
    damage, message = DAMAGES[name]
    damage(path)
    with pytest.raises(IntegrityError, match=message) as caught:
        read_weights(path)
    assert caught.value.code == "tensors.damaged"
    assert str(path) in str(caught.value)


def _rewrite(path: Path, change: Callable[[dict[str, np.ndarray], dict[str, object]], object]) -> None:
    kept = read_tensors(path)
    arrays = {name: array.copy() for name, array in kept.arrays.items()}
    metadata = json.loads(json.dumps(kept.metadata))
    change(arrays, metadata)
    write_tensors(path, arrays, metadata)


def _nan(arrays: dict[str, np.ndarray], metadata: dict[str, object]) -> None:
    arrays["layers.0.weight"][1, 0, 2, 1] = np.nan


MISMATCHES: dict[str, tuple[Callable[..., object], type[EvercastError], str]] = {
    "nan": (_nan, NumericalFailure, "1 values are NaN"),
    "scale zero": (lambda a, _: a["standardise.scale"].fill(0), NumericalFailure, "scale is not positive"),
    "float16": (
        lambda a, _: a.update({"layers.0.bias": a["layers.0.bias"].astype(np.float64)}),
        IntegrityError,
        "found float64",
    ),
    "transposed": (
        lambda a, _: a.update({"layers.0.weight": np.swapaxes(a["layers.0.weight"], 2, 3)}),
        IntegrityError,
        "expected float32",
    ),
    "missing": (lambda a, _: a.pop("layers.1.bias"), IntegrityError, "found nothing"),
    "extra": (lambda a, _: a.update(more=np.zeros(3, np.float32)), IntegrityError, "no such tensor"),
    "more members declared": (lambda _, m: m.update(members=[4, 5, 6, 7]), IntegrityError, "expected float32"),
    "members are text": (lambda _, m: m.update(members="456"), IntegrityError, "members are '456'"),
    "another width": (lambda _, m: m["architecture"].update(width=5), IntegrityError, "expected float32"),
    "unknown activation": (lambda _, m: m["architecture"].update(activation="swish7"), IntegrityError, "swish7"),
    "unknown key": (lambda _, m: m["architecture"].update(dropout=0.5), IntegrityError, "dropout"),
    "newer format": (lambda _, m: m.update(format="network-weights/9.0.0"), IntegrityError, "network-weights/1.0.0"),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_weights_that_do_not_fit_are_refused(path: Path, name: str) -> None:
    change, kind, message = MISMATCHES[name]
    _rewrite(path, change)
    with pytest.raises(kind, match=message):
        read_weights(path)


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path, networks: EnsembleWeights) -> None:
    networks.weights.weight[0][0, 0, 0, 0] = np.inf
    with pytest.raises(NumericalFailure):
        write_weights(tmp_path / "bad.safetensors", networks)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_number_of_members_are_not_written(tmp_path: Path, networks: EnsembleWeights) -> None:
    with pytest.raises(IntegrityError):
        write_weights(tmp_path / "bad.safetensors", replace(networks, members=(4, 5)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="does not exist") as caught:
        read_weights(tmp_path / "absent.safetensors")
    assert caught.value.code == "tensors.missing"


def test_a_large_file_is_mapped_and_read_alike(tmp_path, monkeypatch):
    arrays = {"a": np.arange(12.0).reshape(3, 4), "b": np.arange(5, dtype=np.int32), "none": np.zeros((0, 2))}
    write_tensors(tmp_path / "t.safetensors", arrays, {"x": 1})
    monkeypatch.setattr("evercast.artifacts.weights._MAPPED", 1)
    found = read_tensors(tmp_path / "t.safetensors")
    assert found.metadata == {"x": 1}
    for name, values in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], values)
    assert not found.arrays["a"].flags.writeable
    (tmp_path / "t.safetensors").write_bytes((tmp_path / "t.safetensors").read_bytes()[:-8])
    with pytest.raises(IntegrityError) as caught:
        read_tensors(tmp_path / "t.safetensors")
    assert caught.value.code == "tensors.damaged"


def _pad(path: Path, count: int) -> None:
    """Give the file `count` further tensors without numbers."""

    def change(header: dict[str, dict[str, object]]) -> None:
        end = max(record["data_offsets"][1] for name, record in header.items() if name != "__metadata__")
        for number in range(count):
            header[f"t{number}"] = {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}

    _header(path, change)


HEADERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "100 000 tensors": (lambda p: _pad(p, 100_000), "more than"),
    "a hundred axes": (lambda p: _header(p, lambda h: h["layers.0.bias"].update(shape=[1] * 100)), "has shape"),
    "a zip archive": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(60)), "zip archive"),
    "a numpy array": (lambda p: p.write_bytes(b"\x93NUMPY\x01\0" + bytes(60)), "numpy array"),
    "an HDF5 file": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(60)), "HDF5"),
    "a pickle of protocol 4": (lambda p: p.write_bytes(pickle.dumps({"layers": 1}, protocol=4)), "pickle"),
    "NaN in the metadata": (
        lambda p: _header(p, lambda h: h.update(__metadata__={"evercast": '{"folds": NaN}'})),
        "NaN is no JSON",
    ),
    "deep metadata": (
        lambda p: _header(p, lambda h: h.update(__metadata__={"evercast": "[" * 200_000 + "]" * 200_000})),
        "not a safetensors file",
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_made_to_hurt_is_refused(path: Path, name: str) -> None:
    damage, message = HEADERS[name]
    damage(path)
    with pytest.raises(IntegrityError, match=message) as caught:
        read_weights(path)
    assert (caught.value.code, caught.value.exit_code) == ("tensors.damaged", 5)


def test_a_fifo_in_the_place_of_weights_does_not_make_the_reader_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weights.safetensors")
    with pytest.raises(IntegrityError, match="no regular file"):
        read_weights(tmp_path / "weights.safetensors")


def test_networks_whose_weights_are_all_zero_are_refused(path: Path) -> None:
    def silence(arrays: dict[str, np.ndarray], metadata: dict[str, object]) -> None:
        for name, array in arrays.items():
            if name.endswith("weight"):
                array.fill(0.0)

    _rewrite(path, silence)
    with pytest.raises(IntegrityError, match="all weights") as caught:
        read_weights(path)
    assert caught.value.code == "weights.zero"
