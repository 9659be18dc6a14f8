"""The checked analysis document as frozen objects.

`analysis.schema.json` is the truth; these dataclasses mirror it key by key and a test holds the two together.
Optional keys carry the same default here and in the schema. Mappings keep the order of the document.
"""

from __future__ import annotations

from evercast.spec.model.analysis import Analysis, Metadata, Reference
from evercast.spec.model.events import Candidates, Objects, Observable, Region, Selection
from evercast.spec.model.inputs import (
    Calibration,
    EventFile,
    Generator,
    Histogram,
    HistogramTerm,
    Normalisation,
    PseudoData,
    Sample,
    Source,
)
from evercast.spec.model.learning import Bootstrap, Device, Ensemble, Mlp, Morphing, Training
from evercast.spec.model.replay import (
    Expected,
    NumericTolerance,
    ResultTolerance,
    RetrainingTolerance,
    Tolerances,
)
from evercast.spec.model.statistics import (
    BinnedChannel,
    Effect,
    Inference,
    KinematicSystematic,
    LikelihoodSpec,
    MorphingBasis,
    NormalisationSystematic,
    Parameter,
    Process,
    SampleSystematic,
    Systematic,
    ToyStudy,
    TwoPointSystematic,
    UnbinnedChannel,
    VariedSamples,
    WeightSystematic,
)
from evercast.spec.model.work import (
    BinnedPublication,
    CommandStage,
    Environment,
    Publish,
    Reduce,
    Resources,
    UnbinnedPublication,
)

__all__ = [
    "Analysis",
    "BinnedChannel",
    "BinnedPublication",
    "Bootstrap",
    "Calibration",
    "Candidates",
    "CommandStage",
    "Device",
    "Effect",
    "Ensemble",
    "Environment",
    "EventFile",
    "Expected",
    "Generator",
    "Histogram",
    "HistogramTerm",
    "Inference",
    "KinematicSystematic",
    "LikelihoodSpec",
    "Metadata",
    "Mlp",
    "Morphing",
    "MorphingBasis",
    "Normalisation",
    "NormalisationSystematic",
    "NumericTolerance",
    "Objects",
    "Observable",
    "Parameter",
    "Process",
    "PseudoData",
    "Publish",
    "Reduce",
    "Reference",
    "Region",
    "Resources",
    "ResultTolerance",
    "RetrainingTolerance",
    "Sample",
    "SampleSystematic",
    "Selection",
    "Source",
    "Systematic",
    "Tolerances",
    "ToyStudy",
    "Training",
    "TwoPointSystematic",
    "UnbinnedChannel",
    "UnbinnedPublication",
    "VariedSamples",
    "WeightSystematic",
]
