"""ResNet-18, ResNet-50 and VGG16 against torch on the same processor, as ratios of one run.

    python -m pip install -e '.[benchmark]'
    python tests/benchmarks/classification.py

torchvision makes the weights, kmed loads them through its converter, and the logits are compared.
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


def with_torch(name: str, file: Path) -> dict:
    import torch
    import torchvision

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    network = getattr(torchvision.models, name)()
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
