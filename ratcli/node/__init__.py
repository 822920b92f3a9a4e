"""A DICOM node: receives series, restores them, and sends the results on.

`scp` receives into `inbox`, `node` restores what is complete, `senders` deliver it; `queue` knows
what became of each series. Everything that is restored goes through `ratcli.batch`.
"""
