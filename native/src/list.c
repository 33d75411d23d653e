/* One directory with the attributes of what is in it. */
#include "overlaykit.h"

#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t nanoseconds(struct timespec time)
{
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int take(int fd, const struct entries *entries, struct ok_scan *list)
{
    list->records = malloc((entries->count + 1) * OK_LIST_FIELDS * sizeof *list->records);
    list->names = malloc(entries->used + 1);
    if (!list->records || !list->names)
        return -ENOMEM;
    for (; list->count < entries->count; list->count++) {
        const char *name = ok_entry_name(entries, list->count);
        int64_t *record = list->records + list->count * OK_LIST_FIELDS;
        size_t length = strlen(name) + 1;
        struct stat status;
        if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
            return -errno;
        record[0] = status.st_mode;
        record[1] = (int64_t)status.st_nlink;
        record[2] = status.st_uid;
        record[3] = status.st_gid;
        record[4] = (int64_t)status.st_rdev;
        record[5] = nanoseconds(status.st_atim);
        record[6] = (int64_t)status.st_dev;
        record[7] = (int64_t)status.st_ino;
        record[8] = status.st_size;
        record[9] = nanoseconds(status.st_mtim);
        record[10] = nanoseconds(status.st_ctim);
        memcpy(list->names + list->names_size, name, length);
        list->names_size += length;
    }
    return 0;
}

int ok_list(int directory, const char *path, struct ok_scan *list)
{
    struct entries entries = {0};
    int fd, result;

    *list = (struct ok_scan){0};
    fd = ok_openat2(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (fd < 0)
        return fd;
    result = ok_entries_read_by_name(&entries, fd);
    if (result == 0)
        result = take(fd, &entries, list);
    close(fd);
    ok_entries_free(&entries);
    if (result < 0)
        ok_scan_free(list);
    return result;
}
