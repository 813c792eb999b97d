"""Distances beside those of POT and torch-fidelity, where they define the same."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.integration.conftest import needed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

POT = """
import numpy as np, ot
from curation.worth.distance.measures import energy, kernels, sliced
rng = np.random.default_rng(0)
for n, m, d in ((50, 50, 4), (40, 70, 8), (33, 20, 3)):
    x, y = rng.normal(size=(n, d)), rng.normal(0.5, 2, (m, d))
    along = sliced.directions(1000, d, 0)
    theirs = ot.sliced_wasserstein_distance(x, y, projections=along, p=2)
    assert abs(sliced.distance(x, y, along) - theirs) < 1e-9 * theirs, (sliced.distance(x, y, along), theirs)
    one = ot.wasserstein_1d(x[:, 0], y[:, 0], p=2) ** 0.5
    assert abs(sliced.distance(x[:, :1], y[:, :1], np.ones((1, 1))) - one) < 1e-9 * one
    sums = kernels.group_sums(np.concatenate([x, y]), np.repeat([0, 1], [n, m]), 2, energy.kernel)
    own = sums[0, 0] / n**2 + sums[1, 1] / m**2 - 2 * sums[0, 1] / (n * m)
    d = [ot.dist(a, b, metric="euclidean").mean() for a, b in ((x, y), (x, x), (y, y))]
    assert abs(own - (2 * d[0] - d[1] - d[2])) < 1e-6
print("as POT has it")
"""

FIDELITY = """
import importlib.machinery, sys, types
class Unused:  # torchvision, which the networks of torch-fidelity want, and not its distances of given features
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        def named(name):
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})
        module.__getattr__ = named
        return module
    def exec_module(self, module):
        pass
sys.meta_path.append(Unused())
import numpy as np, torch
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from curation.worth.distance.estimate import Looks
from curation.worth.distance.measures import frechet, kid
from curation.worth.distance.pair import Pair
rng = np.random.default_rng(0)
for n, d in ((200, 8), (300, 32)):
    x, y = rng.normal(size=(n, d)), rng.normal(0.3, 1.5, (n, d))
    stats = [{"mu": v.mean(0), "sigma": np.cov(v.T)} for v in (x, y)]
    theirs = fid_statistics_to_metric(*stats, False)["frechet_inception_distance"]
    assert abs(frechet.distance(x, y) - theirs) < 1e-6 * theirs, (frechet.distance(x, y), theirs)
    how = {"kid_subsets": 1, "kid_subset_size": n, "kid_kernel": "poly", "rng_seed": 0, "verbose": False}
    theirs = kid_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), **how)["kernel_inception_distance_mean"]
    pair = Pair(np.concatenate([x, y]), np.repeat([False, True], n), np.arange(2 * n), 1.0)
    own = kid.estimates(pair, Looks(0, 1, 2))[0].value
    assert abs(own - theirs) < 1e-6 * abs(theirs), (own, theirs)
print("as torch-fidelity has it")
"""


@pytest.mark.parametrize(("package", "code", "says"), [
    ("ot", POT, "as POT has it"),
    ("torch_fidelity", FIDELITY, "as torch-fidelity has it"),
])  # fmt: skip
def test_a_distance_is_what_others_compute(package: str, code: str, says: str):
    lacks = "" if importlib.util.find_spec(package) else f"no {package} in this Python: run `make test-integration`"
    needed(f"distances beside those of {package}", lacks)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == says
