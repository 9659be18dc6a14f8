"""A complete published bundle whose networks nobody trained: every feature of a likelihood, written in a second.

The unbinned channel has a coefficient that is not linear, yields with normfactor and both codes of normalisation
variations, anchors of both kinds, a polynomial with a cross term, and a reference; the binned one every modifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evercast.artifacts.bundle_ensembles import BundleNetworks
from evercast.artifacts.bundle_open import SUMS_FILE, sums_text
from evercast.artifacts.files import atomic_write_bytes, atomic_write_json, sha256_file
from evercast.artifacts.likelihood_file import ExtraEvents
from evercast.artifacts.neural_bundle import BundleEnsemble, write_bundle, write_manifest
from evercast.artifacts.validity import (
    SUPPORT_FILE,
    VALIDITY_FILE,
    Domain,
    EnsembleDomain,
    FalsePositive,
    ObservableRange,
    Outside,
    ParameterRange,
    Support,
    Training,
)
from evercast.artifacts.weights import write_tensors
from evercast.likelihood.model import (
    AnchorMorph,
    BinFactor,
    BinnedChannelModel,
    BinnedSample,
    Component,
    EventSet,
    HistoSys,
    LikelihoodModel,
    NormFactor,
    NormSys,
    ParameterModel,
    PolynomialMorph,
    UnbinnedChannelModel,
)
from evercast.publication.graph_copies import write_onnx, write_stablehlo
from evercast.publication.readers import write_readers
from evercast.spec.codec import to_json
from evercast.spec.model import Ensemble, Mlp
from evercast.spec.model import Training as TrainingSpec
from invented_networks import OBSERVABLES, TERMS, ensemble, events

CONVENTIONS = ("log_ratio", "intensity", "morph", "twice_nll", "interpolation", "evaluation")
UNITS = {"mass": "GeV", "angle": "1", "pt": "GeV"}
PARAMETERS = (
    ParameterModel(name="mu", initial=1.0, bounds=(0.0, 10.0), poi=True),
    ParameterModel(name="jes", constraint="normal", bounds=(-5.0, 5.0)),
    ParameterModel(name="jer", constraint="normal", bounds=(-5.0, 5.0), width=0.8, global_observable=0.1),
    ParameterModel(name="lumi", initial=1.0, constraint="normal", global_observable=1.0, width=0.02, bounds=(0.5, 1.5)),
    ParameterModel(
        name="stat[0]", initial=1.0, constraint="poisson", factor=40.0, global_observable=38.0, bounds=(0.1, 10.0)
    ),
    ParameterModel(
        name="stat[1]", initial=1.0, constraint="poisson", factor=2e4, global_observable=2.01e4, bounds=(0.1, 10.0)
    ),
    ParameterModel(name="free", initial=1.0, bounds=(0.0, 5.0), fixed=True),
)


def _event_set(made: BundleNetworks, count: int, *, seed: int, weight: float) -> EventSet:
    """Events as the networks see them."""
    values = made.reference(events(count, seed=seed))
    up, down = (np.float32(values[f"background.jes.{side}"])[:, None] for side in ("up", "down"))
    return EventSet(
        log_ratio=np.stack([values["signal"], values["background"]], axis=1).astype(np.float32),
        weight=np.full(count, weight),
        log_up=up,
        log_down=down,
        coefficients=values["background.polynomial"].astype(np.float32),
    )


def model(made: BundleNetworks, *, blind: bool = False, smooth: bool = False) -> LikelihoodModel:
    """The likelihood of the bundle; a smooth one leaves out what has kinks, for tests that make many fits."""
    signal = Component(
        process="signal",
        yield_events=30.0,
        coefficient="mu" if smooth else "mu + 0.1*sqrt(mu)",
        modifiers=(NormFactor(parameter="lumi"), NormSys(parameter="jer", up=1.1, down=0.95, code="1")),
    )
    background = Component(
        process="background",
        yield_events=120.0,
        modifiers=(NormFactor(parameter="lumi"), NormSys(parameter="jes", up=1.05, down=0.9)),
    )
    unbinned = UnbinnedChannelModel(
        name="SR",
        components=(signal, background),
        events=_event_set(made, 140, seed=21, weight=1.0),
        simulation=_event_set(made, 400, seed=22, weight=150.0 / 400),
        reference=_event_set(made, 300, seed=23, weight=1.0 / 300),
        anchors=(AnchorMorph(process="background", parameter="jes", interpolation="code4"),),
        polynomials=(PolynomialMorph(process="background", terms=TERMS),),
        blind=blind,
    )
    nominal = np.array([30.0, 12.0])
    signal_coefficient = "mu" if smooth else "mu**2 - abs(mu - 2)/4"
    kinked = (
        NormSys(parameter="jer", up=1.2, down=0.8, code="0"),
        HistoSys(parameter="jer", up=nominal + 1.0, down=nominal - 2.0, code="0"),
        HistoSys(parameter="jer", up=nominal + 0.5, down=nominal - 0.3, code="2"),
    )
    samples = (
        BinnedSample(name="signal", nominal=np.array([2.0, 3.0]), coefficient=signal_coefficient),
        BinnedSample(
            name="top",
            nominal=nominal,
            modifiers=(
                HistoSys(parameter="jes", up=nominal * 1.1, down=nominal * 0.95),
                *(() if smooth else kinked),
                BinFactor(parameters=("stat[0]", "stat[1]")),
                BinFactor(parameters=(None, "free")),
            ),
        ),
    )
    binned = BinnedChannelModel(name="CR", samples=samples, observed=np.array([35.0, 0.0]))
    return LikelihoodModel(name="invented", title="an invention", parameters=PARAMETERS, channels=(unbinned, binned))


def ensemble_spec(made: BundleNetworks) -> Ensemble:
    """The ensemble as a document would declare it."""
    return Ensemble(
        region="SR",
        processes=("signal", "background"),
        reference={"signal_mc": 1.0, "background_mc": 1.0},
        observables=OBSERVABLES,
        model=Mlp(kind="mlp", width=7, depth=2),
        training=TrainingSpec(epochs=1, batch=1, learning_rate=1e-3, patience=1),
        seed=1,
        members=3,
        folds=2,
        combine=made.combine,
    )


def write_invented_bundle(
    folder: Path,
    *,
    disclosure: str = "networks",
    blind: bool = False,
    copies: bool = True,
    smooth: bool = False,
    more: Mapping[str, bytes] | None = None,
    points: bool = True,
) -> Path:
    """Write the bundle into an existing empty folder and return it.

    Args:
        folder: where.
        disclosure: ``networks`` or ``ratios``.
        blind: its unbinned channel is blind.
        copies: with ONNX and StableHLO.
        smooth: without kinks in the likelihood.
        more: further files, by name.
        points: with the points of the support.
    """
    made = ensemble()
    likelihood = model(made, blind=blind, smooth=smooth)
    bundle = BundleEnsemble(
        spec=ensemble_spec(made),
        ratios={label: made.ratios[label] for label in ("signal", "background")},
        inputs=events(16, seed=31),
        variations={"jes": {"background": {side: made.ratios[f"background.jes.{side}"] for side in ("up", "down")}}},
        polynomials={"background": made.polynomials["background.polynomial"]},
    )
    with_networks = disclosure != "ratios"
    extra = {"SR": ExtraEvents(asimov_process=np.zeros(400, dtype=np.int32))}
    described = write_bundle(
        folder, likelihood, title="an invention", ensembles={"invented": bundle}, extra=extra,
        with_networks=with_networks,
    )  # fmt: skip
    manifest = {**_manifest(likelihood, disclosure), "ensembles": described}
    support = _write_validity(folder, likelihood, with_networks=with_networks, with_points=points)
    said: dict[str, object] = {"validity": {"file": VALIDITY_FILE, "support": support}}
    if copies and with_networks:
        said |= {"onnx": write_onnx(folder, manifest), "stablehlo": write_stablehlo(folder, manifest)}
    said["readers"] = write_readers(folder)
    for name, content in (more or {}).items():
        (folder / name).write_bytes(content)
    body = {key: value for key, value in manifest.items() if key != "ensembles"}
    write_manifest(folder, {**body, "publication": said}, ensembles=described)
    write_sums(folder)
    return folder


def write_sums(folder: Path) -> None:
    """Write ``manifest-sha256.txt`` anew."""
    names = [path.name for path in folder.iterdir() if path.name != SUMS_FILE]
    atomic_write_bytes(folder / SUMS_FILE, sums_text({name: sha256_file(folder / name) for name in names}))


def _manifest(likelihood: LikelihoodModel, disclosure: str) -> dict[str, object]:
    unbinned = likelihood.channels[0]
    assert isinstance(unbinned, UnbinnedChannelModel)
    return {
        "name": "invented",
        "title": "an invention",
        "analysis": "invented",
        "run_id": "0" * 16,
        "disclosure": disclosure,
        "metadata": {
            "experiment": "none", "sqrt_s_tev": [13.0], "luminosity_fb": 1.0, "license": "CC0-1.0",
            "description": "invented", "contacts": [], "references": [],
        },
        "versions": {"evercast": "0.1.0"},
        "seeds": {},
        "conventions": dict.fromkeys(CONVENTIONS, "as published"),
        "selection": {
            "objects": {}, "candidates": {}, "preselection": {}, "regions": {"SR": {"cut": "mass > 0", "label": None}},
            "observables": {name: {"expression": name, "unit": unit, "label": None} for name, unit in UNITS.items()},
            "columns": list(OBSERVABLES), "seed": 1,
        },
        "observables": [
            {"name": name, "unit": UNITS[name], "expression": name, "label": None} for name in OBSERVABLES
        ],
        "processes": {
            one.process: {"title": None, "sample": f"{one.process}_mc", "coefficient": one.coefficient}
            for one in unbinned.components
        },
        "systematics": {},
        "channels": {
            "SR": {
                "ensemble": "invented", "region": "SR", "cut": "mass > 0",
                "yields": {"signal": 30.0, "background": 120.0},
                "observed_events": 140, "simulated_events": 400, "reference_events": 300, "blind": unbinned.blind,
            }
        },
        "pseudo_data": True,
        "workspace_sha256": None,
    }  # fmt: skip


def _write_validity(folder: Path, likelihood: LikelihoodModel, *, with_networks: bool, with_points: bool) -> str | None:
    with_points = with_points and with_networks
    reference = events(600, seed=41)
    center, scale = reference.mean(axis=0), reference.std(axis=0)
    points = ((reference - center) / scale).astype(np.float32)
    support = Support(
        method="nearest-neighbour", file=SUPPORT_FILE, tensor="invented.points", points=len(points), neighbour=3,
        center=tuple(center.tolist()), scale=tuple(scale.tolist()), threshold=1.2, nominal_rate=0.01,
        false_positive=FalsePositive(events=0, outside=0, rate=None, uncertainty=None), formula="as in the manifest",
    )  # fmt: skip
    ranges = tuple(
        ObservableRange(name=name, unit=UNITS[name], low=float(values.min()), high=float(values.max()), quantiles=())
        for name, values in zip(OBSERVABLES, reference.T, strict=True)
    )
    domain = Domain(
        schema="validity/1.0.0",
        experiment="none",
        sqrt_s_tev=(13.0,),
        luminosity_fb=1.0,
        parameters={
            one.name: ParameterRange(low=one.bounds[0], high=one.bounds[1], learned=None)
            for one in likelihood.parameters
        },
        ensembles={
            "invented": EnsembleDomain(
                region="SR",
                cut="mass > 0",
                training={"signal_mc": Training(events=300, effective_events=300.0, reference=1.0)},
                observables=ranges if with_networks else (),
                support=support if with_points else None,
            )
        },
        outside=Outside(action="refuse", max_fraction_range=0.01, max_fraction_support=0.05, rule="as published"),
    )
    atomic_write_json(folder / VALIDITY_FILE, to_json(domain))
    if with_points:
        write_tensors(folder / SUPPORT_FILE, {"invented.points": points}, {"format": "support/1.0.0"})
    return SUPPORT_FILE if with_points else None
