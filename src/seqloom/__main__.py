"""`python -m seqloom` is the command `seqloom`."""

from seqloom.cli import main

main()
