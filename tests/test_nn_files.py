"""What `Sequential.save` writes is loaded; all else is a ValueError that says what is wrong."""

from __future__ import annotations

import copy
import io
import json
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotloops import nn
from nn_support import XOR_X, XOR_Y, xor_network
from support import assert_same_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support import Array

    Change = Callable[[dict[str, Any], dict[str, Array]], Any]


def trained(optimizer: Any = "adam", **options: Any) -> nn.Sequential:
    """Return a model with every kind of layer, and slots to keep."""
    layers: list[nn.Dense | nn.Activation] = [nn.Dense(4, "gelu", use_bias=False)]
    layers += [nn.Activation("relu"), nn.Dense(1, "sigmoid")]
    model = nn.Sequential(layers, seed=0, **options)
    model.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    model.fit(XOR_X, XOR_Y, epochs=3, verbose=0)
    return model


def assert_same_models(actual: nn.Sequential, expected: nn.Sequential) -> None:
    """Two models predict the same and go on training with the same."""
    lines: list[list[str]] = [[], []]
    for model, shown in zip((actual, expected), lines, strict=True):
        model.summary(print_fn=shown.append)
    assert lines[0] == lines[1]
    names = ("loss", "optimizer", "metrics", "_steps", "_shuffle_state", "dtype")
    for name in names:
        assert getattr(actual, name) == getattr(expected, name)
    assert_same_bits(actual.predict(XOR_X), expected.predict(XOR_X))
    assert len(actual._slots) == len(expected._slots)
    for one, other in zip(actual._slots, expected._slots, strict=True):
        assert_same_bits(one, other)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop("model"))), arrays


def write(path: Path, description: Any, arrays: dict[str, Array]) -> None:
    with path.open("wb") as file:
        np.savez(file, model=np.array(json.dumps(description)), **arrays)  # type: ignore[arg-type]


# --- What is written --------------------------------------------------------------------------


def test_a_file_holds_the_whole_model(dtype: np.dtype[Any], tmp_path: Path) -> None:
    model = trained(nn.Adam(0.02, beta_1=0.8), dtype=dtype)
    path = tmp_path / "model.of.mine"
    model.save(str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["model.of.mine"]
    loaded = nn.Sequential.load(path)
    assert loaded.optimizer == nn.Adam(0.02, beta_1=0.8)
    assert loaded.evaluate(XOR_X, XOR_Y) == model.evaluate(XOR_X, XOR_Y)
    assert_same_models(loaded, model)


def test_a_model_that_was_never_compiled_can_be_kept(tmp_path: Path) -> None:
    model = xor_network()
    model.save(tmp_path / "model.npz")
    loaded = nn.Sequential.load(tmp_path / "model.npz")
    assert loaded.loss is None
    assert_same_bits(loaded.predict(XOR_X), model.predict(XOR_X))


def test_a_model_that_was_never_trained_can_be_kept(tmp_path: Path) -> None:
    model = xor_network()
    model.compile(loss="mse", optimizer="adam")
    model.save(tmp_path / "model.npz")
    assert_same_models(nn.Sequential.load(tmp_path / "model.npz"), model)


class Decaying(nn.SGD):
    """An optimizer of one's own."""


@pytest.mark.parametrize(
    "optimizer",
    [
        nn.SGD(np.float32(0.1), np.float64(0.5), np.True_),  # type: ignore[arg-type]
        nn.SGD(np.array(0.1), nesterov=np.False_),  # type: ignore[arg-type]
        nn.SGD(1, 0),
        nn.Adam(np.float16(0.1), epsilon=np.array(1e-5, np.float32)),  # type: ignore[arg-type]
        Decaying(0.5, momentum=0.25),
    ],
)
def test_whatever_trained_can_be_kept(optimizer: Any, tmp_path: Path) -> None:
    dense = nn.Dense(np.int64(2), np.str_("tanh"), use_bias=np.False_)  # type: ignore[arg-type]
    model = nn.Sequential([dense, nn.Dense(1, input_dim=None)], seed=0)
    metrics: Any = np.array(["accuracy"])
    model.compile(loss=np.str_("mse"), optimizer=optimizer, metrics=metrics)
    model.fit(XOR_X, XOR_Y, verbose=0)
    model.save(tmp_path / "model")
    loaded = nn.Sequential.load(tmp_path / "model")
    for each in (model, loaded):
        each.fit(XOR_X, XOR_Y, verbose=0)
    assert_same_bits(loaded.predict(XOR_X), model.predict(XOR_X))


def test_hyperparameters_are_checked_and_kept_as_numbers_whenever_they_are_set() -> None:
    sgd = nn.SGD(0.1, momentum=0.5, nesterov=True)
    sgd.learning_rate = np.float32(0.25)  # type: ignore[assignment]
    assert type(sgd.learning_rate) is float
    with pytest.raises(ValueError, match="SGD: learning_rate is -1 but must be above 0 and finite"):
        sgd.learning_rate = -1
    with pytest.raises(ValueError, match="SGD: learning_rate is inf but must be above 0"):
        sgd.learning_rate = float("inf")
    with pytest.raises(TypeError, match="SGD: learning_rate is '1' but must be a real number"):
        sgd.learning_rate = "1"  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"SGD: nesterov .* needs a momentum above 0"):
        sgd.momentum = 0
    assert sgd == nn.SGD(0.25, 0.5, True)


def test_a_change_of_optimizers_rule_is_kept_as_training_takes_it(tmp_path: Path) -> None:
    """Momentum after steps without: training begins anew with it, and so does a file."""
    model = trained(nn.SGD(0.1))
    assert isinstance(model.optimizer, nn.SGD)
    model.optimizer.momentum = 0.5
    model.save(tmp_path / "model")
    loaded = nn.Sequential.load(tmp_path / "model")
    for each in (model, loaded):
        each.fit(XOR_X, XOR_Y, epochs=2, verbose=0)
    assert_same_models(loaded, model)


# --- What is refused --------------------------------------------------------------------------


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"load: .*other\.npz is not a file that save has written: "
    ):
        nn.Sequential.load(path)
    with pytest.raises(ValueError, match="has written: it has no 'model'"):
        nn.Sequential.load(path)
    with pytest.raises(
        ValueError, match=r"test_nn_files\.py is not a file that save .* no npz file"
    ):
        nn.Sequential.load(__file__)
    with pytest.raises(FileNotFoundError):
        nn.Sequential.load(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError):
        nn.Sequential.load(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="no npz file"):
        nn.Sequential.load(path)


class Evil:
    """Leaves a trace where a pickle of it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:  # noqa: D105
        return pytest.fail, ("a pickle was loaded",)


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "model"
    trained().save(path)
    _, arrays = read(path)
    evil = np.array([Evil()], dtype=object)
    for name in ("model", "parameters", "slot_0"):
        with path.open("wb") as file:
            np.savez(file, **({"model": np.array("{}")} | arrays | {name: evil}))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="is not a file that save has written"):
            nn.Sequential.load(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="no npz file"):
        nn.Sequential.load(path)


def changed(name: str, value: Any) -> Change:
    return lambda description, _: description.__setitem__(name, value)


def layer(name: str, value: Any) -> Change:
    return lambda description, _: description["layers"][0].__setitem__(name, value)


def optimizer(name: str, value: Any) -> Change:
    return lambda description, _: description["optimizer"].__setitem__(name, value)


def array(name: str, change: Callable[[Array], Array]) -> Change:
    return lambda _, arrays: arrays.__setitem__(name, change(arrays[name]))


REFUSED: dict[str, tuple[Change, str]] = {
    "format": (changed("format", 99), "it has format 99 but this version reads 1 only"),
    "no layers": (changed("layers", []), "its model has no layers"),
    "layer": (changed("layers", [3]), "its model has 3 but a dict whose 'kind' is 'dense' or"),
    "kind": (layer("kind", "conv"), "but a dict whose 'kind' is 'dense' or 'activation' is needed"),
    "kind of a kind": (layer("kind", []), "but a dict whose 'kind' is 'dense' or 'activation'"),
    "entry": (layer("size", 3), "but a dict with kind, units, activation, use_bias is needed"),
    "units": (layer("units", 0), "Dense: units is 0 but must be at least 1"),
    "other units": (layer("units", 5), r"'parameters' has shape \(13,\) but \(16,\) is needed"),
    "huge units": (layer("units", 10**12), r"has shape \(13,\) but \(3000000000001,\) is needed"),
    "units of a type": (layer("units", 4.0), r"units of its dense is 4\.0 but must be of type int"),
    "activation": (layer("activation", "swish"), "activation is 'swish' but must be None, 'relu'"),
    "use_bias": (layer("use_bias", 1), "use_bias of its dense is 1 but must be of type bool"),
    "input_dim": (changed("input_dim", 0), "input_dim of its model is 0 but must be from 1"),
    "other input_dim": (changed("input_dim", 3), r"has shape \(13,\) but \(17,\) is needed"),
    "loss": (changed("loss", "mae"), "loss is 'mae' but must be one of 'mse', 'binary_cross"),
    "no loss": (changed("loss", None), "has one of loss and optimizer but must have both"),
    "no optimizer": (changed("optimizer", None), "has one of loss and optimizer but must have"),
    "optimizer": (optimizer("name", "lbfgs"), "a dict whose 'name' is 'sgd' or 'adam' is needed"),
    "learning_rate": (optimizer("learning_rate", -1), "Adam: learning_rate is -1 but must be"),
    "learning_rate nan": (optimizer("learning_rate", np.nan), "Adam: learning_rate is nan but"),
    "beta_1": (optimizer("beta_1", 1.0), r"Adam: beta_1 is 1\.0 but must be from 0 to below 1"),
    "epsilon": (optimizer("epsilon", "1"), "epsilon of its adam is '1' but must be of type float"),
    "metrics": (changed("metrics", ["auc"]), r"metrics is \['auc'\] but must be"),
    "steps": (changed("steps", -1), "steps of its model is -1 but must be from 0 to 9223372036"),
    "many steps": (changed("steps", 2**63), "steps of its model is 92233720368547758"),
    "steps of a type": (changed("steps", True), "steps of its model is True but must be of type"),
    "state": (changed("shuffle_state", -1), "shuffle_state of its model is -1 but must be from 0"),
    "large state": (changed("shuffle_state", 2**64), "shuffle_state of its model is 1844674407"),
    "missing": (lambda d, _: d.pop("steps"), "but a dict with format, layers, input_dim, loss"),
    "more": (changed("more", 1), "but a dict with format, layers, input_dim, loss, optimizer"),
    "no parameters": (lambda _, arrays: arrays.pop("parameters"), "it has no 'parameters'"),
    "no slot": (lambda _, arrays: arrays.pop("slot_1"), "it has no 'slot_1'"),
    "no slots": (lambda _, a: [a.pop("slot_0"), a.pop("slot_1")], "it has no 'slot_0'"),
    "a slot more": (
        lambda _, arrays: arrays.update(slot_2=arrays["slot_0"]),
        "it has 'slot_2', which its model does not need",
    ),
    "another array": (
        lambda _, arrays: arrays.update(more=np.zeros(3)),
        "it has 'more', which its model does not need",
    ),
    "one weight": (array("parameters", lambda a: a[:1]), r"has shape \(1,\) but \(13,\) is needed"),
    "a weight of rank 0": (array("parameters", lambda a: a[0]), r"has shape \(\) but \(13,\)"),
    "a matrix": (array("parameters", lambda a: a[:, None]), r"has shape \(13, 1\) but \(13,\)"),
    "half": (
        array("parameters", lambda a: a.astype(np.float16)),
        "'parameters' has dtype float16 but float32 or float64 is needed",
    ),
    "integers": (array("parameters", lambda a: a.astype(int)), "'parameters' is broken: it has dt"),
    "another dtype": (
        array("parameters", lambda a: a.astype(np.float64)),
        "its array 'slot_0' has dtype float32 but float64 is needed",
    ),
    "short slot": (array("slot_1", lambda a: a[1:]), r"'slot_1' has shape \(12,\) but \(13,\)"),
    "text": (array("slot_1", lambda a: a.astype(str)), "its array 'slot_1' has dtype <U"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_save_has_not_written_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    trained().save(path)
    description, arrays = read(path)
    change, message = REFUSED[name]
    change(description, arrays)
    write(path, description, arrays)
    with pytest.raises(ValueError, match=message) as caught:
        nn.Sequential.load(path)
    assert str(caught.value).startswith(f"load: {path} is not a file that save has written: ")


def test_descriptions_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    trained().save(path)
    _, arrays = read(path)
    texts = ["", "[]", "3", "null", '{"format": 1', '{"format": 1}', "[" * 100_000, "9" * 10_000]
    others = [np.array(["{}"]), np.array(b"{}"), np.array(1.0), np.zeros(0, "U1")]
    for model in [*map(np.array, texts), *others]:
        with path.open("wb") as file:
            np.savez(file, model=model, **arrays)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="is not a file that save has written"):
            nn.Sequential.load(path)


def test_arrays_of_the_other_byte_order_are_the_same_model(tmp_path: Path) -> None:
    path = tmp_path / "model"
    model = trained()
    model.save(path)
    description, arrays = read(path)
    foreign = {name: a.astype(a.dtype.newbyteorder()) for name, a in arrays.items()}
    write(path, description, foreign)
    assert_same_models(nn.Sequential.load(path), model)


def test_archives_that_save_does_not_write_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    trained().save(path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}

    def refused(message: str, members: list[tuple[str, bytes]], method: int = 0) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in members:
                archive.writestr(zipfile.ZipInfo(name), data, method)
        path.write_bytes(buffer.getvalue())
        with pytest.raises(ValueError, match=message):
            nn.Sequential.load(path)

    refused("'model' is broken: it is compressed", list(members.items()), zipfile.ZIP_DEFLATED)
    refused("'model' is broken", [(name[:-4], data) for name, data in members.items()])
    with pytest.warns(UserWarning, match="Duplicate name"):
        refused("it has arrays of the same name", [*members.items(), *members.items()])
    # Sizes that the file does not hold: nothing may be allocated before that is seen.
    data = members["parameters.npy"]
    for shape, message in [
        (b"(10**14,)", "is broken"),
        (b"(99999999999999,)", "it has 52 bytes but 399999999999996 are needed"),
        (b"(14,)", "it has 52 bytes but 56 are needed"),
        (b"(12,)", "it has 52 bytes but 48 are needed"),
        (b"(-1,)", "it has 52 bytes but -4 are needed"),
    ]:
        header = data[10:].partition(b"(13,), }")
        wrong = data[:10] + header[0] + shape + b", }" + header[2][len(shape) - 5 :]
        refused(message, [*(members | {"parameters.npy": wrong}).items()])


# --- Fuzzing ----------------------------------------------------------------------------------


def load_unless_refused(path: Path) -> nn.Sequential | None:
    try:
        return nn.Sequential.load(path)
    except ValueError as error:
        if "is not a file that save has written: " not in str(error):
            raise
    return None


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield bytes with something flipped, cut, doubled or overwritten."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        wrong = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at, size = int(rng.integers(len(wrong))), int(rng.integers(1, 17))
            kind = rng.integers(5)
            if kind == 0:
                wrong[at] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                wrong[at : at + size] = rng.bytes(size)
            elif kind == 2:
                del wrong[at : at + size]
            elif kind == 3:
                wrong[at:at] = wrong[at : at + size]
            else:
                wrong[at : at + size] = bytes([0, 255][int(rng.integers(2))] for _ in range(size))
        yield bytes(wrong)
    for size in range(0, len(data), max(1, len(data) // count)):
        yield data[:size]


def test_damaged_files_are_refused_or_harmless(tmp_path: Path) -> None:
    """Bytes that matter have check sums; what is changed elsewhere leaves the same model."""
    path = tmp_path / "model"
    model = trained()
    model.save(path)
    refused = 0
    for data in mutations(path.read_bytes(), 400, seed=1):
        path.write_bytes(data)
        if loaded := load_unless_refused(path):
            assert_same_models(loaded, model)
        else:
            refused += 1
    assert refused > 300


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where in nested lists and dicts there is something."""
    if before:
        yield before
    keys = value if isinstance(value, dict) else range(len(value)) if type(value) is list else ()
    for key in keys:
        yield from paths(value[key], (*before, key))


ODD: list[Any] = [None, True, False, 0, -1, 1, 2, 4, 1.0, 0.5, -0.5, 1e-320, 2**31, 2**63, 2**64]
ODD += [2**200, np.inf, -np.inf, np.nan, "", "relu", "mse", "sgd", "\ud800", [], [[]], ["accuracy"]]
ODD += [{}, {"name": "sgd"}, {"kind": "activation", "activation": "relu"}]


def test_odd_descriptions_are_refused_or_those_of_a_model_that_works(tmp_path: Path) -> None:
    path = tmp_path / "model"
    trained().save(path)
    right, arrays = read(path)
    refused = loads = 0
    for where in paths(right):
        for value in [*ODD, "missing"]:
            description = copy.deepcopy(right)
            holder = description
            for key in where[:-1]:
                holder = holder[key]
            if value == "missing":
                del holder[where[-1]]
            else:
                holder[where[-1]] = value
            write(path, description, arrays)
            loaded = load_unless_refused(path)
            if loaded is None:
                refused += 1
                continue
            loads += 1
            loaded.save(path)
            assert read(path)[0] == description
            x = np.ones((3, loaded._input_dim or 0))
            loaded.predict(x)
            if loaded.loss != "sparse_categorical_crossentropy":
                loaded.fit(x, np.ones((3, 1)), verbose=0)
    assert refused > 500
    assert loads > 20
