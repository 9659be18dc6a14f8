"""Requests against archives of runs: a new process, the model at another point, another parametrisation.

A sample that is a new process becomes a document derived from the archived one and is run by the ordinary engine; what
does not depend on it has the same key and is taken from the archive. A sample of the same model at other values of its
parameters is evaluated with the archived networks. Another parametrisation needs neither.
"""

from evercast.reinterpretation.neural.answer import answer_neural
from evercast.reinterpretation.neural.answers import NeuralAnswers
from evercast.reinterpretation.neural.frozen import FrozenNeural, freeze_neural, read_frozen_neural
from evercast.reinterpretation.neural.resolve import NeuralResolved, check_neural

__all__ = [
    "FrozenNeural",
    "NeuralAnswers",
    "NeuralResolved",
    "answer_neural",
    "check_neural",
    "freeze_neural",
    "read_frozen_neural",
]
