"""A small Debian made from the packages of a Debian mirror: nothing is executed, and nobody needs to be root."""
