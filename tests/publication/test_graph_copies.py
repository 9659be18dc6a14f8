"""ONNX and StableHLO copies of networks: equal to weights and architecture, and read as from strangers."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import export

from evercast.artifacts.bundle_ensembles import BundleNetworks, read_ensembles
from evercast.artifacts.files import atomic_write_json, read_json
from evercast.errors import EvercastError, IntegrityError, InvalidInput
from evercast.publication.graph_copies import GRAPH_TOLERANCE, check_copies, write_onnx, write_stablehlo
from evercast.publication.onnx_check import evaluate_onnx, read_onnx
from evercast.publication.onnx_graph import OPERATORS, OPSET, ensemble_graph, label_graph
from evercast.publication.stablehlo import export_ensemble, read_stablehlo
from invented_networks import OBSERVABLES, ensemble, events, networks, write_folder

LABELS = ("signal", "background", "background.jes.up", "background.jes.down", "background.polynomial")


def agree(found: dict[str, np.ndarray], made: BundleNetworks, inputs: np.ndarray) -> None:
    expected = made.reference(inputs)
    assert sorted(found) == sorted(expected) == sorted(LABELS)
    for label, values in expected.items():
        assert found[label].shape == values.shape
        np.testing.assert_allclose(
            found[label], values, rtol=GRAPH_TOLERANCE["rel"], atol=GRAPH_TOLERANCE["abs"], err_msg=label
        )


def run_onnx(content: bytes, inputs: np.ndarray, **weights: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    results = session.run(None, {"observables": inputs.astype(np.float32), **weights})
    return dict(zip([entry.name for entry in session.get_outputs()], results, strict=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of networks with copies of both kinds, and a manifest that names them."""
    made = tmp_path_factory.mktemp("bundle")
    manifest = write_folder(made, ensemble())
    said = {"onnx": write_onnx(made, manifest), "stablehlo": write_stablehlo(made, manifest)}
    atomic_write_json(made / "manifest.json", {**manifest, "publication": said})
    return made


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "bundle"))


def manifest_of(folder: Path) -> dict[str, object]:
    body = read_json(folder / "manifest.json")
    assert isinstance(body, dict)
    return body


def test_networks_are_read_back_by_label(tmp_path: Path) -> None:
    made = ensemble()
    found = read_ensembles(tmp_path, write_folder(tmp_path, made))["invented"]
    assert [label for label, _ in found.networks()] == list(LABELS)
    for label, values in made.reference(events(5)).items():
        np.testing.assert_array_equal(found.reference(events(5))[label], values)


def test_networks_that_are_not_disclosed_are_no_ensemble(tmp_path: Path) -> None:
    body = {"observables": ["x"], "combine": "mean_ratio", "processes": {"s": {"weights": None, "log_norm": 0.0}}}
    assert read_ensembles(tmp_path, {"ensembles": {"e": body}}) == {}


@pytest.mark.parametrize("name", ["../weights.safetensors", "/etc/passwd", ".hidden", "a/b", ""])
def test_weights_outside_of_the_bundle_are_refused(tmp_path: Path, name: str) -> None:
    manifest = json.loads(json.dumps(write_folder(tmp_path, ensemble())))
    manifest["ensembles"]["invented"]["processes"]["signal"]["weights"] = name
    with pytest.raises(IntegrityError, match="no name of a file"):
        read_ensembles(tmp_path, manifest)


@pytest.mark.parametrize("combine", ["mean_log_ratio", "mean_ratio"])
@pytest.mark.parametrize("activation", ["silu", "relu", "tanh", "gelu"])
def test_onnx_gives_the_log_ratios_of_the_weights(tmp_path: Path, combine: str, activation: str) -> None:
    made, inputs = ensemble(combine=combine, activation=activation), events(300)
    model = ensemble_graph(made)
    onnx.checker.check_model(model, full_check=True)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    agree(run_onnx(model.SerializeToString(), inputs), made, inputs)
    agree(evaluate_onnx(read_onnx(tmp_path / "model.onnx"), inputs), made, inputs)


@pytest.mark.parametrize("combine", ["mean_log_ratio", "mean_ratio"])
@pytest.mark.parametrize("activation", ["silu", "relu", "tanh", "gelu"])
def test_stablehlo_gives_the_log_ratios_of_the_weights(tmp_path: Path, combine: str, activation: str) -> None:
    made = ensemble(combine=combine, activation=activation)
    (tmp_path / "model.stablehlo").write_bytes(export_ensemble(made))
    exported = read_stablehlo(tmp_path / "model.stablehlo")
    assert exported.platforms == ("cpu", "cuda")
    for count in (1, 7, 300):
        found = exported.call(events(count).astype(np.float32))
        agree({label: np.asarray(values) for label, values in found.items()}, made, events(count))


@pytest.mark.parametrize(("members", "folds"), [(1, 1), (1, 2), (3, 1)])
@pytest.mark.parametrize("combine", ["mean_log_ratio", "mean_ratio"])
def test_ensembles_of_one_are_copied_too(tmp_path: Path, members: int, folds: int, combine: str) -> None:
    made = ensemble(members=members, folds=folds, combine=combine)
    manifest = write_folder(tmp_path, made)
    said = {"onnx": write_onnx(tmp_path, manifest), "stablehlo": write_stablehlo(tmp_path, manifest)}
    assert len(check_copies(tmp_path, {**manifest, "publication": said})) == 2
    agree(run_onnx((tmp_path / "model.onnx").read_bytes(), events(1)), made, events(1))


def test_graphs_are_pinned_and_hold_arithmetic_only() -> None:
    model = ensemble_graph(ensemble(activation="gelu", combine="mean_ratio"))
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert {node.op_type for node in model.graph.node} <= OPERATORS
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert ", ".join(OBSERVABLES) in model.graph.doc_string


def test_exports_are_reproducible_and_name_no_place_of_this_machine(repository: Path) -> None:
    content = export_ensemble(ensemble())
    assert content == export_ensemble(ensemble())
    graph = ensemble_graph(ensemble()).SerializeToString(deterministic=True)
    assert graph == ensemble_graph(ensemble()).SerializeToString(deterministic=True)
    for place in (str(repository).encode(), b".py", b"site-packages"):
        assert place not in content
        assert place not in graph


def test_weights_of_large_ensembles_are_inputs_of_a_graph_per_label(tmp_path: Path) -> None:
    made = ensemble()
    manifest = write_folder(tmp_path, made)
    said = write_onnx(tmp_path, manifest, inside_limit=100)
    assert [entry["outputs"] for entry in said["graphs"]] == [[label] for label in LABELS]
    assert {entry["weights"] for entry in said["graphs"]} == {"inputs"}
    inputs, found = events(20), {}
    for entry in said["graphs"]:
        label = entry["outputs"][0]
        weights = dict(dict(made.networks())[label].weights.named())
        assert entry["weights_file"] == made.files[label]
        content = (tmp_path / entry["file"]).read_bytes()
        assert len(content) < sum(array.nbytes for array in weights.values()) + 3000
        found |= run_onnx(content, inputs, **weights)
    agree(found, made, inputs)
    assert len(check_copies(tmp_path, {**manifest, "publication": {"onnx": said}})) == len(LABELS)


def test_copies_are_checked_and_their_difference_stated(folder: Path) -> None:
    checks = check_copies(folder, manifest_of(folder))
    assert [check.file for check in checks] == ["model.onnx", "model.stablehlo"]
    assert all(0.0 < check.largest_difference < 1e-5 and check.points > 100 for check in checks)


def test_a_bundle_without_copies_has_nothing_to_check(tmp_path: Path) -> None:
    assert check_copies(tmp_path, write_folder(tmp_path, ensemble())) == ()


def test_a_copy_of_other_networks_is_refused_with_the_difference(folder: Path) -> None:
    made = ensemble()
    other = replace(made, ratios={**made.ratios, "signal": replace(made.ratios["signal"], networks=networks(77))})
    (folder / "model.onnx").write_bytes(ensemble_graph(other).SerializeToString())
    with pytest.raises(IntegrityError, match=r"'signal' differs by up to [0-9.]+ at \d+ of \d+ values") as caught:
        check_copies(folder, manifest_of(folder))
    assert caught.value.code == "onnx.differs"


def test_a_copy_with_a_small_shift_is_refused(folder: Path) -> None:
    made = ensemble()
    moved = replace(made.ratios["background"], log_norm=made.ratios["background"].log_norm + 1e-4)
    other = replace(made, ratios={**made.ratios, "background": moved})
    (folder / "model.stablehlo").write_bytes(export_ensemble(other))
    with pytest.raises(IntegrityError, match=r"'background' differs by up to 0\.0001") as caught:
        check_copies(folder, manifest_of(folder))
    assert caught.value.code == "stablehlo.differs"


def test_another_activation_in_the_architecture_makes_copies_disagree(folder: Path) -> None:
    (folder / "other").mkdir()
    write_folder(folder / "other", ensemble(activation="tanh"))
    for path in (folder / "other").glob("weights-*"):
        path.replace(folder / path.name)
    with pytest.raises(IntegrityError) as caught:
        check_copies(folder, manifest_of(folder))
    assert caught.value.code == "onnx.differs"


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = ensemble_graph(ensemble())
    change(model)
    return model.SerializeToString()


def external(location: str) -> Callable[[onnx.ModelProto], object]:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return change


def node(operator: str, **changes: object) -> Callable[[onnx.ModelProto], object]:
    return lambda model: model.graph.node.append(onnx.helper.make_node(operator, ["observables"], ["extra"], **changes))


def subgraph(model: onnx.ModelProto) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [])
    model.graph.node.append(
        onnx.helper.make_node("If", ["observables"], ["extra"], then_branch=inner, else_branch=inner)
    )


def oversized(model: onnx.ModelProto) -> None:
    """A million times a million numbers."""
    for name, shape in (("tall", (1_000_000, 1)), ("wide", (1, 1_000_000))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name))
    model.graph.node.append(onnx.helper.make_node("MatMul", ["tall", "wide"], ["bomb"]))


HOSTILE: dict[str, tuple[Callable[[onnx.ModelProto], object], str, int]] = {
    "external data above": (external("../../etc/passwd"), "onnx.unsafe", 5),
    "external data absolute": (external("/etc/passwd"), "onnx.unsafe", 5),
    "external data beside": (external("weights.bin"), "onnx.unsafe", 5),
    "operator of another domain": (node("Add", domain="evil.ops"), "onnx.unsafe", 5),
    "operator not of this format": (node("Loop"), "onnx.unsafe", 5),
    "nested graph": (subgraph, "onnx.unsafe", 5),
    "function": (lambda model: model.functions.add(name="f", domain="d"), "onnx.unsafe", 5),
    "training": (lambda model: model.training_info.add(), "onnx.unsafe", 5),
    "text attribute": (node("Add", library="lib.so"), "onnx.unsafe", 5),
    "text tensor": (
        lambda model: model.graph.initializer.append(onnx.helper.make_tensor("t", 8, [1], [b"text"])),
        "onnx.unsafe",
        5,
    ),
    "opset 999": (lambda model: setattr(model.opset_import[0], "version", 999), "onnx.version", 3),
    "IR 99": (lambda model: setattr(model, "ir_version", 99), "onnx.version", 3),
    "further opset": (lambda model: model.opset_import.add(domain="com.microsoft", version=1), "onnx.version", 3),
    "memory": (oversized, "onnx.unsafe", 5),
    "unknown input": (
        lambda model: model.graph.node.append(onnx.helper.make_node("Add", ["nowhere", "observables"], ["extra"])),
        "onnx.damaged",
        5,
    ),
    "further output": (
        lambda model: model.graph.output.append(onnx.helper.make_tensor_value_info("extra", 11, ["events"])),
        "onnx.damaged",
        5,
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_onnx_is_refused_before_it_is_evaluated(folder: Path, case: str) -> None:
    change, code, exit_code = HOSTILE[case]
    (folder / "model.onnx").write_bytes(changed(change))
    with pytest.raises((IntegrityError, InvalidInput)) as caught:
        check_copies(folder, manifest_of(folder))
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)


def contents() -> Iterator[tuple[str, bytes]]:
    whole = ensemble_graph(ensemble()).SerializeToString()
    yield "empty", b""
    yield "text", b"this is no protobuf message at all"
    yield "cut", whole[: len(whole) // 2]
    yield "page", b"<!DOCTYPE html><html></html>"
    yield "pickle", b"\x80\x05cos\nsystem\n."


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in contents()])
@pytest.mark.parametrize("name", ["model.onnx", "model.stablehlo"])
def test_files_that_are_no_graphs_are_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(EvercastError, match=name.replace(".", "[.]")) as caught:
        check_copies(folder, manifest_of(folder))
    assert caught.value.exit_code in (3, 5)


def test_a_missing_copy_is_named(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    with pytest.raises(IntegrityError, match=r"model[.]onnx"):
        check_copies(folder, manifest_of(folder))


@pytest.mark.parametrize("kind", ["onnx", "stablehlo"])
def test_a_copy_that_nothing_names_is_refused(folder: Path, kind: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["publication"][kind]
    with pytest.raises(IntegrityError, match=f"model[.]{kind} is in the bundle"):
        check_copies(folder, manifest)


@pytest.mark.parametrize(("kind", "key"), [("onnx", "graphs"), ("stablehlo", "modules")])
def test_a_copy_that_is_named_twice_is_refused(folder: Path, kind: str, key: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["publication"][kind][key] *= 2
    with pytest.raises(IntegrityError, match=f"model[.]{kind} is named 2 times"):
        check_copies(folder, manifest)


def test_edges_everywhere_do_not_hide_a_difference(folder: Path) -> None:
    made = ensemble()
    edges = np.linspace(-5.0, 5.0, 1_000_001)
    manifest = json.loads((folder / "manifest.json").read_text())
    calibration = {"kind": "histogram", "edges": edges.tolist(), "values": [0.0] * (len(edges) + 1)}
    manifest["ensembles"]["invented"]["processes"]["signal"]["calibration"] = calibration
    other = replace(made, ratios={**made.ratios, "signal": replace(made.ratios["signal"], networks=networks(77))})
    (folder / "model.onnx").write_bytes(ensemble_graph(other).SerializeToString())
    with pytest.raises(IntegrityError) as caught:
        check_copies(folder, manifest)
    assert caught.value.code == "onnx.differs"


@pytest.mark.parametrize("name", ["../model.onnx", "/model.onnx", ".model", 7, None])
def test_a_copy_elsewhere_is_refused(folder: Path, name: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["publication"]["onnx"]["graphs"][0]["file"] = name
    with pytest.raises(IntegrityError, match="no name of a file"):
        check_copies(folder, manifest)


def foreign_call(x: jax.Array) -> jax.Array:
    return jax.ffi.ffi_call("run_something", jax.ShapeDtypeStruct(x.shape, x.dtype))(x)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (jax.numpy.sort, r"'stablehlo[.]sort'"),
        (foreign_call, "'call @run_something'"),
        (lambda x: x.sum() + jax.numpy.zeros(1 << 29).sum(), "more than 268435456 numbers"),
    ],
)
def test_stablehlo_with_foreign_operations_is_refused_uncompiled(
    folder: Path, function: Callable[[jax.Array], jax.Array], found: str
) -> None:
    checks = [export.DisabledSafetyCheck.custom_call("run_something")]
    exporter = export.export(jax.jit(function), platforms=("cpu",), disabled_checks=checks)
    content = exporter(jax.ShapeDtypeStruct((4, 3), np.float32)).serialize()
    (folder / "model.stablehlo").write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match=found) as caught:
        check_copies(folder, manifest_of(folder))
    assert caught.value.code == "stablehlo.unsafe"


def test_one_label_can_be_made_alone() -> None:
    made = ensemble()
    weights = dict(made.polynomials["background.polynomial"].networks.weights.named())
    model = label_graph(made, "background.polynomial")
    assert {entry.name for entry in model.graph.input} == {"observables", *weights}
