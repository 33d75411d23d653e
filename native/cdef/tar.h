/*
 * Reading tar: ustar, GNU and pax headers (POSIX.1-2001 pax, tar(5)), from a buffer that holds a part of the archive from the
 * boundary of a member on. Only what is asked of one member at a time is decided here: what an archive means is not.
 */
#define OK_TAR_SIMPLE 1    /* a regular file, whole in the buffer, with a plain path and nothing beside its attributes */
#define OK_TAR_COMPLEX 2   /* has pax records that only the caller understands: see pax */
#define OK_TAR_PARTIAL 4   /* its content goes on behind the buffer's end: the last of the batch */

#define OK_TAR_FAULT_CHECKSUM 1
#define OK_TAR_FAULT_NUMBER 2   /* a number that is none, negative where it may not be, or too large */
#define OK_TAR_FAULT_PAX 3      /* a damaged pax record */
#define OK_TAR_FAULT_LONG 4     /* headers of one member beyond the limit */
#define OK_TAR_FAULT_NAME 5     /* an empty path, or one with a NUL byte */
#define OK_TAR_FAULT_LONE 6     /* headers that belong to a member that does not come */
#define OK_TAR_FAULT_ZERO 7     /* one block of zeros, and then something else */

struct ok_tar_entry {
    uint32_t type;       /* the type flag of its header; '\0' is told as '0' */
    uint32_t flags;
    uint32_t mode, major, minor;
    uint32_t nsec;
    int64_t uid, gid, size, seconds; /* size: of the content in the archive, in bytes */
    uint64_t header;     /* where its own header block is in the buffer */
    uint64_t data;       /* where its content is in the buffer */
    uint64_t path, path_size, link, link_size; /* in names; each with a NUL byte behind it */
    uint64_t directory_size; /* of SIMPLE: how much of the path is its directory, without the slash before the name */
    uint64_t pax, pax_size;  /* of COMPLEX: its pax records in the buffer */
    uint64_t run;        /* of SIMPLE: how many from this one on are SIMPLE and in one directory */
};

struct ok_tar_batch {
    struct ok_tar_entry *entries; /* room for this many, both from the caller */
    size_t room, count;
    char *names;
    size_t names_room, names_size;
    uint64_t consumed;   /* where the next member begins; with PARTIAL, the content of the last one */
    uint64_t header_limit; /* bytes of headers one member may have */
    uint64_t name_limit;   /* bytes of the path of a SIMPLE member */
    uint64_t fault_at;
    int fault;           /* OK_TAR_FAULT_* */
    int ended;           /* the archive's end was met at consumed */
    int all_complex;     /* treat every pax header, and every member, as for the caller to understand */
};

/*
 * Read members until the buffer, the room for them or the archive ends. last: nothing comes behind the buffer.
 * Returns 0, or -EBADMSG with a fault. A batch without members and not ended: more of the archive is needed.
 */
int ok_tar_scan(const uint8_t *buffer, size_t size, int last, struct ok_tar_batch *batch);

/*
 * Write a run of SIMPLE members below a directory, each in place of what is there. how: OK_TAR_*, else owners are left as creation
 * gave them. Returns 0 or -errno, with failed the index of the member it is about.
 */
#define OK_TAR_OWNERS 1 /* set them */
#define OK_TAR_KEPT 2   /* keep owner and mode in user.containers.override_stat; for real: the caller's, who can use all of it */
int ok_tar_write(int directory, const uint8_t *buffer, const struct ok_tar_entry *entries, size_t count, const char *names,
                 int how, size_t *failed);
