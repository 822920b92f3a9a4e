"""How good a restored scan is: fidelity, physics, residual check and the report."""
