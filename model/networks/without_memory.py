"""Networks of PyTorch's meta device: their tensors have shapes, and neither memory nor values."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# What networks do to fresh weights. None of it changes a shape, and on the meta device the first of it would import
# PyTorch's decompositions, which takes seconds.
_ONLY_VALUES = {Tensor.uniform_, Tensor.normal_, Tensor.mul, Tensor.div, Tensor.log}


class _ShapesOnly(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in _ONLY_VALUES or getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else given["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **given)


@contextlib.contextmanager
def without_memory() -> Iterator[None]:
    """Modules that are made inside are on the meta device, and draw no random number."""
    with torch.device("meta"), _ShapesOnly():
        yield
