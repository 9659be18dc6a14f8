"""The text of a new request to the archive of a run: what may be asked stands in it, a signal is to be filled in."""

from __future__ import annotations

from evercast.errors import InvalidInput
from evercast.reinterpretation.archived import ArchivedRun
from evercast.spec.model import Analysis, UnbinnedChannel
from evercast.spec.report import did_you_mean

__all__ = ["archive_draft_text"]


def archive_draft_text(archived: ArchivedRun, *, name: str, likelihood: str | None, points: tuple[str, ...]) -> str:
    """Return a request to an archive; a signal has to be filled in before it can be checked.

    Args:
        archived: that is asked.
        name: of the request.
        likelihood: of the archive; None takes the neural one that it publishes.
        points: of the record, of which an archive has none.

    Raises:
        InvalidInput: ``request.likelihood``; ``request.unknown-point``.
    """
    analysis = archived.side.analysis
    if points:
        message = "an archive has no published signal points; give events of your own"
        raise InvalidInput(message, code="request.unknown-point", where=points[0])
    chosen = _likelihood(analysis, likelihood)
    known = ", ".join(analysis.parameters)
    poi = next(
        (key for key, parameter in analysis.parameters.items() if parameter.poi), next(iter(analysis.parameters))
    )
    energy = analysis.metadata.sqrt_s_tev[0]
    others = analysis.metadata.sqrt_s_tev[1:]
    energies = f"  # or {', '.join(f'{value:g}' for value in others)}" if others else ""
    return f"""\
# A request to the archive of a run. Every key: evercast schema request.
# Fill in a signal; then check it: evercast request check FOLDER, and run it: evercast request run FOLDER.
schema: request/1.0.0
name: {name}
# title: what is asked, for people
# requester: who asks
analysis:
  name: {analysis.name}
  digest: "{archived.version.bag.id}"
  likelihood: {chosen}
collision: {{beams: pp, sqrt_s_tev: {energy:g}}}{energies}
signal:
  points: {{}}
  # points:                          # instead of the empty one: events of your own
  #   my_process:                    # a process that the model lacks
  #     cross_section: {{value_pb: 0.01, relative_uncertainty: 0.05, k_factor: 1.0, filter_efficiency: 1.0}}
  #     events:
  #       files: [{{path: signal.parquet, sha256: "...", size_bytes: 1000, events: 10000}}]
  #       weights: unit
  #     process: {{parameter: mu_new, bounds: [0, 20]}}
  #   my_point:                      # or events of the archived model at other values of {known}
  #     cross_section: {{value_pb: 0.01, relative_uncertainty: 0.05}}
  #     events: {{files: [{{path: other.parquet, sha256: "...", size_bytes: 1000, events: 10000}}], weights: unit}}
  #     model_point: {{{poi}: 2.0}}
  # parametrisation: {{path: parametrisation.yaml, sha256: "...", size_bytes: 100}}   # or new formulas alone
wanted: {{limits: true, confidence_level: 0.95, observed: true, toys: 200}}   # toys: of a new process
"""


def _likelihood(analysis: Analysis, asked: str | None) -> str:
    if asked is not None and asked not in analysis.likelihoods:
        hint = did_you_mean(asked, analysis.likelihoods) or f"it has {', '.join(analysis.likelihoods)}"
        raise InvalidInput(f"the archive has no likelihood {asked!a}", code="request.likelihood", hint=hint)
    if asked is not None:
        return asked
    published = analysis.publish.neural_likelihood
    if published is not None:
        return published.likelihood
    neural = (
        name
        for name, spec in analysis.likelihoods.items()
        if any(isinstance(channel, UnbinnedChannel) for channel in spec.channels.values())
    )
    return next(neural, next(iter(analysis.likelihoods)))
