#include "overlaykit.h"

#include "owner.h"
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct survey {
    struct walk walk;
    struct inodes seen;
    struct ok_survey *found;
    int64_t since;
    dev_t device;
    char *where;
    size_t where_size;
};

/* Two independent 64 bit lanes of multiply and mix. Against accidents and careless hands, not against an attacker, who
 * could as well write to the block device. */
static void mix(uint64_t lanes[2], uint64_t value)
{
    lanes[0] = (lanes[0] ^ value) * UINT64_C(0xff51afd7ed558ccd);
    lanes[0] ^= lanes[0] >> 32;
    lanes[1] = (lanes[1] + value) * UINT64_C(0xc4ceb9fe1a85ec53);
    lanes[1] ^= lanes[1] >> 29;
}

static void mix_name(uint64_t lanes[2], const char *name)
{
    size_t length = strlen(name);

    for (size_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        memcpy(&word, name + at, length - at < 8 ? length - at : 8);
        mix(lanes, word);
    }
    mix(lanes, length);
}

static uint64_t nanoseconds(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * UINT64_C(1000000000) + (uint64_t)time->tv_nsec;
}

/* Add an entry to both digests: a sum does not care in which order a directory lists. `lanes` is its path. */
static void digest(struct ok_survey *found, const uint64_t path[2], const struct stat *status)
{
    uint64_t lanes[2] = {path[0], path[1]};
    bool directory = S_ISDIR(status->st_mode);

    mix(lanes, status->st_mode);
    mix(lanes, (uint64_t)status->st_uid << 32 | status->st_gid);
    mix(lanes, directory ? 0 : (uint64_t)status->st_size);
    mix(lanes, directory ? 0 : status->st_rdev);
    mix(lanes, nanoseconds(&status->st_mtim));
    found->portable[0] += lanes[0];
    found->portable[1] += lanes[1];
    mix(lanes, status->st_ino);
    mix(lanes, directory ? 0 : status->st_nlink);
    mix(lanes, nanoseconds(&status->st_ctim));
    found->exact[0] += lanes[0];
    found->exact[1] += lanes[1];
}

static int account(struct survey *survey, const uint64_t path[2], const struct stat *status, const char *name)
{
    struct ok_survey *found = survey->found;

    digest(found, path, status);
    int64_t changed = (int64_t)nanoseconds(&status->st_ctim);
    if (changed > found->newest) {
        found->newest = changed;
        if (changed >= survey->since)
            ok_walk_where(&survey->walk, name, survey->where, survey->where_size);
    }
    if (status->st_dev != survey->device)
        found->devices = 1;
    if (status->st_nlink > 1 && !S_ISDIR(status->st_mode)) {
        int added = ok_inodes_add(&survey->seen, status->st_dev, status->st_ino);
        if (added <= 0)
            return added;
    }
    found->bytes += (uint64_t)status->st_blocks * 512;
    found->inodes++;
    return 0;
}

/* Go through the deepest directory up to the first directory in it, and step into that. Returns 1 at the end. */
static int advance(struct survey *survey, const char **failed)
{
    struct walk *walk = &survey->walk;
    struct level *level = &walk->levels[walk->depth - 1];
    int fd = ok_walk_fd(walk);

    *failed = NULL;
    if (fd < 0)
        return fd;
    while (level->next < level->entries.count) {
        const char *name = ok_entry_name(&level->entries, level->next);
        uint64_t path[2] = {level->path[0], level->path[1]};
        struct stat status;

        level->next++;
        *failed = name;
        if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)) {
            if (errno == ENOENT)
                continue;
            return -errno;
        }
        int child = -1;
        if (S_ISDIR(status.st_mode)) {
            child = ok_open_directory(fd, name, true);
            if (child == -ENOENT || child == -EXDEV) /* gone, or a mount point: not this tree's storage */
                continue;
            if (child < 0)
                return child;
        }
        mix_name(path, name);
        int error = account(survey, path, &status, name);
        if (error) {
            if (child >= 0)
                close(child);
            return error;
        }
        if (child < 0)
            continue;
        error = ok_walk_push(walk, child, name);
        if (error)
            return error;
        level = &walk->levels[walk->depth - 1];
        level->path[0] = path[0];
        level->path[1] = path[1];
        *failed = NULL;
        return ok_entries_read(&level->entries, child);
    }
    *failed = NULL;
    if (walk->depth == 1)
        return 1;
    ok_walk_pop(walk);
    return 0;
}

static int survey_tree(int directory, int64_t since, struct ok_survey *found, char *where, size_t where_size)
{
    struct survey survey = {.found = found, .since = since, .where = where, .where_size = where_size};
    const uint64_t path[2] = {0, 0};
    const char *failed = NULL;
    struct stat status;

    *found = (struct ok_survey){0};
    if (where_size)
        where[0] = 0;
    int root = ok_open_directory(directory, ".", true);
    if (root < 0)
        return root;
    int error = fstat(root, &status) ? -errno : 0;
    if (error) {
        close(root);
        return error;
    }
    survey.device = status.st_dev;
    found->root = status.st_ino;
    error = ok_walk_push(&survey.walk, root, ".");
    if (!error)
        error = account(&survey, path, &status, NULL);
    if (!error)
        error = ok_entries_read(&survey.walk.levels[0].entries, root);
    while (!error)
        error = advance(&survey, &failed);
    if (error < 0 && survey.walk.depth)
        ok_walk_where(&survey.walk, failed, where, where_size);
    ok_walk_free(&survey.walk);
    ok_inodes_free(&survey.seen);
    return error < 0 ? error : 0;
}

/* A survey in another process. */
struct remote {
    int directory;
    int64_t since;
    struct ok_survey found;
    size_t where_size;
    char where[];
};

static int survey_job(void *argument)
{
    struct remote *remote = argument;

    return survey_tree(remote->directory, remote->since, &remote->found, remote->where, remote->where_size);
}

int ok_tree_survey(int directory, int64_t since, struct ok_survey *found, char *where, size_t where_size)
{
    int error = survey_tree(directory, since, found, where, where_size);
    size_t size = sizeof(struct remote) + where_size;

    if (!ok_owner_may_help(error))
        return error;
    struct remote *remote = ok_owner_alloc(size);
    if (!remote)
        return -ENOMEM;
    *remote = (struct remote){.directory = directory, .since = since, .where_size = where_size};
    error = ok_run_as_owner(survey_job, NULL, remote);
    if (!error) {
        *found = remote->found;
        if (where_size)
            memcpy(where, remote->where, where_size);
    }
    ok_owner_free(remote, size);
    return error;
}
