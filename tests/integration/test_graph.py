"""The graph as PyTorch Geometric takes it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import needed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TRAINED = """
import sys
import numpy as np, torch
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, SAGEConv
from curation.pack.graph.edges import Rules
from tests.pack.graph.globe import simulated
from tests.pack.graph.test_graph import of
folder = sys.argv[1]
torch.manual_seed(0)
from pathlib import Path
graph = of(simulated(1500), Path(folder) / "graph", Rules(radius_m=2e6))
data = graph.to_pyg(target="fractions")
assert data.validate()
torch.save(data.to_dict(), f"{folder}/data.pt")
again = HeteroData.from_dict(torch.load(f"{folder}/data.pt", weights_only=True))
assert again.validate()
assert set(again.edge_types) == set(data.edge_types) == set(graph.edge_entries) - {("patch", "like", "patch")}
for name in data.edge_types:
    assert torch.equal(again[name].edge_index, data[name].edge_index)
    its = graph.edges(*name)
    assert np.array_equal(data[name].edge_index.numpy(), np.stack([its.src, its.dst])[:, ~its.crosses])
    assert data[name].edge_index.dtype == torch.int64
conv = HeteroConv({t: SAGEConv((-1, -1), 16) for t in data.edge_types}, aggr="sum")
head = torch.nn.Linear(16, 3)
with torch.no_grad():
    conv(data.x_dict, data.edge_index_dict)
best = torch.optim.Adam([*conv.parameters(), *head.parameters()], 0.01)
losses = []
for step in range(40):
    out = head(conv(data.x_dict, data.edge_index_dict)["place"].relu())
    loss = torch.nn.functional.mse_loss(out[data["place"].train_mask], data["place"].y[data["place"].train_mask])
    best.zero_grad(); loss.backward(); best.step()
    losses.append(float(loss))
assert losses[-1] < losses[0] / 2, losses
block = next(graph.blocks(most=200))
assert graph.to_pyg(places=block.places).validate()
print("nodes", data.num_nodes, "loss", losses[0], losses[-1])
"""


def test_hetero_data_validates_is_loaded_as_weights_alone_and_trains_on_the_whole_graph(tmp_path: Path):
    lacks = "" if importlib.util.find_spec("torch_geometric") else "no torch_geometric in this Python"
    needed("the graph in PyTorch Geometric", lacks)
    command = [sys.executable, "-W", "error::UserWarning:curation", "-c", TRAINED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]


FORECAST = """
import sys
from pathlib import Path
import numpy as np, torch
from torch_geometric.data import HeteroData
from torch_geometric.nn import HeteroConv, MeanAggregation, SAGEConv
from curation.examples import graph_model
from curation.pack.graph.edges import Rules
from tests.pack.graph.globe import of_gas
from tests.pack.graph.test_graph import of
folder = sys.argv[1]
torch.manual_seed(0)
torch.set_num_threads(1)
rules = Rules(k=6, radius_m=6e4, variables=("s5p-no2",), cells="healpix:4,8")
graph = of(of_gas("spreading", 10), Path(folder) / "gas", rules)
data = graph.to_pyg(target="s5p-no2@2021-07")
assert data.validate()
torch.save(data.to_dict(), f"{folder}/gas.pt")
assert HeteroData.from_dict(torch.load(f"{folder}/gas.pt", weights_only=True)).validate()
its = data["variable"]
assert torch.isnan(its.series[:, 6]).all() and torch.isnan(its.y[:, :6]).all()
# What the example takes the mean of is what PyTorch Geometric does.
near = data["place", "near", "place"].edge_index
sent = torch.randn(near.shape[1], 5)
ours = graph_model.mean_of(sent, near[1], data["place"].num_nodes)
theirs = MeanAggregation()(sent, near[1], dim_size=data["place"].num_nodes)
torch.testing.assert_close(ours, theirs)
data["variable"].x = torch.cat([its.x, its.series[:, :6]], 1)
convs = [HeteroConv({t: SAGEConv((-1, -1), 16) for t in data.edge_types}, aggr="sum") for _ in range(2)]
head = torch.nn.Linear(16, 1)
def told():
    x = data.x_dict
    for conv in convs:
        x = {n: h.relu() for n, h in conv(x, data.edge_index_dict).items()}
    return its.series[:, 5] + head(x["variable"])[:, 0]
with torch.no_grad():
    told()
rows = its.train_mask & ~torch.isnan(its.y[:, 6])
best = torch.optim.Adam([p for m in (*convs, head) for p in m.parameters()], 0.01)
losses = []
for step in range(40):
    loss = torch.nn.functional.mse_loss(told()[rows], its.y[rows, 6])
    best.zero_grad(); loss.backward(); best.step()
    losses.append(loss.item())
assert losses[-1] < 0.8 * losses[0], losses
print("cells", data["cell"].num_nodes, "loss", losses[0], losses[-1])
"""

CELLS = """
import numpy as np, healpix
from curation.pack.graph import healpix as ours, sphere
from tests.pack.graph.globe import lonlat, scattered
for order in range(ours.MOST_ORDER + 1):
    lon, lat = lonlat(scattered(50_000, order) * [1, 1, 1 + 50 * (order % 2)])  # every second time near the poles
    first = 4 * 4**order
    found = ours.numbers_at(lon, lat, order)
    np.testing.assert_array_equal(found - first, healpix.ang2pix(2**order, lon, lat, nest=True, lonlat=True))
    some = np.unique(found)[:20_000]
    np.testing.assert_array_equal(some, healpix.pix2uniq(order, some - first, nest=True))
    want = np.stack(healpix.pix2vec(2**order, some - first, nest=True), -1)
    np.testing.assert_allclose(ours.points(some, 0.5, 0.5), want, atol=1e-12)
print("cells are alike")
"""


@pytest.mark.parametrize(
    ("code", "package", "says"),
    [(FORECAST, "torch_geometric", "loss"), (CELLS, "healpix", "cells are alike")],
    ids=["the graph of the example", "HEALPix as the package has it"],
)
def test_other_libraries_have_it_as_we_do(code: str, package: str, says: str, tmp_path: Path):
    lacks = "" if importlib.util.find_spec(package) else f"no {package} in this Python"
    needed(f"the graph beside {package}", lacks)
    command = [sys.executable, "-W", "error::UserWarning:curation", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert says in done.stdout
