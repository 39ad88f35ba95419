"""The base of everything that a config.json or a recipe is made of."""

from pydantic import BaseModel, ConfigDict


class StrictConfig(BaseModel):
    """Fields that never change once they are read; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
