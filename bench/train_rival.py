"""PyTorch's side of train_bench: one training step of the same net, timed on request.

train_rival.py REQUESTS ANSWERS        both named pipes
A request is a line "MODEL VARIANT BATCH STEPS"; the answer is STEPS lines "seconds waited", then "end". `waited` is the time
that this process's threads were ready to run but had no processor.
VARIANT: shipped (f32, PyTorch's own number of threads), tuned (bf16 autocast, channels_last, fused Adam, a thread a core).
"""

import os
import sys
import time

import torch
from torch import nn

PLANS = {
    "vgg11": [64, "P", 128, "P", 256, 256, "P", 512, 512, "P", 512, 512, "P"],
    "vgg16": [64, 64, "P", 128, 128, "P", 256, 256, 256, "P", 512, 512, 512, "P", 512, 512, 512, "P"],
}
SHIPPED_THREADS = torch.get_num_threads()


def make_net(model):
    if model == "simple":
        return nn.Sequential(
            nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    layers, channels = [], 3
    for entry in PLANS[model]:
        if entry == "P":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, entry, 3, padding=1), nn.BatchNorm2d(entry), nn.ReLU(inplace=True)]
        channels = entry
    head = [nn.Flatten(), nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Linear(512, 32), nn.ReLU(inplace=True),
            nn.Linear(32, 10)]
    return nn.Sequential(*layers, *head)


class Rival:
    def __init__(self, model, variant, batch):
        self.tuned = variant == "tuned"
        self.threads = len(os.sched_getaffinity(0)) if self.tuned else SHIPPED_THREADS
        torch.manual_seed(1)
        self.net = make_net(model).train()
        self.images = torch.randn(batch, 3, 32, 32)
        self.labels = torch.randint(0, 10, (batch,))
        if self.tuned:
            self.net = self.net.to(memory_format=torch.channels_last)
            self.images = self.images.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, **({"fused": True} if self.tuned else {}))
        self.loss = nn.CrossEntropyLoss()
        for _ in range(3):
            self.step()

    def step(self):
        torch.set_num_threads(self.threads)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.tuned):
            loss = self.loss(self.net(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def waited():
    total = 0
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total * 1e-9


def main():
    rivals = {}
    with open(sys.argv[1], encoding="ascii") as requests, open(sys.argv[2], "w", encoding="ascii") as answers:
        for line in requests:
            model, variant, batch, steps = line.split()
            key = (model, variant, int(batch))
            if key not in rivals:
                rivals[key] = Rival(*key)
            for _ in range(int(steps)):
                wait, start = waited(), time.perf_counter()
                rivals[key].step()
                seconds = time.perf_counter() - start
                print(f"{seconds:.9f} {waited() - wait:.9f}", file=answers)
            print("end", file=answers, flush=True)


if __name__ == "__main__":
    main()
