"""The interference toy T2: densities in closed form, and t(mu) by quadrature, independent of evercast."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar

LAMBDA_S, LAMBDA_B, LAMBDA_NI, COS_PHI = 400.0, 300.0, 2000.0, -0.5
OVERLAP = np.sqrt(2 * 0.8 * 1.0 / (0.8**2 + 1.0)) * np.exp(-(1.2**2) / (4 * (0.8**2 + 1.0)))
LAMBDA_I = 2 * COS_PHI * np.sqrt(LAMBDA_S * LAMBDA_B) * OVERLAP
LAMBDA_SBI = LAMBDA_S + LAMBDA_B + LAMBDA_I


def gauss(x, mean, width):
    return np.exp(-0.5 * ((x - mean) / width) ** 2) / (width * np.sqrt(2 * np.pi))


def signal(x):
    return gauss(x, 1.0, 0.8)


def background(x):
    return gauss(x, -0.2, 1.0)


def other(x):
    return gauss(x, -0.5, 1.3)


def interfering(x):
    s, b = LAMBDA_S * signal(x), LAMBDA_B * background(x)
    return (s + b + 2 * COS_PHI * np.sqrt(s * b)) / LAMBDA_SBI


def intensity(x, mu):
    """Expected events per unit of x."""
    s, b = mu * LAMBDA_S * signal(x), LAMBDA_B * background(x)
    return s + b + 2 * COS_PHI * np.sqrt(s * b) + LAMBDA_NI * other(x)


def rate(mu):
    return mu * LAMBDA_S + LAMBDA_B + np.sqrt(mu) * LAMBDA_I + LAMBDA_NI


@cache
def t(mu):
    """-2 ln of the likelihood ratio of mu to 1, on Asimov data of mu = 1, by adaptive quadrature."""

    def integrand(x):
        one, other_one = intensity(x, 1.0), intensity(x, mu)
        return one * np.log(one / other_one)

    parts = [
        quad(integrand, a, b, epsabs=1e-11, epsrel=1e-12, limit=400)[0] for a, b in ((-9, -2), (-2, 0), (0, 2), (2, 9))
    ]
    return 2 * (rate(mu) - rate(1.0) + sum(parts))


def t_rate(mu):
    return 2 * (rate(mu) - rate(1.0) - rate(1.0) * np.log(rate(mu) / rate(1.0)))


def interval():
    """Return where t is 1."""
    low = brentq(lambda mu: t(mu) - 1, 0.5, 1.0, xtol=1e-12)
    high = brentq(lambda mu: t(mu) - 1, 1.0, 1.5, xtol=1e-12)
    return low, high


def best():
    return minimize_scalar(t, bracket=(0.9, 1.0, 1.1), tol=1e-12).x
