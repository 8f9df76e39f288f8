import pytest
import torch
from dancedepth.models.hdnet import HDNet
from dancedepth.pipeline.training.muon import Muon, orthogonalized


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (16, 16)])
def test_directions_with_small_gradients_are_learned_as_fast_as_others(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    left, right = torch.linalg.qr(torch.randn(shape[0], 8))[0], torch.linalg.qr(torch.randn(shape[1], 8))[0]
    matrix = left @ torch.diag(torch.logspace(0, -2, 8)) @ right.T
    values = torch.linalg.svdvals(orthogonalized(matrix))[:8]
    assert float(values.min()) > 0.5 and float(values.max()) < 1.3
    along = torch.einsum("is,ij,js->s", left, orthogonalized(matrix), right)
    assert (along > 0.5).all(), "each goes where it went, none turns round"


def test_first_and_last_layers_and_vectors_are_adams() -> None:
    net = HDNet("tiny")
    named = {id(p): name for name, p in net.named_parameters()}
    hidden, edges, vectors = (
        [named[id(p)] for p in group["params"]] for group in Muon(net, 0.02, 0.002, 0.0).param_groups
    )
    assert all(".stem." in name or ".head." in name for name in edges) and len(edges) == 4
    assert not any(".stem." in name or ".head." in name or name.endswith("bias") for name in hidden)
    assert len(hidden) + len(edges) + len(vectors) == len(named)


def test_it_finds_the_least_squares_and_decays() -> None:
    torch.manual_seed(0)
    net = torch.nn.Conv2d(6, 4, 1)
    truth, inputs = torch.randn(4, 6, 1, 1), torch.randn(64, 6, 1, 1)
    wanted = torch.nn.functional.conv2d(inputs, truth)
    optimizer = Muon(net, 0.1, 0.05, 0.0)
    for step in range(300):
        for group, highest in zip(optimizer.param_groups, (0.1, 0.05, 0.05), strict=True):
            group["lr"] = highest * (1 - step / 300)
        optimizer.zero_grad()
        (net(inputs) - wanted).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(net.weight.detach(), truth, atol=0.02, rtol=0)
    torch.testing.assert_close(net.bias.detach(), torch.zeros(4), atol=0.02, rtol=0)
    for group in optimizer.param_groups:
        group.update(lr=0.1, weight_decay=0.5 if group["orthogonal"] else 0.0)
    optimizer.zero_grad()
    (0 * net(inputs)).sum().backward()
    optimizer.state.clear()
    optimizer.step()
    torch.testing.assert_close(net.weight.detach(), 0.95 * truth, atol=0.03, rtol=0)
