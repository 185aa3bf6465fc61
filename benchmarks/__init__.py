"""Speed and quality, measured: side by side in one run, with the machine, its load, the versions and the seed."""
