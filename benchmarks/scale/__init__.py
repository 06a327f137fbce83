"""How cost grows: a simulated lab, many packages, large packages, full stores (`python -m benchmarks.scale`)."""
