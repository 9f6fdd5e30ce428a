"""ResNet-18, ResNet-50 and VGG16 against torch on the same processor, as ratios of one run.

    python -m pip install -e '.[benchmark]'
    python tests/benchmarks/classification.py

torch makes the weights of networks built and named as torchvision's, kmed loads them through its
converter, and the logits are compared.
Then both take turns, each in processes of its own with two threads: a training step (batch of 8 at
224x224, stochastic gradient descent with momentum, float32) and the inference of one image. torch
computes channels-last and, in inference, in `torch.inference_mode`; kmed as `fit` and as a
`tf.function` do it. Last, the training steps of kmed's three segmenters of the README's table.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

NETWORKS = ("resnet18", "resnet50", "vgg16")
THREADS, BATCH, TURNS = 2, 8, 2


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 224, 224, 3)).astype("float32")


def seconds(call, repeats: int, warm_up: int = 2) -> float:
    """Median of repeated calls."""
    times = []
    for turn in range(repeats + warm_up):
        start = time.perf_counter()
        call()
        if turn >= warm_up:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def torch_vgg16():
    """VGG16 with torchvision's names."""
    from torch import nn

    layers, channels = [], 3
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    dense += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, 1000)]
    network = nn.Sequential()
    network.features, network.classifier = nn.Sequential(*layers), nn.Sequential(*dense[1:])
    network.forward = lambda x: network.classifier(network.features(x).flatten(1))
    return network


def torch_resnet(blocks: tuple[int, ...], bottleneck: bool):
    """ResNet with torchvision's names."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, channels, width, stride):
            super().__init__()
            wide = 4 * width if bottleneck else width
            plan = [(channels, width, 3, stride), (width, wide, 3, 1)]
            if bottleneck:
                plan = [(channels, width, 1, 1), (width, width, 3, stride), (width, wide, 1, 1)]
            self.count = len(plan)
            for i, (a, b, size, step) in enumerate(plan, start=1):
                convolution = nn.Conv2d(a, b, size, step, padding=size // 2, bias=False)
                setattr(self, f"conv{i}", convolution)
                setattr(self, f"bn{i}", nn.BatchNorm2d(b))
            self.downsample = None
            if stride != 1 or channels != wide:
                shortcut = nn.Conv2d(channels, wide, 1, stride, bias=False)
                self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(wide))

        def forward(self, x):
            shortcut = x if self.downsample is None else self.downsample(x)
            for i in range(1, self.count + 1):
                x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
                x = x + shortcut if i == self.count else x
                x = nn.functional.relu(x, inplace=True)
            return x

    network, channels = nn.Module(), 64
    network.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
    network.bn1, network.fc = nn.BatchNorm2d(64), nn.Linear(2048 if bottleneck else 512, 1000)
    for stage, count in enumerate(blocks):
        stacked = []
        for i in range(count):
            width, stride = 64 * 2**stage, 2 if stage and not i else 1
            stacked.append(Block(channels, width, stride))
            channels = 4 * width if bottleneck else width
        setattr(network, f"layer{stage + 1}", nn.Sequential(*stacked))

    def forward(x):
        x = nn.functional.relu(network.bn1(network.conv1(x)), inplace=True)
        x = nn.functional.max_pool2d(x, 3, 2, padding=1)
        for stage in range(1, 5):
            x = getattr(network, f"layer{stage}")(x)
        return network.fc(x.mean((2, 3)))

    network.forward = forward
    return network


def with_torch(name: str, file: Path) -> dict:
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    builders = {
        "resnet18": lambda: torch_resnet((2, 2, 2, 2), False),
        "resnet50": lambda: torch_resnet((3, 4, 6, 3), True),
        "vgg16": torch_vgg16,
    }
    network = builders[name]()
    if not file.exists():
        torch.save(network.state_dict(), file)
    network.load_state_dict(torch.load(file, weights_only=True))
    network = network.to(memory_format=torch.channels_last)

    def batch(count):
        x = torch.from_numpy(images(count).transpose(0, 3, 1, 2).copy())
        return x.to(memory_format=torch.channels_last)

    one, many, truth = batch(1), batch(BATCH), torch.arange(BATCH)
    network.eval()
    with torch.inference_mode():
        logits = network(one).numpy()
        inference = seconds(lambda: network(one), 20)
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    loss = torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss(network(many), truth).backward()
        optimizer.step()

    return {"logits": logits.tolist(), "inference": inference, "step": seconds(step, 3)}


def with_kmed(name: str, file: Path) -> dict:
    import keras
    import tensorflow as tf

    from kmed import applications, distribute

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    network = getattr(applications, name)(weights=str(file))
    run = tf.function(lambda image: network(image, training=False), autograph=False)
    one, many, truth = tf.constant(images(1)), images(BATCH), np.arange(BATCH)
    logits = run(one).numpy()
    inference = seconds(lambda: run(one), 20)
    network.compile(
        keras.optimizers.SGD(1e-3, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=distribute.jit_compile(),
    )
    step = seconds(lambda: network.train_on_batch(many, truth), 3)
    return {"logits": logits.tolist(), "inference": inference, "step": step}


def segmenters() -> None:
    """Training steps of a batch of 8 at 256x256, as the README's table has them."""
    from kmed.applications import fcn8s, segnet, unet
    from kmed.tasks.segmentation import Settings
    from kmed.tasks.segmentation.networks import compile_network

    shape = {"input_shape": (256, 256, 1), "classes": 2}
    widths = (16, 32, 64, 128, 128)
    backbone = {"filters": widths, "normalization": "batch"}
    networks = {
        "unet": unet(filters=(16, 32, 64, 128, 256), **shape),
        "fcn8s": fcn8s(backbone_options=backbone, head_units=(256, 256), **shape),
        "segnet": segnet(filters=widths, **shape),
    }
    x = np.random.default_rng(0).normal(size=(8, 256, 256, 1)).astype("float32")
    y = (x[..., 0] > 0).astype("int32")
    for name, network in networks.items():
        compile_network(network, Settings(), 1000, classes=2)
        taken = seconds(lambda network=network: network.train_on_batch(x, y), 6)
        print(f"{name}: {network.count_params():,} parameters, step {taken:.3f} s", flush=True)


def measured(library: str, name: str, file: Path) -> dict:
    """One turn in a process of its own: two libraries' threads in one would wait for each other."""
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, library, name, str(file)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    if len(sys.argv) == 4:
        run = {"torch": with_torch, "kmed": with_kmed}[sys.argv[1]]
        print(json.dumps(run(sys.argv[2], Path(sys.argv[3]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            file = Path(folder) / f"{name}.pth"
            turns = {"torch": [], "kmed": []}
            for _ in range(TURNS):
                for library, found in turns.items():
                    found.append(measured(library, name, file))
            theirs, ours = (np.array(found[0]["logits"]) for found in turns.values())
            worst = np.abs(ours - theirs).max() / np.abs(theirs).max()
            print(f"{name}: logits equal to {worst:.1e} relative", flush=True)
            for what in ("step", "inference"):
                torch, kmed = (min(turn[what] for turn in found) for found in turns.values())
                print(
                    f"  {what}: kmed {kmed:.3f} s, torch {torch:.3f} s, ratio {kmed / torch:.2f}",
                    flush=True,
                )
    segmenters()


if __name__ == "__main__":
    main()
