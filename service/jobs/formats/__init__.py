"""Rows of a data set → files that the field's libraries load. The same rows give the same bytes."""
