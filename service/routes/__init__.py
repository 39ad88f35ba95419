"""Each route validates, submits, awaits and answers; it computes nothing."""
