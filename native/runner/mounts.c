/*
 * Mounts by the interface of Linux 5.2 and 5.12: each is made detached, gets its attributes, and is attached to a descriptor of its target.
 * No path is looked up twice, so nothing that changes meanwhile can lead one elsewhere.
 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Headers of Linux before 5.12, and of C libraries that state mount(2) alone, lack some of it. */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
struct attributes {
    uint64_t set, clear, propagation, user_namespace;
};
enum { SET_FLAG = 0, SET_STRING = 1, CMD_CREATE = 6 }; /* enum fsconfig_command */
enum { TREE_CLONE = 1, RECURSIVE = 0x8000, FROM_EMPTY = 4, TO_EMPTY = 0x40, ATTR_READONLY = 1 };

int clone_mount(int directory, const char *path, int recursive)
{
    int fd = (int)syscall(SYS_open_tree, directory, path,
                          TREE_CLONE | O_CLOEXEC | (recursive ? RECURSIVE : 0) | (path[0] ? 0 : AT_EMPTY_PATH));
    return fd < 0 ? -errno : fd;
}

/* What is mounted in a namespace other than this one can be cloned by its path alone, if it has one here. */
static int clone_by_path(int fd, int recursive)
{
    char name[FD_NAME], path[PATH_MAX];
    struct stat wanted, found;
    ssize_t length;
    int tree;

    name_descriptor(name, fd);
    length = readlink(name, path, sizeof path - 1);
    if (length < 0 || fstat(fd, &wanted) < 0)
        return -errno;
    path[length] = 0;
    tree = clone_mount(AT_FDCWD, path, recursive);
    if (tree < 0)
        return tree;
    if (fstat(tree, &found) == 0 && found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino)
        return tree;
    close(tree);
    return -EINVAL;
}

int take_mount(int fd, int recursive)
{
    int tree = clone_mount(fd, "", recursive);

    if (tree < 0)
        tree = clone_by_path(fd, recursive);
    /* A kernel before 6.15 clones nothing that is attached nowhere: such a mount is attached itself. */
    if (tree < 0)
        tree = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return tree < 0 ? -errno : tree;
}

int mounts_are_taken(const struct plan *plan)
{
    struct record record;
    int64_t flags = plan_find(plan, OP_NAMESPACES, &record) ? record_number(&record, 0) : 0;

    return flags & CLONE_NEWNS && !(flags & CLONE_NEWUSER);
}

/* What has been taken is attached itself: a clone of it would leave one that is dissolved at the end, with a wait (RCU). */
static int own_mount(const struct job *job, int fd, int recursive)
{
    if (!mounts_are_taken(job->plan))
        return take_mount(fd, recursive);
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int set_attributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation, int recursive)
{
    struct attributes attributes = {set, clear, propagation, 0};

    if (!set && !clear && !propagation)
        return 0;
    return syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | (recursive ? RECURSIVE : 0), &attributes,
                   sizeof attributes) < 0
               ? -errno
               : 0;
}

int attach_tree(struct job *job, int tree, int target, const char *target_path)
{
    if (syscall(SYS_move_mount, tree, "", target, "", FROM_EMPTY | TO_EMPTY) < 0)
        return note(job, STEP_ATTACH, -errno, target_path);
    return 0;
}

/* What shows processes and the kernel is nothing to mount over because a link in the image led there. */
static int check_target(struct job *job, int target, const char *path)
{
    if (!place_is_on(target, PROC_SUPER_MAGIC) || !strncmp(path, "/proc", 5))
        return 0;
    return note(job, STEP_TARGET, -ELOOP, path);
}

int open_target(struct job *job, const char *path, int how, int directory)
{
    int target = place_make(job->root, path, how & HOW_FOLLOW, directory), error;

    if (target < 0)
        return note(job, STEP_TARGET, target, path);
    error = check_target(job, target, path);
    if (!error)
        return target;
    close(target);
    return error;
}

int mount_root(struct job *job)
{
    struct record record;
    int tree = -1, fd, how, error;

    if (!plan_find(job->plan, OP_ROOT, &record))
        return note(job, STEP_PLAN, -EBADMSG, "root");
    fd = (int)record_number(&record, 0);
    how = (int)record_number(&record, 1);
    tree = fd >= 0 ? own_mount(job, fd, how & HOW_RECURSIVE)
                   : clone_mount(AT_FDCWD, record_text(&record, 0), how & HOW_RECURSIVE);
    if (tree < 0)
        return note(job, STEP_ROOT, tree, record_text(&record, 0));
    error = set_attributes(tree, how & HOW_NODEV ? MOUNT_ATTR_NODEV : 0, 0, MS_PRIVATE, 1);
    if (error) {
        close(tree);
        return note(job, STEP_ATTRIBUTES, error, "/");
    }
    /* Over the old root, which is then as good a place as any: absolute paths still begin at what is below. */
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, "/", FROM_EMPTY) < 0) {
        error = note(job, STEP_ROOT, -errno, record_text(&record, 0));
        close(tree);
        return error;
    }
    job->root = tree;
    return 0;
}

static int set_option(struct job *job, int context, const char *option)
{
    const char *equals = strchr(option, '=');
    char key[64];
    long result;

    if (!equals) {
        result = syscall(SYS_fsconfig, context, SET_FLAG, option, NULL, 0);
    } else {
        size_t length = (size_t)(equals - option);
        if (length >= sizeof key)
            return note(job, STEP_OPTION, -ENAMETOOLONG, option);
        memcpy(key, option, length);
        key[length] = 0;
        result = syscall(SYS_fsconfig, context, SET_STRING, key, equals + 1, 0);
    }
    return result < 0 ? note(job, STEP_OPTION, -errno, option) : 0;
}

int new_filesystem(struct job *job, const struct record *record, const char *type)
{
    const char *source = record ? record_text(record, 2) : "overlaykit";
    int context = (int)syscall(SYS_fsopen, type, 1 /* FSOPEN_CLOEXEC */), mount, error = 0;
    uint32_t index;

    if (context < 0)
        return note(job, STEP_FILESYSTEM, -errno, type);
    if (source[0] && syscall(SYS_fsconfig, context, SET_STRING, "source", source, 0) < 0)
        error = note(job, STEP_OPTION, -errno, "source");
    for (index = 4; record && !error && index < record->texts; index++)
        error = set_option(job, context, record_text(record, index));
    if (!error && syscall(SYS_fsconfig, context, CMD_CREATE, NULL, NULL, 0) < 0)
        error = note(job, STEP_FILESYSTEM, -errno, type);
    if (error) {
        close(context);
        return error;
    }
    mount = (int)syscall(SYS_fsmount, context, 1 /* FSMOUNT_CLOEXEC */,
                         record ? (unsigned)record_number(record, 0) : (unsigned)ATTR_READONLY);
    if (mount < 0)
        mount = note(job, STEP_FILESYSTEM, -errno, type);
    close(context);
    return mount;
}

/* Where the kernel refuses a new file system of this kind to a user namespace, the host's own is shown. */
static int filesystem_or_bind(struct job *job, const struct record *record)
{
    const char *instead = record_text(record, 3);
    uint64_t attributes = (uint64_t)record_number(record, 0);
    int mount = new_filesystem(job, record, record_text(record, 0)), error;

    if (mount >= 0 || !instead[0] || (mount != -EPERM && mount != -EACCES && mount != -EBUSY))
        return mount;
    mount = clone_mount(AT_FDCWD, instead, 1);
    if (mount < 0)
        return note(job, STEP_SOURCE, mount, instead);
    error = set_attributes(mount, attributes & (ATTR_READONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC), 0,
                           MS_PRIVATE, 1);
    if (!error)
        return mount;
    close(mount);
    return note(job, STEP_ATTRIBUTES, error, instead);
}

int mount_filesystem(struct job *job, const struct record *record)
{
    const char *path = record_text(record, 1);
    int how = (int)record_number(record, 1);
    int mount = filesystem_or_bind(job, record), target, error;

    if (mount == -ENODEV && how & HOW_OPTIONAL)
        return 0;
    if (mount < 0)
        return mount;
    target = open_target(job, path, how, 1);
    if (target < 0) {
        close(mount);
        return target;
    }
    error = attach_tree(job, mount, target, path);
    close(target);
    close(mount);
    return error;
}

static int open_source(struct job *job, const struct record *record, int how)
{
    const char *path = record_text(record, 0);
    int fd = (int)record_number(record, 0), tree;

    tree = fd >= 0 ? own_mount(job, fd, how & HOW_RECURSIVE) : clone_mount(AT_FDCWD, path, how & HOW_RECURSIVE);
    return tree < 0 ? note(job, STEP_SOURCE, tree, path) : tree;
}

int mount_bind(struct job *job, const struct record *record)
{
    const char *path = record_text(record, 1);
    uint64_t set = (uint64_t)record_number(record, 1), clear = (uint64_t)record_number(record, 2);
    int how = (int)record_number(record, 3), tree = open_source(job, record, how), target, error;
    struct stat status;

    if (tree < 0)
        return tree;
    /* Attributes reach the mounts below where it is asked for; how mounts spread always does. */
    error = set_attributes(tree, 0, 0, (uint64_t)record_number(record, 4), 1);
    if (!error)
        error = set_attributes(tree, set, clear, 0, how & HOW_ALL_READONLY);
    if (error || fstat(tree, &status) < 0) {
        error = note(job, STEP_ATTRIBUTES, error ? error : -errno, path);
        close(tree);
        return error;
    }
    target = open_target(job, path, how, S_ISDIR(status.st_mode));
    if (target < 0) {
        close(tree);
        return target;
    }
    error = attach_tree(job, tree, target, path);
    close(target);
    close(tree);
    return error;
}

int bind_over(struct job *job, const char *source, int target, const char *target_path)
{
    int tree = clone_mount(AT_FDCWD, source, 0), error;

    if (tree < 0)
        return note(job, STEP_SOURCE, tree, source);
    error = set_attributes(tree, 0, 0, MS_PRIVATE, 0);
    error = error ? note(job, STEP_ATTRIBUTES, error, source) : attach_tree(job, tree, target, target_path);
    close(tree);
    return error;
}

/* What is still mounted over the root, ".." leads to. */
static int is_uncovered(const struct job *job)
{
    struct stat root, above;

    return fstat(job->root, &root) == 0 && stat("/..", &above) == 0 && root.st_dev == above.st_dev && root.st_ino == above.st_ino;
}

int pivot(struct job *job)
{
    struct record record;
    int error = 0;

    if (plan_find(job->plan, OP_ROOT, &record) && record_number(&record, 1) & HOW_READONLY) {
        error = set_attributes(job->root, ATTR_READONLY, 0, 0, 0);
        if (error)
            return note(job, STEP_ATTRIBUTES, error, "/");
    }
    error = leave_files(job);
    if (error)
        return error;
    /* pivot_root(2): with both arguments the same, the old root comes to lie over the new one, and is what is unmounted. */
    if (fchdir(job->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return note(job, STEP_PIVOT, -errno, NULL);
    return is_uncovered(job) ? 0 : note(job, STEP_PIVOT, -EBUSY, NULL);
}
