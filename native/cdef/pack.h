/*
 * Making an archive of files as they are read, into the buffers that it is compressed and unpacked from: what a member is was
 * decided by the caller.
 */
#define OK_PACK_HEADER 1 /* name is a whole header, blocks of the caller's; nothing follows it, unless there is a source */
#define OK_PACK_SOURCE 2 /* its content is that of the file at source */
#define OK_PACK_FOLLOW 4 /* a symbolic link at source is followed */

struct ok_pack_member {
    uint64_t flags;
    uint64_t name, name_size; /* in text */
    uint64_t source;          /* in text, with a NUL byte behind it */
    uint64_t mode, uid, gid;  /* of the header: a regular file's */
    int64_t seconds, nsec;    /* the same */
    int64_t size;             /* of the content */
    int64_t mtime, ctime;     /* the file's, nanoseconds: another one then, or another size, means that it was changed */
};

struct ok_packer {
    int directory; /* what sources are below: they cannot leave it */
    const struct ok_pack_member *members;
    const char *text;
    uint64_t count;
    uint64_t index;  /* of the member that is being made; after a failure, the one that it is about */
    uint64_t offset; /* how much of it is made */
    int fd;          /* of its file; -1 for none */
};

/*
 * Put the next bytes of the archive into a buffer. Returns how many, less than there is room for only at the end; or -errno, which
 * is -ESTALE for a file that was changed.
 */
int64_t ok_pack(struct ok_packer *packer, uint8_t *buffer, size_t room);
/* Close what is open; twice is allowed. */
void ok_pack_close(struct ok_packer *packer);
