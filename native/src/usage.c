#include "overlaykit.h"

#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int count_directory(struct walk *walk, struct inodes *seen, struct ok_usage *usage, const char **failed)
{
    struct level *level = &walk->levels[walk->depth - 1];
    int fd = ok_walk_fd(walk);

    *failed = NULL;
    if (fd < 0)
        return fd;
    while (level->next < level->entries.count) {
        const char *name = ok_entry_name(&level->entries, level->next);
        struct stat status;

        level->next++;
        if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)) {
            if (errno == ENOENT)
                continue;
            *failed = name;
            return -errno;
        }
        if (S_ISDIR(status.st_mode)) {
            int child = ok_open_directory(fd, name, true);
            if (child == -ENOENT || child == -EXDEV) /* gone, or a mount point: not this tree's storage */
                continue;
            if (child < 0) {
                *failed = name;
                return child;
            }
            usage->bytes += (uint64_t)status.st_blocks * 512;
            usage->inodes++;
            int error = ok_walk_push(walk, child, name);
            if (error)
                return error;
            return ok_entries_read(&walk->levels[walk->depth - 1].entries, child);
        }
        if (status.st_nlink > 1) {
            int added = ok_inodes_add(seen, status.st_dev, status.st_ino);
            if (added < 0)
                return added;
            if (!added)
                continue;
        }
        usage->bytes += (uint64_t)status.st_blocks * 512;
        usage->inodes++;
    }
    if (walk->depth == 1)
        return 1;
    ok_walk_pop(walk);
    return 0;
}

int ok_tree_usage(int directory, struct ok_usage *usage, char *where, size_t where_size)
{
    struct walk walk = {0};
    struct inodes seen = {0};
    const char *failed = NULL;
    struct stat status;

    *usage = (struct ok_usage){0};
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
    usage->bytes = (uint64_t)status.st_blocks * 512;
    usage->inodes = 1;
    error = ok_walk_push(&walk, root, ".");
    if (!error)
        error = ok_entries_read(&walk.levels[0].entries, root);
    while (!error)
        error = count_directory(&walk, &seen, usage, &failed);
    if (error < 0 && walk.depth)
        ok_walk_where(&walk, failed, where, where_size);
    ok_walk_free(&walk);
    ok_inodes_free(&seen);
    return error < 0 ? error : 0;
}
