"""Inference engines compared: torch as `rat` uses it, torch.compile, ONNX Runtime, OpenVINO.

    taskset -c 0 python benchmarks/engines.py [--size 512] [--runs 3] [--compile]

One thread; the smallest processor time of some runs in turns. For each engine: the seconds to
start, those for a plane, and those for a plane through the network without its layers of attention
(convolutions alone). Needs the extra `onnx`; OpenVINO is tried if it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable

import onnxruntime
import torch
from torch import nn

from ratcli.network.checkpoint import load_network
from ratcli.network.device import keep_freed_memory
from ratcli.network.engine import compile_blocks
from ratcli.network.inference import InferenceRAT
from ratcli.network.onnx_export import make_onnx
from ratcli.network.rat import RAT
from ratcli.network.registry import find_weights

Restore = Callable[[torch.Tensor, torch.Tensor], object]


def torch_engine(network: RAT, attention: torch.dtype, *, compiled: bool = False) -> Restore:
    made = InferenceRAT(network, torch.float32, attention)
    if compiled:
        compile_blocks(made)
    return made


def runtime_engine(model: bytes) -> Restore:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    takes = {each.name for each in session.get_inputs()}

    def restore(image: torch.Tensor, labels: torch.Tensor) -> object:
        given = {"image": image.numpy(), "labels": labels.numpy()}
        return session.run(None, {name: given[name] for name in takes})

    return restore


def openvino_engine(model: bytes) -> Restore:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(openvino.Core().read_model(model, b""), "CPU", settings)

    def restore(image: torch.Tensor, labels: torch.Tensor) -> object:
        given = {"image": image.numpy(), "labels": labels.numpy()}
        return compiled({each.any_name: given[each.any_name] for each in compiled.inputs})

    return restore


def engines(network: RAT, *, with_compile: bool) -> dict[str, Restore]:
    """Start every engine, and tell how long that takes."""
    has_attention = len(network.groups) > 0
    model = make_onnx(network, with_regions=has_attention)
    makers: dict[str, Callable[[], Restore]] = {
        "torch, float32": lambda: torch_engine(network, torch.float32),
        "torch, mixed": lambda: torch_engine(network, torch.bfloat16),
        "ONNX Runtime": lambda: runtime_engine(model),
    }
    if importlib.util.find_spec("openvino") and not has_attention:  # its loops take minutes
        makers["OpenVINO"] = lambda: openvino_engine(model)
    if with_compile:
        makers["torch.compile"] = lambda: torch_engine(network, torch.bfloat16, compiled=True)
    started = {}
    for name, make in makers.items():
        began = time.process_time()
        try:
            started[name] = make()
        except Exception as error:
            print(f"{name}: does not start: {str(error).strip().splitlines()[-1][:80]}")
        print(f"{name}: starts in {time.process_time() - began:.2f} s", flush=True)
    return started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="ct-denoise")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    network = load_network(find_weights(arguments.weights), torch.device("cpu"))
    image = torch.rand(1, network.settings.input_channels, arguments.size, arguments.size)
    blocks = torch.arange(arguments.size) // 64
    labels = (blocks[:, None] * 100 + blocks)[None]
    for part in ("whole network", "without attention"):
        print(part)
        if part == "without attention":
            network.groups = nn.ModuleList()
        found = engines(network, with_compile=arguments.compile)
        seconds: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(arguments.runs):
            for name, restore in found.items():
                began = time.process_time()
                restore(image, labels)
                seconds[name].append(time.process_time() - began)
        for name, each in seconds.items():
            print(f"{name:16}{min(each):8.3f} s a plane")


if __name__ == "__main__":
    main()
