"""The divergence of second views: numbers by hand, gradients by difference quotients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pondera.engine.second_views.divergence import completion_means, cosine_decay, view_kl

LOG_RATIOS = [-0.5, -0.1, 0.0, 0.1, 0.5]


def test_view_kl_matches_hand_computation():
    """exp(d) - d - 1 for d = view - policy; the digest's golden values of k3."""
    policy_M = torch.full((5,), -2.0, dtype=torch.float64)
    found_M = view_kl(policy_M, policy_M + torch.tensor(LOG_RATIOS, dtype=torch.float64))
    expected_M = torch.tensor([0.106531, 0.004837, 0.0, 0.005171, 0.148721], dtype=torch.float64)
    torch.testing.assert_close(found_M, expected_M, rtol=0, atol=1e-6)


def test_view_kl_is_bounded_where_the_views_have_nothing_in_common():
    """d = -30 is taken as -20: exp(-20) + 20 - 1 = 19, bounded to 10; so is exp(30)."""
    found_M = view_kl(torch.tensor([-1.0, -31.0]), torch.tensor([-31.0, -1.0]))
    torch.testing.assert_close(found_M, torch.tensor([10.0, 10.0]))


def test_the_gradient_is_one_less_exp_d_inside_the_bounds_and_zero_beyond():
    """d = 0.5: 1 - e^0.5 = -0.648721; d = -0.5: 1 - e^-0.5 = 0.393469; d = -15 (kl 14): 0; d = 4 (kl 49.6): 0."""
    policy_M = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    view_M = torch.tensor([0.5, -0.5, -15.0, 4.0], dtype=torch.float64, requires_grad=True)
    view_kl(policy_M, view_M).sum().backward()
    expected_M = torch.tensor([-0.648721, 0.393469, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(policy_M.grad, expected_M, rtol=0, atol=1e-6)
    assert view_M.grad is None  # the second view is a constant


@given(st.floats(-40, 0), st.floats(-40, 0))
def test_view_kl_is_never_negative_and_zero_for_equal_views(policy, view):
    value = float(view_kl(torch.tensor([policy]).double(), torch.tensor([view]).double()))
    assert 0 <= value <= 10 and float(view_kl(torch.tensor([view]), torch.tensor([view]))) == 0


def test_means_are_taken_per_completion_and_empty_ones_are_zero():
    value_M = torch.tensor([1.0, 3.0, 5.0])
    found_N = completion_means(value_M, torch.tensor([0, 0, 2]), 3)
    torch.testing.assert_close(found_N, torch.tensor([2.0, 0.0, 5.0]))


@pytest.mark.parametrize(
    ("epoch", "last", "expected"),
    [(0, 5, 1.0), (2.5, 5, 0.5), (5, 5, 0.0), (9, 5, 0.0), (1.25, 5, 0.5 * (1 + math.sqrt(0.5))), (9, None, 1.0)],
)
def test_the_weight_falls_along_half_a_cosine(epoch, last, expected):
    assert cosine_decay(epoch, last) == pytest.approx(expected, abs=1e-12)
