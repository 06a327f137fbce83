"""The tests of jupyter_condabuild. The folders are those of the package, and each module tests one module or topic."""
