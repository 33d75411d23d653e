/* Copying, removing and measuring whole trees. Where `where` is given, a failure writes there the path, relative to
 * the tree's root, of the entry that it is about; an empty path is the root. */

struct ok_usage {
    uint64_t bytes;  /* allocated */
    uint64_t inodes; /* hard links counted once */
};

/* Remove `name` and all below it. Follows no symbolic link, enters no mount (-EBUSY); what is gone already is fine. */
int ok_remove_tree(int directory, const char *name, char *where, size_t where_size);
/* Measure a directory and all below it, other mounts left out. */
int ok_tree_usage(int directory, struct ok_usage *usage, char *where, size_t where_size);
