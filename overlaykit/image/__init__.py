"""OCI images over a store: layers, configurations, references, containers, archives and registries."""
