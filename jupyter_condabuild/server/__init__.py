"""The server extension: builds over REST, each a process of its own, and their events as a stream."""
