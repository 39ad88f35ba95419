"""`python -m tests.e2e.ray_two_nodes COMMAND …` runs it on a new cluster of two nodes of a core each."""

import os
import subprocess
import sys

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}


def main(command: list[str]) -> int:
    """The command's exit status."""
    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(**NODE)
        return subprocess.run(command, env=os.environ | {"RAY_ADDRESS": cluster.address}).returncode
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
