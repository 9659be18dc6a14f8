"""The networks: their form, their training, their ensembles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Bootstrap", "Device", "Ensemble", "Mlp", "Morphing", "Training"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mlp:
    """Multi-layer perceptron: `depth` hidden layers of `width`."""

    kind: Literal["mlp"]
    width: int = 64
    depth: int = 3
    activation: Literal["silu", "relu", "tanh", "gelu"] = "silu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What networks are trained and evaluated on; it is no part of what is computed and enters no key.

    Args:
        kind: ``any``, the GPUs that a job was given, or else the CPU; ``gpu``, a job without one fails; ``cpu``.
        cpu_fallback: a job that lacks its GPU goes on with the CPU, which its receipt says.
    """

    kind: Literal["any", "gpu", "cpu"] = "any"
    cpu_fallback: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How one network is trained; early stopping keeps the weights of the best validation loss.

    Args:
        precision: ``mixed-bfloat16`` takes the products between hidden layers in bfloat16, with sums in float32;
            weights, optimiser and loss remain float32, and so does evaluation.
        device: what it is trained and evaluated on.
    """

    epochs: int = 50
    batch: int = 1024
    optimiser: Literal["adamw", "nadam", "adam"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["cosine", "step", "exponential", "constant"] = "cosine"
    patience: int | None = 10
    validation_fraction: float = 0.15
    max_events: int | None = None
    precision: Literal["float32", "mixed-bfloat16"] = field(default="float32", metadata={"key": "unless default"})
    device: Device = field(default_factory=Device, metadata={"key": "never"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """Replicas of the simulation with Poisson(1) event weights, each with its own small ensemble.

    Args:
        replicas: at least 2; 20 or more for an uncertainty.
        members: networks per process, fold and replica.
        processes: whose networks are trained again for each replica, while the others keep their ratios; empty: all.
    """

    replicas: int = 20
    members: int = 1
    processes: tuple[str, ...] = field(default=(), metadata={"key": "unless default"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Morphing:
    """How densities follow the nuisance parameters.

    Args:
        kind: ``anchor``: two more networks per process and systematic, at +1 and -1; ``parametric``: one network per
            process whose outputs are the coefficients of ln g(x|alpha), a polynomial in the nuisance parameters.
        members: networks per process, systematic and direction (or per process); None: as many as for the ratios.
        degree: of the polynomial in each parameter, for ``parametric``.
    """

    kind: Literal["anchor", "parametric"] = "anchor"
    members: int | None = None
    degree: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Networks that learn the density ratio of each process to the reference mixture, in one region.

    Args:
        region: the region whose events are used.
        processes: processes with a network each.
        reference: sample -> weight; p_ref is the weighted mean of their normalised densities.
        observables: network inputs, in order.
        members: networks per process and fold, from different seeds.
        folds: K of the cross-fitting; an event of fold k is evaluated by networks that did not train on fold k.
        members_per_block: members trained by one job; None lets the plan choose.
        combine: members are combined as the mean of log ratios or as the log of the mean ratio.
        normalise: divide each ratio by its mean over the reference, so that E_ref[r] = 1 holds exactly.
        calibration: histogram calibration of the score of each process, or none.
        negative_weights: ``signed`` (as they are, the effective sample size is reported), ``resample`` (a network
            learns the mean sign at each point, weights become |w| times it: arXiv:2007.11586), ``reject``.
        bootstrap: replicas for the training-statistics uncertainty; None: none.
    """

    region: str
    processes: tuple[str, ...]
    reference: Mapping[str, float]
    observables: tuple[str, ...]
    model: Mlp
    training: Training
    seed: int
    members: int = 4
    folds: int = 4
    members_per_block: int | None = None
    combine: Literal["mean_log_ratio", "mean_ratio"] = "mean_log_ratio"
    normalise: bool = True
    calibration: Literal["none", "histogram"] = "none"
    negative_weights: Literal["signed", "resample", "reject"] = "signed"
    morphing: Morphing = field(default_factory=Morphing)
    bootstrap: Bootstrap | None = None
