"""Lock files that may come from somebody else: the faults and the logins in them."""
