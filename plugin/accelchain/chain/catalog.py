# SPDX-License-Identifier: Apache-2.0
"""The function types that are installed, and whether each is sound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from accelchain.api.function_type import FunctionType, FunctionTypeSpec, Implementation, Port
from accelchain.chain.ports import ELEMENT_BYTES
from accelchain.chain.problems import Problems, choose
from accelchain.chain.resolved import Problem, is_supported
from accelchain.chain.values import check_declarations


class Catalog:
    """Function types by name and version."""

    def __init__(self, types: Iterable[FunctionType]) -> None:
        self._versions: dict[str, dict[str, FunctionType]] = {}
        for type_ in types:  # a name and version given twice: the first counts, as in the runtime's registry
            self._versions.setdefault(type_.function, {}).setdefault(type_.spec.version, type_)

    def find(self, name: str, version: str | None, path: str, problems: Problems) -> FunctionType | None:
        """Return the function type of that version; the highest release where no version is asked for.

        Args:
            name: the function's name.
            version: exact version, or None.
            path: the chain's function, for problems.
            problems: gets UnknownFunction where there is none (None is returned).
        """
        versions = self._versions.get(name)
        if versions is None:
            problems.add(
                "UnknownFunction", f"{path}.type", f"no function '{name}' is installed: {choose(name, self._versions)}"
            )
            return None
        if version is None:
            return max(versions.values(), key=lambda t: _precedence(t.spec.version))
        if version not in versions:
            have = ", ".join(sorted(versions, key=_precedence))
            problems.add(
                "UnknownFunction", f"{path}.version", f"function '{name}' has no version {version}: choose from {have}."
            )
        return versions.get(version)


def check_type(type_: FunctionType) -> tuple[Problem, ...]:
    """Return what is wrong with a function type; paths begin with ``FunctionType/<name> spec``."""
    problems, spec = Problems(), type_.spec
    path = f"FunctionType/{type_.metadata.name or type_.function} spec"
    for ports, what, empty in ((spec.inputs, "inputs", "source"), (spec.outputs, "outputs", "sink")):
        if (spec.role == empty) != (not ports):
            problems.add(
                "InvalidParameter",
                f"{path}.{what}",
                f"role {spec.role} {'has no' if ports else 'needs'} {what}; a function without {what} is a {empty}.",
            )
        _check_ports(ports, f"{path}.{what}", spec, problems)
    check_declarations(spec.parameters, f"{path}.parameters", problems)
    names: set[str] = set()
    for i, implementation in enumerate(spec.implementations):
        field = f"{path}.implementations[{i}]"
        if implementation.name in names:
            problems.add("DuplicateName", f"{field}.name", f"implementation '{implementation.name}' is there twice.")
        names.add(implementation.name)
        _check_implementation(implementation, field, spec, problems)
    if not any(is_supported(i) for i in spec.implementations):
        problems.add(
            "NotSupported",
            f"{path}.implementations",
            "this version runs neither api cuda nor regionTypes: add an implementation for host or opencl.",
        )
    return problems.found()


def _check_ports(ports: Sequence[Port], path: str, spec: FunctionTypeSpec, problems: Problems) -> None:
    integers = [p.name for p in spec.parameters if p.type == "integer"]
    names: set[str] = set()
    for i, port in enumerate(ports):
        if port.name in names:
            problems.add("DuplicateName", f"{path}[{i}].name", f"port '{port.name}' is there twice.")
        names.add(port.name)
        if port.dtype not in ELEMENT_BYTES:
            problems.add(
                "InvalidParameter",
                f"{path}[{i}].dtype",
                f"'{port.dtype}' is no element type: {choose(port.dtype, ELEMENT_BYTES)}",
            )
        for j, dimension in enumerate(port.shape):
            if isinstance(dimension, int) and dimension < 1:
                problems.add("InvalidParameter", f"{path}[{i}].shape[{j}]", f"{dimension} is no size: give 1 or more.")
            elif isinstance(dimension, str) and dimension.startswith("$") and dimension[1:] not in integers:
                problems.add(
                    "UnknownParameter",
                    f"{path}[{i}].shape[{j}]",
                    f"the type has no integer parameter '{dimension[1:]}': {choose(dimension[1:], integers)}",
                )


def _check_implementation(
    implementation: Implementation, path: str, spec: FunctionTypeSpec, problems: Problems
) -> None:
    if (implementation.entrypoint is None) == (implementation.kernel is None):
        problems.add(
            "InvalidParameter", path, "give exactly one of entrypoint (a Python class) and kernel (an OpenCL kernel)."
        )
    if implementation.api == "host" and set(implementation.device_types) != {"cpu"}:
        problems.add("InvalidParameter", f"{path}.deviceTypes", "api host runs on device type cpu only.")
    if implementation.kernel is None:
        return
    if implementation.api != "opencl":
        problems.add("InvalidParameter", f"{path}.api", "a kernel is for api opencl.")
    if not spec.inputs or not spec.outputs:
        problems.add("InvalidParameter", f"{path}.kernel", "a kernel needs inputs and outputs; use an entrypoint.")
    for i, parameter in enumerate(spec.parameters):
        if parameter.type == "string":
            problems.add(
                "InvalidParameter",
                f"{path.rpartition('.')[0]}.parameters[{i}].type",
                f"kernel '{implementation.kernel.name}' can't take strings: use integer, number or boolean.",
            )


def _precedence(version: str) -> tuple[bool, tuple[int, ...], tuple[tuple[bool, int, str], ...]]:
    """Return a key that orders versions; every pre-release comes before every release."""
    core, _, suffix = version.partition("-")
    identifiers = tuple(
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in suffix.split(".") if suffix
    )
    return not suffix, tuple(map(int, core.split("."))), identifiers
