/* Copying, removing and measuring whole trees. Where `where` is given, a failure writes there the path, relative to
 * the tree's root, of the entry that it is about; an empty path is the root. */

struct ok_survey {
    uint64_t bytes;       /* allocated */
    uint64_t inodes;      /* hard links counted once */
    uint64_t portable[2]; /* a digest of all names and attributes that a faithful copy keeps, xattrs left out */
    uint64_t exact[2];    /* the same with inode numbers, link counts and change times: whoever touches it changes it */
    uint64_t root;        /* the root's inode number */
    int64_t newest;       /* the latest change time, nanoseconds */
    int32_t devices;      /* 1 where not everything has the root's device number: Btrfs subvolumes */
};

/* Remove `name` and all below it. Follows no symbolic link, enters no mount (-EBUSY); what is gone already is fine. */
int ok_remove_tree(int directory, const char *name, char *where, size_t where_size);
/* Look at a directory and all below it, other mounts left out; file content is not read. Where the latest change time is
 * at or after `since`, `where` is the path of what has it. */
int ok_tree_survey(int directory, int64_t since, struct ok_survey *found, char *where, size_t where_size);

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
 * threads: 0 for as many as pay. inodes: a descriptor to write to which inode was made of which, two uint64_t each, sorted;
 * nothing where the source is on several devices; or -1. */
int ok_copy_tree(int source, int target, uint64_t flags, int threads, int inodes, struct ok_copy_progress *progress,
                 char *where, size_t where_size);
