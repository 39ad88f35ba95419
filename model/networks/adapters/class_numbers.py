"""Labels of Spirale → classes of another library's network."""

from torch import Tensor, where


def class_numbers(label: Tensor, null_class: int | None) -> Tensor:
    """Labels [rows] int64, or NO_LABEL, → the network's classes [rows]: label i is the i-th that is not the null class.

    Without a null class a missing label becomes class 0: such rows are padding, see `DenoiserConfig.needs_label`.
    """
    if null_class is None:
        return label.clamp(min=0)
    return where(label < 0, null_class, label + (label >= null_class))
