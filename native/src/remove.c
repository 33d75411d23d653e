#include "overlaykit.h"

#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RESCANS = 16 };

/* Open a directory to empty it; its owner may have taken away their own permissions. */
static int open_to_empty(int at, const char *name)
{
    struct stat status;
    int fd = ok_open_directory(at, name, true);

    if (fd == -EACCES) {
        int handle = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (handle < 0)
            return -errno;
        /* fchmod refuses O_PATH descriptors, and a chmod by name could be led to another file. */
        char link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
        int error = chmod(link, 0700) ? -EACCES : 0;
        close(handle);
        return error ? error : ok_open_directory(at, name, true);
    }
    if (fd >= 0 && !fstat(fd, &status) && (status.st_mode & 0700) != 0700 && status.st_uid == geteuid())
        (void)!fchmod(fd, 0700); /* what needed it will say so */
    return fd;
}

static int unlink_in(int fd, const char *name, int flags)
{
    return !unlinkat(fd, name, flags) || errno == ENOENT ? 0 : -errno;
}

static bool is_directory(int fd, const char *name, uint8_t type)
{
    struct stat status;

    if (type != DT_UNKNOWN)
        return type == DT_DIR;
    return !fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) && S_ISDIR(status.st_mode);
}

/* Empty the deepest directory of its non-directories and step into the first directory left in it.
 * Returns 1 after a step down, 0 when the directory is empty, or -errno with `failed` set. */
static int empty_or_descend(struct walk *walk, const char **failed)
{
    struct level *level = &walk->levels[walk->depth - 1];
    int fd = ok_walk_fd(walk);

    *failed = NULL;
    if (fd < 0)
        return fd;
    for (; level->next < level->entries.count; level->next++) {
        const char *name = ok_entry_name(&level->entries, level->next);
        bool directory = is_directory(fd, name, level->entries.list[level->next].type);
        int error = directory ? 0 : unlink_in(fd, name, 0);
        if (error == -EISDIR)
            directory = true; /* somebody replaced it */
        else if (error) {
            *failed = name;
            return error;
        }
        if (!directory)
            continue;
        int child = open_to_empty(fd, name);
        if (child == -ENOENT)
            continue;
        if (child == -ENOTDIR || child == -ELOOP) {
            error = unlink_in(fd, name, 0);
            if (!error)
                continue;
            child = error;
        }
        if (child < 0) {
            *failed = name;
            return child == -EXDEV ? -EBUSY : child; /* a mount point: what rmdir says of one */
        }
        level->next++;
        error = ok_walk_push(walk, child, name);
        if (error)
            return error;
        level = &walk->levels[walk->depth - 1];
        error = ok_entries_read(&level->entries, child);
        return error ? error : 1;
    }
    return 0;
}

static int empty_tree(struct walk *walk, const char **failed)
{
    int error = ok_entries_read(&walk->levels[0].entries, walk->levels[0].fd);

    *failed = NULL;
    while (!error) {
        int step = empty_or_descend(walk, failed);
        if (step < 0)
            return step;
        if (step)
            continue;
        if (walk->depth == 1)
            return 0;
        struct level *level = &walk->levels[walk->depth - 1];
        walk->depth--; /* the parent's descriptor: this level is looked at, not left yet */
        int parent = ok_walk_fd(walk);
        walk->depth++;
        if (parent < 0)
            return parent;
        error = unlink_in(parent, level->name, AT_REMOVEDIR);
        if (error == -ENOTEMPTY && level->tries++ < RESCANS) {
            level->next = 0;
            int fd = ok_walk_fd(walk);
            error = fd < 0 ? fd : ok_entries_read(&level->entries, fd);
            continue;
        }
        if (!error)
            ok_walk_pop(walk);
    }
    return error;
}

int ok_empty_directory(int directory)
{
    struct walk walk = {0};
    const char *failed = NULL;

    int root = ok_open_directory(directory, ".", true);
    if (root < 0)
        return root;
    int error = ok_walk_push(&walk, root, ".");
    if (!error)
        error = empty_tree(&walk, &failed);
    ok_walk_free(&walk);
    return error;
}

int ok_remove_tree(int directory, const char *name, char *where, size_t where_size)
{
    struct walk walk = {0};
    const char *failed = NULL;

    if (where_size)
        where[0] = 0;
    int root = open_to_empty(directory, name);
    if (root == -ENOTDIR || root == -ELOOP)
        return unlinkat(directory, name, 0) && errno != ENOENT ? -errno : 0;
    if (root < 0)
        return root == -ENOENT ? 0 : root == -EXDEV ? -EBUSY : root;
    int error = ok_walk_push(&walk, root, name);
    for (int tries = 0; !error; tries++) {
        error = empty_tree(&walk, &failed);
        if (error)
            break;
        error = unlink_in(directory, name, AT_REMOVEDIR);
        if (error != -ENOTEMPTY || tries >= RESCANS)
            break;
        walk.levels[0].next = 0;
        error = 0;
    }
    if (error && walk.depth)
        ok_walk_where(&walk, failed, where, where_size);
    ok_walk_free(&walk);
    return error;
}
