"""`init`: from own data to a recipe."""
