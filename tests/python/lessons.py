"""Photos of three kinds of garments with the backbone's features of them: what heads are trained on here."""

import csv
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np

import photos
from program import PROGRAM
from protocol import ROOT

TRAIN = PROGRAM.with_name("lapel-train")
#: What is learnt: other labels than those of the shipped heads.
GARMENTS = {"t-shirt": "upper", "dress": "whole", "jean": "lower"}
PHOTOS_A_LABEL = 9
#: The vectors that the shipped backbone gives, with their lengths.
INPUTS = {"garment": 2864, "upper": 2864, "colour": 900}


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def lesson(folder):
    """Photos of three kinds of garments with their features, as `lapel-train features` gives them."""
    assert TRAIN.is_file(), f"{TRAIN} is missing: cargo build --release --bin lapel-train"
    told = {}
    with (photos.WARDROBE / "labels.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            label = GARMENTS.get(row["category"])
            if label and list(told.values()).count(label) < PHOTOS_A_LABEL:
                shutil.copy(photos.WARDROBE / "images" / row["image"], folder)
                told[row["image"].removesuffix(".jpg")] = label
    # In the root of the project, where the shipped backbone is.
    features, ids = folder / "features.npy", folder / "names.txt"
    command = [TRAIN, "features", "--photos", folder, "--out", features, "--ids", ids]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    names = ids.read_text().splitlines()
    assert sorted(names) == sorted(told)
    images = [(folder / f"{name}.jpg").read_bytes() for name in names]
    return SimpleNamespace(
        told=answer.stdout, rows=np.load(features), images=images, labels=[told[name] for name in names]
    )
