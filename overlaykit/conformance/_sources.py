"""Where each rule comes from, as data: of a failure the reader wants to know who says that it is one."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Source", "source_of"]


class Source(NamedTuple):
    """A place where a rule is written.

    :param kind: ``"semantics"`` (overlaykit's own page), ``"contract"`` (what drivers promise), ``"kernel"`` (a
        document or manual page of Linux) or ``"specification"`` (of somebody else).
    :param document: its name.
    :param section: the heading there.
    """

    kind: str
    document: str
    section: str

    def __str__(self) -> str:
        return f"{self.document}, {self.section}"

    def as_json(self) -> dict[str, str]:
        """Return it as it stands in reports."""
        return self._asdict()


def _semantics(section: str) -> Source:
    return Source("semantics", "docs/semantics.md", section)


def _drivers(section: str) -> Source:
    return Source("contract", "docs/drivers.md", section)


def _overlayfs(section: str) -> Source:
    return Source("kernel", "Documentation/filesystems/overlayfs.rst", section)


def _manual(page: str, section: str = "DESCRIPTION") -> Source:
    return Source("kernel", f"Linux man-pages, {page}", section)


_ERRORS = Source("contract", "docs/errors.md", "Errors")
_FILE_ERRORS = Source("contract", "docs/errors.md", "Errors of file operations")
_IMAGE_WHITEOUTS = Source("specification", "OCI image specification, layer.md", "Whiteouts")
_POSIX_ERRORS = Source("specification", "POSIX.1-2024, System Interfaces", "ERRORS of each function")
_ACLS = Source("specification", "POSIX.1e draft 17", "Access Control Lists")
_WORDS, _COPY, _DELETING, _RENAMING, _PATHS, _ATTRIBUTES, _CHANGES, _DURABILITY = map(
    _semantics,
    ("Words", "Copy on write", "Deleting", "Renaming", "Paths and names", "Attributes", "Changes", "Durability"),
)
_IMPLEMENT, _REGISTER, _CAPABILITIES = map(_drivers, ("What to implement", "Registering it", "Capabilities"))

#: Of each theme; what a rule of its own has in ``_RULES`` comes first.
_THEMES: dict[str, tuple[Source, ...]] = {
    "aspects": (_CHANGES,),
    "capabilities": (_REGISTER, _CAPABILITIES),
    "changes": (_CHANGES,),
    "closed": (_ERRORS,),
    "copy_on_write": (_COPY, _overlayfs("Non-directories")),
    "errno": (_FILE_ERRORS, _POSIX_ERRORS),
    "files": (_ATTRIBUTES, _manual("open(2)")),
    "host": (_CAPABILITIES,),
    "isolation": (_COPY, _IMPLEMENT),
    "lifecycle": (_IMPLEMENT,),
    "links": (_COPY, _manual("link(2)")),
    "names": (_PATHS, _manual("path_resolution(7)")),
    "privileges": (_ATTRIBUTES, _CAPABILITIES),
    "properties": (_COPY, _DELETING, _RENAMING, _CHANGES),
    "renames": (_RENAMING, _manual("rename(2)")),
    "stacking": (_COPY, _DELETING, _overlayfs("Multiple lower layers")),
    "store_errors": (_ERRORS,),
    "store_keys": (_WORDS, _ERRORS),
    "store_kinds": (_WORDS, _COPY),
    "times": (_ATTRIBUTES, _manual("utimensat(2)")),
    "whiteouts": (_DELETING, _overlayfs("whiteouts and opaque directories")),
    "xattrs": (_ATTRIBUTES, _manual("xattr(7)")),
}

_RULES: dict[str, tuple[Source, ...]] = {
    "copy_on_write.directory_inode_is_stable": (_overlayfs("Overlay objects"),),
    "copy_on_write.file_inode_is_stable": (_overlayfs("Overlay objects"),),
    "errno.too_many_symlinks": (_manual("path_resolution(7)"),),
    "errno.view_is_readonly": (_COPY,),
    "files.setgid_directory": (_manual("inode(7)"),),
    "files.mode_at_creation": (_manual("umask(2)"),),
    "files.sparse": (_CAPABILITIES, _manual("lseek(2)", "Seeking file data and holes")),
    "files.sparse_keeps_its_bytes": (_CAPABILITIES,),
    "files.tmpfile": (_CAPABILITIES, _manual("open(2)", "O_TMPFILE")),
    "files.tmpfile_is_refused": (_CAPABILITIES, _manual("open(2)", "O_TMPFILE")),
    "files.unique_inodes": (_overlayfs("Overlay objects"),),
    "files.statvfs": (_manual("statvfs(3)"),),
    "files.statvfs_of_a_view": (_manual("statvfs(3)"),),
    "host.open_file_inode_is_stable": (_overlayfs("Overlay objects"),),
    "host.tmpfile_gets_a_name": (_manual("open(2)", "O_TMPFILE"),),
    "renames.exchange_files": (_CAPABILITIES,),
    "renames.exchange_is_refused": (_CAPABILITIES,),
    "stacking.500_layers": (_CAPABILITIES,),
    "stacking.500_layers_are_refused": (_CAPABILITIES,),
    "whiteouts.marker_names_are_plain": (_IMAGE_WHITEOUTS,),
    "xattrs.flags": (_manual("setxattr(2)"),),
    "xattrs.private_names_are_data": (_overlayfs("Nesting overlayfs mounts"),),
    "xattrs.acl_survives_copy_up": (_ACLS, _CAPABILITIES),
    "xattrs.acl_sets_the_mode": (_ACLS, _CAPABILITIES, _manual("acl(5)")),
    "xattrs.default_acl": (_ACLS, _CAPABILITIES, _manual("acl(5)")),
    "xattrs.acl_that_is_none": (_ACLS, _CAPABILITIES),
    "xattrs.acl_is_refused": (_CAPABILITIES,),
    "xattrs.trusted": (_CAPABILITIES,),
    "xattrs.trusted_is_refused": (_CAPABILITIES,),
}


def source_of(rule: str) -> tuple[Source, ...]:
    """Return where a rule comes from, what is most about it first.

    :param rule: its id, ``"theme.name"``.
    """
    own = _RULES.get(rule, ())
    return own + tuple(source for source in _THEMES.get(rule.partition(".")[0], ()) if source not in own)
