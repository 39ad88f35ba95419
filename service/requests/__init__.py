"""From a request's fields to a job with every default filled in."""
