"""A recipe's [data]: what is trained on."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, field_validator

from model.checkpoints.config import NAME_PATTERN

BUILT_IN = ("gaussian", "spiral", "mnist")
SMALLEST, LARGEST = 4, 256  # pixels a side that a recipe may ask for


class _Section(BaseModel):
    """dataset: what requests call it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BuiltInSection(_Section):
    """A set that this package makes or fetches itself."""

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
    """held_out: the share of each class that is never trained on."""

    dataset: str = Field(pattern=NAME_PATTERN)
    held_out: float = Field(0.1, gt=0, le=0.5)

    @field_validator("dataset")
    @classmethod
    def _not_taken(cls, name: str) -> str:
        if name in BUILT_IN:
            raise ValueError(f"{name!r} is a built-in set: give your own another name")
        return name


class ImageSection(_OwnSection):
    """A folder of images; paths are seen from the working directory. See `training.data.decoded_images`.

    size         height and width of what is trained on; each image is scaled to it
    fit          how: the largest part around its middle that has this shape, or all of it, stretched
    labels       whether folders in the folder are classes
    standardise  what the network sees: 0 … 255 as −1 … 1, or each channel with mean 0 and standard deviation 1
    flip         augmentation: every other image is mirrored
    shift        augmentation: by up to so many pixels in each direction, the rim drawn out
    colour       augmentation: brightness, contrast and saturation, each times up to 1 ± this
    """

    images: str = Field(min_length=1)
    size: tuple[Annotated[int, Field(ge=SMALLEST, le=LARGEST)], Annotated[int, Field(ge=SMALLEST, le=LARGEST)]]
    channels: Literal[1, 3]
    fit: Literal["crop", "stretch"] = "crop"
    labels: bool = True
    standardise: Literal["range", "channels"] = "range"
    flip: bool = False
    shift: int = Field(0, ge=0)
    colour: float = Field(0.0, ge=0, lt=1)


class TableSection(_OwnSection):
    """A CSV of numbers, a point a line; paths are seen from the working directory. See `training.data.table`.

    label    the column that names the class
    without  columns that are left out
    jitter   augmentation: normal noise, of so many standard deviations of each column
    """

    table: str = Field(min_length=1)
    label: str | None = None
    without: tuple[str, ...] = ()
    jitter: float = Field(0.0, ge=0, lt=1)


def _tag(value: Any) -> str:
    has = value.__contains__ if isinstance(value, dict) else lambda name: hasattr(value, name)
    return "images" if has("images") else "table" if has("table") else "built-in"


DataSection = Annotated[
    Annotated[BuiltInSection, Tag("built-in")]
    | Annotated[ImageSection, Tag("images")]
    | Annotated[TableSection, Tag("table")],
    Discriminator(_tag),
]

_adapter: TypeAdapter[DataSection] = TypeAdapter(DataSection)


def section_of(document: Mapping[str, Any]) -> DataSection:
    """A [data] section as a recipe holds it. Raises ValidationError."""
    return _adapter.validate_python(document)
