/* Opening below a directory without leaving it; openat2(2). Returns a descriptor or -errno. */
int ok_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);

/*
 * The root directory of a tree, and the file operations below it. A path is relative to the root whether it begins with
 * a slash or not, shorter than 4096 bytes, and cannot leave it: every ".." and every symbolic link on the way resolves
 * inside.
 *
 * users counts the calls that are running; its sign bit says that the root was closed. The descriptor is closed by
 * whoever is the last to need it, so a call never meets a number that was given to another file meanwhile. A call on a
 * closed root is -EBADF. resolve is further RESOLVE_* flags for every walk.
 */
struct ok_root { int fd; int users; uint64_t resolve; };
struct ok_listing { size_t count; size_t size; char *names; uint8_t *types; uint64_t *inodes; };

void ok_root_close(struct ok_root *root);

/* Opens a file; EINTR comes back to the caller, whose signal handlers must run. */
int ok_root_open(struct ok_root *root, const char *path, uint64_t flags, uint64_t mode);

/* out: mode, ino, dev, nlink, uid, gid, size, rdev, blksize, blocks, then seconds and nanoseconds of atime, mtime, ctime. */
int ok_root_stat(struct ok_root *root, const char *path, int follow, int64_t out[16]);

/*
 * Read a file into buffer and close it, or write buffer to a new or emptied file and close it; the bytes moved. Where
 * buffer was too small or a signal came, the file stays open as *fd for the caller to go on; else *fd is -1.
 */
int64_t ok_root_read(struct ok_root *root, const char *path, char *buffer, size_t size, int *fd);
int64_t ok_root_write(struct ok_root *root, const char *path, const char *buffer, size_t size, int *fd);

/* List a directory: names, each ended by a NUL, with their file types (S_IFMT >> 12) and inode numbers. */
int ok_root_list(struct ok_root *root, const char *path, struct ok_listing *out);
void ok_listing_free(struct ok_listing *listing);

int ok_root_mkdir(struct ok_root *root, const char *path, unsigned mode);
int ok_root_mknod(struct ok_root *root, const char *path, unsigned mode, uint64_t device);
int ok_root_symlink(struct ok_root *root, const char *path, const char *target);
int ok_root_rmdir(struct ok_root *root, const char *path);
int ok_root_unlink(struct ok_root *root, const char *path);
int ok_root_link(struct ok_root *from, const char *source, struct ok_root *to, const char *target);
int ok_root_rename(struct ok_root *from, const char *source, struct ok_root *to, const char *target, unsigned flags);

int ok_root_readlink(struct ok_root *root, const char *path, char *buffer, size_t size);
int ok_root_chmod(struct ok_root *root, const char *path, unsigned mode, int follow);
int ok_root_chown(struct ok_root *root, const char *path, int64_t uid, int64_t gid, int follow);

/* times: seconds and nanoseconds of atime and mtime; NULL is now. */
int ok_root_utime(struct ok_root *root, const char *path, const int64_t *times, int follow);
int ok_root_truncate(struct ok_root *root, const char *path, int64_t length);

int ok_root_getxattr(struct ok_root *root, const char *path, const char *name, char *buffer, size_t size, int follow);
int ok_root_listxattr(struct ok_root *root, const char *path, char *buffer, size_t size, int follow);
int ok_root_setxattr(struct ok_root *root, const char *path, const char *name, const char *value, size_t size, int flags,
                     int follow);
int ok_root_removexattr(struct ok_root *root, const char *path, const char *name, int follow);
