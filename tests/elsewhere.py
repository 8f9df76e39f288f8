"""A CUDA device that is not there: its tensors compute on the processor, and mix with no tensor that lies there.

What PyTorch refuses with a real device is refused here too: operations on tensors of both places, and reading a
tensor of the device with numpy. Speed, kernels and autocast remain for the tests marked `gpu`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from dancedepth.models.hdnet import HDNet
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

CUDA = torch.device("cuda", 0)
aten = torch.ops.aten
WRITES_AT = (aten.index_put_.default, aten._index_put_impl_.default)
MOVES = (aten.copy_.default, aten._to_copy.default)
WHOLE = (torch.nn.functional.one_hot, Tensor.nanquantile, Tensor.quantile, torch.quantile)
"""Made of operations that ask the tensor behind the pretended one where it lies."""


class Elsewhere(Tensor):
    """A tensor of the device; `held` is what it computes with."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made = Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, layout=held.layout, device="cpu"
        )
        made.held = held
        return made

    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]

    def tolist(self) -> Any:
        return self.held.detach().tolist()

    def numpy(self, *_: object, **__: object) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _carried_out(func, args, kwargs or {})


@contextmanager
def pretended_cuda(patch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Within, tensors can be made on and moved to the device; in the threads that are started, too."""
    patch.setattr(torch.cuda, "_lazy_init", lambda: None)
    patch.setattr(HDNet, "infer", torch.no_grad()(HDNet.infer.__wrapped__))  # type: ignore[attr-defined]
    submit = ThreadPoolExecutor.submit
    patch.setattr(ThreadPoolExecutor, "submit", lambda *args: _submitted(submit, *args))
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _here():
            yield CUDA
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


@contextmanager
def _here() -> Iterator[None]:
    """In this thread."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with ExitStack() as stack:
            stack.enter_context(_Factories())
            stack.enter_context(_Moves())
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def _submitted(
    submit: Callable[..., Future[Any]], pool: ThreadPoolExecutor, work: Callable[..., Any], *args: Any
) -> Future[Any]:
    def there() -> Any:
        with _here():
            return work(*args)

    return submit(pool, there)


class _Factories(TorchDispatchMode):
    """What makes tensors from nothing can make them on the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _carried_out(func, args, kwargs or {})


class _Moves(TorchFunctionMode):
    """Methods whose C++ asks where a tensor lies: moves, and what is made like another."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.cpu:
            return _moved(args[0], torch.device("cpu"), args[0].dtype)
        if func is Tensor.to:
            return _to(*args, **kwargs)
        if func is Tensor.new_tensor:
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype), device=args[0].device)
        if func is torch.as_tensor and kwargs.get("device") is not None:
            device, made = torch.device(kwargs.pop("device")), func(*args, **kwargs)
            return _moved(made, device, made.dtype)
        if func in WHOLE and isinstance(args[0], Elsewhere):
            return Elsewhere(func(args[0].held, *args[1:], **kwargs))
        return func(*args, **kwargs)


def _to(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    given = [*args, *(kwargs[name] for name in ("device", "dtype", "other") if kwargs.get(name) is not None)]
    device, dtype = x.device, x.dtype
    for one in given:
        if isinstance(one, Tensor):
            device, dtype = one.device, one.dtype
        elif isinstance(one, torch.dtype):
            dtype = one
        elif isinstance(one, (str, torch.device)):
            device = torch.device(one)
    return _moved(x, device, dtype, kwargs.get("memory_format"))


def _moved(x: Tensor, device: torch.device, dtype: torch.dtype, memory_format: Any = None) -> Tensor:
    if device.type == x.device.type and dtype == x.dtype and memory_format is None:
        return x
    moved: Tensor = aten._to_copy.default(x, device=device, dtype=dtype, memory_format=memory_format)
    return moved


def _carried_out(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    gradients = torch._C._current_graph_task_id() != -1
    """PyTorch's own work: it too asks the tensors behind where they lie."""
    if there and not gradients and func not in MOVES:
        _refuse_mixture(func, args, tensors)
    result_there = bool(there)
    if kwargs.get("device") is not None:
        result_there = torch.device(kwargs["device"]).type == "cuda" or (gradients and result_there)
        kwargs = {**kwargs, "device": "cpu"}
    if func is aten.copy_.default:
        result_there = isinstance(args[0], Elsewhere)
    result = func(*_held(args), **_held(kwargs))
    if not result_there:
        return result
    wrapped = tree_map_only(Tensor, Elsewhere, result)
    shared = func._schema.is_mutable or any(returned.alias_info for returned in func._schema.returns)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if shared else wrapped


def _held(values: Any) -> Any:
    return tree_map_only(Elsewhere, lambda tensor: tensor.held, values)


def _refuse_mixture(func: Any, args: Any, tensors: list[Tensor]) -> None:
    """As PyTorch: single numbers may lie anywhere, and so may the indices of what lies on the device."""
    here = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.dim() > 0]
    if func is aten.index.Tensor or func in WRITES_AT:
        values = args[2:3] if func in WRITES_AT else ()
        here = [tensor for tensor in (args[0], *values) if any(tensor is one for one in here)]
    if here:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu: {func}")
