#include "overlaykit.h"

#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { ATTRIBUTE = 64 };

struct scanner {
    struct walk walk;
    struct inodes seen;
    struct ok_scan *out;
    size_t room, space;
    char *prefix; /* the path of the deepest level, with a slash behind it unless it is empty */
    size_t prefix_length, prefix_room;
    char opaque[ATTRIBUTE], whiteout[ATTRIBUTE];
    const char *failed;
};

static int grow(void **memory, size_t *room, size_t needed, size_t item)
{
    size_t larger = *room ? *room : 256;

    if (needed <= *room)
        return 0;
    while (larger < needed)
        larger *= 2;
    void *moved = realloc(*memory, larger * item);
    if (!moved)
        return -ENOMEM;
    *memory = moved;
    *room = larger;
    return 0;
}

static int account(struct scanner *scanner, const struct stat *status)
{
    if (status->st_nlink > 1 && !S_ISDIR(status->st_mode)) {
        int added = ok_inodes_add(&scanner->seen, status->st_dev, status->st_ino);
        if (added <= 0)
            return added;
    }
    scanner->out->bytes += (uint64_t)status->st_blocks * 512;
    scanner->out->inodes++;
    return 0;
}

static int add(struct scanner *scanner, const char *name, const struct stat *status, int64_t flags)
{
    struct ok_scan *out = scanner->out;
    size_t length = strlen(name) + 1;
    int error = account(scanner, status);

    if (!error)
        error = grow((void **)&out->records, &scanner->room, out->count + 1, OK_SCAN_FIELDS * sizeof *out->records);
    if (!error)
        error = grow((void **)&out->names, &scanner->space, out->names_size + scanner->prefix_length + length, 1);
    if (error)
        return error;
    int64_t *record = out->records + out->count++ * OK_SCAN_FIELDS;
    memset(record, 0, OK_SCAN_FIELDS * sizeof *record);
    record[0] = status->st_mode;
    record[12] = flags;
    if (flags & OK_SCAN_WHITEOUT) /* one inode for many names, of many layers: its attributes mean nothing */
        goto name;
    record[1] = (int64_t)status->st_ino;
    record[2] = (int64_t)status->st_dev;
    record[3] = (int64_t)status->st_nlink;
    record[4] = status->st_uid;
    record[5] = status->st_gid;
    record[6] = status->st_size;
    record[7] = (int64_t)status->st_rdev;
    record[8] = status->st_mtim.tv_sec;
    record[9] = status->st_mtim.tv_nsec;
    record[10] = status->st_ctim.tv_sec;
    record[11] = status->st_ctim.tv_nsec;
name:
    if (scanner->prefix_length)
        memcpy(out->names + out->names_size, scanner->prefix, scanner->prefix_length);
    memcpy(out->names + out->names_size + scanner->prefix_length, name, length);
    out->names_size += scanner->prefix_length + length;
    return 0;
}

static int by_name(const void *left, const void *right, void *names)
{
    return strcmp((const char *)names + ((const struct entry *)left)->name,
                  (const char *)names + ((const struct entry *)right)->name);
}

/* 'y', 'x' or 0: the value of the attribute that makes a directory opaque, or full of attributes that are whiteouts. */
static char opaque_of(const struct scanner *scanner, int fd)
{
    char value[2];
    return fgetxattr(fd, scanner->opaque, value, sizeof value) == 1 ? value[0] : 0;
}

static int is_whiteout(const struct scanner *scanner, int fd, const char *name, const struct stat *status)
{
    char path[32 + NAME_MAX];

    if (S_ISCHR(status->st_mode))
        return status->st_rdev == makedev(0, 0);
    if (!S_ISREG(status->st_mode) || status->st_size)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", fd, name);
    return lgetxattr(path, scanner->whiteout, NULL, 0) >= 0;
}

static int enter(struct scanner *scanner, int fd, const char *name)
{
    size_t length = strlen(name);
    int error = grow((void **)&scanner->prefix, &scanner->prefix_room, scanner->prefix_length + length + 1, 1);

    if (error) {
        close(fd);
        return error;
    }
    memcpy(scanner->prefix + scanner->prefix_length, name, length);
    if (length)
        scanner->prefix[scanner->prefix_length + length++] = '/';
    scanner->prefix_length += length;
    error = ok_walk_push(&scanner->walk, fd, name);
    if (error)
        return error;
    struct entries *entries = &scanner->walk.levels[scanner->walk.depth - 1].entries;
    error = ok_entries_read(entries, fd);
    if (!error && entries->count > 1)
        qsort_r(entries->list, entries->count, sizeof *entries->list, by_name, entries->names);
    return error;
}

static int scan_child(struct scanner *scanner, int fd, const char *name, bool marks)
{
    struct stat status;
    int child;

    scanner->failed = name;
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
        return errno == ENOENT ? 0 : -errno; /* ENOENT: an upper in use changes meanwhile */
    if (!S_ISDIR(status.st_mode)) {
        bool whiteout = (marks || S_ISCHR(status.st_mode)) && is_whiteout(scanner, fd, name, &status);
        return add(scanner, name, &status, whiteout ? OK_SCAN_WHITEOUT : 0);
    }
    child = ok_open_directory(fd, name, true);
    if (child == -ENOENT)
        return 0;
    if (child == -EACCES)
        return add(scanner, name, &status, OK_SCAN_UNREADABLE);
    if (child < 0)
        return child;
    int error = add(scanner, name, &status, opaque_of(scanner, child) == 'y' ? OK_SCAN_OPAQUE : 0);
    if (error) {
        close(child);
        return error;
    }
    return enter(scanner, child, name);
}

static void leave(struct scanner *scanner)
{
    size_t length = strlen(scanner->walk.levels[scanner->walk.depth - 1].name);

    scanner->prefix_length -= length ? length + 1 : 0;
    ok_walk_pop(&scanner->walk);
}

static int scan_level(struct scanner *scanner)
{
    size_t depth = scanner->walk.depth;
    struct level *level = &scanner->walk.levels[depth - 1];
    int fd = ok_walk_fd(&scanner->walk), error = 0;

    scanner->failed = NULL;
    if (fd < 0)
        return fd;
    bool marks = level->entries.count && opaque_of(scanner, fd) == 'x';
    while (level->next < level->entries.count) {
        error = scan_child(scanner, fd, ok_entry_name(&level->entries, level->next++), marks);
        if (error || scanner->walk.depth > depth)
            return error;
    }
    if (depth == 1)
        return 1;
    leave(scanner);
    return 0;
}

int ok_scan(int directory, const char *attributes, struct ok_scan *scan, char *where, size_t where_size)
{
    struct scanner scanner = {.out = scan};
    struct stat status;

    *scan = (struct ok_scan){0};
    if (where_size)
        where[0] = 0;
    if (snprintf(scanner.opaque, ATTRIBUTE, "%sopaque", attributes) >= ATTRIBUTE
        || snprintf(scanner.whiteout, ATTRIBUTE, "%swhiteout", attributes) >= ATTRIBUTE)
        return -EINVAL;
    int root = ok_open_directory(directory, ".", true), error;
    if (root == -EACCES) {
        error = fstatat(directory, "", &status, AT_EMPTY_PATH) ? -errno : add(&scanner, "", &status, OK_SCAN_UNREADABLE);
    } else if (root < 0) {
        return root;
    } else {
        error = fstat(root, &status) ? -errno : add(&scanner, "", &status, 0);
        if (error)
            close(root);
        else
            error = enter(&scanner, root, "");
        while (!error)
            error = scan_level(&scanner);
    }
    if (error < 0 && scanner.walk.depth)
        ok_walk_where(&scanner.walk, scanner.failed, where, where_size);
    ok_walk_free(&scanner.walk);
    ok_inodes_free(&scanner.seen);
    free(scanner.prefix);
    if (error < 0)
        ok_scan_free(scan);
    return error < 0 ? error : 0;
}

void ok_scan_free(struct ok_scan *scan)
{
    free(scan->records);
    free(scan->names);
    *scan = (struct ok_scan){0};
}
