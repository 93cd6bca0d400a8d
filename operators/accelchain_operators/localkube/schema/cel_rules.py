# SPDX-License-Identifier: Apache-2.0
"""Validation rules of a schema (``x-kubernetes-validations``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accelchain_operators.localkube.errors import Cause
from accelchain_operators.localkube.objects import JsonObject
from accelchain_operators.localkube.schema.cel_engine import ABSENT, CelError, CelRuntimeError, Expression, Scope


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: true for good values."""

    expression: Expression
    message: str = ""
    message_expression: Expression | None = None
    reason: str = "FieldValueInvalid"
    field_path: str = ""
    optional_old: bool = False

    @classmethod
    def compile(cls, raw: JsonObject) -> Rule:
        """Compile a rule as the schema writes it. Raises CelError."""
        source = raw.get("rule")
        if not isinstance(source, str) or not source.strip():
            raise CelError(str(source), "Required value: rule is not specified")
        text = raw.get("messageExpression")
        return cls(
            expression=Expression(source),
            message=raw.get("message", ""),
            message_expression=Expression(text, field="messageExpression") if text else None,
            reason=raw.get("reason", "FieldValueInvalid"),
            field_path=raw.get("fieldPath", ""),
            optional_old=bool(raw.get("optionalOldSelf")),
        )

    @property
    def transition(self) -> bool:
        """Whether the rule looks at the old value: it is then skipped where there is none."""
        return self.expression.uses_old

    def check(self, path: str, scope: Scope) -> Cause | None:
        """Return what is wrong with the scope's value, or None."""
        if self.transition and scope.old is ABSENT and not self.optional_old:
            return None
        try:
            if self.expression.evaluate(scope, optional_old=self.optional_old) is True:
                return None
            message = self._message(scope)
        except CelRuntimeError as error:
            message = f"rule evaluation error: {error}: evaluating rule: {self.message or self.expression.source}"
        below = self.field_path
        where = path + (below if not below or below.startswith((".", "[")) else f".{below}")
        return Cause(where, self._worded(scope.value, message), self.reason)

    def _message(self, scope: Scope) -> str:
        if self.message_expression is not None:
            text = self.message_expression.evaluate(scope, optional_old=self.optional_old)
            if isinstance(text, str) and text.strip():
                return text
        return self.message or f"failed rule: {self.expression.source}"

    def _worded(self, value: Any, message: str) -> str:
        match self.reason:
            case "FieldValueForbidden":
                return f"Forbidden: {message}"
            case "FieldValueRequired":
                return f"Required value: {message}"
            case "FieldValueDuplicate":
                return f"Duplicate value: {_shown(value)}: {message}"
        return f"Invalid value: {_shown(value)}: {message}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return '"object"'
    if isinstance(value, list):
        return '"array"'
    return f'"{value}"' if isinstance(value, str) else str(value)
