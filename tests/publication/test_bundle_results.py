"""Results, projection and workspace of a published bundle that are not those of its likelihood are found."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from sealed_bundle import edit, seal

from evercast.cli import main

GOLDEN = Path(__file__).parents[1] / "golden" / "v1.0" / "bundle.tar.xz"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a real run, with projection, workspace, interval; not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    with tarfile.open(GOLDEN) as packed:
        packed.extractall(folder, filter="data")
    bundle = folder / "neural"
    for path in bundle.glob("read_*.py"):
        path.write_bytes((files("evercast.publication") / "shipped" / path.name).read_bytes())
    seal(bundle)
    return bundle


@pytest.fixture
def bundle(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "bundle"))


def verify(bundle: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["verify", str(bundle), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_published_bundle_is_computed_again(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verify(bundle, capsys)
    assert code == 0, said
    checks = {one["name"]: one for one in said["checks"]}
    assert checks.keys() >= {
        "programs", "pages", "best fit", "minimum", "interval", "workspace.json", "projection.json", "model.onnx",
    }  # fmt: skip
    assert all(one["worst"] is None or one["worst"] <= 1 for one in said["checks"])


def _observed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda bundle: edit(bundle / "results.json", lambda body: change(body["observed"]))


def _projection(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda bundle: edit(bundle / "projection.json", change)


def _said(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda bundle: edit(bundle / "manifest.json", lambda body: change(body["publication"]["projection"]))


def _first(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["channels"][0]["samples"][0]
    return found


def _scaled(values: list[float], by: float) -> None:
    values[:] = [by * value for value in values]


def _elsewhere(bundle: Path) -> None:
    """Publish another point as the best fit, with the right value there, as one does who knows the format."""
    from evercast import open_likelihood  # noqa: PLC0415 - the copy must lie there

    point = {"mu": 1.3, "norm_b": -0.2}
    value = float(open_likelihood(bundle).twice_nll(point))
    edit(
        bundle / "results.json",
        lambda body: body["observed"].update(
            twice_nll=value, parameters={name: {"value": at, "uncertainty": 0.2} for name, at in point.items()}
        ),
    )


CHANGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "the best fit of another point": (_elsewhere, "bundle.results", "which is lower"),
    "an interval of everything": (
        _observed(lambda body: body["interval"].update(low=0.0, high=9.9)), "bundle.results", "end of the interval",
    ),
    "an interval out of the bounds": (
        _observed(lambda body: body["interval"].update(low=-99.0, high=99.0)), "bundle.results", "end of the interval",
    ),
    "a shorter interval": (
        _observed(lambda body: body["interval"].update(high=body["interval"]["high"] - 0.05)),
        "bundle.results", "end of the interval",
    ),
    "an interval of another level": (
        _observed(lambda body: body["interval"].update(confidence_level=0.95)), "bundle.results", "at the level 0.95",
    ),
    "other data in the projection": (
        _projection(lambda body: body["observations"][0].update(data=[7.0] * len(body["observations"][0]["data"]))),
        "bundle.projection", "observations",
    ),
    "a template a thousandth larger": (
        _projection(lambda body: _scaled(_first(body)["data"], 1.001)), "bundle.projection", "data",
    ),
    "a template turned": (_projection(lambda body: _first(body)["data"].reverse()), "bundle.projection", "data"),
    "a modifier less": (_projection(lambda body: _first(body)["modifiers"].pop()), "bundle.projection", "modifiers"),
    "other edges in the manifest": (
        _said(lambda said: _scaled(said["channels"]["SR"]["inner_edges"], 1.1)), "bundle.projection", "the likelihood",
    ),
    "edges of another channel": (
        _said(lambda said: said["channels"].update(CR=said["channels"].pop("SR"))), "bundle.projection", "no bins",
    ),
    "another observable": (
        _said(lambda said: said["observable"].update(low=0.0)), "bundle.projection", "the likelihood",
    ),
    "values the wrong way round": (
        _said(lambda said: said["observable"].update(low=2.0, high=1.0)), "bundle.projection", "no two values",
    ),
    "no projection where there is said to be one": (
        lambda bundle: (bundle / "projection.json").unlink(), "bundle.projection", "there is none",
    ),
    "another workspace": (
        lambda bundle: edit(bundle / "workspace.json", lambda body: body["observations"][0]["data"].reverse()),
        "bundle.workspace", "workspace.json",
    ),
    "a projection that is said not to be made": (
        lambda bundle: edit(
            bundle / "manifest.json",
            lambda body: body["publication"].update(projection={"made": False, "reason": "x"}),
        ),
        "bundle.unknown-file", "projection.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_not_of_the_likelihood_is_found(bundle: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Every digest is right again."""
    change, expected, words = CHANGES[name]
    change(bundle)
    seal(bundle)
    code, said = verify(bundle, capsys)
    assert "error" in said, said
    assert (code, said["error"]["code"]) == (5, expected), said["error"]["message"]
    assert words in said["error"]["message"]


def test_a_workspace_that_is_changed_with_its_digests_must_still_be_sound(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evercast.artifacts.files import sha256_file  # noqa: PLC0415
    from evercast.publication.pyhf_checks import workspace_digest  # noqa: PLC0415

    edit(bundle / "workspace.json", lambda body: body["observations"][0]["data"].append(1.0))
    digests = (
        sha256_file(bundle / "workspace.json"),
        workspace_digest(json.loads((bundle / "workspace.json").read_text())),
    )
    edit(
        bundle / "manifest.json",
        lambda body: (
            body.update(workspace_sha256=digests[0]),
            body["publication"]["workspace"].update(pyhf_digest=digests[1]),
        ),
    )
    seal(bundle)
    code, said = verify(bundle, capsys)
    assert (code, said["error"]["code"]) == (3, "publication.workspace")
