"""Train on synthetic rows, test on real ones: does a classifier learn from samples what it learns from real rows?"""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import balanced_accuracy_score

from training.data.training_set import Examples


def balanced_accuracy(train: Examples, test: Examples) -> float:
    """Of gradient-boosted trees that learn the labels of `train` and read those of `test`, rows [n, d] both.

    It is the mean over the classes of `test` of the share that is read as it, so rare classes count as much. A class
    that is not in `train` is never read.
    """
    labels = train.labels.numpy()
    if len(np.unique(labels)) < 2:
        read = np.full(len(test), labels[0])
    else:
        # Above 10,000 rows it would hold rows of each class out by default, which fails for a class of one row.
        trees = HistGradientBoostingClassifier(random_state=0, early_stopping=False).fit(_numbers(train), labels)
        read = trees.predict(_numbers(test))
    return float(balanced_accuracy_score(test.labels.numpy(), read))


def _numbers(examples: Examples) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = examples.rows.flatten(1).double().numpy()
    return numbers
