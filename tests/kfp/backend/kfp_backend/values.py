# SPDX-License-Identifier: Apache-2.0
"""Values of parameters as text, in Go's spelling; a value is what JSON can say, numbers are doubles."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

Value = Any
"""None, str, float, bool, list or dict: a google.protobuf.Value."""


class BackendError(Exception):
    """What driver, launcher or compiler refuse."""


def compact(value: Value) -> str:
    """Write JSON as protojson does: sorted keys, whole doubles without a point."""
    return json.dumps(_whole(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _whole(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e21
    return int(value) if is_whole else value


def fixed(number: float) -> str:
    """Go's strconv.FormatFloat(number, 'f', -1, 64)."""
    return str(int(number)) if float(number).is_integer() else format(Decimal(repr(float(number))), "f")


def general(number: float) -> str:
    """Go's ``%g``: an exponent below -4 and from 6 on."""
    sign, digits, exponent = Decimal(repr(float(number))).as_tuple()
    digits = tuple(digits)
    while len(digits) > 1 and digits[-1] == 0:
        digits, exponent = digits[:-1], int(exponent) + 1
    power = len(digits) + int(exponent) - 1
    if -4 <= power < 6:
        return fixed(number)
    rest = "".join(map(str, digits[1:]))
    return f"{'-' if sign else ''}{digits[0]}{'.' + rest if rest else ''}e{'-' if power < 0 else '+'}{abs(power):02d}"


def to_text(value: Value) -> str:
    """metadata/converter.go:PbValueToText."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return fixed(value)
    return value if isinstance(value, str) else compact(value)


def driver_text(value: Value) -> str:
    """driver/util.go:pbValueToString: as ``to_text``, but for broken numbers, and for the escapes of encoding/json."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return to_text(value)
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else general(value)
    text = compact(value)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def from_text(text: str, kind: str) -> Value:
    """metadata/converter.go:TextToPbValue. Raises BackendError for text that isn't of the type."""
    try:
        if kind == "STRING":
            return text
        if kind == "NUMBER_INTEGER":
            return float(int(text.strip()))
        if kind == "NUMBER_DOUBLE":
            return float(text.strip())
        if kind == "BOOLEAN":
            return _boolean(text.strip())
        value = json.loads(text, parse_int=float)
    except ValueError as error:
        raise BackendError(f"TextToPbValue(text={text!r}, type={kind}) failed: {error}") from None
    if not isinstance(value, {"LIST": list, "STRUCT": dict}[kind]):
        raise BackendError(f"TextToPbValue(text={text!r}, type={kind}) failed: unexpected type")
    return value


def _boolean(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError(f"invalid syntax {text!r}")


def kind_of(value: Value) -> frozenset[str]:
    """Return the parameter types that a value fits (driver/resolve.go:resolveInputs)."""
    if isinstance(value, bool):
        return frozenset({"BOOLEAN"})
    if isinstance(value, int | float):
        return frozenset({"NUMBER_DOUBLE", "NUMBER_INTEGER"})
    if isinstance(value, str):
        return frozenset({"STRING"})
    if isinstance(value, list):
        return frozenset({"LIST"})
    return frozenset({"STRUCT", "TASK_FINAL_STATUS", "TASK_CONFIG"}) if isinstance(value, dict) else frozenset()
