"""Few-step inversion: the quasi-Newton method alone, the measured curvature, and both on a generator."""

from types import SimpleNamespace

import pytest
import torch

from studiolike.config import InversionConfig
from studiolike.inversion import Curvature, WPrior, invert
from studiolike.inversion.quasi_newton import MEMORY, minimise
from studiolike.stylegan2 import Generator


def quadratic(condition: float, problems: int = 3, size: int = 20):
    """Values and gradients of ½ (x − goal)ᵀ A (x − goal), one A per problem, and the matrices."""
    rng = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(problems, size, size, generator=rng, dtype=torch.float64)).Q
    matrix = (axes * torch.logspace(0, torch.tensor(condition).log10().item(), size, dtype=torch.float64)) @ axes.mT
    goal = torch.randn(problems, size, generator=rng, dtype=torch.float64)

    def evaluate(x):
        slope = torch.einsum("bij,bj->bi", matrix, x - goal)
        return 0.5 * ((x - goal) * slope).sum(1), slope

    return evaluate, matrix, goal


def test_with_the_true_curvature_one_step_is_enough():
    evaluate, matrix, goal = quadratic(1e4)
    inverse = torch.linalg.inv(matrix)
    found = minimise(evaluate, torch.zeros_like(goal), lambda g: torch.einsum("bij,bj->bi", inverse, g), 1)
    torch.testing.assert_close(found, goal)


def test_without_any_curvature_it_still_learns_one_and_a_rough_one_helps():
    evaluate, matrix, goal = quadratic(300.0)
    start = torch.zeros_like(goal)
    plain = evaluate(minimise(evaluate, start, lambda g: g / 300, 25))[0]
    rough = torch.linalg.inv(matrix.mean(0) + 3 * torch.eye(20))
    helped = evaluate(minimise(evaluate, start, lambda g: g @ rough, 25))[0]
    descent = start
    for _ in range(25):
        descent = descent - evaluate(descent)[1] / 300
    assert (plain < 0.2 * evaluate(descent)[0]).all()
    assert (helped < plain).all()


def test_a_problem_does_not_feel_its_neighbours_and_never_gets_worse():
    def evaluate(x):  # Rosenbrock's valley, and nowhere defined beyond 3
        a, b = x[:, 0], x[:, 1]
        value = torch.where(x.abs().amax(1) > 3, torch.nan, (1 - a) ** 2 + 100 * (b - a**2) ** 2)
        return value, torch.stack([-2 * (1 - a) - 400 * a * (b - a**2), 200 * (b - a**2)], 1)

    start = torch.tensor([[-1.2, 1.0], [2.0, 2.0], [0.0, -1.0]], dtype=torch.float64)
    path = [evaluate(minimise(evaluate, start, lambda g: g / 500, steps))[0] for steps in (0, 5, 20, 20 + 4 * MEMORY)]
    assert all((after <= before).all() for before, after in zip(path, path[1:], strict=False))
    assert path[-1].max() < 1e-2
    together = minimise(evaluate, start, lambda g: g / 500, 20)
    alone = torch.cat([minimise(evaluate, one[None], lambda g: g / 500, 20) for one in start])
    torch.testing.assert_close(together, alone)


class Linear(torch.nn.Module):
    """A generator whose picture is a linear map of each row of w+."""

    num_ws, config = 2, SimpleNamespace(w_dim=4, resolution=4)

    def __init__(self):
        super().__init__()
        self.register_buffer("maps", torch.randn(2, 4, 48, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("w_mean", torch.zeros(4))

    def mapping(self, z):
        return z * z.new_tensor([1.0, 0.5, 0.2, 0.1])

    def synthesis(self, w_plus, noise="const"):
        return torch.einsum("bld,ldp->bp", w_plus, self.maps).view(-1, 3, 4, 4)


def test_the_curvature_is_measured_and_errs_towards_the_cautious():
    generator = Linear()
    true = 2 / 48 * generator.maps @ generator.maps.mT
    found = Curvature.of(generator, probes=4096).matrix
    scale = WPrior.from_generator(generator)
    root = scale.basis * scale.scale  # where the power was taken
    inside, wanted = root.T @ found @ root, root.T @ true @ root
    assert torch.linalg.eigvalsh(inside - 0.9 * wanted).min() > -1e-6  # never much below the truth
    torch.testing.assert_close(torch.linalg.eigvalsh(inside)[:, -1].max(), torch.linalg.eigvalsh(wanted).max(), rtol=0.1, atol=0)
    assert torch.equal(Curvature.of(generator).root, Curvature.of(generator).root)  # no luck in it


@pytest.fixture(scope="module")
def problem():
    torch.manual_seed(0)
    generator = Generator(16, 16, 2, 64, 16).eval()
    texture = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    visibility = torch.ones(3, 1, 16, 16)
    visibility[1, :, 8:] = 0
    return generator, texture, visibility


@pytest.mark.parametrize("space", ["w+", "w"])
def test_few_steps_with_curvature_beat_as_many_and_more_without(problem, space):
    generator = problem[0]
    curvature = Curvature.of(generator, probes=128)
    few = invert(*problem, InversionConfig(steps=10), space=space, curvature=curvature)
    many = invert(*problem, InversionConfig(steps=30), space=space)
    assert len(few.history["loss"]) == 11 and len(many.history["loss"]) == 30
    assert (few.history["loss"].amin(0) < many.history["loss"].amin(0)).all()
    assert few.w_plus.shape == (3, generator.num_ws, 16)
    assert (space == "w") == torch.allclose(few.w_plus, few.w_plus[:, :1].expand_as(few.w_plus))


def test_the_best_point_is_returned_and_an_empty_texture_draws_towards_the_mean(problem):
    generator, texture, visibility = problem
    curvature = Curvature.of(generator, probes=128)
    result = invert(generator, texture, visibility, InversionConfig(steps=15), curvature=curvature)
    again = invert(generator, texture, visibility, InversionConfig(steps=1), start=result.w_plus, curvature=curvature)
    torch.testing.assert_close(again.history["loss"][0], result.history["loss"].amin(0), rtol=1e-3, atol=0)
    prior = WPrior.from_generator(generator)
    start = prior.sample(3, torch.Generator().manual_seed(2))[:, None].expand(-1, generator.num_ws, -1)
    nothing = invert(
        generator, texture, torch.zeros_like(visibility), InversionConfig(steps=15), start=start, curvature=curvature
    )
    assert (prior.energy(nothing.w_plus) < 0.4 * prior.energy(start)).all()  # slower than seen texels: no pixel is curved


def test_it_comes_back_from_half_precision_positive(problem, tmp_path):
    from studiolike import weights

    curvature = Curvature.of(problem[0], probes=128)
    weights.release(curvature, "curvature", {}, tmp_path)
    again = weights.load("curvature", root=tmp_path)
    torch.testing.assert_close(again.matrix, curvature.matrix, rtol=0.01, atol=1e-3 * curvature.matrix.max().item())
    assert torch.linalg.eigvalsh(again.matrix.double()).min() > -1e-9 * curvature.matrix.max()
