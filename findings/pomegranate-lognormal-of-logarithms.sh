#!/usr/bin/env bash
# pomegranate's log-normal is not a density of what it is given: its mass is 3, and large values are too likely by as much as they are large.
#
# Expected: LogNormal(means, covs).log_probability(x) is the density of x, as that of the other distributions is: that of log x under the normal minus the sum of log x.
# It integrates to one, and can stand in a mixture beside Normal, Gamma or Exponential.
# Seen with pomegranate 1.1.2: it is the normal's density of log x, without the Jacobian, so that with mean 1 and variance 1/4 the mass is 3.08; full covariances
# are the same. A mixture of LogNormal and Gamma takes the former for large values and the latter for small ones, for that reason only; scores of anomalies by it
# are short of log x nats, which is what tells the large ones; and a likelihood or a BIC cannot choose between it and another family. Normal, Gamma and Exponential have a mass of one.
# Subtract torch.log(x).sum(-1), or fit Normal to the logarithms (LogNormal().fit without parameters fails in this version).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 scipy==1.17.1 pomegranate==1.1.2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from pomegranate.distributions import Exponential, Gamma, LogNormal, Normal

failures = []


def expect(what, holds):
    print(("as before: " if holds else "CHANGED:   ") + what)
    if not holds:
        failures.append(what)


axis = torch.linspace(1e-4, 60, 600_001)[:, None]
theirs = {
    "Normal": Normal([20.0], [9.0], covariance_type="diag"),
    "Gamma": Gamma([2.0], [3.0]),
    "Exponential": Exponential([2.0]),
    "LogNormal": LogNormal([1.0], [0.25], covariance_type="diag"),
}
for name, each in theirs.items():
    mass = torch.trapezoid(each.probability(axis), axis[:, 0]).item()
    expect(f"{name}: mass {mass:.3f}", abs(mass - (3.080 if name == "LogNormal" else 1)) < 2e-3)
x = torch.tensor([[0.5], [2.0], [20.0]])
by_torch = torch.distributions.LogNormal(1.0, 0.5).log_prob(x[:, 0])
found = theirs["LogNormal"].log_probability(x)
missing = found - by_torch
expect(f"LogNormal of 0.5, 2 and 20: {found.tolist()}, by torch {by_torch.tolist()}", torch.allclose(missing, x[:, 0].log(), atol=1e-4))
pair = torch.tensor([[2.0, 3.0]])
means, covs = torch.tensor([1.0, 0.5]), torch.tensor([[0.25, 0.1], [0.1, 0.5]])
wanted = torch.distributions.MultivariateNormal(means, covs).log_prob(pair.log()) - pair.log().sum()
missing = (LogNormal(means, covs, covariance_type="full").log_probability(pair) - wanted).item()
expect(f"full covariance, of (2, 3): too much by {missing:.3f} nats, log 6", abs(missing - 1.7918) < 1e-3)
sys.exit(bool(failures))
PYTHON
# The output seen:
# as before: Normal: mass 1.000
# as before: Gamma: mass 1.000
# as before: Exponential: mass 1.000
# as before: LogNormal: mass 3.080
# as before: LogNormal of 0.5, 2 and 20: [-5.959286212921143, -0.41410863399505615, -8.191685676574707], by torch [-5.266139030456543, -1.1072558164596558, -11.187417984008789]
# as before: full covariance, of (2, 3): too much by 1.792 nats, log 6
