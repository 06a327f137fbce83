"""The server keeps to openapi.yaml, whatever is asked of it: schemathesis asks a thousand times and more."""

from __future__ import annotations
