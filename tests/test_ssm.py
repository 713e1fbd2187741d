"""State-space layers against the plain recurrence they stand for."""

import copy

import pytest
import torch

from spikeloom.nets import convolution, ssm
from spikeloom.nets.blocks import ModulatedSSMBlock, SSMBlock
from spikeloom.nets.ssm import SSM, DiagonalKernel, DPLRKernel

LENGTH = 37


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def dplr_recurrence(kernel: DPLRKernel, direction: int, channel: int, length: int) -> torch.Tensor:
    """The published system, complex, in conjugate pairs, one step at a time."""
    pair = lambda values: torch.cat([values, values.conj()])  # noqa: E731
    lam = pair(torch.complex(-kernel.log_decay[channel].exp(), -kernel.frequency[channel]))
    b = pair(torch.view_as_complex(kernel.inputs[channel].contiguous()))
    p = pair(torch.view_as_complex(kernel.low_rank[channel].contiguous()))
    c = pair(torch.view_as_complex(kernel.outputs[direction, channel].contiguous()))
    step = kernel.log_step[channel].exp()
    continuous = torch.diag(lam) - torch.outer(p, p.conj())
    identity = torch.eye(len(lam), dtype=lam.dtype)
    left = torch.linalg.inv(identity - step / 2 * continuous)
    matrix, state = left @ (identity + step / 2 * continuous), step * left @ b
    out = []
    for _ in range(length):
        out.append((c * state).sum().real)
        state = matrix @ state
    return torch.stack(out)


def diagonal_recurrence(kernel: DiagonalKernel, direction: int, channel: int, length: int) -> torch.Tensor:
    lam = torch.complex(-kernel.log_decay[channel].exp(), kernel.frequency[channel])
    c = torch.view_as_complex(kernel.outputs[direction, channel].contiguous())
    factor = torch.exp(kernel.log_step[channel].exp() * lam)
    state = (factor - 1) / lam
    out = []
    for _ in range(length):
        out.append(2 * (c * state).sum().real)
        state = factor * state
    return torch.stack(out)


RECURRENCES = {DPLRKernel: dplr_recurrence, DiagonalKernel: diagonal_recurrence}


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kind", [DPLRKernel, DiagonalKernel])
@torch.no_grad()
def test_kernel_is_the_recurrence(kind, directions):
    kernel = kind(3, 16, directions).double()
    for parameter in kernel.parameters():  # away from the initial point, where all channels are alike
        parameter += 0.05 * torch.randn_like(parameter)
    response = kernel(LENGTH)
    for direction in range(directions):
        for channel in range(3):
            expected = RECURRENCES[kind](kernel, direction, channel, LENGTH)
            torch.testing.assert_close(response[direction, channel], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [DPLRKernel, DiagonalKernel])
@pytest.mark.parametrize("length", [1, 2, 3, 16, 50])
@torch.no_grad()
def test_kernel_does_not_depend_on_the_requested_length(kind, length):
    kernel = kind(2, 8, 1).double()
    before = copy.deepcopy(kernel.state_dict())
    torch.testing.assert_close(kernel(length), kernel(64)[..., :length], rtol=1e-10, atol=1e-12)
    for name, value in kernel.state_dict().items():
        assert torch.equal(value, before[name]), f"asking for a kernel changed {name}"


def test_hippo_initialisation_has_the_known_spectrum():
    kernel = DPLRKernel(4, 64)
    frequency = kernel.frequency[0].sort(descending=True)[0]
    torch.testing.assert_close(kernel.log_decay.exp(), torch.full((4, 32), 0.5))
    known = [1303.3, 433.0, 258.15, 182.6, 140.2, 112.9]
    torch.testing.assert_close(frequency[:6], torch.tensor(known), rtol=5e-4, atol=0)
    torch.testing.assert_close(frequency[-5:], torch.tensor([3.665, 2.626, 1.703, 0.906, 0.264]), rtol=2e-3, atol=0)
    assert kernel.inputs[..., 1].abs().max() <= 2


@pytest.mark.parametrize(("bidirectional", "count"), [(False, 66_048), (True, 82_432)])
def test_published_layer_has_the_published_size(bidirectional, count):
    layer = SSM(256, "s4", 64, bidirectional)
    assert sum(p.numel() for p in layer.parameters()) == count


def direct(layer: SSM, x: torch.Tensor) -> torch.Tensor:
    """The sums of the docstring, written out."""
    kernel = layer.kernel(x.shape[1])
    out = x * layer.skip
    for t in range(x.shape[1]):
        for s in range(t + 1):
            out[:, t] += kernel[0, :, s] * x[:, t - s]
        if len(kernel) == 2:
            for s in range(x.shape[1] - t - 1):
                out[:, t] += kernel[1, :, s] * x[:, t + 1 + s]
    return out


@pytest.mark.parametrize("kernel", ["s4", "s4d"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("toeplitz", [False, True])
def test_convolution_is_the_sum_it_stands_for(kernel, bidirectional, toeplitz, monkeypatch):
    monkeypatch.setattr(ssm, "toeplitz_wins", lambda length, device: toeplitz)
    layer = SSM(4, kernel, 8, bidirectional).double()
    x = torch.randn(3, 19, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = direct(layer, x)
        torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x), expected)


def test_both_convolutions_have_the_same_gradients(monkeypatch):
    layer = SSM(3, "s4d", 8).double()
    x = torch.randn(5, 11, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 11, 3, dtype=torch.float64)
    gradients = []
    for toeplitz in (False, True):
        monkeypatch.setattr(ssm, "toeplitz_wins", lambda length, device, value=toeplitz: value)
        loss = (layer(x) * weight).square().sum()
        gradients.append(torch.autograd.grad(loss, [x, *layer.parameters()]))
    for by_fft, by_toeplitz in zip(*gradients, strict=True):
        torch.testing.assert_close(by_fft, by_toeplitz, rtol=1e-5, atol=1e-5)


def test_causal_layer_sees_no_future_and_the_other_does():
    x, changed = torch.randn(2, 30, 4), None
    changed = x.clone()
    changed[:, 20:] += 1
    with torch.no_grad():
        for bidirectional in (False, True):
            layer = SSM(4, "s4d", 8, bidirectional)
            same = torch.allclose(layer(x)[:, :20], layer(changed)[:, :20], atol=1e-5)
            assert same is not bidirectional


@torch.no_grad()
def test_kept_kernel_gives_the_same_output_and_dies_with_its_parameters():
    layer = SSM(4, "s4d", 8).eval()
    x = torch.randn(2, 30, 4)
    first = layer(x)
    kept = layer._cache
    assert kept is not None
    assert torch.equal(layer(x), first)
    assert layer._cache is kept, "the kernel was computed again"
    layer.kernel.log_step += 0.1
    assert not torch.allclose(layer(x), first)
    layer(x[:, :20])
    assert layer._cache[0][0] == 20
    assert copy.deepcopy(layer)._cache is None
    assert not any("cache" in name for name in layer.state_dict())


def test_half_precision_follows_full_precision():
    layer = SSM(8, "s4d", 8)
    x = torch.randn(64, 40, 8)
    with torch.no_grad():
        exact = layer(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = layer(x)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).norm() / exact.norm() < 0.02


@pytest.mark.parametrize("length", [1, 2, 7, 20])
def test_gradient_of_the_diagonal_kernel_is_the_derivative(length):
    kernel = DiagonalKernel(2, 4, 2).double()
    for parameter in kernel.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    parameters = tuple(p.detach().requires_grad_() for p in kernel.parts())
    assert torch.autograd.gradcheck(lambda *values: DiagonalKernel.response(length, *values), parameters)


@pytest.mark.parametrize(("kernel", "bidirectional"), [("s4", False), ("s4d", True)])
def test_kernels_of_all_layers_together_are_those_of_each(kernel, bidirectional):
    blocks = [SSMBlock(channels, "per_bin", kernel, 8, bidirectional).double() for channels in (2, 3)]
    weights = [torch.randn(block.ssm.skip.shape[0], 2 * LENGTH - 1, dtype=torch.float64) for block in blocks]
    parameters = [p for block in blocks for p in block.ssm.parameters()]

    def gradients(lags):
        return torch.autograd.grad(sum((w * k).sum() for w, k in zip(weights, lags, strict=True)), parameters)

    together, each = ssm.joint_lags(blocks, LENGTH), [block.ssm.lags(LENGTH) for block in blocks]
    for a, b in zip([*together, *gradients(together)], [*each, *gradients(each)], strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        assert ssm.joint_lags(blocks, LENGTH) == [None, None], "kept kernels are used instead"


def test_a_batch_in_parts_is_filtered_as_a_whole(monkeypatch):
    layer = SSM(3, "s4d", 8).double()
    x = torch.randn(5, LENGTH, 3, dtype=torch.float64, requires_grad=True)
    results = []
    for values in (1, 2 * 3 * LENGTH, 2**20):
        monkeypatch.setattr(convolution, "CACHED_VALUES", values)
        out = layer(x)
        results.append([out, *torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])])
    for result in results[1:]:
        for a, b in zip(result, results[0], strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("modulated", [False, True])
def test_valid_bins_alone_pass_through_the_perceptrons_in_training(modulated, monkeypatch):
    block = ModulatedSSMBlock(6, 4, "per_bin", "s4d", 8) if modulated else SSMBlock(6, "per_bin", "s4d", 8, True)
    block = block.double()
    for parameter in block.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    x = torch.randn(3, 9, 6, dtype=torch.float64)
    mask = (torch.arange(9) < torch.tensor([9, 4, 1])[:, None])[..., None]
    weight = torch.randn_like(x) * mask
    further = (torch.randn(3, 4, dtype=torch.float64),) if modulated else ()
    rows, results = [], []
    block.widen.register_forward_hook(lambda layer, inputs, out: rows.append(out.shape[:-1].numel()))
    for valid_only in (True, False):
        if not valid_only:
            monkeypatch.setattr("spikeloom.nets.blocks._valid_bins", lambda *args: None)
        out = block(x.requires_grad_(), *further, mask)
        gradients = torch.autograd.grad((out * weight).sum(), [x, *block.parameters()])
        results.append([out * mask, *gradients])
    assert rows == [14, 27]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
