#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OPEN_LEVELS = 96, READ_SIZE = 65536, CHAIN_SIZE = 4096 };

struct kernel_dirent {
    uint64_t ino;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static int add_entry(struct entries *entries, const struct kernel_dirent *found)
{
    size_t length = strlen(found->name) + 1;

    if (entries->count == entries->room) {
        size_t room = entries->room ? entries->room * 2 : 64;
        struct entry *list = realloc(entries->list, room * sizeof *list);
        if (!list)
            return -ENOMEM;
        entries->list = list;
        entries->room = room;
    }
    if (entries->used + length > entries->space) {
        size_t space = entries->space ? entries->space * 2 : 2048;
        if (space > UINT32_MAX)
            return -ENOMEM;
        char *names = realloc(entries->names, space);
        if (!names)
            return -ENOMEM;
        entries->names = names;
        entries->space = space;
    }
    memcpy(entries->names + entries->used, found->name, length);
    entries->list[entries->count++] =
        (struct entry){.ino = found->ino, .name = (uint32_t)entries->used, .type = found->type};
    entries->used += length;
    return 0;
}

static int by_inode(const void *left, const void *right)
{
    uint64_t a = ((const struct entry *)left)->ino, b = ((const struct entry *)right)->ino;
    return a < b ? -1 : a > b;
}

static int by_name(const void *left, const void *right, void *names)
{
    const char *base = names;
    return strcmp(base + ((const struct entry *)left)->name, base + ((const struct entry *)right)->name);
}

static int read_entries(struct entries *entries, int fd)
{
    char buffer[READ_SIZE] __attribute__((aligned(8)));
    long got;

    entries->count = 0;
    entries->used = 0;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    while ((got = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < got;) {
            const struct kernel_dirent *found = (const struct kernel_dirent *)(buffer + at);
            at += found->length;
            if (found->name[0] == '.' && (!found->name[1] || (found->name[1] == '.' && !found->name[2])))
                continue;
            int error = add_entry(entries, found);
            if (error)
                return error;
        }
    }
    return got < 0 && errno != ENOENT ? -errno : 0; /* ENOENT: the directory itself was removed meanwhile */
}

int ok_entries_read(struct entries *entries, int fd)
{
    int error = read_entries(entries, fd);

    if (!error && entries->count > 1)
        qsort(entries->list, entries->count, sizeof *entries->list, by_inode);
    return error;
}

int ok_entries_read_by_name(struct entries *entries, int fd)
{
    int error = read_entries(entries, fd);

    if (!error && entries->count > 1)
        qsort_r(entries->list, entries->count, sizeof *entries->list, by_name, entries->names);
    return error;
}

void ok_entries_free(struct entries *entries)
{
    free(entries->list);
    free(entries->names);
    *entries = (struct entries){0};
}

int ok_open_directory(int at, const char *path, bool same_mount)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | (same_mount ? RESOLVE_NO_XDEV : 0),
    };
    long fd;

    do
        fd = syscall(SYS_openat2, at, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd < 0 ? -errno : (int)fd;
}

int ok_open_chain(int at, const char *const *names, size_t count, bool same_mount)
{
    char path[CHAIN_SIZE];
    int fd = -1;

    for (size_t done = 0; done < count || fd < 0;) {
        size_t used = 0;
        while (done < count) {
            size_t length = strlen(names[done]);
            if (used + length + 2 > sizeof path)
                break;
            if (used)
                path[used++] = '/';
            memcpy(path + used, names[done++], length);
            used += length;
        }
        if (!used)
            path[used++] = '.';
        path[used] = 0;
        int next = ok_open_directory(fd < 0 ? at : fd, path, same_mount);
        if (fd >= 0)
            close(fd);
        if (next < 0)
            return next;
        fd = next;
    }
    return fd;
}

int ok_walk_push(struct walk *walk, int fd, const char *name)
{
    if (walk->depth == walk->room) {
        size_t room = walk->room ? walk->room * 2 : 32;
        struct level *levels = realloc(walk->levels, room * sizeof *levels);
        if (!levels) {
            close(fd);
            return -ENOMEM;
        }
        walk->levels = levels;
        walk->room = room;
    }
    char *copy = strdup(name);
    if (!copy) {
        close(fd);
        return -ENOMEM;
    }
    walk->levels[walk->depth++] = (struct level){.fd = fd, .name = copy};
    if (walk->depth - walk->closed > OPEN_LEVELS) { /* the root, level 0, stays */
        struct level *level = &walk->levels[++walk->closed];
        close(level->fd);
        level->fd = -1;
    }
    return 0;
}

void ok_walk_pop(struct walk *walk)
{
    struct level *level = &walk->levels[--walk->depth];

    if (level->fd >= 0)
        close(level->fd);
    free(level->name);
    ok_entries_free(&level->entries);
    if (walk->closed && walk->closed >= walk->depth)
        walk->closed = walk->depth ? walk->depth - 1 : 0;
}

int ok_walk_fd(struct walk *walk)
{
    struct level *level = &walk->levels[walk->depth - 1];

    if (level->fd >= 0)
        return level->fd;
    const char **names = malloc(walk->depth * sizeof *names);
    if (!names)
        return -ENOMEM;
    for (size_t i = 1; i < walk->depth; i++)
        names[i - 1] = walk->levels[i].name;
    int fd = ok_open_chain(walk->levels[0].fd, names, walk->depth - 1, true);
    free(names);
    if (fd >= 0) {
        level->fd = fd;
        if (walk->closed == walk->depth - 1)
            walk->closed--;
    }
    return fd;
}

void ok_walk_free(struct walk *walk)
{
    while (walk->depth)
        ok_walk_pop(walk);
    free(walk->levels);
    *walk = (struct walk){0};
}

void ok_join(const char *const *names, size_t count, char *where, size_t size)
{
    size_t at = size - 1;

    if (!size)
        return;
    where[at] = 0;
    while (count--) {
        size_t length = strlen(names[count]);
        if (length + 1 + 4 > at) {
            if (at >= 4) {
                at -= 4;
                memcpy(where + at, ".../", 4);
            }
            break;
        }
        if (where[at])
            where[--at] = '/';
        at -= length;
        memcpy(where + at, names[count], length);
    }
    memmove(where, where + at, size - at);
}

void ok_walk_where(const struct walk *walk, const char *name, char *where, size_t size)
{
    const char **names = malloc((walk->depth + 1) * sizeof *names);
    size_t count = 0;

    if (!size)
        return;
    where[0] = 0;
    if (!names)
        return;
    for (size_t i = 1; i < walk->depth; i++)
        names[count++] = walk->levels[i].name;
    if (name)
        names[count++] = name;
    ok_join(names, count, where, size);
    free(names);
}

static size_t slot_of(const struct inodes *inodes, uint64_t dev, uint64_t ino)
{
    uint64_t hash = (ino ^ (dev << 32 | dev >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (size_t)(hash >> 32) & (inodes->room - 1);

    while (inodes->slots[slot].ino && (inodes->slots[slot].ino != ino || inodes->slots[slot].dev != dev))
        slot = (slot + 1) & (inodes->room - 1);
    return slot;
}

int ok_inodes_add(struct inodes *inodes, uint64_t dev, uint64_t ino)
{
    if (inodes->count * 4 >= inodes->room * 3) {
        struct inodes larger = {.room = inodes->room ? inodes->room * 2 : 256, .count = inodes->count};
        larger.slots = calloc(larger.room, sizeof *larger.slots);
        if (!larger.slots)
            return -ENOMEM;
        for (size_t i = 0; i < inodes->room; i++)
            if (inodes->slots[i].ino)
                larger.slots[slot_of(&larger, inodes->slots[i].dev, inodes->slots[i].ino)] = inodes->slots[i];
        free(inodes->slots);
        *inodes = larger;
    }
    size_t slot = slot_of(inodes, dev, ino);
    if (inodes->slots[slot].ino)
        return 0;
    inodes->slots[slot] = (struct inode_key){.dev = dev, .ino = ino};
    inodes->count++;
    return 1;
}

void ok_inodes_free(struct inodes *inodes)
{
    free(inodes->slots);
    *inodes = (struct inodes){0};
}
