"""Reads what nn_formats_test wrote with the programs it is for. Usage: formats_check.py pth|onnx|tensorboard FOLDER"""

import json
import os
import struct
import sys

folder = sys.argv[2]


def path(name):
    return os.path.join(folder, name)


def read_safetensors(name):
    import numpy as np

    with open(path(name), "rb") as file:
        data = file.read()
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    header.pop("__metadata__")
    return {
        key: np.frombuffer(body[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"])
        for key, entry in header.items()
    }


def module():
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(8, 20, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
            self.classifier = nn.Sequential(nn.Linear(1280, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10))

        def forward(self, x):
            return self.classifier(self.features(x).flatten(1))

    return Net().eval()


def load_module():
    import torch

    state = torch.load(path("net.pth"), weights_only=True)
    net = module()
    net.load_state_dict(state)
    return net, state


def check_pth():
    import numpy as np

    _, state = load_module()
    reference = read_safetensors("net.safetensors")
    assert list(state) == list(reference), (list(state), list(reference))
    for key, tensor in state.items():
        assert np.array_equal(tensor.numpy(), reference[key]), key


def check_onnx():
    import numpy as np
    import onnx
    import onnxruntime as ort
    import torch

    net, _ = load_module()
    for name in ("f32.onnx", "bf16.onnx"):
        model = onnx.load(path(name))
        onnx.checker.check_model(model, full_check=True)
        if name == "bf16.onnx":
            for parameter in net.parameters():
                if parameter.dim() > 1:
                    parameter.data = parameter.data.bfloat16().float()
        options = ort.SessionOptions()
        options.optimized_model_filepath = path("optimized.onnx")
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        session = ort.InferenceSession(path(name), options, providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].name == "input" and session.get_outputs()[0].name == "output"
        assert session.get_inputs()[0].shape == ["N", 3, 32, 32], session.get_inputs()[0].shape
        assert session.get_outputs()[0].shape == ["N", 10], session.get_outputs()[0].shape
        ops = [node.op_type for node in onnx.load(path("optimized.onnx")).graph.node]
        assert "Cast" not in ops and "BatchNormalization" not in ops, f"{name}: not folded: {ops}"
        for batch in (1, 5):
            x = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))
            (got,) = session.run(None, {"input": x.numpy()})
            want = net(x).detach().numpy()
            assert np.allclose(got, want, atol=1e-4, rtol=1e-4), f"{name}: {np.abs(got - want).max()}"


def check_tensorboard():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(path("events"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["accuracy", "loss/train"], events.Tags()
    loss = events.Scalars("loss/train")
    assert [event.step for event in loss] == [0, 1, 300], loss
    assert [event.value for event in loss][:2] == [2.5, 1.25], loss
    assert abs(loss[2].wall_time - 1_700_000_000.3) < 1e-3, loss


{"pth": check_pth, "onnx": check_onnx, "tensorboard": check_tensorboard}[sys.argv[1]]()
