"""What a picture of samples shows: the axes of points, the zoom of images."""

from collections.abc import Sequence

from model.data import DataConfig
from service.media import encoding
from service.requests.labels import index_of

MAX_PICTURE = 4096  # pixels of a side


def axes_of(wanted: Sequence[int | str] | None, data: DataConfig) -> tuple[int, ...] | None:
    """The dimensions that a picture of points shows, one or two; none of images.

    None where `wanted` does not name two different dimensions.
    """
    if wanted is None or data.kind != "points":
        return data.axes
    found = [axis for one in wanted if (axis := index_of(one, data.columns)) is not None]
    return tuple(found) if len(set(found)) == 2 else None


def largest_zoom(data: DataConfig, n: int) -> int:
    """The most that n images may be enlarged, at least 1: their contact sheet has at most MAX_PICTURE pixels a side."""
    _, height, width = data.shape
    return max(1, MAX_PICTURE // max(encoding.sheet_size(n, height, width)))
