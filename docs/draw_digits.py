"""Draws docs/digits.png, the digits in README: the answer to a request that asks for nothing in particular.

make serve                              # in another terminal
.venv/bin/python -m docs.draw_digits    # needs what training needs
"""

import io
import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import torch

from training.report.image_grid import save_sheet

ASKED = {"dataset": "mnist", "n": 60, "seed": 0}  # seeds 0 … 59: nobody picked them
COLUMNS = 20


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
    request = Request(f"{address}/sample", json.dumps(ASKED).encode(), {"Accept": "application/x-npy"})
    with urlopen(request) as answer:
        digits = torch.from_numpy(np.load(io.BytesIO(answer.read())))
    path = Path(__file__).parent / "digits.png"
    save_sheet(digits[:, None], path, COLUMNS)
    print(f"{path}: {len(digits)} digits")


if __name__ == "__main__":
    main()
