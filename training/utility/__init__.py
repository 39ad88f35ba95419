"""Does generated data help? A classifier is trained with and without it, and judged on real rows."""
