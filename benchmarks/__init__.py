"""Runnable comparisons. Each prints a table with ratios taken in one run, and names the machine."""
