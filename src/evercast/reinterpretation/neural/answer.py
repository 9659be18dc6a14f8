"""The answer to a submitted request to an archive: every point, one after the other, in one work folder."""

from __future__ import annotations

from evercast.errors import IntegrityError, InvalidInput
from evercast.reinterpretation.archived import ArchivedRun, open_archived
from evercast.reinterpretation.neural.answers import (
    ModelPointAnswer,
    NeuralAnswers,
    ParametrisationAnswer,
    ProcessAnswer,
)
from evercast.reinterpretation.neural.domain import ArchivedDomains
from evercast.reinterpretation.neural.frozen import FrozenNeural, FrozenNeuralPoint
from evercast.reinterpretation.neural.model_point import answer_model_point
from evercast.reinterpretation.neural.parametrised import answer_parametrisation
from evercast.reinterpretation.neural.process import answer_process
from evercast.reinterpretation.neural.work import WorkFolder, opened_work
from evercast.reinterpretation.requests.derived import Watch

__all__ = ["answer_neural"]

Answered = ProcessAnswer | ModelPointAnswer | ParametrisationAnswer


def answer_neural(
    frozen: FrozenNeural,
    *,
    cores: int | None,
    profile: str,
    observer: Watch | None = None,
) -> NeuralAnswers:
    """Return the answers to a submitted request; units that are there are not computed again.

    Args:
        frozen: the request.
        cores: of this machine; None leaves it to the profile.
        profile: where jobs run.
        observer: makes what is told how the run of a derived document goes on; None: nobody is told.

    Raises:
        IntegrityError: ``request.archive``: the archive is another one than was asked; or it does not verify.
        InvalidInput: ``request.outside-domain``: every point is refused; the document or the events are not valid.
        EvercastError: the first error of a unit. What is finished is kept.
    """
    archived = open_archived(frozen.archive)
    if archived.version.bag.id != frozen.archive_id:
        message = f"the archive has the id {archived.version.bag.id}; the request was submitted to {frozen.archive_id}"
        raise IntegrityError(message, code="request.archive", where=str(frozen.archive), hint="submit it again")
    with opened_work(frozen.work, archived, profile=profile, cores=cores, watch=observer) as work:
        domains = ArchivedDomains(archived=archived, likelihood=frozen.likelihood)
        found = [_answer(frozen, point, work, archived, domains) for point in frozen.points]
    refused = [one for one in found if one.status == "refused"]
    if refused and len(refused) == len(found):
        raise InvalidInput(
            refused[0].reason or "all points are outside of the domain", code="request.outside-domain",
            where=f"$.signal.points.{refused[0].name}",
        )  # fmt: skip
    analysis = archived.side.analysis
    return NeuralAnswers(
        archive=frozen.archive_id, analysis=analysis.name, title=analysis.title, signed_by=archived.signed_by,
        points=tuple(found),
    )  # fmt: skip


def _answer(
    frozen: FrozenNeural, point: FrozenNeuralPoint, work: WorkFolder, archived: ArchivedRun, domains: ArchivedDomains
) -> Answered:  # fmt: skip
    if point.kind == "parametrisation":
        return answer_parametrisation(frozen, archived)
    stated = frozen.asked().signal.points[point.name]
    if point.kind == "model_point":
        return answer_model_point(work, frozen, point.name, stated, domains=domains)
    return answer_process(work, frozen, point.name, stated, domains=domains)
