/* Opening below a root without leaving it, and reading and writing whole files. */
#include "root.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

int open_below(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
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

void ok_root_close(struct ok_root *root)
{
    if (__atomic_fetch_or(&root->users, CLOSED, __ATOMIC_ACQ_REL) == 0)
        close(root->fd);
}

int find_entry(const struct ok_root *root, const char *path, struct entry *entry)
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
