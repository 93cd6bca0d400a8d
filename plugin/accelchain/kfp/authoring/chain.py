# SPDX-License-Identifier: Apache-2.0
"""``chain``: a pipeline function, or a block of one, whose tasks become one DataFlow."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, overload

from kfp import dsl
from kfp.dsl import base_component

from accelchain.kfp.authoring.edges import check_edges
from accelchain.kfp.authoring.errors import AuthoringError
from accelchain.kfp.authoring.kfp_objects import PipelineView, current_pipeline, kind_of, names_of, task_kind
from accelchain.kfp.authoring.known import replacing
from accelchain.kfp.authoring.marks import Wishes, attach, mark_of

if TYPE_CHECKING:
    from accelchain.api.common import DeviceType
    from accelchain.kfp.authoring.types import Component

P = ParamSpec("P")

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_MOST_RETRIES = 100


class Chain:
    """A chain that is being written: a decorator of a pipeline function, and a context in one."""

    def __init__(self, name: str | None, options: Mapping[str, Any]) -> None:
        """Keep what holds for all of its functions; ``chain`` checks it.

        Args:
            name: of the chain; the pipeline function's where None.
            options: ``chain`` of a mark, without name and kind.
        """
        self.name = name
        self._options = dict(options)
        self._pipeline: PipelineView | None = None
        self._before: dict[str, Any] = {}
        self._group: Any = None

    def __call__(self, function: Callable[P, Any]) -> Component[P]:
        """Make a pipeline of a function, like ``dsl.pipeline``; every task in it must be accelerated.

        Raises:
            AuthoringError: a task is none of a function's, stands under If or ParallelFor, or an edge does not fit.
        """
        name = self.name or re.sub(r"[^a-z0-9]+", "-", getattr(function, "__name__", "").lower()).strip("-")
        _check_name(name)

        @functools.wraps(function)
        def body(*args: P.args, **kwargs: P.kwargs) -> Any:
            outputs = function(*args, **kwargs)
            pipeline = current_pipeline()
            assert pipeline is not None  # KFP calls the function to build the pipeline
            if kind := pipeline.nested_group():
                raise AuthoringError(
                    f"chain '{name}' has a {kind} in it: all of a chain's functions run, on every frame; put the "
                    f"{kind} around the chain."
                )
            self._seal(name, "pipeline", pipeline.tasks())
            return outputs

        made: Component[P] = dsl.pipeline(body, name=name)
        return made

    def __enter__(self) -> Self:
        """Begin: the tasks that are made from now on belong to the chain.

        Raises:
            AuthoringError: it stands outside of a pipeline function, in another chain, or has no name.
        """
        if self.name is None:
            raise AuthoringError('a chain in a pipeline needs a name: write `with chain("detect"):`.')
        if self._pipeline is not None:
            raise AuthoringError(f"chain '{self.name}' is open already: write a `with chain(…)` for each.")
        pipeline = current_pipeline()
        if pipeline is None:
            raise AuthoringError(
                f"chain '{self.name}' stands outside of a pipeline: write `with chain(…)` in a function under "
                "@dsl.pipeline, or @chain above a function."
            )
        self._pipeline, self._before, self._group = pipeline, pipeline.tasks(), pipeline.group()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End, and mark the tasks.

        Raises:
            AuthoringError: there are none, or one of them can't be in a chain.
        """
        pipeline, self._pipeline = self._pipeline, None
        if error is not None:
            return
        assert pipeline is not None and self.name is not None
        tasks = {name: task for name, task in pipeline.tasks().items() if name not in self._before}
        if not tasks:
            raise AuthoringError(f"chain '{self.name}' has no tasks: call its components in the `with` block.")
        for name, task in tasks.items():
            if task.parent_task_group is not self._group:
                group = task.parent_task_group
                kind_ = "exit-handler" if group is None else kind_of(group)
                raise AuthoringError(
                    f"chain '{self.name}', task '{name}': it is under the chain's own {kind_}: all of a chain's "
                    f"functions run, on every frame; put the chain into the {kind_}."
                )
        self._seal(_unused(self.name, self._before.values()), "group", tasks)

    def _seal(self, name: str, kind: str, tasks: Mapping[str, Any]) -> None:
        for title, task in tasks.items():
            _check_task(name, title, task)
        check_edges(name, tasks)
        for task in tasks.values():
            mark = mark_of(task)
            assert mark is not None
            attach(task, mark | {"chain": {"name": name, "kind": kind, **self._options}})


@overload
def chain(function: Callable[P, Any], /) -> Component[P]: ...
@overload
def chain(
    name: str | None = None,
    /,
    *,
    rate: float | None = None,
    device_types: Sequence[DeviceType] = (),
    devices: Sequence[str] = (),
    nodes: Sequence[str] = (),
    implementations: Sequence[str] = (),
    retries: int | None = None,
    deterministic: bool = False,
    active_deadline_seconds: int | None = None,
) -> Chain: ...
@overload
def chain(
    *,
    name: str,
    rate: float | None = None,
    device_types: Sequence[DeviceType] = (),
    devices: Sequence[str] = (),
    nodes: Sequence[str] = (),
    implementations: Sequence[str] = (),
    retries: int | None = None,
    deterministic: bool = False,
    active_deadline_seconds: int | None = None,
) -> Chain: ...


def chain(
    subject: Any = None,
    /,
    *,
    name: str | None = None,
    rate: float | None = None,
    device_types: Sequence[DeviceType] = (),
    devices: Sequence[str] = (),
    nodes: Sequence[str] = (),
    implementations: Sequence[str] = (),
    retries: int | None = None,
    deterministic: bool = False,
    active_deadline_seconds: int | None = None,
) -> Any:
    """Make one DataFlow of several tasks: a decorator of a pipeline function, or a ``with`` block in one.

    ``@chain`` is ``@dsl.pipeline``: the function becomes a pipeline that other pipelines call. Both are pods until the
    pipeline is compiled by ``accelchain.kfp.compile`` or fused.

    Args:
        subject: the function, or the name.
        name: of the chain; the function's where None. A second chain of that name in a pipeline gets ``-2``.
        rate: frames a second: devices are reserved for it.
        device_types: all functions only on devices of these types.
        devices: all functions only on these devices.
        nodes: all functions only on these nodes.
        implementations: only these implementations.
        retries: how often the DataFlow tries again by itself.
        deterministic: equal inputs give equal outputs, so KFP may take them from its cache.
        active_deadline_seconds: the DataFlow fails when it has run so long.

    Raises:
        AuthoringError: an option is wrong, or the chain can't be one.
    """
    if isinstance(subject, str):
        if name is not None:
            raise AuthoringError(f"chain {subject!r} is called {name!r} too: give one name.")
        subject, name = None, subject
    if isinstance(subject, base_component.BaseComponent):
        raise AuthoringError(
            f"chain: '{subject.name}' is a component already: put @chain in the place of @dsl.pipeline."
        )
    if name is not None:
        _check_name(name)
    options: dict[str, Any] = {}
    where = f"chain '{name or getattr(subject, '__name__', '')}'"
    Wishes(device_types=device_types, devices=devices, nodes=nodes, implementations=implementations, rate=rate).write(
        options, where
    )
    if retries is not None:
        options["retries"] = _whole(where, "retries", retries, 0, _MOST_RETRIES)
    if deterministic:
        options["deterministic"] = True
    if active_deadline_seconds is not None:
        seconds = _whole(where, "active_deadline_seconds", active_deadline_seconds, 1, 2**31 - 1)
        options["activeDeadlineSeconds"] = seconds
    made = Chain(name, options)
    return made if subject is None else made(subject)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise AuthoringError(
            f"chain {name!r}: a name has small letters, digits and dashes, begins with a letter, and has up to 40 "
            "characters."
        )


def _whole(where: str, option: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise AuthoringError(f"{where}: {option} is {value!r}; give a whole number from {least} to {most}.")
    return value


def _check_task(chain_name: str, title: str, task: Any) -> None:
    where = f"chain '{chain_name}', task '{title}'"
    if (kind := task_kind(task)) != "container":
        what = "an importer" if kind == "importer" else "a pipeline of its own"
        raise AuthoringError(
            f"{where} is {what}, which is no function: move it out of the chain, before it or after it."
        )
    mark = mark_of(task)
    if mark is None:
        function = replacing(names_of(task))
        if function is None:
            raise AuthoringError(
                f"{where} is not accelerated: put @accelerated(…) on its component or offload(task, …) behind it in "
                "the block, or move it out of the chain."
            )
        attach(task, {"function": function})
    elif "chain" in mark:
        raise AuthoringError(f"{where} is in chain '{mark['chain']['name']}' already: a task is in one chain.")


def _unused(name: str, others: Iterable[Any]) -> str:
    """Return the name, with a number behind it where an earlier chain of this pipeline has it: a loop makes several."""
    taken = {mark["chain"]["name"] for task in others if (mark := mark_of(task)) and "chain" in mark}
    number, found = 2, name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found
