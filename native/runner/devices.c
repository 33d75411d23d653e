/* Devices, links, and what is hidden or made read-only of /proc and /sys. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ATTR_READONLY = 1 };

static int bind_device(struct job *job, const char *path)
{
    int target = place_make(job->root, path, 0, 0), error;

    if (target < 0)
        return note(job, STEP_DEVICE, target, path);
    error = bind_over(job, path, target, path);
    close(target);
    return error;
}

int make_device(struct job *job, const struct record *record)
{
    const char *path = record_text(record, 0), *name;
    mode_t mode = (mode_t)record_number(record, 0);
    dev_t device = makedev((unsigned)record_number(record, 1), (unsigned)record_number(record, 2));
    int parent, error = 0;

    if (record_number(record, 5))
        return bind_device(job, path);
    parent = place_parent(job->root, path, &name);
    if (parent < 0)
        return note(job, STEP_DEVICE, parent, path);
    if (mknodat(parent, name, mode, device) < 0)
        error = -errno;
    else if (fchownat(parent, name, (uid_t)record_number(record, 3), (gid_t)record_number(record, 4), AT_SYMLINK_NOFOLLOW) < 0)
        error = -errno;
    close(parent);
    if (error == -EEXIST)
        return 0;
    /* Forbidden in containers that are root: their host lets them use its devices, not make any. */
    if (error == -EPERM)
        return bind_device(job, path);
    return error ? note(job, STEP_DEVICE, error, path) : 0;
}

int make_link(struct job *job, const struct record *record)
{
    const char *path = record_text(record, 1), *name;
    int parent = place_parent(job->root, path, &name), error = 0;

    if (parent < 0)
        return note(job, STEP_LINK, parent, path);
    if (symlinkat(record_text(record, 0), parent, name) < 0 && errno != EEXIST)
        error = note(job, STEP_LINK, -errno, path);
    close(parent);
    return error;
}

/* One empty directory serves all: the first place gets a new one, the others clones of it. */
static int mask_directory(struct job *job, int target, const char *path)
{
    int mount, error;

    mount = job->masks < 0 ? new_filesystem(job, NULL, "tmpfs") : clone_mount(job->masks, "", 0);
    if (mount < 0)
        return note(job, STEP_MASK, mount, path);
    error = attach_tree(job, mount, target, path);
    if (!error && job->masks < 0)
        job->masks = mount;
    else
        close(mount);
    return error;
}

int mask_paths(struct job *job, const struct record *record)
{
    uint32_t index;
    int error = 0;

    for (index = 0; index < record->texts && !error; index++) {
        const char *path = record_text(record, index);
        int target = place_open(job->root, path, 0);
        struct stat status;

        if (target == -ENOENT || target == -ENOTDIR)
            continue;
        if (target < 0 || fstat(target, &status) < 0)
            error = note(job, STEP_MASK, target < 0 ? target : -errno, path);
        else if (S_ISDIR(status.st_mode))
            error = mask_directory(job, target, path);
        else
            error = bind_over(job, "/dev/null", target, path);
        if (target >= 0)
            close(target);
    }
    return error;
}

/* Whether a descriptor is of the root of a mount, so that the mount is all there is to change. */
static int is_mount(int fd)
{
    struct statx status;

    return statx(fd, "", AT_EMPTY_PATH, 0, &status) == 0 && status.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static int make_one_readonly(struct job *job, int target, const char *path)
{
    int tree, error;

    if (is_mount(target)) {
        error = set_attributes(target, ATTR_READONLY, 0, 0, 1);
        return error ? note(job, STEP_READONLY, error, path) : 0;
    }
    tree = clone_mount(target, "", 1);
    if (tree < 0)
        return note(job, STEP_READONLY, tree, path);
    error = set_attributes(tree, ATTR_READONLY, 0, 0, 1);
    error = error ? note(job, STEP_READONLY, error, path) : attach_tree(job, tree, target, path);
    close(tree);
    return error;
}

int make_readonly(struct job *job, const struct record *record)
{
    uint32_t index;
    int error = 0;

    for (index = 0; index < record->texts && !error; index++) {
        const char *path = record_text(record, index);
        int target = place_open(job->root, path, 0);

        if (target == -ENOENT || target == -ENOTDIR)
            continue;
        if (target < 0)
            return note(job, STEP_READONLY, target, path);
        error = make_one_readonly(job, target, path);
        close(target);
    }
    return error;
}

int set_sysctl(struct job *job, const struct record *record)
{
    const char *value = record_text(record, 1), *path = record_text(record, 0);
    int proc = place_open(job->root, "/proc/sys", 0), place, fd = -1, error = 0;
    char name[FD_NAME];
    size_t length = strlen(value);

    if (proc < 0)
        return note(job, STEP_SYSCTL, proc, path);
    place = place_is_on(proc, PROC_SUPER_MAGIC) ? place_open(proc, path, 0) : -ENOENT;
    close(proc);
    if (place < 0)
        return note(job, STEP_SYSCTL, place, path);
    /* The old root's /proc is still where this process looks, and has its descriptors. */
    name_descriptor(name, place);
    fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, length) != (ssize_t)length)
        error = note(job, STEP_SYSCTL, -errno, path);
    if (fd >= 0)
        close(fd);
    close(place);
    return error;
}
