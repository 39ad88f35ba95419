"""`init`: from somebody's own data to a recipe."""
