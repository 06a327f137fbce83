"""python -m jupyter_condabuild: the command line."""

from jupyter_condabuild.cli import main

if __name__ == "__main__":
    main()
