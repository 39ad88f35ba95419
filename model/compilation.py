"""Kernels made for a network and each size of its batches, by torch.compile."""

import torch

from model.denoiser import Network

MOST_GRAPHS = 1_000


def compiled(network: Network) -> Network:
    """By size, and apart where a hint adds something: one graph each, compiled when it is first called for.

    Torch gives up after eight and says nothing; the limit is the calling thread's own. Needs a C++ compiler.
    """
    torch.compiler.config.recompile_limit = torch.compiler.config.accumulated_recompile_limit = MOST_GRAPHS
    return torch.compile(network, dynamic=False)
