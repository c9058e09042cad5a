"""Right operands that are packed once and multiplied often."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hotloops import _arguments, _array_likes, _core, _tensors

if TYPE_CHECKING:
    from collections.abc import Callable


class PackedMatrix(_core.PackedMatrix):
    """A matrix in the order in which kernels read it, made by `pack`.

    It stands wherever a right operand of `matmul` or a kernel of `dense` does; `linear` takes the
    packed transpose of its weight. It belongs to the instruction set that was in use when it was
    packed. Pickling unpacks it and packs it again where it is loaded, `numpy.asarray` unpacks it.

    Parameters
    ----------
    b : array_like, shape (k, n)
        The matrix.
    precision : {None, 'float32', 'bf16x6', 'bf16x3', 'bf16'}, optional
        As `pack` has it.

    Attributes
    ----------
    dtype_name : str
        NumPy's name of the dtype.
    shape : tuple of int
        Rows (inner dimension) and columns.
    nbytes : int
        Bytes of the packed values.
    isa : str
        The instruction set whose kernels read it.
    kernel : str
        The kernel that reads it.
    kc : int
        Values of the inner dimension in a block.
    precision : str
        The precision that was asked for, which matters to float32 alone.
    version : str
        The version of hotloops that packed it.

    See Also
    --------
    pack : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> hl.pack(np.eye(3)).shape
    (3, 3)
    """

    def __init__(self, b: Any, precision: str | None = None) -> None:
        super().__init__(_packable(b), precision)
        self.version = _core.__version__

    def unpack(self) -> Any:
        """Return the values in a new array or tensor, as the one that was packed.

        Returns
        -------
        ndarray or Tensor, shape (k, n)
            The values; of precisions that have pieces of them alone, what the pieces are together.
        """
        return super().unpack()

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"PackedMatrix({rows} x {columns}, {self.dtype_name}, {self.kernel})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if copy is False:
            raise ValueError("a PackedMatrix has no array without copying: copy must not be False")
        return np.asarray(self.unpack(), dtype)

    def __reduce__(self) -> tuple[Callable[..., PackedMatrix], tuple[Any, ...]]:
        return partial(pack, precision=self.precision), (self.unpack(),)


def pack(b: Any, *, precision: str | None = None) -> PackedMatrix:
    """Pack a right operand once, for many products.

    Parameters
    ----------
    b : array_like, shape (k, n)
        The matrix: NumPy array, torch CPU tensor, or anything that NumPy makes an array of. It is
        copied; later changes to it are not seen.
    precision : {None, 'float32', 'bf16x6', 'bf16x3', 'bf16'}, optional
        The least accuracy that is acceptable for float32, see `matmul`. Products with the packed
        matrix have this one.

    Returns
    -------
    PackedMatrix
        The packed matrix. Products with it have the same bits as with `b` itself, at float32's own
        precision and in all other dtypes; at the others they are at least as accurate.

    Raises
    ------
    ValueError
        If `b` is no matrix, or there is no such precision.
    TypeError
        If there are no kernels for its dtype.

    See Also
    --------
    matmul, dense, linear : What it is for.

    Examples
    --------
    >>> import numpy as np
    >>> import hotloops as hl
    >>> kernel = hl.pack(np.array([[1.0, 0.0], [1.0, 1.0]]))
    >>> hl.matmul(np.array([[1.0, 2.0]]), kernel)
    array([[3., 2.]])
    """
    return PackedMatrix(b, precision)


def _packable(b: Any) -> Any:
    """Return a matrix as the core packs it."""
    if _tensors.is_tensor(b):
        _tensors.check_tensors("pack", {"b": b}, None)
        b = b.detach().resolve_conj().resolve_neg()
    else:
        b = np.asarray(_arguments.as_numbers("pack", "b", b))
        b = _array_likes.prepared(b, b.dtype)
    name = _array_likes.dtype_name(b.dtype)
    if name not in _array_likes.PRODUCT_DTYPES:
        raise TypeError(
            f"pack: b has dtype {name}, for which there are no kernels; convert it to one of "
            f"{', '.join(sorted(_array_likes.PRODUCT_DTYPES))}"
        )
    return b
