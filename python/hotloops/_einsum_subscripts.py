"""What the subscripts of an einsum mean: a letter for each dimension of each operand.

A `Problem` knows no arrays: it is made of the subscripts and the operands' shapes, and kept. The
dimensions of an ellipsis get letters of their own, ``".1"`` for the last one, ``".2"`` for the one
before.
"""

from __future__ import annotations

import operator
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hotloops import _arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

Letters = tuple[str, ...]
Shape = tuple[int, ...]

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase


class Step(NamedTuple):
    """A contraction: `first` and `second` of the operands give way to its result, at the end.

    `needed` are the letters of the result and of the operands that remain; `last` tells that there
    are none.
    """

    first: int
    second: int
    needed: frozenset[str]
    last: bool


@dataclass(frozen=True)
class Problem:
    """An einsum as letters.

    Attributes
    ----------
    terms : tuple of tuple of str
        A letter for each dimension of each operand.
    output : tuple of str
        The letters of the result.
    sizes : dict
        The size of each letter. An operand may have 1 instead: it is stretched.
    shape : tuple of int
        The shape of the result.
    plain : tuple of bool
        Whether an operand has each letter once and is not stretched.
    steps : tuple of Step
        The contractions of two operands, one after another.
    """

    terms: tuple[Letters, ...]
    output: Letters
    sizes: dict[str, int]
    shape: Shape
    plain: tuple[bool, ...]
    steps: tuple[Step, ...]


def check_out_shape(out: Any, shape: Shape) -> None:
    """Refuse an `out` of another shape than the result's: no dimensions are a batch's here."""
    if hasattr(out, "shape") and tuple(out.shape) != shape:
        raise ValueError(
            f"einsum: out has shape {tuple(out.shape)} but the result has shape {shape}"
        )


def split_arguments(subscripts: Any, operands: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """Return the subscripts as one string, and the operands.

    `numpy.einsum` also takes each operand followed by a list of integers, and a last list for the
    output.

    >>> split_arguments([[3, 4]], ([0, 1], [5, 6], [1], [0]))
    ('AB,B->A', ([[3, 4]], [5, 6]))
    """
    if isinstance(subscripts, bytes):
        # Beyond ASCII there are no letters: what stands there is refused as any other character.
        return subscripts.decode("latin-1"), operands
    if isinstance(subscripts, str):
        return subscripts, operands
    arguments = (subscripts, *operands)
    if len(arguments) < 2:
        raise ValueError(
            "einsum: subscripts are needed, as a string before the operands or as a list of "
            "integers after each of them"
        )
    pairs = len(arguments) // 2
    try:
        terms = [_term_of_list(arguments[2 * i + 1]) for i in range(pairs)]
    except TypeError as error:
        raise TypeError(
            f"einsum: subscripts {_arguments.described(subscripts)} but must be a string, or an "
            f"operand that a list of integers follows, as every one: {error}"
        ) from error
    text = ",".join(terms)
    if len(arguments) % 2 == 1:
        text += "->" + _term_of_list(arguments[-1])
    return text, arguments[0 : 2 * pairs : 2]


def checked_path(optimize: Any) -> Any:
    """Return how to find the path, or the path itself, as something that can be remembered."""
    path = _hashable(optimize)
    first = path[0] if isinstance(path, tuple) and path else path
    names = "einsum_path", "greedy", "optimal"
    known = isinstance(first, str) and first in names[isinstance(path, str) :]
    if not known and path is not None and not isinstance(path, bool):
        raise ValueError(
            f"einsum: optimize {_arguments.described(optimize)} but must be True, False, 'greedy', "
            "'optimal' or a path of numpy.einsum_path"
        )
    with _arguments.naming("einsum", optimize=optimize):
        hash(path)
    return path


def _hashable(path: Any) -> Any:
    if isinstance(path, np.ndarray):
        path = path.tolist()
    return tuple(_hashable(step) for step in path) if isinstance(path, list | tuple) else path


def _term_of_list(labels: Any) -> str:
    text = ""
    for label in labels:
        if label is Ellipsis:
            text += "..."
            continue
        index = operator.index(label)
        if not 0 <= index < len(_ALPHABET):
            raise ValueError(f"einsum: subscript {index} is not from 0 to {len(_ALPHABET) - 1}")
        text += _ALPHABET[index]
    return text


@lru_cache(maxsize=1024)
def solve(subscripts: str, shapes: tuple[Shape, ...], optimize: Any) -> Problem:
    """Parse subscripts for operands of these shapes and choose the path."""
    text = subscripts.replace(" ", "")
    inputs, arrow, given = text.partition("->")
    texts = inputs.split(",")
    if len(texts) != len(shapes):
        raise ValueError(
            f"einsum: subscripts {subscripts!r} have {len(texts)} terms, separated by commas, for "
            f"{len(shapes)} operands"
        )
    terms = tuple(
        _letters(term, len(shape), f"the term of operand {i}")
        for i, (term, shape) in enumerate(zip(texts, shapes, strict=True))
    )
    sizes = _sizes(terms, shapes)
    stretched = sorted((x for x in sizes if x[0] == "."), key=lambda x: -int(x[1:]))
    if arrow:
        ndim = len(given.replace("...", "")) + (len(stretched) if "..." in given else 0)
        output = _letters(given, ndim, "the output")
    else:
        every = [letter for term in terms for letter in term]
        once = sorted(x for x in set(every) if x[0] != "." and every.count(x) == 1)
        output = (*stretched, *once)
    for letter in output:
        if letter not in sizes:
            raise ValueError(
                f"einsum: output letter {letter!r} is in no operand of {subscripts!r}; where "
                "would its values come from?"
            )
        if output.count(letter) > 1:
            raise ValueError(
                f"einsum: output letter {letter!r} stands there twice in {subscripts!r}; a "
                "diagonal is read from an operand but never written"
            )
    return Problem(
        terms,
        output,
        sizes,
        shape=tuple(sizes[letter] for letter in output),
        plain=tuple(
            len(set(term)) == len(term) and shape == tuple(sizes[letter] for letter in term)
            for term, shape in zip(terms, shapes, strict=True)
        ),
        steps=tuple(_steps(terms, output, _path(terms, output, shapes, optimize))),
    )


def _letters(term: str, ndim: int, what: str) -> Letters:
    before, ellipsis, after = term.partition("...")
    for character in before + after:
        if character not in _ALPHABET:
            raise ValueError(
                f"einsum: {what} is {term!r} but may have letters and one ellipsis '...' only, "
                f"not {character!r}"
            )
    named = len(before) + len(after)
    if named > ndim or (named < ndim and not ellipsis):
        raise ValueError(
            f"einsum: {what} is {term!r}, {named} letters for {ndim} dimensions"
            + ("" if ellipsis or named > ndim else "; '...' stands for those without a letter")
        )
    stretched = (f".{d}" for d in range(ndim - named, 0, -1))
    return (*before, *stretched, *after)


def _sizes(terms: tuple[Letters, ...], shapes: tuple[Shape, ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    owners: dict[str, int] = {}
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        own: dict[str, int] = {}
        for letter, size in zip(term, shape, strict=True):
            if own.setdefault(letter, size) != size:
                raise ValueError(
                    f"einsum: letter {letter!r} has sizes {own[letter]} and {size} in operand {i}; "
                    f"a diagonal has one (shape {shape})"
                )
            known = sizes.setdefault(letter, size)
            if known not in (1, size) and size != 1:
                name = f"letter {letter!r}" if letter[0] != "." else "the ellipsis"
                raise ValueError(
                    f"einsum: {name} has size {known} in operand {owners[letter]} but {size} in "
                    f"operand {i}; one letter has one size, or 1 (shapes "
                    + ", ".join(map(str, shapes))
                    + ")"
                )
            if known == 1 or letter not in owners:
                sizes[letter], owners[letter] = size, i
    return sizes


def _steps(
    terms: tuple[Letters, ...], output: Letters, path: list[tuple[int, ...]]
) -> Iterator[Step]:
    """Yield the path's contractions, those of more than two operands two at a time."""
    letters = [frozenset(term) for term in terms]
    for chosen in path:
        places = list(chosen)
        while len(places) > 1:
            first, second = places[:2]
            others = [x for i, x in enumerate(letters) if i not in (first, second)]
            needed = frozenset(output).union(*others)
            yield Step(first, second, needed, last=not others)
            result = (letters[first] | letters[second]) & needed
            letters = [*others, result]
            # The others close ranks; the result, at the end, is the next one's partner.
            rest = [i - (first < i) - (second < i) for i in places[2:]]
            places = [*rest[:1], len(others), *rest[1:]] if rest else []


def _path(
    terms: tuple[Letters, ...], output: Letters, shapes: tuple[Shape, ...], optimize: Any
) -> list[tuple[int, ...]]:
    if len(terms) <= 2:
        return [tuple(range(len(terms)))]
    letters = dict.fromkeys(letter for term in terms for letter in term)
    if optimize is False or len(letters) > len(_ALPHABET):
        return [tuple(range(len(terms)))]
    names = dict(zip(letters, _ALPHABET, strict=False))
    text = ",".join("".join(names[x] for x in term) for term in terms)
    text += "->" + "".join(names[x] for x in output)
    stand_ins = [np.broadcast_to(np.empty(()), shape) for shape in shapes]
    given = isinstance(optimize, tuple) and optimize[:1] == ("einsum_path",)
    with _arguments.naming("einsum", optimize=optimize):
        path, _ = np.einsum_path(text, *stand_ins, optimize=list(optimize) if given else optimize)
    return [tuple(step) for step in path[1:]]
