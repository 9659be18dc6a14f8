"""Makes the reference pages from the code while the documentation is built: documents, commands, expressions, errors.

A hook of MkDocs (``hooks`` in mkdocs.yml). Run as a program it prints one page: ``generate_reference.py PAGE``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from evercast import errors
from evercast.cli import COMMANDS, cli
from evercast.schemas import load_schema
from evercast.spec.functions import COEFFICIENT_FUNCTIONS, FUNCTIONS, ITEM_PROPERTIES

SOURCE = Path(errors.__file__).parent
OTHER_DOCUMENTS = (
    "parametrisation", "combination", "wrapped-analysis", "catalogue-index", "request", "response", "diagnostics",
    "accounting", "site", "images", "lock", "archive", "replay",
)  # fmt: skip
EXIT_CODES = {
    0: "success",
    1: "a stage or a run failed; it can be resumed",
    2: "the command line was used wrongly",
    3: "a document or an input file is not valid",
    4: "two results differ by more than their tolerance",
    5: "a digest, a signature or a path is not what it must be",
    6: "the machine: disk, lock, network, a missing program",
    7: "no trustworthy number could be computed",
    70: "internal error: a defect of evercast",
    130: "interrupted",
}
MEANING = {
    "mass": "invariant mass", "pt": "transverse momentum", "eta": "pseudorapidity", "phi": "azimuth",
    "energy": "energy", "px": "x component of the momentum", "py": "y component of the momentum",
    "pz": "z component of the momentum", "rapidity": "rapidity", "charge": "electric charge", "pdg": "PDG identity",
    "delta_r": "distance in pseudorapidity and azimuth of two items", "delta_phi": "difference of azimuth of two items",
    "where": "second argument where the first holds, third elsewhere", "sum": "sum over the items of an event",
    "any": "whether any item fulfils a condition", "all": "whether every item fulfils a condition",
    "count": "number of items", "min": "least of the arguments, or of the items",
    "max": "largest of the arguments, or of the items", "floor": "largest whole number not above",
    "cos_theta_star": "production angle of the first of two bosons (arXiv:1001.3396, Fig. 1)",
    "cos_helicity": "helicity angle: lepton, its parent, the other boson",
    "phi_planes": "angle between the decay planes of two bosons: l1-, l1+, l2-, l2+",
    "phi1_plane": "angle between the decay plane of the first boson and the plane of the beam",
    "atan2": "angle of the point (second, first)",
}  # fmt: skip


CODE = re.compile(r"[a-z]+\.[a-z]+(?:-[a-z]+)*")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    return files


def document_page() -> str:
    """Return the reference of the analysis document."""
    introduction = (
        "Generated from `analysis.schema.json`, version 1.0.0. `evercast schema analysis` prints the schema. "
        "No key beyond those listed is accepted. A key without a default is required or marked optional."
    )
    return "\n\n".join(["# The analysis document", introduction, *_schema_sections("analysis", "## ")]) + "\n"


def other_documents_page() -> str:
    """Return the reference of the documents and files beside the analysis."""
    parts = [
        "# Other documents",
        (
            "Generated from the schemas; `evercast schema KIND` prints each. People write a parametrisation, a "
            "combination, a request and a site; a run writes diagnostics and accounting; `evercast image build` writes "
            "images; `evercast lock` a lock; `evercast archive pack` the record of an archive; `evercast replay` a "
            "replay; `evercast wrap` a wrapped-analysis; `evercast respond` a response."
        ),
    ]
    for kind in OTHER_DOCUMENTS:
        schema = load_schema(kind)
        parts += [f"## {kind}", schema["description"], *_schema_sections(kind, "### ")]
    return "\n\n".join(parts) + "\n"


def _schema_sections(kind: str, heading: str) -> list[str]:
    """Return the top level of a schema and each of its definitions, as headings, texts and tables."""
    schema = load_schema(kind)
    common = load_schema("common")["$defs"]
    parts = [f"{heading}Top level", _table(schema, common)] if kind == "analysis" else [_table(schema, common)]
    for name, body in schema.get("$defs", {}).items():
        parts += [f"{heading}{name}", body.get("description", "")]
        if "allOf" in body:
            parts.append(_by_kind(body))
        elif "properties" in body:
            parts.append(_table(body, common))
        else:
            parts.append(f"{_value(body, common)}; the names are {body.get('x-rule', 'free')}.")
    return parts


def _by_kind(body: Mapping[str, object]) -> str:
    """Return what the keys of a choice by ``kind`` are."""
    branches = body["allOf"]
    assert isinstance(branches, list)
    rows = ["| `kind` | keys |", "|---|---|"]
    rows += [
        f"| `{branch['if']['properties']['kind']['const']}` | {_reference(branch['then']['$ref'])} |"
        for branch in branches
    ]
    return "\n".join(rows)


def _table(body: Mapping[str, object], common: Mapping[str, object]) -> str:
    required = body.get("required", [])
    properties = body["properties"]
    assert isinstance(required, list)
    assert isinstance(properties, dict)
    rows = ["| key | value | unit | default | meaning |", "|---|---|---|---|---|"]
    for name, entry in properties.items():
        default = _code(entry["default"]) if "default" in entry else ("required" if name in required else "optional")
        unit = entry.get("x-unit", "none")
        shown = "" if unit == "none" else unit
        meaning = _escape(entry.get("description", ""))
        rows.append(f"| `{name}` | {_value(entry, common)} | {shown} | {default} | {meaning} |")
    return "\n".join(rows)


def _value(entry: Mapping[str, object], common: Mapping[str, object]) -> str:
    ref = entry.get("$ref")
    if isinstance(ref, str):
        shared = common.get(ref.rsplit("/", 1)[-1]) if ref.startswith("common") else None
        return _value(shared, common) if isinstance(shared, dict) else _reference(ref)
    if "enum" in entry:
        choices = entry["enum"]
        assert isinstance(choices, list)
        return " or ".join(_code(choice) for choice in choices)
    if "const" in entry:
        return _code(entry["const"])
    for key in ("oneOf", "anyOf"):
        options = entry.get(key)
        if isinstance(options, list):
            return " or ".join(dict.fromkeys(_value(option, common) for option in options))
    return _structure(entry, common)


def _structure(entry: Mapping[str, object], common: Mapping[str, object]) -> str:
    kind = entry.get("type", "any")
    if isinstance(kind, list) and "array" in kind:
        return f"{_structure({**entry, 'type': 'array'}, common)} or `all`"
    if kind == "array":
        items = entry.get("items")
        if not isinstance(items, dict) and isinstance(entry.get("prefixItems"), list):
            items = entry["prefixItems"][0]  # type: ignore[index]
        return f"list of {_value(items, common)}" if isinstance(items, dict) else "list"
    if kind == "object":
        inner = entry.get("additionalProperties")
        patterns = entry.get("patternProperties")
        if isinstance(patterns, dict) and patterns:
            inner = next(iter(patterns.values()))
        return f"name → {_value(inner, common)}" if isinstance(inner, dict) else "object"
    words = {
        "number": "number", "integer": "whole number", "string": "text", "boolean": "true or false", "null": "null",
        "object": "object",
    }  # fmt: skip
    text = " or ".join(words.get(one, str(one)) for one in (kind if isinstance(kind, list) else [kind]))
    limits = [f"{sign} {entry[key]:g}" for key, sign in _LIMITS.items() if isinstance(entry.get(key), int | float)]
    rule = entry.get("x-rule")
    notes = [*limits, *([_escape(str(rule))] if rule else [])]
    return f"{text} ({', '.join(notes)})" if notes else text


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _reference(ref: object) -> str:
    name = str(ref).rsplit("/", 1)[-1]
    return f"[{name}](#{name})"


def _code(value: object) -> str:
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif value is None:
        text = "none"
    elif isinstance(value, dict | list):
        text = str(value) if value else "empty"
    else:
        text = str(value)
    return f"`{_escape(text)}`"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def commands_page() -> str:
    """Return the reference of the command line: the help of every command."""
    parts = [
        "# Commands",
        (
            "Generated from the commands. Results go to stdout, messages to stderr; `--json` makes the result JSON. "
            "The [exit codes](errors.md) are the same everywhere."
        ),
    ]
    context = click.Context(cli, info_name="evercast")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context, max_content_width=96, terminal_width=96)
        parts += [f"## {name}", f"```text\n{command.get_help(inner).rstrip()}\n```"]
        shown = command.commands if isinstance(command, click.Group) else {}
        for sub, part in [(sub, part) for sub, part in shown.items() if not part.hidden]:
            below = click.Context(part, info_name=sub, parent=inner, max_content_width=96, terminal_width=96)
            parts += [f"### {name} {sub}", f"```text\n{part.get_help(below).rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def expressions_page() -> str:
    """Return the reference of the expression language."""
    rows = ["| function | arguments | gives |", "|---|---|---|"]
    for name, (least, most) in FUNCTIONS.items():
        count = f"{least}" if least == most else f"{least} to {most}"
        rows.append(f"| `{name}` | {count} | {MEANING.get(name, 'as in mathematics')} |")
    coefficients = ", ".join(f"`{name}`" for name in sorted(COEFFICIENT_FUNCTIONS))
    properties = ", ".join(f"`{name}`" for name in sorted(ITEM_PROPERTIES))
    return "\n\n".join([
        "# Expressions",
        ("Cuts, observables and resolutions are expressions: numbers, names, `+ - * / **`, comparisons (also chained, "
        "`80 < m < 100`), `and or not` or `& | ~`, calls of the functions below, and `collection[index]`, "
        "`collection[start:stop]`, `collection[condition]`. Nothing else is accepted: no attributes, no other calls. "
        "An error names the column."),
        ("Collections are named as declared (`leptons`); a property of an item is a function of it: `pt(leptons[0])`. "
        "Items add as four-vectors: `mass(leptons[0] + leptons[1])`. "
                "Energies, momenta and masses are in GeV, angles in rad."),
        "## Functions",
        "\n".join(rows),
        "## Properties of an item",
        f"The `cut` and `pt_resolution` of an entry of `objects` see one item: {properties}.",
        "## Coefficients",
        (f"The coefficient of a process uses numbers, parameters, `+ - * / **` and {coefficients}. It may be negative; "
        "only the total density must be positive."),
        "## Limits",
        "At most 4096 characters, 2000 nodes, depth 64; exponents are whole numbers of absolute value at most 64.",
    ]) + "\n"  # fmt: skip


def errors_page() -> str:
    """Return exit codes and the text codes of all errors in the source."""
    parts = ["# Exit codes and error codes", "| exit code | meaning |\n|---|---|"]
    parts[-1] += "".join(f"\n| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    parts += [
        "## Error codes",
        (
            "Every error has a stable text code, shown with `--json` and written to the error file of a failed unit. "
            "This list is read from the source; the message is the one of the first place that raises it."
        ),
    ]
    rows = ["| code | exit | message |", "|---|---|---|"]
    rows += [
        f"| `{code}` | {exit_code} | {_escape(text) if text.strip('…') else ''} |"
        for code, (exit_code, text) in sorted(_codes().items())
    ]
    return "\n\n".join([*parts, "\n".join(rows)]) + "\n"


def _codes() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        helpers = dict(_helpers(module))
        for call in ast.walk(module):
            if isinstance(call, ast.Call):
                for code, exit_code, text in (*_raised(call), *_raised_by_helper(call, helpers)):
                    found.setdefault(code, (exit_code, text))
    return found


def _helpers(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield name and exit code of the functions of a module that make an error of a code they are given."""
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef) or "code" not in [arg.arg for arg in function.args.args]:
            continue
        for call in ast.walk(function):
            name = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
            kind = getattr(errors, name, None)
            if isinstance(kind, type) and issubclass(kind, errors.EvercastError):
                yield function.name, str(kind.exit_code)


def _raised_by_helper(call: ast.Call, helpers: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the code that a helper is given by its place; the message is the argument behind it, or before it."""
    exit_code = helpers.get(call.func.id) if isinstance(call.func, ast.Name) else None
    for place, argument in enumerate(call.args if exit_code is not None else ()):
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and CODE.fullmatch(argument.value):
            texts = [_template(other) for other in (*call.args[place + 1 :], *call.args[:place])]
            yield argument.value, exit_code or "", next((text for text in texts if text.strip("…")), "")


def _raised(call: ast.Call) -> Iterator[tuple[str, str, str]]:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    kind = getattr(errors, name, None)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    code = keywords.get("code")
    if not isinstance(code, ast.Constant) or not isinstance(code.value, str):
        return
    is_error = isinstance(kind, type) and issubclass(kind, errors.EvercastError)
    if is_error or name == "Problem":
        message = keywords.get("message") or (call.args[0] if call.args else None)
        yield code.value, str(kind.exit_code) if is_error else "3", _template(message)


def _template(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return "…"


PAGES = {
    "document": document_page,
    "other-documents": other_documents_page,
    "commands": commands_page,
    "expressions": expressions_page,
    "errors": errors_page,
}

if __name__ == "__main__":
    print(PAGES[sys.argv[1]]())
