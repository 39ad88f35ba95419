"""The same network, weights, sampler and steps behind other servers, each set up as its documentation advises."""
