"""The network: shapes, unknown codes, and the same scores once exported."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mlops_platform.projects.flights.delay.module import FlightDelayNet

CARDINALITIES = (17, 4, 105, 4000)


def network() -> FlightDelayNet:
    torch.manual_seed(0)
    net = FlightDelayNet(numeric=20, cardinalities=CARDINALITIES).eval()
    for offset in net.offsets:
        torch.nn.init.normal_(offset.weight[1:])
    return net


def rows(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    codes = [torch.randint(0, codes, (count, 1), generator=generator) for codes in CARDINALITIES]
    return torch.randn(count, 20, generator=generator), torch.cat(codes, dim=1)


@pytest.mark.parametrize("count", [1, 7])
def test_one_logit_a_row_whatever_its_neighbours(count: int) -> None:
    net = network()
    numeric, categories = rows(count)
    together = net(numeric, categories)
    assert together.shape == (count,)
    alone = torch.cat([net(numeric[row : row + 1], categories[row : row + 1]) for row in range(count)])
    torch.testing.assert_close(together, alone)


def test_an_unknown_code_shifts_nothing() -> None:
    net = network()
    assert net.shifting == [3]
    numeric, categories = rows(5)
    categories[:, 3] = 0
    with torch.no_grad():
        expected = net(numeric, categories)
        net.offsets[0].weight[1:] += 1
    torch.testing.assert_close(net(numeric, categories), expected)


def test_absurd_numbers_are_cut_off() -> None:
    net = network()
    numeric, categories = rows(3)
    numeric[:, 0] = 4.0
    far = numeric.clone()
    far[:, 0] = 1e9
    torch.testing.assert_close(net(numeric, categories), net(far, categories))


@pytest.mark.filterwarnings("ignore")
def test_the_exported_program_scores_the_same_for_any_number_of_rows(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    net = network()
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        net, rows(8), dynamo=True, dynamic_shapes=({0: batch}, {0: batch}), input_names=["numeric", "categories"]
    )
    program.save(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    for count in (1, 8, 333):
        numeric, categories = rows(count)
        scored = session.run(None, {"numeric": numeric.numpy(), "categories": categories.numpy()})[0]
        np.testing.assert_allclose(scored, net(numeric, categories).detach().numpy(), atol=1e-5)
