/*
 * What is stored in an overlay's upper directory or layer, in tree order: a directory, then its children by the bytes of
 * their names, each followed by what is below it.
 *
 * records holds OK_SCAN_FIELDS numbers an entry: mode, inode, device, links, uid, gid, size, device node's number, seconds and
 * nanoseconds of mtime, then of ctime, flags. names holds as many paths relative to the root, each NUL-terminated; the
 * root's is empty. Both are allocated: ok_scan_free().
 */
#define OK_SCAN_FIELDS 13
#define OK_SCAN_OPAQUE 1     /* a directory that hides what is below it in the layers */
#define OK_SCAN_WHITEOUT 2   /* no file: the name is hidden */
#define OK_SCAN_UNREADABLE 4 /* a directory that the caller may not list */

struct ok_scan {
    size_t count;
    size_t names_size;
    int64_t *records;
    char *names;
    uint64_t bytes;  /* allocated, hard links of one file counted once */
    uint64_t inodes;
};

/* attributes: "trusted.overlay." or "user.overlay.", what overlayfs' own attributes begin with. */
int ok_scan(int directory, const char *attributes, struct ok_scan *scan, char *where, size_t where_size);
void ok_scan_free(struct ok_scan *scan);

/*
 * List one directory below another, whatever is mounted there, with the attributes of what is in it, links not followed: names in
 * the order of their bytes. Each record has OK_LIST_FIELDS: mode, nlink, uid, gid, rdev, atime, dev, ino, size, mtime and ctime, times
 * in nanoseconds. -ENOENT: something went meanwhile.
 */
#define OK_LIST_FIELDS 11
int ok_list(int directory, const char *path, struct ok_scan *list);
