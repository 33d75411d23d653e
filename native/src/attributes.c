/* Links' targets, modes, owners, times, sizes and extended attributes below a root. */
#include "root.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

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
