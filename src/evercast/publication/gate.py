"""Whether a result may be published: no red check, or a written reason for each."""

from __future__ import annotations

from collections.abc import Mapping

from evercast.errors import InvalidInput
from evercast.publication.report.view import JsonView

__all__ = ["publication_line", "require_publishable"]

_NAMED = 5


def require_publishable(diagnostics: Mapping[str, object]) -> None:
    """Refuse to publish a result with red checks that nobody gave a reason to override.

    Args:
        diagnostics: content of ``diagnostics.json``.

    Raises:
        InvalidInput: ``publication.red-check`` with the checks, their values and how to override them;
            ``publication.unchecked`` where the diagnostics say nothing of publication.
    """
    view = JsonView(dict(diagnostics))
    allowed = view.flag("publication", "allowed")
    if allowed is None:
        raise InvalidInput(
            "the diagnostics do not say whether the result may be published; expected publication.allowed",
            code="publication.unchecked",
            where="diagnostics.json",
            hint="run the analysis again with this version",
        )
    if allowed:
        return
    open_checks = _open(view)
    shown = "; ".join(f"{identity}: {message}" for identity, message in open_checks[:_NAMED])
    more = f"; and {len(open_checks) - _NAMED} more" if len(open_checks) > _NAMED else ""
    first = open_checks[0][0] if open_checks else "ID"
    raise InvalidInput(
        f"{_count(len(open_checks))} found red, expected none without a written reason: {shown}{more}",
        code="publication.red-check",
        where="diagnostics.json",
        hint=f'mend the analysis, or give the reason in the document: publish: {{overrides: {{{first}: "why"}}}}',
    )


def publication_line(diagnostics: Mapping[str, object]) -> str:
    """Return in one line how the checks came out and whether the result may be published.

    Example:
        >>> publication_line({"checks": [{"status": "green"}], "publication": {"allowed": True, "red": []}})
        'checks: 1 green; the result may be published'
    """
    view = JsonView(dict(diagnostics))
    statuses = [entry.text("status") for entry in view.entries("checks")]
    counts = [
        f"{statuses.count(name)} {name.replace('-', ' ')}"
        for name in ("green", "amber", "red", "not-applicable")
        if name in statuses
    ]
    overridden = len(list(view.items("publication", "overridden")))
    if overridden and statuses.count("red") == overridden:
        counts = [f"{text} (overridden)" if text.endswith(" red") else text for text in counts]
    start = f"checks: {', '.join(counts) or 'none'}"
    if view.flag("publication", "allowed"):
        reason = f", {_count(overridden)} overridden with a reason" if overridden else ""
        return f"{start}; the result may be published{reason}"
    names = [identity for identity, _ in _open(view)]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{start}; NOT to be published: {', '.join(names[:_NAMED]) or 'it was not checked'}{more}"


def _open(view: JsonView) -> list[tuple[str, str]]:
    """Return the red checks without a reason, with their messages."""
    reasons = {identity for identity, _ in view.items("publication", "overridden")}
    messages = {entry.text("id"): entry.text("message") or "" for entry in view.entries("checks")}
    red = [text for entry in view.entries("publication", "red") if (text := entry.text())]
    return [(identity, messages.get(identity, "")) for identity in red if identity not in reasons]


def _count(number: int) -> str:
    return "1 check" if number == 1 else f"{number} checks"
