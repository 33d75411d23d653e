#include "overlaykit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CLOSED INT_MIN
#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

static int open_below(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    long fd;

    /* EAGAIN: a rename or mount anywhere raced with "..": the kernel could not prove that the walk stayed inside and
     * asks for another try (openat2(2), RESOLVE_IN_ROOT). */
    for (int tries = 0;; tries++) {
        fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN || tries == 1 << 16)
            return -errno;
        if (tries >= 64)
            sched_yield();
    }
}

int ok_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    return open_below(directory, path, flags, mode, resolve);
}

/* -- the root's life ----------------------------------------------------------------------------------------------- */

static int enter(struct ok_root *root)
{
    int users = __atomic_load_n(&root->users, __ATOMIC_RELAXED);

    do
        if (users < 0)
            return -EBADF;
    while (!__atomic_compare_exchange_n(&root->users, &users, users + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    return 0;
}

static int leave(struct ok_root *root, int result)
{
    if (__atomic_sub_fetch(&root->users, 1, __ATOMIC_ACQ_REL) == CLOSED)
        close(root->fd);
    return result;
}

void ok_root_close(struct ok_root *root)
{
    if (__atomic_fetch_or(&root->users, CLOSED, __ATOMIC_ACQ_REL) == 0)
        close(root->fd);
}

/* -- where a path leads -------------------------------------------------------------------------------------------- */

static const char *relative(const char *path)
{
    while (*path == '/')
        path++;
    return *path ? path : ".";
}

static bool is_dots(const char *name, size_t length)
{
    return (length == 1 && name[0] == '.') || (length == 2 && name[0] == '.' && name[1] == '.');
}

/* A name in the root directory itself: no walk, so system calls that do not follow it need no openat2. */
static bool is_plain(const char *path)
{
    return !strchr(path, '/') && !is_dots(path, strlen(path));
}

/* A descriptor of what the path leads to, good for *at() with AT_EMPTY_PATH and for /proc/self/fd. */
static int open_object(const struct ok_root *root, const char *path, int follow)
{
    return open_below(root->fd, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW), 0, IN_ROOT | root->resolve);
}

struct entry {
    int directory; /* of the last component */
    bool opened;   /* directory is to be closed */
    bool is_root;  /* the path is the root itself */
    bool walks;    /* last ends with a slash or is "..": the kernel would walk on from it */
    const char *last;
};

/* Split a path into an open directory and the last component, with the slashes behind it, which say something too. */
static int find_entry(const struct ok_root *root, const char *path, struct entry *entry)
{
    char parent[PATH_MAX];
    size_t end, start, dots;

    path = relative(path);
    dots = strspn(path, "./");
    entry->is_root = path[dots] == '\0' && !strstr(path, "..");
    end = strlen(path);
    if (end >= sizeof parent)
        return -ENAMETOOLONG;
    while (end > 0 && path[end - 1] == '/')
        end--;
    start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    entry->last = path + start;
    entry->walks = path[end] == '/' || (end - start == 2 && memcmp(path + start, "..", 2) == 0);
    entry->opened = start > 0;
    entry->directory = root->fd;
    if (start > 0) {
        memcpy(parent, path, start);
        parent[start] = '\0';
        entry->directory =
            open_below(root->fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, IN_ROOT | root->resolve);
    }
    return entry->directory < 0 ? entry->directory : 0;
}

static int drop_entry(struct entry *entry, int result)
{
    if (entry->opened)
        close(entry->directory);
    return result;
}

static int answer(long result)
{
    return result < 0 ? -errno : (int)result;
}

/* The kernel lets few calls act on an O_PATH descriptor itself, but all of them through this name of it. */
struct name {
    char text[32];
};

static struct name descriptor_name(int fd)
{
    struct name name;

    snprintf(name.text, sizeof name.text, "/proc/self/fd/%d", fd);
    return name;
}

/* -- files --------------------------------------------------------------------------------------------------------- */

int ok_root_open(struct ok_root *root, const char *path, uint64_t flags, uint64_t mode)
{
    int fd = enter(root);

    if (fd < 0)
        return fd;
    if (!(flags & O_CREAT) && (flags & O_TMPFILE) != O_TMPFILE)
        mode = 0; /* openat2 refuses what open ignores */
    return leave(root, open_below(root->fd, relative(path), flags | O_CLOEXEC, mode & 07777, IN_ROOT | root->resolve));
}

int ok_root_stat(struct ok_root *root, const char *path, int follow, int64_t out[16])
{
    struct stat status;
    int result = enter(root), fd;

    if (result < 0)
        return result;
    path = relative(path);
    if (is_plain(path)) {
        result = answer(fstatat(root->fd, path, &status, AT_SYMLINK_NOFOLLOW));
        follow = follow && result == 0 && S_ISLNK(status.st_mode);
    } else if (strcmp(path, ".") == 0) {
        result = answer(fstat(root->fd, &status));
        follow = 0;
    } else {
        fd = result = open_object(root, path, follow);
        if (fd >= 0) {
            result = answer(fstatat(fd, "", &status, AT_EMPTY_PATH));
            close(fd);
        }
        follow = 0;
    }
    if (follow) {
        fd = result = open_object(root, path, 1);
        if (fd >= 0) {
            result = answer(fstatat(fd, "", &status, AT_EMPTY_PATH));
            close(fd);
        }
    }
    if (result < 0)
        return leave(root, result);
    out[0] = status.st_mode;
    out[1] = (int64_t)status.st_ino;
    out[2] = (int64_t)status.st_dev;
    out[3] = (int64_t)status.st_nlink;
    out[4] = status.st_uid;
    out[5] = status.st_gid;
    out[6] = status.st_size;
    out[7] = (int64_t)status.st_rdev;
    out[8] = status.st_blksize;
    out[9] = status.st_blocks;
    out[10] = status.st_atim.tv_sec;
    out[11] = status.st_atim.tv_nsec;
    out[12] = status.st_mtim.tv_sec;
    out[13] = status.st_mtim.tv_nsec;
    out[14] = status.st_ctim.tv_sec;
    out[15] = status.st_ctim.tv_nsec;
    return leave(root, 0);
}

int64_t ok_root_read(struct ok_root *root, const char *path, char *buffer, size_t size, int *fd)
{
    size_t done = 0;
    ssize_t got;
    int file = ok_root_open(root, path, O_RDONLY, 0);

    *fd = -1;
    if (file < 0)
        return file;
    while (done < size) {
        got = read(file, buffer + done, size - done);
        if (got == 0) {
            close(file);
            return (int64_t)done;
        }
        if (got < 0) {
            int error = errno;
            if (error == EINTR)
                break;
            close(file);
            return -error;
        }
        done += (size_t)got;
    }
    *fd = file;
    return (int64_t)done;
}

int64_t ok_root_write(struct ok_root *root, const char *path, const char *buffer, size_t size, int *fd)
{
    size_t done = 0;
    ssize_t put;
    int file = ok_root_open(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    *fd = -1;
    if (file < 0)
        return file;
    while (done < size) {
        put = write(file, buffer + done, size - done);
        if (put < 0) {
            int error = errno;
            if (error == EINTR) {
                *fd = file;
                return (int64_t)done;
            }
            close(file);
            return -error;
        }
        done += (size_t)put;
    }
    /* Some file systems say only here that the data found no room. */
    if (close(file) < 0 && errno != EINTR)
        return -errno;
    return (int64_t)done;
}

/* -- names --------------------------------------------------------------------------------------------------------- */

int ok_root_mkdir(struct ok_root *root, const char *path, unsigned mode)
{
    struct entry entry;
    int result = enter(root);

    if (result < 0)
        return result;
    result = find_entry(root, path, &entry);
    if (result == 0)
        result = drop_entry(&entry, answer(mkdirat(entry.directory, entry.last, mode)));
    return leave(root, result);
}

int ok_root_mknod(struct ok_root *root, const char *path, unsigned mode, uint64_t device)
{
    struct entry entry;
    int result = enter(root);

    if (result < 0)
        return result;
    result = find_entry(root, path, &entry);
    if (result == 0)
        /* Character device 0:0 is how overlayfs stores a deletion; a user's node must never be taken for one. */
        result = drop_entry(&entry, S_ISCHR(mode) && device == 0
                                        ? -EPERM
                                        : answer(mknodat(entry.directory, entry.last, mode, (dev_t)device)));
    return leave(root, result);
}

int ok_root_symlink(struct ok_root *root, const char *path, const char *target)
{
    struct entry entry;
    int result = enter(root);

    if (result < 0)
        return result;
    result = find_entry(root, path, &entry);
    if (result == 0)
        result = drop_entry(&entry, answer(symlinkat(target, entry.directory, entry.last)));
    return leave(root, result);
}

static int remove_entry(struct ok_root *root, const char *path, int flags)
{
    struct entry entry;
    int result = enter(root);

    if (result < 0)
        return result;
    result = find_entry(root, path, &entry);
    if (result == 0)
        result = drop_entry(&entry, entry.is_root ? (flags & AT_REMOVEDIR ? -EBUSY : -EISDIR)
                                                  : answer(unlinkat(entry.directory, entry.last, flags)));
    return leave(root, result);
}

int ok_root_rmdir(struct ok_root *root, const char *path)
{
    return remove_entry(root, path, AT_REMOVEDIR);
}

int ok_root_unlink(struct ok_root *root, const char *path)
{
    return remove_entry(root, path, 0);
}

static int link_entry(struct ok_root *from, const char *source, const struct entry *old, const struct entry *new)
{
    int fd, result;

    if (!old->walks)
        return answer(linkat(old->directory, old->last, new->directory, new->last, 0));
    /* linkat would walk the rest of "link/" or ".." outside of the root; it can only end at a directory, or fail. */
    fd = open_below(from->fd, relative(source), O_PATH | O_DIRECTORY | O_CLOEXEC, 0, IN_ROOT | from->resolve);
    if (fd < 0)
        return fd;
    result = answer(linkat(AT_FDCWD, descriptor_name(fd).text, new->directory, new->last, AT_SYMLINK_FOLLOW));
    close(fd);
    return result;
}

/* What linkat says of the old name alone, which it looks for before it looks for the new one's directory. */
static int find_source(struct ok_root *from, const char *source, const struct entry *old)
{
    struct stat status;
    int fd;

    if (!old->walks)
        return answer(fstatat(old->directory, old->last, &status, AT_SYMLINK_NOFOLLOW));
    fd = open_below(from->fd, relative(source), O_PATH | O_DIRECTORY | O_CLOEXEC, 0, IN_ROOT | from->resolve);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

static int on_two(struct ok_root *from, const char *source, struct ok_root *to, const char *target, bool rename_it,
                  unsigned flags)
{
    struct entry old, new;
    int result = enter(from);

    if (result < 0)
        return result;
    result = enter(to);
    if (result < 0)
        return leave(from, result);
    result = find_entry(from, source, &old);
    if (result == 0) {
        result = find_entry(to, target, &new);
        if (result == 0) {
            if (!rename_it)
                result = link_entry(from, source, &old, &new);
            else if (old.is_root || new.is_root)
                result = new.is_root && (flags & RENAME_NOREPLACE) ? -EEXIST : -EBUSY;
            else
                result = answer(renameat2(old.directory, old.last, new.directory, new.last, flags));
            drop_entry(&new, 0);
        } else if (!rename_it) {
            int missing = find_source(from, source, &old);
            if (missing < 0)
                result = missing;
        }
        drop_entry(&old, 0);
    }
    leave(to, 0);
    return leave(from, result);
}

int ok_root_link(struct ok_root *from, const char *source, struct ok_root *to, const char *target)
{
    return on_two(from, source, to, target, false, 0);
}

int ok_root_rename(struct ok_root *from, const char *source, struct ok_root *to, const char *target, unsigned flags)
{
    /* RENAME_WHITEOUT is a driver's tool, not an operation on a tree. */
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    return on_two(from, source, to, target, true, flags);
}

/* -- attributes ---------------------------------------------------------------------------------------------------- */

int ok_root_readlink(struct ok_root *root, const char *path, char *buffer, size_t size)
{
    int result = enter(root), fd;

    if (result < 0)
        return result;
    path = relative(path);
    if (is_plain(path))
        return leave(root, answer(readlinkat(root->fd, path, buffer, size)));
    fd = result = open_object(root, path, 0);
    if (fd >= 0) {
        result = answer(readlinkat(fd, "", buffer, size));
        if (result == -ENOENT)
            result = -EINVAL; /* the kernel's word for an object that is no link when the path is empty */
        close(fd);
    }
    return leave(root, result);
}

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* Linux 6.6 */
#endif

int ok_root_chmod(struct ok_root *root, const char *path, unsigned mode, int follow)
{
    struct stat status;
    int result = enter(root), fd;

    if (result < 0)
        return result;
    fd = result = open_object(root, relative(path), follow);
    if (fd < 0)
        return leave(root, result);
    result = answer(fstatat(fd, "", &status, AT_EMPTY_PATH));
    if (result == 0 && S_ISLNK(status.st_mode))
        result = -EOPNOTSUPP; /* older kernels change it on some file systems, to no effect */
    if (result == 0)
        result = answer(syscall(SYS_fchmodat2, fd, "", mode & 07777, AT_EMPTY_PATH));
    if (result == -ENOSYS || result == -EPERM)
        result = answer(chmod(descriptor_name(fd).text, mode & 07777));
    close(fd);
    return leave(root, result);
}

int ok_root_chown(struct ok_root *root, const char *path, int64_t uid, int64_t gid, int follow)
{
    int result = enter(root), fd;

    if (result < 0)
        return result;
    fd = result = open_object(root, relative(path), follow);
    if (fd >= 0) {
        result = answer(fchownat(fd, "", (uid_t)uid, (gid_t)gid, AT_EMPTY_PATH));
        close(fd);
    }
    return leave(root, result);
}

int ok_root_utime(struct ok_root *root, const char *path, const int64_t *times, int follow)
{
    struct timespec both[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    int result = enter(root), fd;

    if (result < 0)
        return result;
    if (times) {
        both[0] = (struct timespec){.tv_sec = times[0], .tv_nsec = times[1]};
        both[1] = (struct timespec){.tv_sec = times[2], .tv_nsec = times[3]};
    }
    fd = result = open_object(root, relative(path), follow);
    if (fd >= 0) {
        result = answer(utimensat(fd, "", both, AT_EMPTY_PATH));
        close(fd);
    }
    return leave(root, result);
}

int ok_root_truncate(struct ok_root *root, const char *path, int64_t length)
{
    int result = enter(root), fd;

    if (result < 0)
        return result;
    /* Not by opening it for writing: that would wait for a FIFO's reader. */
    fd = result = open_object(root, relative(path), 1);
    if (fd >= 0) {
        result = answer(truncate(descriptor_name(fd).text, length));
        close(fd);
    }
    return leave(root, result);
}

/* Linux 6.13 has these calls, the C library's headers not yet. They save the way through /proc, which is half the time. */
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

struct xattr_arguments { /* struct xattr_args */
    uint64_t value;
    uint32_t size;
    uint32_t flags;
};

struct xattr_call {
    enum { GET, LIST, SET, REMOVE } what;
    const char *name;
    char *value;
    size_t size;
    int flags;
};

static long xattr_of_entry(const struct entry *entry, const struct xattr_call *call)
{
    struct xattr_arguments arguments = {(uintptr_t)call->value, (uint32_t)call->size, (uint32_t)call->flags};
    int at = entry->directory, nofollow = AT_SYMLINK_NOFOLLOW;

    switch (call->what) {
    case GET:
        return syscall(SYS_getxattrat, at, entry->last, nofollow, call->name, &arguments, sizeof arguments);
    case LIST:
        return syscall(SYS_listxattrat, at, entry->last, nofollow, call->value, call->size);
    case SET:
        return syscall(SYS_setxattrat, at, entry->last, nofollow, call->name, &arguments, sizeof arguments);
    default:
        return syscall(SYS_removexattrat, at, entry->last, nofollow, call->name);
    }
}

static long xattr_of_path(const char *path, const struct xattr_call *call)
{
    switch (call->what) {
    case GET:
        return getxattr(path, call->name, call->value, call->size);
    case LIST:
        return listxattr(path, call->value, call->size);
    case SET:
        return setxattr(path, call->name, call->value, call->size, call->flags);
    default:
        return removexattr(path, call->name);
    }
}

static int xattr(struct ok_root *root, const char *path, int follow, const struct xattr_call *call)
{
    struct entry entry;
    int result = enter(root), fd;

    if (result < 0)
        return result;
    if (!follow) {
        result = find_entry(root, path, &entry);
        if (result < 0)
            return leave(root, result);
        result = drop_entry(&entry, entry.walks ? -ENOSYS : answer(xattr_of_entry(&entry, call)));
        /* EPERM may be the word of a seccomp filter that knows the call as little as an older kernel. */
        if (result != -ENOSYS && result != -EPERM)
            return leave(root, result);
    }
    fd = result = open_object(root, relative(path), follow);
    if (fd >= 0) {
        result = answer(xattr_of_path(descriptor_name(fd).text, call));
        close(fd);
    }
    return leave(root, result);
}

int ok_root_getxattr(struct ok_root *root, const char *path, const char *name, char *buffer, size_t size, int follow)
{
    return xattr(root, path, follow, &(struct xattr_call){.what = GET, .name = name, .value = buffer, .size = size});
}

int ok_root_listxattr(struct ok_root *root, const char *path, char *buffer, size_t size, int follow)
{
    return xattr(root, path, follow, &(struct xattr_call){.what = LIST, .value = buffer, .size = size});
}

int ok_root_setxattr(struct ok_root *root, const char *path, const char *name, const char *value, size_t size, int flags,
                     int follow)
{
    struct xattr_call call = {.what = SET, .name = name, .value = (char *)(uintptr_t)value, .size = size, .flags = flags};

    return xattr(root, path, follow, &call);
}

int ok_root_removexattr(struct ok_root *root, const char *path, const char *name, int follow)
{
    return xattr(root, path, follow, &(struct xattr_call){.what = REMOVE, .name = name});
}

/* -- listing ------------------------------------------------------------------------------------------------------- */

struct record { /* struct linux_dirent64, which no header declares */
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static int grow(struct ok_listing *listing, size_t *entries, size_t *bytes, size_t name_size)
{
    if (listing->count == *entries) {
        size_t more = *entries * 2;
        uint64_t *inodes = realloc(listing->inodes, more * sizeof *inodes);
        if (!inodes)
            return -ENOMEM;
        listing->inodes = inodes;
        uint8_t *types = realloc(listing->types, more);
        if (!types)
            return -ENOMEM;
        listing->types = types;
        *entries = more;
    }
    while (listing->size + name_size > *bytes) {
        char *names = realloc(listing->names, *bytes * 2);
        if (!names)
            return -ENOMEM;
        listing->names = names;
        *bytes *= 2;
    }
    return 0;
}

static int add_record(int fd, struct ok_listing *listing, size_t *entries, size_t *bytes, const struct record *record)
{
    size_t size = strlen(record->name) + 1;
    struct stat status;
    uint8_t type = record->type;
    int result;

    if (is_dots(record->name, size - 1))
        return 0;
    if (type == DT_UNKNOWN) {
        if (fstatat(fd, record->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            return errno == ENOENT ? 0 : -errno;
        type = (uint8_t)((status.st_mode & S_IFMT) >> 12);
    }
    result = grow(listing, entries, bytes, size);
    if (result < 0)
        return result;
    memcpy(listing->names + listing->size, record->name, size);
    listing->types[listing->count] = type;
    listing->inodes[listing->count] = record->inode;
    listing->size += size;
    listing->count++;
    return 0;
}

static int list_directory(int fd, struct ok_listing *listing)
{
    size_t entries = 64, bytes = 2048, size = 1 << 15;
    char *buffer = malloc(size);
    long got = 0;
    int result = 0;

    listing->names = malloc(bytes);
    listing->types = malloc(entries);
    listing->inodes = malloc(entries * sizeof *listing->inodes);
    if (!buffer || !listing->names || !listing->types || !listing->inodes)
        result = -ENOMEM;
    while (result == 0) {
        do
            got = syscall(SYS_getdents64, fd, buffer, size);
        while (got < 0 && errno == EINTR);
        if (got <= 0) {
            result = answer(got);
            break;
        }
        for (long position = 0; position < got && result == 0;) {
            const struct record *record = (const struct record *)(const void *)(buffer + position);
            result = add_record(fd, listing, &entries, &bytes, record);
            position += record->length;
        }
    }
    free(buffer);
    return result;
}

int ok_root_list(struct ok_root *root, const char *path, struct ok_listing *out)
{
    int fd, result;

    memset(out, 0, sizeof *out);
    fd = ok_root_open(root, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    result = list_directory(fd, out);
    close(fd);
    if (result < 0)
        ok_listing_free(out);
    return result;
}

void ok_listing_free(struct ok_listing *listing)
{
    free(listing->names);
    free(listing->types);
    free(listing->inodes);
    memset(listing, 0, sizeof *listing);
}
