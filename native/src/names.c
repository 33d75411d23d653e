/* Making, moving and removing names below a root. */
#include "root.h"

#include <sys/stat.h>

int ok_root_mkdir(struct ok_root *root, const char *path, unsigned mode)
{
    struct entry entry;
    int result = enter(root);

    if (result < 0)
        return result;
    result = find_entry(root, path, &entry);
    if (result == 0)
        result = drop_entry(&entry, answer(mkdirat(entry.directory, entry.last, mode)));
    return leave(root, result);
}

int ok_root_mknod(struct ok_root *root, const char *path, unsigned mode, uint64_t device)
{
    struct entry entry;
    int result = enter(root);

    if (result < 0)
        return result;
    result = find_entry(root, path, &entry);
    if (result == 0)
        /* Character device 0:0 is how overlayfs stores a deletion; a user's node must never be taken for one. */
        result = drop_entry(&entry, S_ISCHR(mode) && device == 0
                                        ? -EPERM
                                        : answer(mknodat(entry.directory, entry.last, mode, (dev_t)device)));
    return leave(root, result);
}

int ok_root_symlink(struct ok_root *root, const char *path, const char *target)
{
    struct entry entry;
    int result = enter(root);

    if (result < 0)
        return result;
    result = find_entry(root, path, &entry);
    if (result == 0)
        result = drop_entry(&entry, answer(symlinkat(target, entry.directory, entry.last)));
    return leave(root, result);
}

static int remove_entry(struct ok_root *root, const char *path, int flags)
{
    struct entry entry;
    int result = enter(root);

    if (result < 0)
        return result;
    result = find_entry(root, path, &entry);
    if (result == 0)
        result = drop_entry(&entry, entry.is_root ? (flags & AT_REMOVEDIR ? -EBUSY : -EISDIR)
                                                  : answer(unlinkat(entry.directory, entry.last, flags)));
    return leave(root, result);
}

int ok_root_rmdir(struct ok_root *root, const char *path)
{
    return remove_entry(root, path, AT_REMOVEDIR);
}

int ok_root_unlink(struct ok_root *root, const char *path)
{
    return remove_entry(root, path, 0);
}

static int link_entry(struct ok_root *from, const char *source, const struct entry *old, const struct entry *new)
{
    int fd, result;

    if (!old->walks)
        return answer(linkat(old->directory, old->last, new->directory, new->last, 0));
    /* linkat would walk the rest of "link/" or ".." outside of the root; it can only end at a directory, or fail. */
    fd = open_below(from->fd, relative(source), O_PATH | O_DIRECTORY | O_CLOEXEC, 0, IN_ROOT | from->resolve);
    if (fd < 0)
        return fd;
    result = answer(linkat(AT_FDCWD, descriptor_name(fd).text, new->directory, new->last, AT_SYMLINK_FOLLOW));
    close(fd);
    return result;
}

/* What linkat says of the old name alone, which it looks for before it looks for the new one's directory. */
static int find_source(struct ok_root *from, const char *source, const struct entry *old)
{
    struct stat status;
    int fd;

    if (!old->walks)
        return answer(fstatat(old->directory, old->last, &status, AT_SYMLINK_NOFOLLOW));
    fd = open_below(from->fd, relative(source), O_PATH | O_DIRECTORY | O_CLOEXEC, 0, IN_ROOT | from->resolve);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

static int on_two(struct ok_root *from, const char *source, struct ok_root *to, const char *target, bool rename_it,
                  unsigned flags)
{
    struct entry old, new;
    int result = enter(from);

    if (result < 0)
        return result;
    result = enter(to);
    if (result < 0)
        return leave(from, result);
    result = find_entry(from, source, &old);
    if (result == 0) {
        result = find_entry(to, target, &new);
        if (result == 0) {
            if (!rename_it)
                result = link_entry(from, source, &old, &new);
            else if (old.is_root || new.is_root)
                result = new.is_root && (flags & RENAME_NOREPLACE) ? -EEXIST : -EBUSY;
            else
                result = answer(renameat2(old.directory, old.last, new.directory, new.last, flags));
            drop_entry(&new, 0);
        } else if (!rename_it) {
            int missing = find_source(from, source, &old);
            if (missing < 0)
                result = missing;
        }
        drop_entry(&old, 0);
    }
    leave(to, 0);
    return leave(from, result);
}

int ok_root_link(struct ok_root *from, const char *source, struct ok_root *to, const char *target)
{
    return on_two(from, source, to, target, false, 0);
}

int ok_root_rename(struct ok_root *from, const char *source, struct ok_root *to, const char *target, unsigned flags)
{
    /* RENAME_WHITEOUT is a driver's tool, not an operation on a tree. */
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    return on_two(from, source, to, target, true, flags);
}
