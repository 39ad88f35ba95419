"""A recipe's [data] section: the training data and their processing."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)

from model.checkpoints.config import NAME_PATTERN

BUILT_IN = ("gaussian", "spiral", "mnist")
LICENCE_PATTERN = r"^[a-z0-9][a-z0-9.+-]*$"
SMALLEST, LARGEST = 4, 256  # pixels a side that a recipe may ask for


class _Section(BaseModel):
    """dataset: the name of the data in requests"""

    model_config = ConfigDict(extra="forbid", frozen=True)


PLACES = {"images", "unlabelled", "table"}
"""The fields that say where own data lie; what they are, their identity says."""


class BuiltInSection(_Section):
    """A set that this package makes or downloads."""

    dataset: str

    @field_validator("dataset")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BUILT_IN:
            raise ValueError(
                f"{name!r} is not built in ({', '.join(BUILT_IN)} are); for data of your own name a folder "
                f'(images = "…") or a CSV (table = "…") beside it, as `python -m training init` does'
            )
        return name


class _OwnSection(_Section):
    """For the card: source, where the data come from; licence, theirs, in SPDX's short form (`mit`, `cc-by-4.0`).

    held_out  the share of each class that is never trained on
    """

    dataset: str = Field(pattern=NAME_PATTERN)
    held_out: float = Field(0.1, gt=0, le=0.5)
    source: str | None = None
    licence: str | None = Field(None, pattern=LICENCE_PATTERN)

    @field_validator("dataset")
    @classmethod
    def _not_taken(cls, name: str) -> str:
        if name in BUILT_IN:
            raise ValueError(f"{name!r} is a built-in set: give your own another name")
        return name


class ImageSection(_OwnSection):
    """A folder of images. See `training.data.decoded_images`.

    images       the folder, relative to the working directory
    size         (height, width) that each image is scaled to
    channels     1 for grey, 3 for RGB
    fit          "crop": the largest part around the middle that has the shape of `size`; "stretch": the whole image
    labels       whether the folders inside are classes
    group        a regular expression that finds an image's group in its path: see `training.data.image_folder`
    unlabelled   another folder, of images without a label that denoisers are trained on too: see
                 `training.data.unlabelled_images`
    standardise  the network's range: "range" maps 0 … 255 to −1 … 1, "channels" gives each channel mean 0, variance 1
    flip         augmentation: mirror half of the images
    shift        augmentation: move by up to this many pixels in each direction
    colour       augmentation: scale brightness, contrast and saturation by up to 1 ± this
    """

    images: str = Field(min_length=1)
    size: tuple[Annotated[int, Field(ge=SMALLEST, le=LARGEST)], Annotated[int, Field(ge=SMALLEST, le=LARGEST)]]
    channels: Literal[1, 3]
    fit: Literal["crop", "stretch"] = "crop"
    labels: bool = True
    group: str | None = None
    unlabelled: str | None = Field(None, min_length=1)
    standardise: Literal["range", "channels"] = "range"
    flip: bool = False
    shift: int = Field(0, ge=0)
    colour: float = Field(0.0, ge=0, lt=1)

    @field_validator("group")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"no regular expression: {error}") from error
        return pattern

    @field_validator("shift")
    @classmethod
    def _leaves_something(cls, shift: int, found: ValidationInfo) -> int:
        side = min(found.data.get("size", (LARGEST,)))
        if shift >= side:
            raise ValueError(f"images would move out of sight: their shorter side has {side} pixels")
        return shift


class TableSection(_OwnSection):
    """A table, one point a line. See `training.data.table`. Columns that are not named below are numbers.

    table       the file, relative to the working directory
    label       the column of classes
    without     columns that are left out
    categories  columns of words, or of booleans, that are drawn with the rest
    dates       columns of dates
    whole       columns of whole numbers, which samples keep to
    missing     columns of numbers or dates whose missing values are drawn too; without it, lines that lack one are left
                out
    jitter      augmentation: normal noise, in standard deviations of each column
    """

    table: str = Field(min_length=1)
    label: str | None = None
    without: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    jitter: float = Field(0.0, ge=0, lt=1)

    @property
    def encoded(self) -> bool:
        """Is the table more than columns of numbers?"""
        return bool(self.categories or self.dates or self.whole or self.missing)

    @model_validator(mode="after")
    def _one_kind_a_column(self) -> Self:
        kinds = [*self.categories, *self.dates, *self.whole]
        twice = [name for name in kinds if kinds.count(name) > 1 or name in self.without or name == self.label]
        if twice:
            raise ValueError(f"{twice[0]!r} is one of: categories, dates, whole, without, the label")
        return self


def _tag(value: object) -> str:
    """The kind of a section, as a document or already validated."""
    fields = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    return "images" if "images" in fields else "table" if "table" in fields else "built-in"


DataSection = Annotated[
    Annotated[BuiltInSection, Tag("built-in")]
    | Annotated[ImageSection, Tag("images")]
    | Annotated[TableSection, Tag("table")],
    Discriminator(_tag),
]

_adapter: TypeAdapter[DataSection] = TypeAdapter(DataSection)


def section_of(document: Mapping[str, Any]) -> DataSection:
    """A [data] section from a recipe. Raises ValidationError."""
    return _adapter.validate_python(document)
