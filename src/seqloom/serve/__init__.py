"""Trained models over HTTP: requests in batches, streams held for their owners, and the page beside them."""
