#include "overlaykit.h"

#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first name of each file that has several: its place in tree order. */
struct firsts {
    struct first {
        uint64_t dev, ino; /* ino 0: free */
        uint64_t place;
    } *slots;
    size_t count, room;
};

struct differ {
    struct walk before, after; /* of equal depth where a directory is in both trees */
    struct firsts old_names, new_names;
    uint64_t place;
    int64_t begun, done;
    const uint64_t *inodes; /* pairs of what was copied and its copy, sorted; NULL: both are the same */
    size_t pairs;
    char *path; /* of the deepest directory, with a slash at its end */
    size_t length, room;
    struct ok_differences *found;
};

static size_t slot_of(const struct firsts *firsts, uint64_t dev, uint64_t ino)
{
    uint64_t hash = (ino ^ (dev << 32 | dev >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (size_t)(hash >> 32) & (firsts->room - 1);

    while (firsts->slots[slot].ino && (firsts->slots[slot].ino != ino || firsts->slots[slot].dev != dev))
        slot = (slot + 1) & (firsts->room - 1);
    return slot;
}

/* Set *place to that of the first name of the same file: `here` where this is it. */
static int first_place(struct firsts *firsts, const struct stat *status, uint64_t here, uint64_t *place)
{
    *place = here;
    if (status->st_nlink < 2 || S_ISDIR(status->st_mode))
        return 0;
    if (firsts->count * 4 >= firsts->room * 3) {
        struct firsts larger = {.room = firsts->room ? firsts->room * 2 : 256, .count = firsts->count};
        larger.slots = calloc(larger.room, sizeof *larger.slots);
        if (!larger.slots)
            return -ENOMEM;
        for (size_t i = 0; i < firsts->room; i++)
            if (firsts->slots[i].ino)
                larger.slots[slot_of(&larger, firsts->slots[i].dev, firsts->slots[i].ino)] = firsts->slots[i];
        free(firsts->slots);
        *firsts = larger;
    }
    struct first *first = &firsts->slots[slot_of(firsts, status->st_dev, status->st_ino)];
    if (first->ino) {
        *place = first->place;
        return 0;
    }
    *first = (struct first){.dev = status->st_dev, .ino = status->st_ino, .place = here};
    firsts->count++;
    return 0;
}

static int make_room(char **memory, size_t *room, size_t wanted)
{
    if (wanted <= *room)
        return 0;
    size_t larger = wanted * 2 < 4096 ? 4096 : wanted * 2;
    char *data = realloc(*memory, larger);
    if (!data)
        return -ENOMEM;
    *memory = data;
    *room = larger;
    return 0;
}

static int emit(struct differ *differ, int flags, const char *name)
{
    struct ok_differences *found = differ->found;
    size_t length = strlen(name);

    int error = make_room(&found->records, &found->room, found->size + 1 + differ->length + length + 1);
    if (error)
        return error;
    found->records[found->size++] = (char)flags;
    memcpy(found->records + found->size, differ->path, differ->length);
    found->size += differ->length;
    memcpy(found->records + found->size, name, length + 1);
    found->size += length + 1;
    return 0;
}

static int64_t nanoseconds(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* Whether `new` is the inode that was made of `old`: what was renamed or made anew is not. */
static bool made_of(const struct differ *differ, uint64_t old, uint64_t new)
{
    size_t low = 0, high = differ->pairs;

    if (!differ->inodes)
        return old == new;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (differ->inodes[middle * 2] < old)
            low = middle + 1;
        else
            high = middle;
    }
    return low < differ->pairs && differ->inodes[low * 2] == old && differ->inodes[low * 2 + 1] == new;
}

static bool proven(const struct differ *differ, const struct stat *old, const struct stat *new)
{
    if (old->st_mode != new->st_mode || old->st_uid != new->st_uid || old->st_gid != new->st_gid ||
        nanoseconds(&old->st_mtim) != nanoseconds(&new->st_mtim) ||
        (!S_ISDIR(new->st_mode) && (old->st_size != new->st_size || old->st_rdev != new->st_rdev)))
        return false;
    int64_t changed = nanoseconds(&new->st_ctim);
    if (changed >= differ->done || !made_of(differ, old->st_ino, new->st_ino))
        return false;
    /* The lower bound is for a clock that was set back: it would have to hit the very moment of the copy. */
    return differ->inodes ? changed >= differ->begun : changed == nanoseconds(&old->st_ctim);
}

/* Step into `name`: of the second tree, and of the first where the directory is compared. */
static int descend(struct differ *differ, const char *name, bool both)
{
    struct walk *walks[2] = {&differ->after, both ? &differ->before : NULL};
    size_t length = strlen(name);

    int error = make_room(&differ->path, &differ->room, differ->length + length + 2);
    if (error)
        return error;
    for (int i = 0; i < 2 && walks[i]; i++) {
        int at = ok_walk_fd(walks[i]);
        if (at < 0)
            return at;
        int fd = ok_open_directory(at, name, true);
        if (fd < 0)
            return fd;
        error = ok_walk_push(walks[i], fd, name);
        if (!error)
            error = ok_entries_read_by_name(&walks[i]->levels[walks[i]->depth - 1].entries, fd);
        if (error)
            return error;
    }
    memcpy(differ->path + differ->length, name, length);
    differ->length += length;
    differ->path[differ->length++] = '/';
    return 0;
}

static void ascend(struct differ *differ, bool both)
{
    const struct level *level = &differ->after.levels[differ->after.depth - 1];

    differ->length -= strlen(level->name) + 1;
    ok_walk_pop(&differ->after);
    if (both)
        ok_walk_pop(&differ->before);
}

static int look(int at, const char *name, struct stat *status)
{
    if (at < 0)
        return at;
    return fstatat(at, name, status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) ? -errno : 0;
}

static int added(struct differ *differ, const char *name)
{
    struct stat status;

    int error = emit(differ, OK_DIFFER_ADDED, name);
    if (!error)
        error = look(ok_walk_fd(&differ->after), name, &status);
    return !error && S_ISDIR(status.st_mode) ? descend(differ, name, false) : error;
}

static int compared(struct differ *differ, const char *name)
{
    struct stat old, new;
    uint64_t old_first, new_first, here = differ->place++;

    int error = look(ok_walk_fd(&differ->before), name, &old);
    if (!error)
        error = look(ok_walk_fd(&differ->after), name, &new);
    if (!error)
        error = first_place(&differ->old_names, &old, here, &old_first);
    if (!error)
        error = first_place(&differ->new_names, &new, here, &new_first);
    if (error)
        return error;
    if ((old.st_mode & S_IFMT) != (new.st_mode & S_IFMT)) {
        error = emit(differ, OK_DIFFER_TYPE, name);
        return !error && S_ISDIR(new.st_mode) ? descend(differ, name, false) : error;
    }
    if (old_first != new_first)
        error = emit(differ, OK_DIFFER_LOOK | OK_DIFFER_LINKS, name);
    else if (!proven(differ, &old, &new))
        error = emit(differ, OK_DIFFER_LOOK, name);
    return !error && S_ISDIR(new.st_mode) ? descend(differ, name, true) : error;
}

/* Deal with the next name of the deepest directory. Returns 1 when nothing is left at all. */
static int advance(struct differ *differ, const char **failed)
{
    bool both = differ->before.depth == differ->after.depth;
    struct level *after = &differ->after.levels[differ->after.depth - 1];
    struct level *before = both ? &differ->before.levels[differ->before.depth - 1] : NULL;
    const char *new = after->next < after->entries.count ? ok_entry_name(&after->entries, after->next) : NULL;
    const char *old = before && before->next < before->entries.count ? ok_entry_name(&before->entries, before->next) : NULL;

    *failed = NULL;
    if (!new && !old) {
        if (differ->after.depth == 1)
            return 1;
        ascend(differ, both);
        return 0;
    }
    int order = !old ? -1 : !new ? 1 : strcmp(new, old);
    if (order <= 0)
        after->next++;
    if (order >= 0)
        before->next++;
    *failed = order > 0 ? old : new;
    return order > 0 ? emit(differ, OK_DIFFER_DELETED, old) : order < 0 ? added(differ, new) : compared(differ, new);
}

static int start(struct walk *walk, int directory)
{
    int fd = ok_open_directory(directory, ".", true);

    if (fd < 0)
        return fd;
    int error = ok_walk_push(walk, fd, ".");
    return error ? error : ok_entries_read_by_name(&walk->levels[0].entries, fd);
}

int ok_differ(int before, int after, int64_t begun, int64_t done, const uint64_t *inodes, size_t pairs,
              struct ok_differences *found, char *where, size_t where_size)
{
    struct differ differ = {.begun = begun, .done = done, .inodes = inodes, .pairs = pairs, .found = found};
    const char *failed = NULL;

    *found = (struct ok_differences){0};
    if (where_size)
        where[0] = 0;
    int error = make_room(&differ.path, &differ.room, 1);
    if (!error)
        error = start(&differ.before, before);
    if (!error)
        error = start(&differ.after, after);
    while (!error)
        error = advance(&differ, &failed);
    if (error < 0 && differ.after.depth)
        ok_walk_where(&differ.after, failed, where, where_size);
    ok_walk_free(&differ.before);
    ok_walk_free(&differ.after);
    free(differ.old_names.slots);
    free(differ.new_names.slots);
    free(differ.path);
    if (error < 0)
        ok_differ_free(found);
    return error < 0 ? error : 0;
}

void ok_differ_free(struct ok_differences *found)
{
    free(found->records);
    *found = (struct ok_differences){0};
}
