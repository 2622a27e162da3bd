"""Grammars for constrained decoding, one for each kind of turn: with them, untrained models complete the protocol too.

Grammars are EBNF as xgrammar and vLLM read it. Every text they allow is parsed without a correction, except for an
answer that contradicts its own scores: no grammar can require that the answer leads the weighted scores. Free text
excludes `<`, so that it contains no tag, and a rule with free text includes the end of the text: only then are its
token masks cheap (microseconds instead of milliseconds a token) and shared by all grammars that repeat the rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..prompts import tool_schema

MAX_CANDIDATES: Final = 3
"""Candidates of one sub-action, and scores of an answer without sub-actions."""
MAX_SENTENCE: Final = 300
"""Characters of free text before calls; fewer if the turn's limit of free text is lower."""
MAX_STRING: Final = 80
"""Characters of a string in a call."""
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f<\ud800-\udfff]")
"""Characters of a label that plain text cannot carry: line ends, tags, lone surrogates."""
_SCORE: Final = 'score ::= "10" | [0-9]'
_NUMBER: Final = 'number ::= "-"? ("0" | [1-9] [0-9]{0,4}) ("." [0-9]{1,3})?'
_STRING: Final = rf'string ::= "\"" [^"\\<\x00-\x1f]{{0,{MAX_STRING}}} "\""'
_LETTER: Final = r"[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u4e00-\u9fff]"
# A name that begins with a letter cannot be mistaken for the rank of another sub-action.
_NAME: Final = rf'name ::= "\"" {_LETTER} [^"\\<\x00-\x1f]{{0,{MAX_STRING}}} "\""'


@dataclass(frozen=True)
class Form:
    """The constraint on the output of a turn."""

    grammar: str
    """EBNF with the rule `root`."""
    call: str | None = None
    """The tool to require by `tool_choice` instead, for a server without grammars."""


def choice_form(tools: Sequence[str], reasoning: int) -> Form:
    """A sentence, then calls of `tools`, each at most once, in any order.

    Args:
        tools: Names of the offered tools.
        reasoning: Maximum number of characters of free text.
    """
    names = list(dict.fromkeys(tools))
    rules = ["root ::= said calls0", _sentence(reasoning), _STRING, _NUMBER]
    rules += [f"call{k} ::= {_call(name, _value(_parameters(name)))}" for k, name in enumerate(names)]
    # One rule for each set of tools called so far: a grammar cannot express "once, in any order" otherwise.
    for called in range(2 ** len(names)):
        left = [k for k in range(len(names)) if not called >> k & 1]
        line = _text("\n") if called else ""
        ways = [f"{line} call{k} calls{called | 1 << k}" for k in left]
        rules.append(f"calls{called} ::= " + " | ".join(['""', *ways]))
    return Form("\n".join(rules))


def decompose_form(actions: Sequence[str], reasoning: int) -> Form:
    """An optional sentence, then one `decompose` call of 2 to 6 sub-actions, each with up to 3 of `actions`."""
    more = f"({_text(', ')} label){{0,{MAX_CANDIDATES - 1}}}"
    item = (
        f"{_text('{' + _json('name') + ': ')} name "
        f"({_text(', ' + _json('candidates') + ': [')} (label {more})? {_text(']')})? {_text('}')}"
    )
    listed = f"{_text('{' + _json('sub_actions') + ': [')} item ({_text(', ')} item){{1,5}} {_text(']}')}"
    rules = [
        f"root ::= said? {_call('decompose', listed)}",
        _sentence(reasoning),
        f"item ::= {item}",
        _NAME,
        _any("label", [_json(action) for action in actions]),
    ]
    return Form("\n".join(rules), call="decompose")


def score_form(sub_actions: Sequence[Mapping[str, Any]], actions: Sequence[str], reasoning: int) -> Form:
    """Reasoning, a score for every candidate of every sub-action, and one of `actions`: the reply to `score`.

    Args:
        sub_actions: {candidates} by rank. Without any, 2 or 3 of `actions` are scored: the reply to `answer`.
        actions: All candidates.
        reasoning: Maximum number of characters of the reasoning.
    """
    rules = [f"root ::= thought {_text('<scores>{')} scores {_text('}</scores>' + chr(10))} answer", _SCORE]
    if sub_actions:
        rows = [
            f"{_text(_json(str(k)) + ': {')} "
            + _joined(f"{_text(_json(label) + ': ')} score" for label in item["candidates"])
            + f" {_text('}')}"
            for k, item in enumerate(sub_actions, 1)
        ]
        rules.append(f"scores ::= {_joined(rows)}")
    else:
        fewest, most = min(2, len(actions)), min(MAX_CANDIDATES, len(actions))
        rules += [
            f"scores ::= pair ({_text(', ')} pair){{{fewest - 1},{most - 1}}}",
            f"pair ::= label {_text(': ')} score",
            _any("label", [_json(action) for action in actions]),
        ]
    rules += [
        f"thought ::= {_text('<think>')} [^<\\x00-\\x08\\x0b-\\x1f]{{1,{reasoning}}} {_text('</think>' + chr(10))}",
        f"answer ::= {_text('<answer>')} stated {_text('</answer>')}",
        _any("stated", [_stated(action) for action in actions]),
    ]
    return Form("\n".join(rules))


def _sentence(reasoning: int) -> str:
    """One line without brackets, so that it cannot contain a call in another format."""
    return f"said ::= [^<(){{}}\\[\\]\\x00-\\x1f]{{1,{min(reasoning, MAX_SENTENCE)}}} {_text(chr(10))}"


def _call(name: str, arguments: str) -> str:
    """A call as the chat template writes it."""
    opening = f'<tool_call>\n{{"name": {_json(name)}, "arguments": '
    return f"{_text(opening)} {arguments} {_text('}' + chr(10) + '</tool_call>')}"


def _parameters(name: str) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = tool_schema(name)["function"]["parameters"]
    return schema


def _value(schema: Mapping[str, Any]) -> str:
    """A JSON value of a schema, for the subset of JSON Schema that the tools use."""
    if "anyOf" in schema:
        return "(" + " | ".join(_value(one) for one in schema["anyOf"]) + ")"
    if "enum" in schema:
        return "(" + " | ".join(_text(_json(one)) for one in schema["enum"]) + ")"
    kind = schema.get("type")
    if kind == "object":
        return _object(schema)
    if kind == "array":
        item = _value(schema["items"])
        return f"{_text('[')} ({item} ({_text(', ')} {item}){{0,5}})? {_text(']')}"
    plain = {"string": "string", "number": "number", "integer": '("0" | [1-9] [0-9]{0,5})', "null": '"null"'}
    return {**plain, "boolean": '("true" | "false")'}[str(kind)]


def _object(schema: Mapping[str, Any]) -> str:
    """Properties in the order of the schema; optional ones may be missing."""
    required = schema.get("required", ())
    pairs = [
        (f"{_text(_json(name) + ': ')} {_value(inner)}", name in required)
        for name, inner in schema.get("properties", {}).items()
    ]
    later, first = '""', '""'
    for pair, needed in reversed(pairs):
        # After this pair the rest begins with a comma; without it, it does not.
        first = f"{pair} {later}" if needed else f"({pair} {later} | {first})"
        later = f"{_text(', ')} {pair} {later}" if needed else f"({_text(', ')} {pair})? {later}"
    return f"{_text('{')} {first} {_text('}')}"


def _joined(parts: Any) -> str:
    return f" {_text(', ')} ".join(parts)


def _any(rule: str, texts: Sequence[str]) -> str:
    return f"{rule} ::= " + " | ".join(_text(text) for text in dict.fromkeys(texts))


def _json(value: Any) -> str:
    """JSON on one line as the chat template writes it, with `<` escaped: it could begin a tag or a control token."""
    text = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\x7f", "\\u007f")
    return re.sub("[\ud800-\udfff]", lambda surrogate: f"\\u{ord(surrogate.group()):04x}", text)


def _stated(label: str) -> str:
    """A label as answer: as listed, or as the only item of a JSON list if plain text cannot carry it."""
    return f"[{_json(label)}]" if _UNSAFE.search(label) else label


def _text(text: str) -> str:
    """A literal in EBNF."""
    return '"' + "".join(_letter(letter) for letter in text) + '"'


def _letter(letter: str) -> str:
    code = ord(letter)
    if letter in '"\\':
        return "\\" + letter
    if 0x20 <= code < 0x7F:
        return letter
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
