"""Linux overlayfs as a driver of overlaykit, as root and as an ordinary user.

Every view is a detached mount: attached nowhere, seen by nobody else, gone with its last descriptor.

What the kernel's options could do is done without them, so that root and an ordinary user get the same:
``redirect_dir`` (renaming a directory of a layer; here it is copied), ``index`` (hard links that stay together when
they are copied up; here the names follow, because a layer made with an index is only whole together with it) and
``metacopy`` (its layers need the layers below to be read at all) are never used. Trees do all that; a program that
works through a tree's ``host_path`` meets the kernel's own rules for the first two.

It needs Linux 5.12 (mount_setattr(2)); without root 5.11's overlay mounts in user namespaces are needed besides.
Older kernels than 6.13 get their layers by other ways (:class:`overlaykit.linux.MountMethod`). All ways were tried on
Linux 6.18; what no newer kernel can show is that an older one takes them. Before 6.15 a read-only tree of a snapshot
that is open for writing keeps from writing by its own manners, since no detached mount can be cloned there.
"""
