"""What a batch is to answer."""

from service.jobs.specification import InChunks


class BatchSpecification(InChunks):
    """A row is a line of the input file. Stored as JSON.

    endpoint   that all lines are for
    seed       a line that names none has a seed of its own, made of this one and the line's number
    metadata   the client's own
    """

    input_file: str
    endpoint: str
    seed: int
    metadata: dict[str, str] | None = None
