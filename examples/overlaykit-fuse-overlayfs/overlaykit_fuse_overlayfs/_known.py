"""What fuse-overlayfs 1.10 gets wrong and the driver cannot mend: conformance test ids to reasons."""

from __future__ import annotations

__all__ = ["KNOWN_FAILURES"]

_MARKERS = "fuse-overlayfs keeps names that begin with .wh. for itself"
_LONG = "fuse-overlayfs takes names of 251 bytes at most: it keeps four for .wh."

KNOWN_FAILURES = {
    **dict.fromkeys(
        (
            "names.all_together",
            "names.name[opaque]",
            "names.name[whiteout-alone]",
            "names.name[whiteout]",
            "names.name_in_changes[opaque]",
            "names.name_in_changes[whiteout-alone]",
            "names.name_in_changes[whiteout]",
            "names.names_survive_a_rename_of_their_directory",
            "whiteouts.marker_names_are_plain",
        ),
        _MARKERS,
    ),
    **dict.fromkeys(
        (
            "files.statvfs",
            "names.name[long-utf8]",
            "names.name[long]",
            "names.name_in_changes[long-utf8]",
            "names.name_in_changes[long]",
        ),
        _LONG,
    ),
    "names.path_beyond_the_system_limit": "fuse-overlayfs takes paths of 4095 bytes at most",
    "host.unlinked_file_has_no_links": "fuse-overlayfs counts the name under which it keeps a deleted file",
    "xattrs.private_names_are_data[user.overlay.opaque]": "fuse-overlayfs obeys user.overlay.opaque whoever sets it",
}
