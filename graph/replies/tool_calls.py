"""Tool calls, in whatever form a model gives them: all reading of them. A thought is no call.

The Hermes form of the chat template, which policies read and write, is one of the forms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call

from .json_repair import is_shallow, json_prefix, lenient_json, lenient_values
from .labels import words
from .sections import without_thoughts

_TAG: Final = re.compile(r"<(/?)(?:tool_call|function_call)>", re.IGNORECASE)
_FENCE: Final = re.compile(r"```[a-zA-Z_]*[ \t]*\n?(.*?)```", re.DOTALL)
_EMPTY_FENCE: Final = re.compile(r"```[a-zA-Z_]*\s*```")
_QUOTED_NAME: Final = re.compile(r"""["']name["']\s*:\s*["']([\w.-]{1,64})["']""")
_TAGGED: Final = re.compile(
    r"<(function|invoke)(?:=|\s+name=)[\"']?([\w.\-]{1,80})[\"']?\s*>(.*?)(?:</\1>|(?=<\1[=\s])|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_PARAMETER: Final = re.compile(
    r"<parameter(?:=|\s+name=)[\"']?(\w{1,80})[\"']?\s*>\s*(.*?)\s*</parameter>", re.DOTALL | re.IGNORECASE
)
_ACTION_TAG: Final = re.compile(r"<(action|tool)>\s*([\w .\-]{1,80}?)\s*</\1>", re.IGNORECASE)
_REACT: Final = re.compile(
    r"^[ \t*]*(?:Action|Tool)[ \t*]*:[ \t*`]*([\w.\-]{1,80})[`* \t]*(?:\n+"
    r"[ \t*]*(?:Action|Tool)[ \t]+Input[ \t*]*:[ \t]*([^\n]*(?:\n(?!"
    r"[ \t*]*(?:Action|Tool|Observation|Thought|Final)\b)[^\n]*)*))?$",
    re.MULTILINE | re.IGNORECASE,
)
_PYTHON: Final = re.compile(
    r"^[ \t>*\-`\d.\[]{0,12}(?:print\(|await )?((?:\w{1,40}\.){0,3}\w{1,60})\(([^\n]{0,2000}?)\)[ \t`;.,)\]]{0,8}$",
    re.MULTILINE,
)
_NAME_KEYS: Final = ("name", "tool", "tool_name", "function", "function_name", "action")
_ARGUMENT_KEYS: Final = ("arguments", "args", "parameters", "params", "action_input", "tool_input", "input", "kwargs")
_MOST_MATCHES: Final = 600


def with_calls(message: AIMessage, offered: Sequence[str]) -> AIMessage:
    """The turn with every call it makes as a structured call that can be answered.

    Calls in broken JSON are mended; without structured calls, those in the text are taken, and the content becomes the
    text before them. Names are brought to those of `offered` where only case and marks differ, the same call twice is
    one, and every call gets an id of its own. Calls that cannot be read stay as `invalid_tool_calls`. A turn that
    needs none of this is returned as it is.
    """
    content: Any = message.content
    calls = [(call["name"], call["args"], call["id"]) for call in message.tool_calls]
    invalid: list[InvalidToolCall] = []
    for bad in message.invalid_tool_calls:
        args = _arguments(bad.get("args"))
        if bad.get("name") and args is not None:
            calls.append((str(bad["name"]), args, bad.get("id")))
        else:
            invalid.append(bad)
    if not calls and not invalid:
        begins, named = calls_in_text(message.text, offered)
        calls = [(name, args, None) for name, args in named if args is not None]
        invalid = [InvalidToolCall(name=name, args="", id=None, error="no arguments", type="invalid_tool_call")
                   for name, args in named if args is None]  # fmt: skip
        content = message.text[:begins].strip() if named else content
    whole = _whole(calls, offered)
    if (whole, invalid, content) == (message.tool_calls, message.invalid_tool_calls, message.content):
        return message
    return message.model_copy(update={"content": content, "tool_calls": whole, "invalid_tool_calls": invalid})


def calls_in_text(text: str, offered: Sequence[str]) -> tuple[int, list[tuple[str, dict[str, Any] | None]]]:
    """The calls a text makes: where the first begins, and (name, arguments), None for arguments that cannot be read.

    Read are `<tool_call>` and its kin, JSON as in OpenAI's API, ReAct's `Action:` and `Action Input:`, and lines that
    are a Python call. The first form that occurs is taken to be the text's form.
    """
    text = without_thoughts(text)
    for form in (_hermes, _tagged, _json, _react, _python):
        found = [hit for hit, _ in zip(form(text, offered), range(_MOST_MATCHES), strict=False)]
        if found:
            return found[0][0], [(name, args) for _, name, args in found]
    return len(text), []


Hit = tuple[int, str, dict[str, Any] | None]


def parse_hermes(text: str) -> tuple[str, list[ToolCall], list[InvalidToolCall]]:
    """What is said, the calls, and what was meant as a call but cannot be read. Never raises.

    Without any `<tool_call>`, JSON with a name and arguments that is the whole text, or all of a code fence, is a call
    too. A text without calls comes back as it is.
    """
    spoken = without_thoughts(text)
    said, at = "", 0
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for begin, end, body in _between_tags(spoken) or _bare(spoken):
        said, at = said + text[at:begin], end
        for name, args in _inside(body, ()):
            if args is None:
                wrong = "no JSON object with a name and arguments"
                invalid.append(invalid_tool_call(name=name or None, args=body, id=_id(), error=wrong))
            else:
                calls.append(tool_call(name=_clean(name), args=_clean(args), id=_id()))
    if not calls and not invalid:
        return text, [], []
    return _EMPTY_FENCE.sub("", said + text[at:]).strip(), calls, invalid


def _between_tags(text: str) -> list[tuple[int, int, str]]:
    """(begin, end, body) of each pair of tags; a closing tag that is missing is made up for.

    An empty pair beside others is no call: mostly it is an opening tag that was used to close the call before it. Where
    all are empty, the first stands for a call that cannot be read.
    """
    pairs: list[tuple[int, int, str]] = []
    tags = list(_TAG.finditer(text))
    at = 0
    while at < len(tags):
        opening = tags[at]
        at += 1
        if opening.group(1):
            continue
        read = json_prefix(text, opening.end())
        while at < len(tags) and tags[at].start() < read:
            # It stands in a string of the call.
            at += 1
        following = tags[at] if at < len(tags) else None
        if following is not None and following.group(1):
            inner, end = following.start(), following.end()
            at += 1
        elif read > opening.end():
            inner = end = read
        else:
            inner = end = following.start() if following is not None else len(text)
        pairs.append((opening.start(), end, text[opening.end() : inner].strip()))
    if pairs and not any(body for _, _, body in pairs):
        begin, end, _ = pairs[0]
        pairs[0] = (begin, end, text[begin:end])
    return pairs


def _bare(text: str) -> list[tuple[int, int, str]]:
    """As `_between_tags`, for calls without tags: the whole text, or whole code fences, of nothing but JSON calls."""
    whole = text.strip()
    if whole[:1] in ("{", "[") and whole[-1:] in ("}", "]") and _is_call(whole):
        return [(0, len(text), whole)]
    return [(match.start(), match.end(), match[1]) for match in _FENCE.finditer(text) if _is_call(match[1])]


def _is_call(text: str) -> bool:
    items = [item for _, _, value in lenient_values(text) for item in (value if isinstance(value, list) else [value])]
    return bool(items) and all(_named(item, ()) for item in items)


def _inside(body: str, offered: Sequence[str]) -> list[tuple[str, dict[str, Any] | None]]:
    """The calls in a pair of tags, mostly JSON; None for arguments that cannot be read. An empty pair holds none."""
    named: list[tuple[str, dict[str, Any] | None]] = []
    for _, end, value in lenient_values(body):
        for item in value if isinstance(value, list) else [value]:
            # A comma at its end says that arguments were to come.
            alone = isinstance(item, dict) and item.keys() == {"name"} and not body[:end].rstrip().endswith(",")
            named += _named(item, (*offered, item["name"]) if alone and isinstance(item["name"], str) else offered)
    for form in (_tagged, _react, _python):
        named = named or [(name, args) for _, name, args in form(body, offered)]
    quoted = _QUOTED_NAME.search(body)
    return named or ([(quoted[1] if quoted else "", None)] if body else [])


def _hermes(text: str, offered: Sequence[str]) -> Iterator[Hit]:
    for begin, _, body in _between_tags(text):
        yield from ((begin, name, args) for name, args in _inside(body, offered))


def _tagged(text: str, offered: Sequence[str]) -> Iterator[Hit]:
    for match in _TAGGED.finditer(text):
        parameters = {key: _value(value) for key, value in _PARAMETER.findall(match.group(3))}
        yield match.start(), match.group(2), parameters or _arguments(match.group(3))
    for match in _ACTION_TAG.finditer(text):
        if _canonical(match.group(2), offered) in offered:
            yield match.start(), match.group(2), {}


def _json(text: str, offered: Sequence[str]) -> Iterator[Hit]:
    for start, _, value in lenient_values(text):
        for item in value if isinstance(value, list) else [value]:
            for name, args in _named(item, offered):
                yield start, name, args


def _react(text: str, offered: Sequence[str]) -> Iterator[Hit]:
    for match in _REACT.finditer(text):
        name, given = match.groups()
        if given is not None or _canonical(name, offered) in offered:
            yield match.start(), name, _arguments(given)


def _python(text: str, offered: Sequence[str]) -> Iterator[Hit]:
    for match in _PYTHON.finditer(text):
        name, inside = match.group(1), match.group(2).strip().rstrip(",")
        known = _canonical(name, offered) in offered
        if known or re.match(r"\w+\s*=", inside):
            yield match.start(), name, _arguments(inside if inside.startswith("{") or not inside else f"{{{inside}}}")


def _named(item: Any, offered: Sequence[str]) -> list[tuple[str, dict[str, Any] | None]]:
    """The calls that a JSON value makes: {name, arguments} under any of their usual keys, or {tool: arguments}."""
    if not isinstance(item, dict):
        return []
    held = item.get("tool_calls")
    if isinstance(held, list):
        return [call for inner in held for call in _named(inner, offered)]
    if isinstance(item.get("function"), dict):
        return _named(item["function"], offered)
    given = next((key for key in _ARGUMENT_KEYS if key in item), None)
    for key in _NAME_KEYS:
        name = item.get(key)
        if isinstance(name, str) and name and (given is not None or _canonical(name, offered) in offered):
            rest = {k: v for k, v in item.items() if k not in (key, "id", "type")}
            return [(name, _arguments(item[given]) if given is not None else rest)]
    if item and all(_canonical(key, offered) in offered for key in item):
        return [(key, _arguments(value)) for key, value in item.items()]
    return []


def _arguments(given: Any) -> dict[str, Any] | None:
    """Arguments as an object, out of JSON text and needless wrappers; None if they are none."""
    if isinstance(given, str) and given.strip():
        try:
            given = lenient_json(given)
            given = lenient_json(given) if isinstance(given, str) else given
        except ValueError:
            return None
    if given is None or isinstance(given, str):
        return {}
    if not isinstance(given, dict) or not is_shallow(given):
        return None
    keys = set(given)
    wrapper = next((key for key in _ARGUMENT_KEYS if key in given), None)
    if wrapper is not None and keys <= {wrapper, "name", "type", "id"} and isinstance(given[wrapper], dict | str):
        return _arguments(given[wrapper])
    return given


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _canonical(name: str, offered: Sequence[str]) -> str:
    """The tool on offer that differs from `name` in case, marks or a namespace only; else `name`."""
    last = words(re.split(r"[.:/]", name.strip().removesuffix("()"))[-1])
    return next((tool for tool in offered if words(tool) == last), name)


def _whole(calls: Sequence[tuple[str, Any, str | None]], offered: Sequence[str]) -> list[ToolCall]:
    whole: list[ToolCall] = []
    ids: set[str] = set()
    seen: set[str] = set()
    for name, given, given_id in calls:
        args = _clean(_arguments(given) or {})
        name = _clean(_canonical(name, offered))
        said = f"{name} {json.dumps(args, sort_keys=True, default=str)}"
        if said in seen:
            continue
        seen.add(said)
        call_id = given_id if given_id and given_id not in ids else _id()
        ids.add(call_id)
        whole.append(ToolCall(name=name, args=args, id=call_id, type="tool_call"))
    return whole


def whole_text(text: str) -> str:
    """The text with half characters, which JSON can escape but no text can hold, replaced."""
    return text.encode("utf-8", "replace").decode()


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, Mapping):
        return {_clean(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner) for inner in value]
    return value


def _id() -> str:
    return f"call_{uuid4().hex[:12]}"
