"""Names of the parameters that a denoising network may take from another one; safetensors files have them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ParameterNames:
    """
    label_table   `Embedding.label` [labels + 1, width]: row 0 is no label, row i + 1 is label i
    text_bias     `Embedding.text` of the vector of zeros, which is no text
    time_bias     the last bias of `Embedding.time`, to which a label or a text is added
    condition     prefixes of all that a network has only for its labels, or only for text
    jump          prefixes of all that only a student has, for the guidance scale and the timestep to which it jumps
    output        prefix of the last layers; a learned variance is the second half of their outputs
    """

    label_table: str = "embedding.label.weight"
    text_bias: str = "embedding.text.bias"
    time_bias: str = "embedding.time.2.bias"
    condition: tuple[str, str] = ("embedding.label.", "embedding.text.")
    jump: tuple[str, str] = ("embedding.guidance.", "embedding.arrival.")
    output: str = "leave."


NAMES = ParameterNames()
"""Those of every network that `build_network` makes."""
