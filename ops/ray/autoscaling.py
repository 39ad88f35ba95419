"""How many replicas there should be: as many as keep what waits in each at a few seconds of its device.

Ray Serve's controller imports this, and nothing of the service. The bounds and the delays of the deployment's
`AutoscalingConfig` are applied to what is answered here.
"""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

QUEUED_SECONDS = "queued_device_seconds"
"""What a replica reports: accepted work that is not done, in estimated seconds of its device."""
TARGET_SECONDS = 5.0
"""Half of the latency objective of ops/rules.yml."""


def by_queued_seconds(context: "AutoscalingContext") -> tuple[int, dict[str, Any]]:
    """(replicas, state to keep: none). Without a report of any replica it stays as it is."""
    reported = (context.aggregated_metrics or {}).get(QUEUED_SECONDS, {})
    if not reported:
        return context.target_num_replicas, {}
    return max(1, math.ceil(sum(reported.values()) / TARGET_SECONDS)), {}
