"""The Jupyter server extension: a REST API for builds. Each build is a process; its events are a stream."""
