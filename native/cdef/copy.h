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

#define OK_COPY_NO_REFLINK 1   /* never share blocks with the source */
#define OK_COPY_CROSS_MOUNTS 2 /* copy what is mounted in the source; without it a mount point is -EXDEV */

struct ok_copy_progress { /* counted while the copy runs */
    uint64_t entries;     /* names made, the root left out */
    uint64_t links;       /* of these, further hard links */
    uint64_t bytes;       /* of file content, holes left out */
    uint64_t reflinked;   /* files whose blocks are shared with the source */
    int32_t cancel;       /* set by the caller: stop with -ECANCELED */
};

/* Copy the content of one directory into an empty one, and the directory's own attributes.
 * threads: 0 for as many as pay. */
int ok_copy_tree(int source, int target, uint64_t flags, int threads, struct ok_copy_progress *progress, char *where,
                 size_t where_size);
