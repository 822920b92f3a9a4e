"""CT denoising: Hounsfield units in, Hounsfield units out."""

from ratcli.task import Task

CT_DENOISE = Task(
    name="ct-denoise",
    summary="denoise low-dose CT, in Hounsfield units",
    scans="CT",
    modalities=("CT",),
    found_from=("CT",),
    units=("HU",),
    channels=1,
    scale=1,
    window=(-1024.0, 3072.0),
    # Soft tissue spans about -0.5 to 0.5: its contrasts stay large beside those of bone and air.
    offset=40.0,
    gain=400.0,
    plausible=(-10000.0, -150.0, 300.0),
    partition="superpixel-coarse",
    weights="ct-denoise",
    method="denoise",
    label="RAT denoised",
    is_found_from_values=True,  # nothing else has values far below 0 as those of air
)
