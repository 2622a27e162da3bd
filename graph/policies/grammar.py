"""The form of each turn, for servers that can hold a model to one: un-trained models, too, complete the protocol.

Grammars are EBNF as xgrammar and vLLM read it. What one admits, `parse` takes without a correction, but for an answer
that contradicts its own scores: that an answer leads the weighed scores, no grammar can say. Free text is without `<`,
so that none of it is a tag, and a rule with free text holds the text's end, too: only then are its token masks cheap
(microseconds instead of milliseconds a token) and shared by all grammars that repeat the rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..prompts import tool_schema

MOST_CANDIDATES: Final = 3
"""Candidates of one sub-action, and scores of an answer without sub-actions."""
LONGEST_SENTENCE: Final = 300
"""Characters said before calls; fewer where a turn's free text is shorter."""
LONGEST_STRING: Final = 80
"""Characters of a string in a call."""
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f<\ud800-\udfff]")
"""What in a label would not survive as plain text: ends of lines, tags, half characters."""
_SCORE: Final = 'score ::= "10" | [0-9]'
_NUMBER: Final = 'number ::= "-"? ("0" | [1-9] [0-9]{0,4}) ("." [0-9]{1,3})?'
_STRING: Final = rf'string ::= "\"" [^"\\<\x00-\x1f]{{0,{LONGEST_STRING}}} "\""'
_LETTER: Final = r"[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u4e00-\u9fff]"
# A name that begins with a letter is never taken for the number of another sub-action.
_NAME: Final = rf'name ::= "\"" {_LETTER} [^"\\<\x00-\x1f]{{0,{LONGEST_STRING}}} "\""'


@dataclass(frozen=True)
class Form:
    """What a turn must look like."""

    grammar: str
    """EBNF with the rule `root`."""
    call: str | None = None
    """The tool that a server without grammars can be told to call instead."""


def choice_form(tools: Sequence[str], reasoning: int) -> Form:
    """A sentence, then calls of `tools`, each at most once, in any order.

    Args:
        tools: Names of the tools on offer.
        reasoning: Most characters of free text.
    """
    names = list(dict.fromkeys(tools))
    rules = ["root ::= said calls0", _sentence(reasoning), _STRING, _NUMBER]
    rules += [f"call{k} ::= {_call(name, _value(_parameters(name)))}" for k, name in enumerate(names)]
    # One rule for each set of tools called so far: only so can a grammar say "once" and leave the order free.
    for called in range(2 ** len(names)):
        left = [k for k in range(len(names)) if not called >> k & 1]
        line = _text("\n") if called else ""
        ways = [f"{line} call{k} calls{called | 1 << k}" for k in left]
        rules.append(f"calls{called} ::= " + " | ".join(['""', *ways]))
    return Form("\n".join(rules))


def decompose_form(actions: Sequence[str], reasoning: int) -> Form:
    """A sentence or none, then one `decompose` of 2 to 6 sub-actions, each with up to 3 of `actions` or none named."""
    more = f"({_text(', ')} label){{0,{MOST_CANDIDATES - 1}}}"
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
    """Thought, a score of every sub-action's every candidate, and one of `actions`, as the request `score` wants them.

    Args:
        sub_actions: `candidates` by rank. Without any, the 2 or 3 best of `actions` are scored,
            as the request `answer` wants them.
        actions: All candidates.
        reasoning: Most characters of the thought.
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
        fewest, most = min(2, len(actions)), min(MOST_CANDIDATES, len(actions))
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
    """One line without brackets: text that could be taken for a call in another form is none of the sentence."""
    return f"said ::= [^<(){{}}\\[\\]\\x00-\\x1f]{{1,{min(reasoning, LONGEST_SENTENCE)}}} {_text(chr(10))}"


def _call(name: str, arguments: str) -> str:
    """A call as the chat template writes it."""
    opening = f'<tool_call>\n{{"name": {_json(name)}, "arguments": '
    return f"{_text(opening)} {arguments} {_text('}' + chr(10) + '</tool_call>')}"


def _parameters(name: str) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = tool_schema(name)["function"]["parameters"]
    return schema


def _value(schema: Mapping[str, Any]) -> str:
    """A JSON value of a schema: of JSON Schema, what the tools use."""
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
    """Properties in the order of the schema; those not required may be left out."""
    required = schema.get("required", ())
    pairs = [
        (f"{_text(_json(name) + ': ')} {_value(inner)}", name in required)
        for name, inner in schema.get("properties", {}).items()
    ]
    later, first = '""', '""'
    for pair, needed in reversed(pairs):
        # What follows this pair begins with a comma; what follows its absence does not.
        first = f"{pair} {later}" if needed else f"({pair} {later} | {first})"
        later = f"{_text(', ')} {pair} {later}" if needed else f"({_text(', ')} {pair})? {later}"
    return f"{_text('{')} {first} {_text('}')}"


def _joined(parts: Any) -> str:
    return f" {_text(', ')} ".join(parts)


def _any(rule: str, texts: Sequence[str]) -> str:
    return f"{rule} ::= " + " | ".join(_text(text) for text in dict.fromkeys(texts))


def _json(value: Any) -> str:
    """JSON on one line as the chat template writes it, but for `<`, which could begin a tag or a control token."""
    said = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\x7f", "\\u007f")
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half.group()):04x}", said)


def _stated(label: str) -> str:
    """A label in an answer: as listed, or where text cannot hold it, as a JSON list of it alone."""
    return f"[{_json(label)}]" if _UNSAFE.search(label) else label


def _text(text: str) -> str:
    """A literal of EBNF."""
    return '"' + "".join(_letter(letter) for letter in text) + '"'


def _letter(letter: str) -> str:
    code = ord(letter)
    if letter in '"\\':
        return "\\" + letter
    if 0x20 <= code < 0x7F:
        return letter
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
