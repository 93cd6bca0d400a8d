# SPDX-License-Identifier: Apache-2.0
"""The custom resources as typed models, one file a kind. CRDs are generated from them."""

from accelchain.api.common import API_VERSION, GROUP, VERSION, Condition, ObjectMeta, Resource
from accelchain.api.compute_resource import ComputeResource
from accelchain.api.connection_type import ConnectionType
from accelchain.api.data_flow import DataFlow
from accelchain.api.function_chain import FunctionChain
from accelchain.api.function_type import FunctionType
from accelchain.api.individual import WBConnection, WBFunction
from accelchain.api.scheduling_strategy import SchedulingStrategy

KINDS: tuple[type[Resource], ...] = (
    DataFlow,
    FunctionChain,
    FunctionType,
    ConnectionType,
    SchedulingStrategy,
    ComputeResource,
    WBFunction,
    WBConnection,
)
"""Every kind of the group: definition, abstracts, individual layer."""

__all__ = [
    "API_VERSION",
    "GROUP",
    "KINDS",
    "VERSION",
    "ComputeResource",
    "Condition",
    "ConnectionType",
    "DataFlow",
    "FunctionChain",
    "FunctionType",
    "ObjectMeta",
    "Resource",
    "SchedulingStrategy",
    "WBConnection",
    "WBFunction",
]
