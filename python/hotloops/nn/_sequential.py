"""Networks of layers one after another: trained, judged and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hotloops import _arguments, _core
from hotloops.nn import _files, _optimizers, _samples
from hotloops.nn._history import History
from hotloops.nn._layers import writable
from hotloops.nn._progress import progress
from hotloops.nn._stack import Stack
from hotloops.nn._turn import Turn, in_turn

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from hotloops.nn._layers import Array, Layer

LOSSES = (
    "mse",
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
)

# Training comes back to Python this often, to show how far it is.
SECONDS_BETWEEN_REPORTS = 0.1


class Sequential(Stack):
    """Layers one after another, with the habits of Keras' model of that name.

    Parameters
    ----------
    layers : iterable of Dense or Activation
        To begin with; `add` adds others.
    seed : int, optional
        Of the weights to begin with and of the order in which samples are learned from. Two models
        with the same layers and seed that are trained on the same data have the same bits: on every
        number of threads, and on every instruction set with fused multiply-add.
    dtype : {float32, float64}
        Of the weights and of all that is computed.

    See Also
    --------
    hotloops.nn.naive : A small network in plain Python.

    Notes
    -----
    Forward and backward passes consist of the products of `hotloops.matmul`, to the bit. The
    gradients of a kernel and its bias are one of them, ``[x 1].T @ grad``.

    A model is trained by one thread at a time: `fit` and `compile` refuse while another thread is
    in its `fit`. To predict meanwhile is safe but sees weights of different steps. Models of their
    own are trained side by side.

    Examples
    --------
    Exclusive or, which one layer could not learn:

    >>> import numpy as np
    >>> from hotloops.nn import SGD, Dense, Sequential
    >>> x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> model = Sequential(seed=1)
    >>> model.add(Dense(10, activation="tanh", input_dim=2))
    >>> model.add(Dense(1, activation="sigmoid"))
    >>> model.compile(loss="binary_crossentropy", optimizer=SGD(0.5), metrics=["accuracy"])
    >>> history = model.fit(x, y, epochs=500, batch_size=4, verbose=0)
    >>> history.history["accuracy"][-1]
    1.0
    >>> model.predict(x).round().ravel()
    array([0., 1., 1., 0.], dtype=float32)
    """

    def __init__(
        self,
        layers: Iterable[Layer] = (),
        *,
        seed: int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        # Two streams: how much one of them gives must not matter to the other.
        with _arguments.naming("Sequential", seed=seed):
            weights, order = np.random.SeedSequence(seed).spawn(2)
        dtype = _arguments.as_dtype("Sequential", "dtype", dtype)
        super().__init__(layers, dtype, np.random.default_rng(weights))
        self._shuffle_state = int(order.generate_state(1, np.uint64)[0])
        self.loss: str | None = None
        self.optimizer: _optimizers.Optimizer | None = None
        self.metrics: list[str] = []
        self.history: History | None = None
        self._slots: list[Array] = []
        self._steps = 0
        self._turn = Turn()

    @in_turn
    def compile(
        self,
        *,
        loss: str,
        optimizer: str | _optimizers.Optimizer = "sgd",
        metrics: Sequence[str] = (),
    ) -> None:
        """Choose what to minimize, and how. What an earlier optimizer remembers is forgotten.

        Parameters
        ----------
        loss : str
            'mse': mean squared error. 'binary_crossentropy': for outputs that are probabilities.
            'categorical_crossentropy' for targets that give each class a probability, and
            'sparse_categorical_crossentropy' for the numbers of the right classes, both for outputs
            that are probabilities of classes. Where the last activation is the one that makes such
            probabilities, sigmoid or softmax, it is computed in one with the loss, from the logits:
            nothing overflows, and a network that is wrong with certainty still learns. After other
            activations, probabilities are kept 1e-7 away from 0 and 1.
        optimizer : {'sgd', 'adam'}, SGD or Adam
            How to minimize it.
        metrics : sequence of {'accuracy'}
            What to report besides. The accuracy is the part of the samples whose largest output is
            that of the right class; where there is one output, or with 'binary_crossentropy', the
            part of the outputs that are on the right side of 0.5.
        """
        loss = _arguments.as_choice("compile", "loss", loss, LOSSES, "must be one of")
        wanted = list(_arguments.as_iterator("compile", "metrics", metrics))
        if isinstance(metrics, str) or not all(
            isinstance(metric, str) and metric == "accuracy" for metric in wanted
        ):
            raise ValueError(
                f"compile: metrics is {_arguments.shown(metrics)} but must be [] or ['accuracy']"
            )
        self.optimizer = _optimizers.get(optimizer)
        self.loss = loss
        self.metrics = wanted
        self._slots = []
        self._steps = 0

    # ---- Training and judging --------------------------------------------------------------------

    @in_turn
    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        verbose: Literal[0, 1, 2] = 1,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
    ) -> History:
        """Learn from samples; a later call goes on where this one stopped.

        Parameters
        ----------
        x : array_like, shape (samples, inputs)
            Samples.
        y : array_like, shape (samples, units), or (samples,) for one unit or the numbers of classes
            What the outputs should be.
        epochs : int
            How often to learn from all samples.
        batch_size : int
            From how many to learn in one step.
        verbose : {0, 1, 2}
            Silence, a progress bar, or a line an epoch. The bar needs rich; without it there are
            lines instead, ten a second at most.
        validation_data : tuple of array_like, optional
            Samples and targets to judge the network by after each epoch, without learning from
            them.
        shuffle : bool
            Whether to take the samples in a new random order in each epoch.

        Returns
        -------
        History
            Of this call. It is also the model's `history`, up to a moment ago, when Ctrl-C ends the
            call; the weights are then those after a whole step.
        """
        epochs = _arguments.as_count("fit", "epochs", epochs, 0)
        level = _arguments.as_level("fit", "verbose", verbose, (0, 1, 2))
        batch_size = _arguments.as_count("fit", "batch_size", batch_size, 1)
        shuffle = _arguments.as_flag("fit", "shuffle", shuffle)
        inputs = self._known_inputs()
        samples = self._samples("fit", x, y, inputs)
        judged = None
        if validation_data is not None:
            x, y = _samples.as_pair("fit", "validation_data", validation_data)
            inputs = samples[0].shape[1]
            judged = self._samples("fit", x, y, inputs, of="validation_data's ")
        training = self._training(*samples, batch_size)
        validation = None if judged is None else self._training(*judged, batch_size)
        self.history = history = History()
        one_by_one = level == 2 or validation is not None
        with progress(level, epochs) as show:
            while (left := epochs - len(history.epoch)) > 0:
                figures = self._train(training, 1 if one_by_one else left, shuffle)
                if validation is not None:
                    loss, accuracy = validation.evaluate(self._parameters)
                    figures |= self._figures([loss], [accuracy], prefix="val_")
                history._extend(figures)
                show(len(history.epoch), history._last())
        return history

    def _train(
        self, training: _core.Training, epochs: int, shuffle: bool
    ) -> dict[str, list[float]]:
        """Train for some epochs, or fewer if they take long; return each one's figures."""
        assert self.optimizer is not None
        optimizer = self.optimizer._core()
        if len(self._slots) != optimizer.slots:
            self._slots = [np.zeros_like(self._parameters) for _ in range(optimizer.slots)]
            self._steps = 0
        self._storage.make_writable()
        self._slots = [writable(slot) for slot in self._slots]
        state = _core.TrainingState(self._steps, self._shuffle_state)
        try:
            scores = training.train(
                optimizer,
                self._parameters,
                self._slots,
                state,
                epochs,
                SECONDS_BETWEEN_REPORTS,
                shuffle,
            )
        finally:
            self._steps, self._shuffle_state = state.steps, state.shuffle
        return self._figures(*scores)

    def evaluate(self, x: Any, y: Any, *, batch_size: int = 32) -> float | list[float]:
        """Return the loss on samples, or the loss and the accuracy if that is a metric.

        Parameters
        ----------
        x, y : array_like
            Samples and targets, as for `fit`.
        batch_size : int
            How many to compute at once.

        Returns
        -------
        float or list of float
            Means over the samples.
        """
        batch_size = _arguments.as_count("evaluate", "batch_size", batch_size, 1)
        samples = self._samples("evaluate", x, y, self._known_inputs())
        training = self._training(*samples, batch_size)
        loss, accuracy = training.evaluate(self._parameters)
        return [loss, accuracy] if self.metrics else loss

    def _samples(
        self, function: str, x: Any, y: Any, inputs: int | None, of: str = ""
    ) -> tuple[Array, Array]:
        """Return samples and targets as the core takes them, before the model has changed."""
        if self.loss is None:
            raise RuntimeError(f"{function}: the model has no loss yet; compile it first")
        x = _samples.as_inputs(function, f"{of}x", x, inputs, self.dtype)
        if len(x) == 0:
            raise ValueError(f"{function}: {of}x has shape {x.shape} but samples are needed")
        units = self._units(x.shape[1])
        if self.loss == "sparse_categorical_crossentropy":
            return x, _samples.as_classes(function, f"{of}y", y, len(x), units)
        return x, _samples.as_targets(function, f"{of}y", y, (len(x), units), self.dtype)

    def _training(self, x: Array, y: Array, batch_size: int) -> _core.Training:
        """Return the core's view of the layers, the loss and some samples."""
        assert self.loss is not None
        self.build(x.shape[1])
        layers = [
            _core.Layer(
                inputs,
                units,
                activation,
                has_kernel=dense is not None,
                has_bias=dense is not None and dense.use_bias,
            )
            for dense, activation, inputs, units in self._stages()
        ]
        return _core.Training(layers, self.loss, x, y, batch_size)

    def _figures(
        self, loss: list[float], accuracy: list[float], prefix: str = ""
    ) -> dict[str, list[float]]:
        """Return the lists with their names, as far as they are wanted."""
        figures = {f"{prefix}loss": loss}
        return figures | ({f"{prefix}accuracy": accuracy} if self.metrics else {})

    # ---- Files -----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to an npz file: layers, weights and what training needs to go on.

        Parameters
        ----------
        path : str or path-like
            The file; it is replaced if it exists.
        """
        self.build()
        assert self._input_dim is not None
        slots, steps = self._slots, self._steps
        if self.optimizer is not None and len(slots) != self.optimizer._core().slots:
            slots, steps = [], 0  # another optimizer's, as training would find
        saved = _files.Saved(
            self._layers,
            self._input_dim,
            self.loss,
            self.optimizer,
            self.metrics,
            steps,
            self._shuffle_state,
            self._parameters,
            slots,
        )
        _files.save(path, saved)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sequential:
        """Read a model that `save` has written.

        Parameters
        ----------
        path : str or path-like
            The file. Nothing in it is executed.

        Returns
        -------
        Sequential
            The same model: it predicts the same bits, and goes on training with the same.

        Raises
        ------
        ValueError
            If the file is anything but what `save` has written; the message says what is wrong.
        """
        data = _arguments.as_path("load", "path", path).read_bytes()
        with _files.refusals(path):
            saved = _files.load(data)
            model = cls(saved.layers, dtype=saved.parameters.dtype)
            if saved.loss is not None:
                assert saved.optimizer is not None
                model.compile(loss=saved.loss, optimizer=saved.optimizer, metrics=saved.metrics)
        model._lay_out(saved.parameters, saved.input_dim)
        model._input_dim = saved.input_dim
        model._slots = saved.slots
        model._steps = saved.steps
        model._shuffle_state = saved.shuffle_state
        return model
