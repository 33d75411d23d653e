#include "overlaykit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { WHERE = 64, VALUE = 64 };

/* What creation gives a file in this directory; the same for all of a run. */
struct given {
    int known;
    uid_t uid;
    gid_t gid;
};

static int create(int directory, const char *name, mode_t mode)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(directory, name, flags, mode);
    if (fd >= 0 || errno != EEXIST)
        return fd >= 0 ? fd : -errno;
    if (unlinkat(directory, name, 0)) {
        char where[WHERE];
        if (errno != EISDIR)
            return -errno;
        int result = ok_remove_tree(directory, name, where, sizeof where);
        if (result < 0)
            return result;
    }
    fd = openat(directory, name, flags, mode);
    return fd >= 0 ? fd : -errno;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        data += done;
        size -= (size_t)done;
    }
    return 0;
}

/* What the file would be with privileges, in the form of containers/storage and fuse-overlayfs. */
static int keep(int fd, const struct ok_tar_entry *entry)
{
    char value[VALUE];
    int size = snprintf(value, sizeof value, "%u:%u:%04o:file", (unsigned)entry->uid, (unsigned)entry->gid,
                        (unsigned)entry->mode);
    return fsetxattr(fd, "user.containers.override_stat", value, (size_t)size, 0) ? -errno : 0;
}

static int write_one(int directory, const uint8_t *data, const struct ok_tar_entry *entry, const char *name, int how,
                     struct given *given)
{
    int owners = how == OK_TAR_OWNERS, kept = how == OK_TAR_KEPT;
    /* Kept: never more than it should have, but its real owner can use it. */
    mode_t mode = kept ? (entry->mode & 0777) | 0600 : entry->mode;
    uid_t uid = (uid_t)entry->uid;
    gid_t gid = (gid_t)entry->gid;
    /* Where the owner is right from the start, the mode may be too; otherwise nobody else gets at it meanwhile. */
    int right = !owners || (given->known && given->uid == uid && given->gid == gid);
    int fd = create(directory, name, right ? mode & 0777 : 0600);
    if (fd < 0)
        return fd;
    struct stat made;
    if (fstat(fd, &made)) {
        int error = errno;
        close(fd);
        return -error;
    }
    *given = (struct given){.known = 1, .uid = made.st_uid, .gid = made.st_gid};
    int foreign = owners && (made.st_uid != uid || made.st_gid != gid);
    struct timespec times[2] = {
        {.tv_sec = entry->seconds, .tv_nsec = (long)entry->nsec},
        {.tv_sec = entry->seconds, .tv_nsec = (long)entry->nsec},
    };
    int result = write_all(fd, data, (size_t)entry->size);
    /* The owner before the mode: changing it clears set-uid. */
    if (result == 0 && foreign && fchown(fd, uid, gid))
        result = -errno;
    if (result == 0 && (foreign || (made.st_mode & 07777) != mode) && fchmod(fd, mode))
        result = -errno;
    if (result == 0 && kept)
        result = keep(fd, entry);
    if (result == 0 && futimens(fd, times))
        result = -errno;
    if (close(fd) && result == 0)
        result = -errno;
    return result;
}

int ok_tar_write(int directory, const uint8_t *buffer, const struct ok_tar_entry *entries, size_t count, const char *names,
                 int how, size_t *failed)
{
    struct given given = {0};
    for (size_t i = 0; i < count; i++) {
        const struct ok_tar_entry *entry = &entries[i];
        const char *name = names + entry->path + entry->directory_size + (entry->directory_size ? 1 : 0);
        int result = write_one(directory, buffer + entry->data, entry, name, how, &given);
        if (result < 0) {
            *failed = i;
            return result;
        }
    }
    return 0;
}
