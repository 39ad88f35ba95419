"""Durable generation: data sets of up to ten million rows, made chunk by chunk, resumed to the same bytes."""
