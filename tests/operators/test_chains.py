# SPDX-License-Identifier: Apache-2.0
"""What ``kubectl get`` shows of chains and types: lists in one line, of which it would show the first item alone."""

from __future__ import annotations

from typing import Any

from accelchain_operators.reconcile.chains import reconcile_chain, reconcile_type


def obj(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "accelchain.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "x", "generation": 3},
        "spec": spec,
    }


def status(actions: Any) -> dict[str, Any]:
    ((action,),) = actions.stages
    found: dict[str, Any] = action.obj["status"]
    return found


def test_the_functions_of_a_chain_are_told_whether_they_are_known_or_not() -> None:
    functions = [{"name": "a", "type": "copy"}, {"name": "b", "type": "blur"}, {"name": "c", "type": "copy"}]
    found = status(reconcile_chain(obj("FunctionChain", {"functions": functions}), []))
    assert found["functionNames"] == "copy, blur"
    assert found["conditions"][0]["reason"] == "UnknownFunction"


def test_the_apis_of_a_type_are_told_whether_it_is_valid_or_not() -> None:
    implementation = {"deviceTypes": ["cpu"], "entrypoint": "f:F"}
    spec = {
        "version": "1.0.0",
        "role": "source",
        "outputs": [{"name": "frames", "type": "frames", "shape": ["h", "w", 3]}],
        "implementations": [{**implementation, "name": api, "api": api} for api in ("opencl", "host")],
    }
    found = status(reconcile_type(obj("FunctionType", spec), []))
    assert (found["apis"], found["conditions"][0]["status"]) == ("opencl, host", "True")
    other = {**obj("FunctionType", {**spec, "function": "x"}), "metadata": {"name": "y"}}
    found = status(reconcile_type(obj("FunctionType", spec), [other]))
    assert (found["apis"], found["conditions"][0]["reason"]) == ("opencl, host", "DuplicateName")


def test_what_can_not_be_read_has_no_line() -> None:
    found = status(reconcile_chain(obj("FunctionChain", {"functions": "many"}), []))
    assert found["conditions"][0]["reason"] == "InvalidSpec"
    assert "functionNames" not in found
