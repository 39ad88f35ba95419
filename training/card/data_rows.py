"""What a card says of the data that its recipe names."""

from collections.abc import Mapping
from typing import Any

ALL_AROUND = 180  # degrees


def source_rows(recipe: Mapping[str, Any]) -> list[str]:
    """Where the data come from, if the recipe says so."""
    data = recipe.get("data", {})
    licence = f"; licence: {data['licence']}" if data.get("licence") else ""
    return [f"| source of the data | {data['source']}{licence} |"] if data.get("source") else []


def distortion(recipe: Mapping[str, Any]) -> str:
    """How a judge's training images were distorted."""
    strengths = recipe.get("distortion", {})
    around = strengths.get("rotation") == ALL_AROUND
    names = {
        "shift": "moved",
        "rotation": f"turned{' to any side' if around else ''}",
        "scale": "scaled",
        "shear": "sheared",
    }
    distortions = [name for way, name in names.items() if strengths.get(way, True)]
    flipped = "half of them mirrored" if recipe.get("data", {}).get("flip") else "never flipped"
    return f"{'' if around else 'slightly '}{', '.join(distortions)}; {flipped}" if distortions else "undistorted"
