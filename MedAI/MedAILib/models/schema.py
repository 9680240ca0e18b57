"""A checker for the part of JSON Schema that ``model.schema.json`` uses, so that no further package is needed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
}

_NOTES = {"$schema", "$defs", "title", "description"}


def problems(value: Any, schema: Schema, field: str = "", root: Schema | None = None) -> list[str]:
    """What in ``value`` does not fit ``schema``: one "field: reason" line each, empty if all is well.

    Args:
        value: parsed JSON.
        schema: keywords type, required, properties, additionalProperties, items, enum, pattern, minimum, maximum,
            exclusiveMinimum, minItems, maxItems, minLength, anyOf and local $ref.
        field: dotted name of ``value``; empty at the top.
        root: the schema that holds ``$defs``; the top call leaves it out.

    Raises:
        ValueError: the schema uses a keyword that is not understood here, so a check would silently not happen.
    """
    root = schema if root is None else root
    if "$ref" in schema:
        return problems(value, _definition(schema["$ref"], root), field, root)
    unknown = set(schema) - set(_CHECKS) - _NOTES - {"type"}
    if unknown:
        raise ValueError(f"The schema of '{field}' uses keywords that are not checked: {sorted(unknown)}.")
    here = field or "the file"
    kind = schema.get("type")
    if kind is not None and not _TYPES[kind](value):
        return [f"{here}: must be {_article(kind)}, not {_shown(value)}"]
    return [
        line
        for key, rule in schema.items()
        if key in _CHECKS
        for line in _CHECKS[key](value, rule, schema, field, root)
    ]


def _definition(reference: str, root: Schema) -> Schema:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _article(kind: str) -> str:
    return {"null": "null", "integer": "an integer", "array": "a list", "object": "an object"}.get(kind, f"a {kind}")


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _inside(field: str, name: str | int) -> str:
    if isinstance(name, int):
        return f"{field}[{name}]"
    return f"{field}.{name}" if field else name


def _required(value: Any, rule: Any, schema: Schema, field: str, root: Schema) -> list[str]:
    return (
        [f"{_inside(field, name)}: is missing" for name in rule if name not in value] if isinstance(value, dict) else []
    )


def _properties(value: Any, rule: Any, schema: Schema, field: str, root: Schema) -> list[str]:
    if not isinstance(value, dict):
        return []
    return [
        line
        for name, inner in rule.items()
        if name in value
        for line in problems(value[name], inner, _inside(field, name), root)
    ]


def _additional(value: Any, rule: Any, schema: Schema, field: str, root: Schema) -> list[str]:
    if not isinstance(value, dict):
        return []
    extra = [name for name in value if name not in schema.get("properties", {})]
    if isinstance(rule, dict):
        return [line for name in extra for line in problems(value[name], rule, _inside(field, name), root)]
    return [] if rule else [f"{_inside(field, name)}: is not a field of this file" for name in extra]


def _items(value: Any, rule: Any, schema: Schema, field: str, root: Schema) -> list[str]:
    if not isinstance(value, list):
        return []
    return [line for n, item in enumerate(value) for line in problems(item, rule, _inside(field, n), root)]


def _any_of(value: Any, rule: Any, schema: Schema, field: str, root: Schema) -> list[str]:
    tried = [problems(value, choice, field, root) for choice in rule]
    return [] if any(not found for found in tried) else tried[0]


def _simple(wrong: Callable[[Any, Any], bool], text: str) -> Callable[..., list[str]]:
    """A check of one value against one number or list; ``text`` may use {rule}."""

    def check(value: Any, rule: Any, schema: Schema, field: str, root: Schema) -> list[str]:
        return [f"{field or 'the file'}: {text.format(rule=rule)}, not {_shown(value)}"] if wrong(value, rule) else []

    return check


_CHECKS: dict[str, Callable[..., list[str]]] = {
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "anyOf": _any_of,
    "enum": _simple(lambda value, rule: value not in rule, "must be one of {rule}"),
    "pattern": _simple(lambda value, rule: re.search(rule, value) is None, "must match {rule}"),
    "minimum": _simple(lambda value, rule: value < rule, "must be at least {rule}"),
    "maximum": _simple(lambda value, rule: value > rule, "must be at most {rule}"),
    "exclusiveMinimum": _simple(lambda value, rule: value <= rule, "must be above {rule}"),
    "minItems": _simple(lambda value, rule: len(value) < rule, "must have at least {rule} items"),
    "maxItems": _simple(lambda value, rule: len(value) > rule, "must have at most {rule} items"),
    "minLength": _simple(lambda value, rule: len(value) < rule, "must not be empty"),
}
