"""The schemas are complete, strict, offline, and say the same as the dataclasses."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from jsonschema import Draft202012Validator
from referencing.exceptions import Unresolvable

from evercast.errors import UsageError
from evercast.schemas import KINDS, load_schema, registry, schema_text
from evercast.spec import model
from evercast.spec.codec import to_json
from evercast.spec.model import Analysis

ROOT = Path(__file__).parents[2]
SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _subschemas(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object of a schema document that is a schema itself."""
    if isinstance(value, dict):
        yield path, value
        for key, part in value.items():
            if key in {"properties", "patternProperties", "$defs"}:
                for name, one in part.items():
                    yield from _subschemas(one, f"{path}/{key}/{name}")
            elif key in {"items", "then"}:
                yield from _subschemas(part, f"{path}/{key}")
            elif key in {"allOf", "oneOf"}:
                for one in part:
                    yield from _subschemas(one, f"{path}/{key}")


def _resolved(schema: Mapping[str, Any], home: str = "analysis") -> dict[str, Any]:
    """Return a schema with its reference followed, in its home document or another; keys beside the reference win."""
    reference = schema.get("$ref")
    if reference is None:
        return dict(schema)
    file, name = reference.split("#/$defs/")
    kind = file.removesuffix(".schema.json") or home
    target = _resolved(load_schema(kind)["$defs"][name], kind)
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


@pytest.mark.parametrize("kind", KINDS)
def test_schema_is_a_schema(kind: str) -> None:
    schema = load_schema(kind)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("kind", KINDS)
def test_every_mapping_is_closed(kind: str) -> None:
    for path, schema in _subschemas(load_schema(kind)):
        if "properties" in schema or "patternProperties" in schema:
            choice = all("then" in branch for branch in schema.get("allOf", [{}]))
            assert schema.get("additionalProperties") is False or choice, path


@pytest.mark.parametrize(
    "kind",
    [
        "analysis",
        "common",
        "parametrisation",
        "combination",
        "site",
        "images",
        "accounting",
        "archive",
        "lock",
        "wrapped-analysis",
        "catalogue-index",
        "request",
        "response",
        "replay",
    ],
)
def test_every_property_has_a_description_and_a_unit(kind: str) -> None:
    for path, schema in _subschemas(load_schema(kind)):
        for name, part in schema.get("properties", {}).items():
            assert part.get("description", "").endswith("."), f"{path}.{name}"
            assert part.get("x-unit"), f"{path}.{name}"
            kinds = _resolved(part, kind).get("type", "none")
            if "number" in kinds or "integer" in kinds:
                assert part["x-unit"] != "none", f"{path}.{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_patterns_do_not_accept_a_final_line_break(kind: str) -> None:
    patterns = [schema["pattern"] for _, schema in _subschemas(load_schema(kind)) if "pattern" in schema]
    patterns += [key for _, schema in _subschemas(load_schema(kind)) for key in schema.get("patternProperties", ())]
    for pattern in set(patterns):
        assert pattern.startswith("^")
        assert pattern.endswith("$(?!\\n)")
        assert not re.search(pattern, "a\n")


@pytest.mark.parametrize("kind", KINDS)
def test_references_stay_in_the_package(kind: str) -> None:
    references = {schema["$ref"] for _, schema in _subschemas(load_schema(kind)) if "$ref" in schema}
    assert all(re.match(r"(common\.schema\.json)?#/\$defs/[a-z_0-9]+$", reference) for reference in references)
    resolver = registry().resolver(base_uri=f"{kind}.schema.json")
    for reference in references:
        assert isinstance(resolver.lookup(reference).contents, dict)


@pytest.mark.parametrize("address", ["https://example.org/x.json", "file:///etc/passwd", "other.schema.json"])
def test_nothing_is_fetched(address: str) -> None:
    validator = Draft202012Validator({"$ref": address}, registry=registry())
    with pytest.raises(Exception, match="Unresolvable") as caught:
        list(validator.iter_errors({}))
    assert isinstance(caught.value.__cause__, Unresolvable) or isinstance(caught.value, Unresolvable)


def test_unknown_kind_is_named() -> None:
    with pytest.raises(UsageError, match="no schema named '\\.\\./x'; there are: analysis, common"):
        schema_text("../x")


def test_every_definition_is_used() -> None:
    schemas = [schema for kind in KINDS for _, schema in _subschemas(load_schema(kind))]
    used = {schema["$ref"].rpartition("/")[2] for schema in schemas if "$ref" in schema}
    defined = {name for kind in KINDS for name in load_schema(kind).get("$defs", ())}
    assert used == defined


def test_a_parameter_is_the_same_in_every_document() -> None:
    assert load_schema("parametrisation")["$defs"]["parameter"] == load_schema("analysis")["$defs"]["parameter"]


def test_schema_and_dataclasses_agree() -> None:
    seen: set[type] = set()
    _agree(Analysis, load_schema("analysis"), "analysis", seen)
    declared = {one for name in model.__all__ if isinstance(one := getattr(model, name), type)}
    assert seen == declared


def _agree(kind: Any, schema: Mapping[str, Any], path: str, seen: set[type]) -> None:
    schema = _resolved(schema)
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        assert isinstance(kind, type)
        _agree_dataclass(kind, schema, path, seen)
    elif origin is Literal:
        assert tuple(schema["enum"]) == get_args(kind), path
    elif origin is tuple:
        _agree_tuple(get_args(kind), schema, path, seen)
    elif origin is not None and issubclass(origin, Mapping):
        assert schema["type"] == "object", path
        (part,) = schema["patternProperties"].values()
        _agree(get_args(kind)[1], part, f"{path}.*", seen)
    elif origin in {Union, types.UnionType}:
        _agree_union(kind, schema, path, seen)
    else:
        assert schema["type"] == SCALARS[kind], path


def _agree_union(kind: Any, schema: Mapping[str, Any], path: str, seen: set[type]) -> None:
    options = [option for option in get_args(kind) if option is not types.NoneType]
    if all(dataclasses.is_dataclass(option) for option in options) and len(options) > 1:
        branches = {
            branch["if"]["properties"]["kind"]["const"]: _resolved(branch["then"]) for branch in schema["allOf"]
        }
        by_kind = {name: option for option in options for name in get_args(get_type_hints(option)["kind"])}
        assert list(branches) == list(by_kind) == schema["properties"]["kind"]["enum"], path
        for name, branch in branches.items():
            assert name in branch["properties"]["kind"]["enum"], path
            _agree(by_kind[name], branch, path, seen)
    elif len(options) == 1:
        allowed = schema.get("type")
        if isinstance(allowed, list):
            assert allowed == [SCALARS[options[0]], "null"], path
        else:
            _agree(options[0], schema, path, seen)
    else:
        assert set(options) in ({str, int, float}, {str, float}), path
        assert schema["type"] == ["string", "number"], path


def _agree_tuple(arguments: tuple[Any, ...], schema: Mapping[str, Any], path: str, seen: set[type]) -> None:
    short_form = isinstance(schema["type"], list)  # `processes: all`
    assert schema["type"] == (["array", "string"] if short_form else "array"), path
    assert short_form == ("pattern" in schema), path
    if arguments[-1] is not Ellipsis:
        assert schema["minItems"] == schema["maxItems"] == len(arguments), path
    _agree(arguments[0], schema["items"], f"{path}[]", seen)


def _agree_dataclass(kind: type, schema: Mapping[str, Any], path: str, seen: set[type]) -> None:
    seen.add(kind)
    assert schema["type"] == "object", path
    fields = dataclasses.fields(kind)
    assert {field.name for field in fields} == set(schema["properties"]), path
    required = set()
    hints = get_type_hints(kind)
    for field in fields:
        part = _resolved(schema["properties"][field.name])
        place = f"{path}.{field.name}"
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.add(field.name)
            assert "default" not in part, place
        else:
            default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            _agree_default(default, part, place)
        _agree(hints[field.name], part, place, seen)
    assert required == set(schema.get("required", ())), path


def _agree_default(default: object, schema: Mapping[str, Any], path: str) -> None:
    if default is None:
        assert "default" not in schema, path
    elif dataclasses.is_dataclass(default):
        assert schema["default"] == {}, path
    else:
        assert "default" in schema, path
        assert schema["default"] == to_json(default), path
        Draft202012Validator({**schema}, registry=registry()).validate(schema["default"])


@pytest.mark.parametrize("path", sorted(ROOT.glob("specs/*/analysis.yaml")), ids=lambda path: path.parent.name)
def test_editors_find_the_schema_of_a_document(path: Path) -> None:
    first = path.read_text(encoding="utf-8").split("\n")[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(.+)", first)
    assert match, first
    schema = path.parent / match.group(1)
    assert schema.read_text(encoding="utf-8") == schema_text("analysis")
