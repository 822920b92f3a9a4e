"""Pathology super-resolution: H&E in RGB, with four times as many rows and columns."""

from ratcli.task import Task

PATHOLOGY_SR = Task(
    name="pathology-sr",
    summary="H&E super-resolution x4, RGB",
    scans="pathology slides",
    modalities=("SM", "GM", "XC", "OT"),
    found_from=("SM", "GM"),
    units=("RGB",),
    channels=3,
    scale=4,
    window=(0.0, 1.0),
    offset=0.0,
    gain=1.0,
    plausible=(0.0, 1.0, 0.0),
    highest=1.5,  # filters overshoot 1 a little; 8-bit numbers stored as floats reach 255
    partition="superpixel",
    weights="pathology-sr",
    method="resample",
    label="RAT x4",
)
