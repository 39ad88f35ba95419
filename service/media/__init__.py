"""Bytes in and out: uploaded pictures, PNGs, archives, tables, plots."""
