#!/usr/bin/env bash
# A level that the training images do not have is scored as the next one that they have, though the library says that it refuses it.
#
# Expected: sbi's CategoricalMADE maps levels to classes by what the training set holds, and raises "contains values not seen during
# training" for any other; so probabilities of all levels sum to one, and images of other levels do not get a likelihood.
# Seen with sbi 0.27.0 (its CategoricalMassEstimator, as MNLE and MNPE build it): only levels above the greatest are refused. One in
# between is looked up by bisection and takes the class of the next greater one, one below the least
# takes the least's. Over all images of two pixels of 255 levels, 18 of them seen, "probabilities" sum to far more than one: a palette or a quantised
# image that a model was not trained on gets a good score. To name how many levels there are, as the warning advises, raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 nflows==0.14 zuko==1.6.0 sbi==0.27.0
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W ignore - 2> "$folder/errors" <<'PYTHON' || { cat "$folder/errors"; exit 1; }
import sys

import torch
from sbi.neural_nets.net_builders.categorial import build_categoricalmassestimator

failures = []


def expect(what, found, before):
    print(f"{what}: {found}" + ("" if found == before else f" CHANGED, it was: {before}"))
    if found != before:
        failures.append(what)


def score(net, *levels):
    """The log-likelihood of an image of two pixels, in nats; or the error."""
    try:
        with torch.no_grad():
            return round(float(net.log_prob(torch.tensor([[levels]]), torch.zeros(1, 1, 1))), 4)
    except ValueError as error:
        return str(error).split(":")[0]


torch.manual_seed(0)
seen = torch.tensor([*range(3, 256, 15), 254])  # 3, 18, ... 243, and 254
images = seen[torch.randint(len(seen), (4000, 2))].float()
net = build_categoricalmassestimator(images, torch.zeros(len(images), 1), z_score_y="none").eval()
print("levels seen:", len(seen))

expect("level 255", score(net, 255.0, 3.0), "Variable 0 contains values not seen during training")
expect("level 19 is scored as 33", score(net, 19.0, 3.0) == score(net, 33.0, 3.0) != score(net, 18.0, 3.0), True)
expect("level 0 is scored as 3", score(net, 0.0, 3.0) == score(net, 3.0, 3.0), True)
expect("what follows level 19 is what follows 33", score(net, 19.0, 18.0) == score(net, 33.0, 18.0), True)

every = torch.cartesian_prod(torch.arange(255.0), torch.arange(255.0))[:, None]
with torch.no_grad():
    known = (every[:, 0, :, None] == seen).any(2).all(1)
    mass = net.log_prob(every.transpose(0, 1), torch.zeros(1, len(every), 1))[0].exp()
expect("sum of the probabilities of images of levels seen", round(float(mass[known].sum()), 3), 1.0)
expect("sum over all images of levels 0 to 254 is more than 100", float(mass.sum()) > 100, True)

try:
    build_categoricalmassestimator(
        images, torch.zeros(len(images), 1), z_score_y="none", num_categories_per_variable=torch.tensor([256, 256])
    )
    named = "built"
except RuntimeError:
    named = "RuntimeError"
expect("built for 256 levels that are named", named, "RuntimeError")
sys.exit(bool(failures))
PYTHON
