"""Starts the command line for `python -m jupyter_condabuild`."""

from jupyter_condabuild.cli import main

if __name__ == "__main__":
    main()
