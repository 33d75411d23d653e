#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    BY_BUFFER = 64 * 1024, /* below it, two system calls through memory beat the set-up of copy_file_range */
    RANGE_STEP = 1 << 27,  /* how long a cancellation may have to wait */
    XATTR_NAMES = 65536,   /* the kernel's limits: XATTR_LIST_MAX and XATTR_SIZE_MAX */
    XATTR_VALUE = 65536,
};

static const char SELINUX[] = "security.selinux";

static bool cancelled(const struct copy_context *context)
{
    return __atomic_load_n(&context->progress->cancel, __ATOMIC_RELAXED) != 0;
}

int ok_copy_open(struct copy_worker *worker, int directory, const char *name)
{
    struct copy_context *context = worker->context;
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

    if (!copy_known(&context->no_noatime)) {
        int fd = openat(directory, name, flags | O_NOATIME);
        if (fd >= 0)
            return fd;
        if (errno != EPERM)
            return -errno;
        copy_learn(&context->no_noatime); /* somebody else's file */
    }
    int fd = openat(directory, name, flags);
    return fd < 0 ? -errno : fd;
}

/* ---- content ---- */

static int copy_by_buffer(struct copy_worker *worker, int source, int target, off_t at, off_t end)
{
    while (at < end) {
        if (cancelled(worker->context))
            return -ECANCELED;
        size_t want = end - at > COPY_BUFFER ? COPY_BUFFER : (size_t)(end - at);
        ssize_t got = pread(source, worker->buffer, want, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (!got)
            break; /* it became shorter */
        for (ssize_t done = 0; done < got;) {
            ssize_t put = pwrite(target, worker->buffer + done, (size_t)(got - done), at + done);
            if (put < 0 && errno != EINTR)
                return -errno;
            if (put > 0)
                done += put;
        }
        copy_count(&worker->context->progress->bytes, (uint64_t)got);
        at += got;
    }
    return 0;
}

static int copy_range(struct copy_worker *worker, int source, int target, off_t at, off_t end)
{
    struct copy_context *context = worker->context;

    if (end - at <= BY_BUFFER || copy_known(&context->no_range))
        return copy_by_buffer(worker, source, target, at, end);
    while (at < end) {
        if (cancelled(context))
            return -ECANCELED;
        off_t from = at, to = at;
        size_t want = end - at > RANGE_STEP ? RANGE_STEP : (size_t)(end - at);
        ssize_t got = copy_file_range(source, &from, target, &to, want, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
                return -errno;
            if (errno == EXDEV || errno == ENOSYS || errno == EOPNOTSUPP)
                copy_learn(&context->no_range);
            return copy_by_buffer(worker, source, target, at, end);
        }
        if (!got) /* the end; but some file systems say so for what they cannot copy: read once more */
            return copy_by_buffer(worker, source, target, at, end);
        copy_count(&context->progress->bytes, (uint64_t)got);
        at += got;
    }
    return 0;
}

static int copy_sparse(struct copy_worker *worker, int source, int target, off_t size)
{
    off_t at = 0;

    while (at < size) {
        off_t data = lseek(source, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; /* nothing but a hole from here */
        off_t hole = data < 0 ? -1 : lseek(source, data, SEEK_HOLE);
        if (hole < 0) /* a file system that knows no holes, or a file cut meanwhile */
            return copy_range(worker, source, target, at, size);
        if (hole > size)
            hole = size;
        int error = data < hole ? copy_range(worker, source, target, data, hole) : 0;
        if (error)
            return error;
        at = hole;
    }
    return ftruncate(target, size) ? -errno : 0;
}

static int copy_content(struct copy_worker *worker, int source, const struct stat *status, int target)
{
    struct copy_context *context = worker->context;
    bool usual = status->st_dev == context->device;

    if (status->st_size == 0)
        return 0;
    if (!(context->flags & OK_COPY_NO_REFLINK) && !(usual && copy_known(&context->no_reflink))) {
        if (!ioctl(target, FICLONE, source)) {
            copy_count(&context->progress->reflinked, 1);
            copy_count(&context->progress->bytes, (uint64_t)status->st_size);
            return 0;
        }
        /* EINVAL and the like are about this file (no-CoW against CoW, a swap file); these are about the pair. */
        if (usual && (errno == EOPNOTSUPP || errno == EXDEV || errno == ENOTTY || errno == ENOSYS))
            copy_learn(&context->no_reflink);
    }
    if (status->st_blocks < (status->st_size + 511) / 512)
        return copy_sparse(worker, source, target, status->st_size);
    return copy_range(worker, source, target, 0, status->st_size);
}

/* ---- extended attributes: of a descriptor, or where it is -1 of a path that is not followed ---- */

static ssize_t list_xattrs(int fd, const char *path, char *names, size_t size)
{
    return fd >= 0 ? flistxattr(fd, names, size) : llistxattr(path, names, size);
}

static ssize_t get_xattr(int fd, const char *path, const char *name, char *value, size_t size)
{
    return fd >= 0 ? fgetxattr(fd, name, value, size) : lgetxattr(path, name, value, size);
}

static int set_xattr(int fd, const char *path, const char *name, const char *value, size_t size)
{
    return fd >= 0 ? fsetxattr(fd, name, value, size, 0) : lsetxattr(path, name, value, size, 0);
}

/* XFS shows root how it stores the ACLs that are listed under their own names too. */
static bool is_storage(const char *name)
{
    return !strcmp(name, "trusted.SGI_ACL_FILE") || !strcmp(name, "trusted.SGI_ACL_DEFAULT");
}

static int xattrs_room(struct xattrs *xattrs, size_t more)
{
    if (xattrs->used + more <= xattrs->space)
        return 0;
    size_t space = (xattrs->used + more) * 2;
    char *data = realloc(xattrs->data, space);
    if (!data)
        return -ENOMEM;
    xattrs->data = data;
    xattrs->space = space;
    return 0;
}

static int xattrs_add(struct xattrs *xattrs, int fd, const char *path, const char *name)
{
    size_t length = strlen(name) + 1;
    ssize_t got;

    for (size_t size = 256;; size = XATTR_VALUE) {
        int error = xattrs_room(xattrs, length + sizeof(uint64_t) + size);
        if (error)
            return error;
        got = get_xattr(fd, path, name, xattrs->data + xattrs->used + length + sizeof(uint64_t), size);
        if (got >= 0 || errno != ERANGE || size == XATTR_VALUE)
            break;
    }
    if (got < 0)
        return errno == ENODATA ? 0 : -errno; /* removed meanwhile */
    uint64_t size = (uint64_t)got;
    memcpy(xattrs->data + xattrs->used, name, length);
    memcpy(xattrs->data + xattrs->used + length, &size, sizeof size);
    xattrs->used += length + sizeof size + size;
    xattrs->count++;
    return 0;
}

int ok_xattrs_read(struct copy_context *context, struct xattrs *xattrs, int fd, const char *path, dev_t device)
{
    char few[1024], *names = few, *many = NULL;
    bool usual = device == context->device;

    xattrs->count = 0;
    xattrs->used = 0;
    if (usual && copy_known(&context->no_xattrs))
        return 0;
    ssize_t got = list_xattrs(fd, path, few, sizeof few);
    if (got == 0)
        return 0;
    if (got < 0 && errno == ERANGE) {
        names = many = malloc(XATTR_NAMES);
        if (!many)
            return -ENOMEM;
        got = list_xattrs(fd, path, many, XATTR_NAMES);
    }
    if (got < 0) {
        int error = errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
        if (!error && usual && fd >= 0)
            copy_learn(&context->no_xattrs);
        free(many);
        return error;
    }
    int error = 0;
    for (const char *name = names; !error && name < names + got; name += strlen(name) + 1)
        if (!is_storage(name))
            error = xattrs_add(xattrs, fd, path, name);
    free(many);
    return error;
}

struct xattr {
    const char *name, *value;
    size_t size;
};

static struct xattr next_xattr(const struct xattrs *xattrs, size_t *at)
{
    struct xattr found = {.name = xattrs->data + *at};
    uint64_t size;

    *at += strlen(found.name) + 1;
    memcpy(&size, xattrs->data + *at, sizeof size);
    *at += sizeof size;
    found.value = xattrs->data + *at;
    found.size = size;
    *at += size;
    return found;
}

static int xattrs_apply(const struct xattrs *xattrs, int fd, const char *path)
{
    size_t at = 0;

    for (size_t i = 0; i < xattrs->count; i++) {
        struct xattr one = next_xattr(xattrs, &at);
        /* A security label is the local policy's to give; where it does not let us, it has given one. */
        if (set_xattr(fd, path, one.name, one.value, one.size) && strcmp(one.name, SELINUX))
            return -errno;
    }
    return 0;
}

static bool xattrs_have(const struct xattrs *xattrs, const char *name)
{
    size_t at = 0;

    for (size_t i = 0; i < xattrs->count; i++)
        if (!strcmp(next_xattr(xattrs, &at).name, name))
            return true;
    return false;
}

/* ---- whole objects ---- */

int ok_copy_note(struct copy_worker *worker, const struct stat *source, const struct stat *target)
{
    struct pairs *pairs = &worker->pairs;

    if (source->st_dev != worker->context->device)
        copy_learn(&worker->context->several_devices);
    if (pairs->count == pairs->room) {
        size_t room = pairs->room ? pairs->room * 2 : 1024;
        struct pair *list = realloc(pairs->list, room * sizeof *list);
        if (!list)
            return -ENOMEM;
        pairs->list = list;
        pairs->room = room;
    }
    pairs->list[pairs->count++] = (struct pair){.source = source->st_ino, .target = target->st_ino};
    return 0;
}

static bool owner_differs(const struct stat *wanted, const struct stat *made)
{
    return wanted->st_uid != made->st_uid || wanted->st_gid != made->st_gid;
}

/* made: what the new file was like before anything was written to it. */
static int file_attributes(struct copy_worker *worker, const struct stat *status, const struct stat *made, int target)
{
    mode_t mode = status->st_mode & 07777;

    if (owner_differs(status, made) && fchown(target, status->st_uid, status->st_gid))
        return -errno;
    int error = xattrs_apply(&worker->xattrs, target, NULL);
    if (error)
        return error;
    /* It was made without setuid and setgid, which writing and chown clear. */
    if ((made->st_mode & 07777) != mode && fchmod(target, mode))
        return -errno;
    struct timespec times[2] = {status->st_atim, status->st_mtim};
    return futimens(target, times) ? -errno : 0;
}

int ok_copy_file(struct copy_worker *worker, int source, const struct stat *status, int directory, const char *name)
{
    struct copy_context *context = worker->context;
    mode_t mode = status->st_mode & 0777;
    struct stat made;

    int error = ok_xattrs_read(context, &worker->xattrs, source, NULL, status->st_dev);
    if (error)
        return error;
    if (worker->xattrs.count && !context->privileged)
        mode |= 0200; /* user.* needs write permission on the file, not on the descriptor */
    int target = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (target < 0)
        return -errno;
    error = fstat(target, &made) ? -errno : ok_copy_note(worker, status, &made);
    if (!error)
        error = copy_content(worker, source, status, target);
    if (!error)
        error = file_attributes(worker, status, &made, target);
    if (close(target) && !error && errno != EINTR)
        error = -errno; /* where writing is delayed, this may be the only word of a full disk */
    return error;
}

static int make_special(int source_directory, const struct stat *status, int directory, const char *name)
{
    char text[PATH_MAX + 1];

    if (!S_ISLNK(status->st_mode))
        return mknodat(directory, name, status->st_mode, status->st_rdev) ? -errno : 0;
    ssize_t length = readlinkat(source_directory, name, text, sizeof text - 1);
    if (length < 0)
        return -errno;
    text[length] = 0;
    return symlinkat(text, directory, name) ? -errno : 0;
}

int ok_copy_special(struct copy_worker *worker, int source_directory, const struct stat *status, int directory,
                    const char *name)
{
    struct copy_context *context = worker->context;
    char path[NAME_MAX + 40];
    struct stat made;

    int error = make_special(source_directory, status, directory, name);
    if (!error)
        error = fstatat(directory, name, &made, AT_SYMLINK_NOFOLLOW) ? -errno : ok_copy_note(worker, status, &made);
    if (error)
        return error;
    bool chown = owner_differs(status, &made);
    if (chown && fchownat(directory, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW))
        return -errno;
    /* There is no descriptor to have xattrs of: opening a FIFO or a device does something. */
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", source_directory, name);
    error = ok_xattrs_read(context, &worker->xattrs, -1, path, status->st_dev);
    if (!error && worker->xattrs.count) {
        snprintf(path, sizeof path, "/proc/self/fd/%d/%s", directory, name);
        error = xattrs_apply(&worker->xattrs, -1, path);
    }
    if (error)
        return error;
    if (!S_ISLNK(status->st_mode) && (made.st_mode != status->st_mode || (chown && status->st_mode & 06000)) &&
        fchmodat(directory, name, status->st_mode & 07777, 0))
        return -errno;
    struct timespec times[2] = {status->st_atim, status->st_mtim};
    return utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

int ok_copy_prepare_root(int target)
{
    if (fchmod(target, 0700))
        return -errno;
    if (fremovexattr(target, "system.posix_acl_default") && errno != ENODATA && errno != EOPNOTSUPP)
        return -errno;
    return 0;
}

static int remove_foreign_xattrs(const struct xattrs *xattrs, int target)
{
    char *names = malloc(XATTR_NAMES);

    if (!names)
        return -ENOMEM;
    ssize_t got = flistxattr(target, names, XATTR_NAMES);
    for (const char *name = names; got > 0 && name < names + got; name += strlen(name) + 1)
        if (strcmp(name, SELINUX) && !is_storage(name) && !xattrs_have(xattrs, name) && fremovexattr(target, name) &&
            errno != ENODATA) {
            int error = -errno;
            free(names);
            return error;
        }
    free(names);
    return 0;
}

int ok_copy_directory_attributes(const struct xattrs *xattrs, const struct stat *status, mode_t mode, int target,
                                 bool exact)
{
    struct stat made;

    if (fstat(target, &made))
        return -errno;
    if ((made.st_uid != status->st_uid || made.st_gid != status->st_gid) &&
        fchown(target, status->st_uid, status->st_gid))
        return -errno;
    int error = exact ? remove_foreign_xattrs(xattrs, target) : 0;
    if (!error)
        error = xattrs_apply(xattrs, target, NULL);
    if (error)
        return error;
    if ((exact || (made.st_mode & 07777) != mode) && fchmod(target, mode))
        return -errno;
    struct timespec times[2] = {status->st_atim, status->st_mtim};
    return futimens(target, times) ? -errno : 0;
}
