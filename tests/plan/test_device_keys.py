"""What networks run on enters no key; how exactly they multiply does, and the default leaves earlier keys alone."""

from __future__ import annotations

from pathlib import Path

from evercast.plan.keys import canonical_digest, key_form
from evercast.spec.codec import to_json
from evercast.spec.model import Device, Ensemble, Mlp, Training
from workflow_documents import body, changed, plan_of


def keys(folder: Path, **training: object) -> dict[tuple[str, str], str]:
    content = changed(body(), "ensembles.ratios.model.depth", 2)
    for name, value in training.items():
        content = changed(content, f"ensembles.ratios.training.{name}", value)
    return {(unit.stage, unit.name): unit.key for unit in plan_of(folder, content).units}


def stages_that_differ(one: dict[tuple[str, str], str], other: dict[tuple[str, str], str]) -> set[str]:
    assert one.keys() == other.keys()
    return {stage for stage, name in one if one[stage, name] != other[stage, name]}


def test_the_device_makes_no_unit_new(tmp_path: Path) -> None:
    plain = keys(tmp_path / "a")
    assert plain == keys(tmp_path / "b", device={"kind": "gpu", "cpu_fallback": True})
    assert plain == keys(tmp_path / "c", device={}, precision="float32")


def test_the_precision_reaches_training_and_all_behind_it(tmp_path: Path) -> None:
    assert stages_that_differ(keys(tmp_path / "a"), keys(tmp_path / "b", precision="mixed-bfloat16")) == {
        "training", "evaluation", "serialization", "fit", "training_statistics", "diagnostics", "report",
    }  # fmt: skip


def test_defaults_leave_no_trace_in_the_key() -> None:
    """The form of a training before these keys existed."""
    training = Training(epochs=3)
    earlier = {key: value for key, value in to_json(training).items() if key not in {"precision", "device"}}
    assert key_form(training) == earlier
    ensemble = Ensemble(
        region="SR", processes=("S",), reference={"s": 1.0}, observables=("x",), model=Mlp(kind="mlp"),
        training=Training(device=Device(kind="gpu"), precision="mixed-bfloat16"), seed=1,
    )  # fmt: skip
    assert key_form(ensemble)["training"] == {**key_form(Training()), "precision": "mixed-bfloat16"}
    assert canonical_digest(key_form([ensemble])) != canonical_digest(to_json([ensemble]))
