"""An environment of one platform as the lock file of another: it is solved again, and each difference is named."""
