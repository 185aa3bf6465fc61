"""Trained models over HTTP: requests in batches, streams held for their owners, and the page beside them."""

from seqloom.serve.hosted import host
from seqloom.serve.limits import Limits
from seqloom.serve.server import serve
from seqloom.serve.service import Address, Service

__all__ = ["Address", "Limits", "Service", "host", "serve"]
