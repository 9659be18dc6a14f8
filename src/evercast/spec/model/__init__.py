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
from evercast.spec.model.learning import Ensemble, Mlp, Training
from evercast.spec.model.statistics import (
    BinnedChannel,
    Expected,
    Inference,
    LikelihoodSpec,
    NormalisationSystematic,
    Parameter,
    Process,
    UnbinnedChannel,
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
    "Calibration",
    "Candidates",
    "CommandStage",
    "Ensemble",
    "Environment",
    "EventFile",
    "Expected",
    "Generator",
    "Histogram",
    "HistogramTerm",
    "Inference",
    "LikelihoodSpec",
    "Metadata",
    "Mlp",
    "Normalisation",
    "NormalisationSystematic",
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
    "Sample",
    "Selection",
    "Source",
    "Training",
    "UnbinnedChannel",
    "UnbinnedPublication",
]
