"""What fuse-overlayfs 1.10 gets wrong and the driver cannot mend: conformance test ids to reasons."""

from __future__ import annotations

import os

__all__ = ["known_failures"]

_SPECIAL = "fuse-overlayfs cannot copy up a FIFO, a socket or a device node of a layer below (EIO)"
_SETGID = "fuse-overlayfs does not take setgid, or the group, from a setgid directory"
_TIMES = "fuse-overlayfs touches the times of directories when it copies up what is in them"
_LINKS = "fuse-overlayfs loses hard links, or miscounts them, where a layer above changes one of the names"
_NAMES = "fuse-overlayfs keeps names that begin with .wh. for itself, and four bytes of the longest name for that"
_OPAQUE = "fuse-overlayfs obeys user.overlay.opaque whoever sets it"
_RENAME = "fuse-overlayfs loses sight of a directory that was removed, made again and renamed"

_KNOWN = {
    **dict.fromkeys(
        (
            "aspects.device",
            "aspects.mtime_alone",
            "changes.exact_set",
            "changes.every_change_applied_gives_the_container",
            "changes.same_after_commit",
            "changes.same_after_reopening",
            "files.fifo_is_not_opened",
            "links.link_of_a_fifo",
            "privileges.device_nodes",
            "renames.fifo",
            "times.every_type",
        ),
        _SPECIAL,
    ),
    **dict.fromkeys(
        (
            "files.setgid_directory",
            "privileges.chown_clears_setuid",
            "privileges.group_of_a_setgid_directory",
            "privileges.special_bits_survive_copy_up",
        ),
        _SETGID,
    ),
    **dict.fromkeys(
        (
            "aspects.owner_alone",
            "lifecycle.commit_keeps_the_tree",
            "lifecycle.root_mode_is_kept_and_inherited",
            "stacking.many_layers_equal_a_flat_copy",
            "times.directory_feels_its_entries[link]",
        ),
        _TIMES,
    ),
    **dict.fromkeys(
        (
            "host.unlinked_file_has_no_links",
            "links.change_through_one_name[rename-directory]",
            "links.link_added_in_each_layer",
            "links.link_count",
            "links.links_written_in_two_layers",
            "links.many_names",
            "links.topology_is_kept[rename-directory]",
            "links.unlink_after_a_write",
        ),
        _LINKS,
    ),
    **dict.fromkeys(
        (
            "errno.on_lower_files[open-long-name]",
            "errno.on_lower_files[stat-long-name]",
            "files.statvfs",
            "names.all_together",
            "names.name[long-utf8]",
            "names.name[long]",
            "names.name[opaque]",
            "names.name[whiteout-alone]",
            "names.name[whiteout]",
            "names.name_in_changes[long-utf8]",
            "names.name_in_changes[long]",
            "names.name_in_changes[opaque]",
            "names.name_in_changes[whiteout-alone]",
            "names.name_in_changes[whiteout]",
            "names.name_too_long",
            "names.names_survive_a_rename_of_their_directory",
            "names.path_beyond_the_system_limit",
            "whiteouts.marker_names_are_plain",
        ),
        _NAMES,
    ),
    "files.sparse": "fuse-overlayfs fills the holes of a file that it copies up",
    "renames.exchange_file_and_directory": "fuse-overlayfs exchanges no file with a directory",
    "renames.recreated_directory": _RENAME,
    "xattrs.private_names_are_data[user.overlay.opaque]": _OPAQUE,
}


def known_failures() -> dict[str, str]:
    """Return them for this user."""
    if os.geteuid() == 0:
        return _KNOWN
    return {
        **_KNOWN,
        "privileges.write_clears_setuid": "in a user namespace the kernel leaves setuid to fuse-overlayfs",
    }
