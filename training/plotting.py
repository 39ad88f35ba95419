"""pyplot that draws into files, whatever screen there is."""

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

__all__ = ["plt"]
