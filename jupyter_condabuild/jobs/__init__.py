"""One module for each command. To read the code of a command, start in its module."""
