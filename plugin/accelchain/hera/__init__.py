# SPDX-License-Identifier: Apache-2.0
"""accelchain for Hera: accelerated functions composed into chains, one step each.

See docs/hera.md. Importing this package repairs Hera's plugin templates (``enable_plugin_templates``).
"""

from accelchain.api.data_flow import PlacementRule, Volume
from accelchain.hera.plugin_models import enable_plugin_templates

enable_plugin_templates()  # before any template is built

from accelchain.hera.accelerated import Accelerated, accelerated  # noqa: E402
from accelchain.hera.chain import Chain  # noqa: E402
from accelchain.hera.errors import CompositionError  # noqa: E402
from accelchain.hera.tasks import ChainTasks  # noqa: E402
from accelchain.hera.template import DataFlowTemplate  # noqa: E402
from accelchain.hera.values import Address, Detections, Frames, Origin, PortType, Stream, Video  # noqa: E402

__all__ = [
    "Accelerated",
    "Address",
    "Chain",
    "ChainTasks",
    "CompositionError",
    "DataFlowTemplate",
    "Detections",
    "Frames",
    "Origin",
    "PlacementRule",
    "PortType",
    "Stream",
    "Video",
    "Volume",
    "accelerated",
    "enable_plugin_templates",
]
