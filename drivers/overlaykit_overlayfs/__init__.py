"""Linux overlayfs as a driver of overlaykit, as root and as an ordinary user.

Every view is a detached mount: attached nowhere, seen by nobody else, gone with its last descriptor.
"""
