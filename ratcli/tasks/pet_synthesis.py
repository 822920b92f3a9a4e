"""PET synthesis: PET as after a full acquisition, from few counts, in SUV."""

from ratcli.task import Task

PET_SYNTHESIS = Task(
    name="pet-synthesis",
    summary="standard-dose PET from low counts, in SUV or activity",
    scans="PET",
    modalities=("PT",),
    found_from=("PT",),
    units=("SUV", "Bq/ml"),
    channels=1,
    scale=1,
    # No upper limit of clinical meaning: hot bladders and tumours pass 20 and are kept.
    window=(0.0, 1000.0),
    offset=0.0,
    gain=5.0,
    plausible=(-1.0, 1.0, 0.5),
    partition="superpixel",
    weights="pet-synthesis",
    method="denoise",
    label="RAT standard dose",
    # Bladders and kidneys reach a few hundred; activities in Bq/ml begin at about a thousand.
    highest=500.0,
)
