"""``python -m loadgen``."""

from loadgen.cli.entry import main

main()
