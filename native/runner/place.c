/*
 * Paths inside the container's root, whose content may be hostile: every look-up is openat2(2) with RESOLVE_IN_ROOT, so that
 * "..", absolute links and links of /proc stay inside, whatever another process does with the tree meanwhile.
 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static int open_within(int root, const char *path, int follow, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (follow ? 0 : RESOLVE_NO_SYMLINKS),
    };
    int fd;

    /* EAGAIN: a rename or mount anywhere on the machine came between, and with ".." or a link in the path the kernel cannot
     * tell whether the walk stayed inside. */
    for (int tries = 0;; tries++) {
        fd = (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof how);
        if (fd >= 0)
            return fd;
        if (errno != EINTR && (errno != EAGAIN || tries == 1 << 16))
            return -errno;
        if (tries >= 64)
            sched_yield();
    }
}

int place_open(int root, const char *path, int follow)
{
    /* Without O_NOFOLLOW a link at the end is followed too, where that is allowed. */
    return open_within(root, path, follow, O_PATH);
}

static int make_one(int parent, const char *name, int directory)
{
    int result;

    if (directory)
        result = mkdirat(parent, name, 0755);
    else
        result = mknodat(parent, name, S_IFREG | 0644, 0);
    return result < 0 && errno != EEXIST ? -errno : 0;
}

int place_make(int root, const char *path, int follow, int directory)
{
    char part[PATH_MAX];
    size_t length = strlen(path), from, at;
    int parent, fd = place_open(root, path, follow), error;

    if (fd != -ENOENT)
        return fd;
    if (length >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, length + 1);
    parent = fcntl(root, F_DUPFD_CLOEXEC, 0);
    if (parent < 0)
        return -errno;
    for (at = 0; at < length;) {
        char end;

        while (part[at] == '/')
            at++;
        for (from = at; part[at] && part[at] != '/';)
            at++;
        if (from == at)
            break;
        end = part[at];
        part[at] = 0;
        fd = place_open(root, part, follow);
        if (fd == -ENOENT) {
            error = make_one(parent, part + from, directory || end);
            fd = error ? error : place_open(root, part, follow);
        }
        close(parent);
        if (fd < 0)
            return fd; /* ENOENT: a link that leads nowhere stands there */
        parent = fd;
        part[at] = end;
    }
    return parent;
}

int place_parent(int root, const char *path, const char **name)
{
    char part[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;

    *name = slash ? slash + 1 : path;
    if (length >= sizeof part)
        return -ENAMETOOLONG;
    if (!**name || !strcmp(*name, ".") || !strcmp(*name, ".."))
        return -EINVAL;
    memcpy(part, path, length);
    part[length] = 0;
    return place_make(root, part, 0, 1);
}

int place_is_on(int fd, long magic)
{
    struct statfs status;

    return fstatfs(fd, &status) == 0 && (long)status.f_type == magic;
}
