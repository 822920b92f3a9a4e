"""Batches: many scans in, many out, nothing lost.

`plan` settles what is read and written, `run` works through it in this process, `pool` in
several, `cluster` on a Dask cluster; `manifest` keeps what became of each scan.
"""
