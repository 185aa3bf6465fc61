"""The ideas as experiments, one file each."""
