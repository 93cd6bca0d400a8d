# SPDX-License-Identifier: Apache-2.0
"""Values of parameters against their declarations."""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Sequence
from typing import Final

from accelchain.api.common import Scalar
from accelchain.api.parameter import ParameterDeclaration
from accelchain.chain.problems import Problems


class Unknown(enum.Enum):
    """The value of a reference that nobody has given yet: a chain is checked before flows fill it in."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
Value = Scalar | Unknown

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ARTICLE = {"string": "a string", "integer": "an integer", "number": "a number", "boolean": "a boolean"}


def fitted(declaration: ParameterDeclaration, value: Scalar) -> Scalar:
    """Return a given value in the declared type: text that reads as JSON of it is that number or boolean.

    Workflow engines hand every value on as text: ``"0.4"`` is meant as 0.4 where a number is declared.
    """
    if isinstance(value, str) and declaration.type != "string":
        parsed = _parsed(value)
        if parsed is not None and _fits(declaration.type, parsed):
            return parsed
    return value


def fault(declaration: ParameterDeclaration, value: Scalar) -> str | None:
    """Return what is wrong with a value, None where it fits. Text is no number: see ``fitted``."""
    if type_fault := _type_fault(declaration.type, value):
        return type_fault
    if isinstance(value, int | float) and not isinstance(value, bool):
        if declaration.minimum is not None and value < declaration.minimum:
            return f"{value} is below the minimum, {_number(declaration.minimum)}"
        if declaration.maximum is not None and value > declaration.maximum:
            return f"{value} is above the maximum, {_number(declaration.maximum)}"
    if declaration.enum is not None and value not in declaration.enum:
        return f"{_shown(value)} is none of {', '.join(map(_shown, declaration.enum))}"
    if is_address(declaration) and (message := address_fault(str(value))):
        return message
    return None


def is_address(declaration: ParameterDeclaration) -> bool:
    """Tell whether the parameter is the address of a source or a sink."""
    return declaration.type == "string" and (
        declaration.format in ("uri-input", "uri-output") or (declaration.name == "uri" and declaration.format is None)
    )


def address_fault(uri: str) -> str | None:
    """Return what is wrong with an address, None where it is absolute."""
    if not uri:
        return "the address is empty"
    if not _SCHEME.match(uri):
        return f"{_shown(uri)} is relative; give a whole address, such as file:///folder/file"
    if uri.lower().startswith("file:") and not uri[5:].startswith("///"):
        return f"{_shown(uri)} is no absolute file; write file:///folder/file"
    return None


def check_declarations(declarations: Sequence[ParameterDeclaration], path: str, problems: Problems) -> None:
    """Check parameters' declarations against themselves.

    Args:
        declarations: of a chain or of a function type.
        path: the field that holds them.
        problems: where faults go.
    """
    seen: set[str] = set()
    for i, declaration in enumerate(declarations):
        field = f"{path}[{i}]"
        if declaration.name in seen:
            problems.add("DuplicateName", f"{field}.name", f"parameter '{declaration.name}' is declared twice.")
        seen.add(declaration.name)
        if declaration.required and declaration.default is not None:
            problems.add("InvalidParameter", f"{field}.default", "a required parameter has no default: remove one.")
        if (
            declaration.minimum is not None
            and declaration.maximum is not None
            and declaration.minimum > declaration.maximum
        ):
            problems.add("InvalidParameter", f"{field}.minimum", "minimum exceeds maximum.")
        for j, value in enumerate(declaration.enum or ()):
            if message := _type_fault(declaration.type, value):
                problems.add("InvalidParameter", f"{field}.enum[{j}]", f"{message}.")
        if declaration.default is not None and (message := fault(declaration, declaration.default)):
            problems.add("InvalidParameter", f"{field}.default", f"{message}.")


def _type_fault(wanted: str, value: Scalar) -> str | None:
    if _fits(wanted, value):
        if isinstance(value, float) and not math.isfinite(value):
            return f"{value} is no finite number"
        return None
    given = _type_of(value)
    hint = "; put it in quotes" if wanted == "string" else ""
    if isinstance(value, str) and (parsed := _parsed(value)) is not None and _fits(wanted, parsed):
        hint = "; leave out the quotes"
    return f"{_shown(value)} is {_ARTICLE[given]}, {_ARTICLE[wanted]} is wanted{hint}"


def _type_of(value: Scalar) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


def _fits(wanted: str, value: Scalar) -> bool:
    given = _type_of(value)
    return given == wanted or (wanted == "number" and given == "integer")


def _parsed(text: str) -> bool | int | float | None:
    """Return the number or boolean that a text reads as in JSON; None: something else."""
    try:
        parsed = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, bool | int | float) and math.isfinite(parsed) else None


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(constant)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else str(value)


def _shown(value: Scalar) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + '…"'
