"""Batches: many scans are read, worked on and written; a scan that fails costs no other one.

`plan` lists the jobs and names their outputs. `session` runs them: `run` in this process, `pool` in
several processes, `cluster` on a Dask cluster. `manifest` records the outcome of each scan. What is
done to a scan is a kind of work: `restoring`, `segmenting`, `simulating`, `evaluating`.
"""
