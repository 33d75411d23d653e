"""OCI layers: the changesets that turn one tree into another, as tar streams."""
