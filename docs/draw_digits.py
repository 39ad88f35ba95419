"""Draws docs/digits.png, the digits in README: the answer to a request that asks for nothing in particular.

make serve                              # in another terminal
.venv/bin/python docs/draw_digits.py
"""

import io
import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image

ASKED = {"dataset": "mnist", "n": 60, "seed": 0}  # seeds 0 … 59: nobody picked them
COLUMNS, GAP, ZOOM = 20, 2, 2


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
    request = Request(f"{address}/sample", json.dumps(ASKED).encode(), {"Accept": "application/x-npy"})
    with urlopen(request) as answer:
        digits = np.load(io.BytesIO(answer.read()))
    cells = np.pad(digits, ((0, 0), (GAP, GAP), (GAP, GAP)), constant_values=0)
    lines = [np.concatenate(list(line), axis=1) for line in np.split(cells, len(cells) // COLUMNS)]
    sheet = Image.fromarray(np.concatenate(lines))
    path = Path(__file__).parent / "digits.png"
    sheet.resize((ZOOM * sheet.width, ZOOM * sheet.height), Image.Resampling.NEAREST).save(path, optimize=True)
    print(f"{path}: {len(digits)} digits")


if __name__ == "__main__":
    main()
