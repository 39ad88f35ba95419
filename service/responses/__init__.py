"""From samples to the representation that the client asked for."""
