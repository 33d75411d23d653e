/*
 * Detached mounts by the mount API of Linux 5.2 and later: fsopen(2), fsconfig(2), fsmount(2), open_tree(2),
 * mount_setattr(2).
 *
 * The functions that a namespace process runs do system calls alone; see userns.h.
 */
#include "overlaykit.h"
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Headers of Linux before 5.12 do not have it. */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x4
#endif
struct ok_mount_attr {
    uint64_t attr_set, attr_clr, propagation, userns_fd;
};
enum { SET_FLAG = 0, SET_STRING = 1, SET_FD = 5, CMD_CREATE = 6 }; /* enum fsconfig_command */
enum { ATTR_RDONLY = 1, TREE_CLONE = 1, OPTIONS = 4096 };

struct job {
    const char *lowers, *upper, *work;
    int flags, method;
    int directory; /* of clone and set_readonly */
    struct ok_mount_result out;
    char *options; /* of mount(2) */
};

static int close_fd(int fd, int error)
{
    if (fd >= 0)
        syscall(SYS_close, fd);
    return error;
}

static int fail(struct job *job, int step, int error)
{
    job->out.step = step;
    return error;
}

static int set_readonly(int mount, int readonly)
{
    struct ok_mount_attr attr = {.attr_set = readonly ? ATTR_RDONLY : 0, .attr_clr = readonly ? 0 : ATTR_RDONLY};
    return syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0 ? -errno : 0;
}

static int clone_tree(int directory, const char *path)
{
    int fd = (int)syscall(SYS_open_tree, directory, path,
                          TREE_CLONE | O_CLOEXEC | (path[0] ? 0 : AT_EMPTY_PATH));
    return fd < 0 ? -errno : fd;
}

static int open_layer(const char *path, int access)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, access | O_DIRECTORY | O_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static size_t length_of(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

static char *append(char *at, const char *text)
{
    while (*text)
        *at++ = *text++;
    *at = 0;
    return at;
}

static char *append_number(char *at, unsigned number)
{
    char digits[12];
    int count = 0;

    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *at++ = digits[--count];
    *at = 0;
    return at;
}

/* Keeps the last thing that the context says; each read(2) gives one message, "e " before an error. */
static void read_log(int context, struct ok_mount_result *out)
{
    char line[sizeof out->message];
    long count;

    while ((count = syscall(SYS_read, context, line, sizeof line - 1)) > 0) {
        long from = count > 2 && line[1] == ' ' ? 2 : 0, to = 0;
        while (from < count && line[from] != '\n')
            out->message[to++] = line[from++];
        out->message[to] = 0;
    }
}

static int configure(int context, int command, const char *key, const void *value, int aux)
{
    return syscall(SYS_fsconfig, context, command, key, value, aux) < 0 ? -errno : 0;
}

/* One layer by its descriptor; where the kernel takes no descriptor (before 6.13), by a name for it that is always short. */
static int set_layer(struct job *job, int context, const char *key, const char *path)
{
    int fd = open_layer(path, O_PATH), error;

    if (fd < 0)
        return fd;
    if (job->out.method == OK_METHOD_FD) {
        error = configure(context, SET_FD, key, NULL, fd);
        if (error == -EBADF) { /* 6.13 takes descriptors, but O_PATH ones only since 6.14 */
            close_fd(fd, 0);
            fd = open_layer(path, O_RDONLY);
            if (fd < 0)
                return fd;
            error = configure(context, SET_FD, key, NULL, fd);
        }
    } else {
        char name[32];
        append_number(append(name, "/proc/self/fd/"), (unsigned)fd);
        error = configure(context, SET_STRING, key, name, 0);
    }
    return close_fd(fd, error);
}

static int set_layers(struct job *job, int context)
{
    const char *path;
    int error;

    for (path = job->lowers; *path; path += length_of(path) + 1, job->out.index++) {
        error = set_layer(job, context, "lowerdir+", path);
        if (error)
            return fail(job, OK_STEP_LOWER, error);
    }
    if (!job->upper)
        return 0;
    error = set_layer(job, context, "upperdir", job->upper);
    if (error)
        return fail(job, OK_STEP_UPPER, error);
    error = set_layer(job, context, "workdir", job->work);
    return error ? fail(job, OK_STEP_WORK, error) : 0;
}

static int build_by_context(struct job *job)
{
    int context, error, mount;

    job->out.index = 0;
    job->out.step = 0;
    context = (int)syscall(SYS_fsopen, "overlay", 1 /* FSOPEN_CLOEXEC */);
    if (context < 0)
        return fail(job, OK_STEP_CONTEXT, -errno);
    error = set_layers(job, context);
    if (!error && job->flags & OK_MOUNT_USERXATTR) {
        error = configure(context, SET_FLAG, "userxattr", NULL, 0);
        if (error)
            fail(job, OK_STEP_OPTION, error);
    }
    if (!error && job->upper && job->flags & OK_MOUNT_VOLATILE) {
        error = configure(context, SET_FLAG, "volatile", NULL, 0);
        if (error)
            fail(job, OK_STEP_OPTION, error);
    }
    if (!error) {
        error = configure(context, CMD_CREATE, NULL, NULL, 0);
        if (error)
            fail(job, OK_STEP_CREATE, error);
    }
    if (error) {
        read_log(context, &job->out);
        return close_fd(context, error);
    }
    mount = (int)syscall(SYS_fsmount, context, 1 /* FSMOUNT_CLOEXEC */,
                         job->flags & OK_MOUNT_READONLY ? ATTR_RDONLY : 0);
    if (mount < 0)
        mount = fail(job, OK_STEP_MOUNT, -errno);
    return close_fd(context, mount);
}

/*
 * mount(2) over the first layer, then a detached clone of that mount: the mount itself goes with the namespace. Layers are named by the
 * numbers of descriptors, relative to /proc/self/fd, so that the 4095 bytes of options hold 500 of them.
 */
static int mount_over(struct job *job, const char *first)
{
    unsigned long flags = job->flags & OK_MOUNT_READONLY ? MS_RDONLY : 0;
    int fd;

    /* A mount here must not appear in the caller's namespace. */
    if (syscall(SYS_mount, "none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return fail(job, OK_STEP_NAMESPACE, -errno);
    if (syscall(SYS_mount, "overlay", first, "overlay", flags, job->options) < 0)
        return fail(job, OK_STEP_CREATE, -errno);
    fd = clone_tree(AT_FDCWD, first);
    return fd < 0 ? fail(job, OK_STEP_CLONE, fd) : fd;
}

/* Room for "lowerdir=" and numbers, and at the end for the upper, the work directory and the flags. */
enum { OPTIONS_LEFT = 96 };

static int build_classic(struct job *job)
{
    char *at = append(job->options, "lowerdir=");
    const char *path;
    int fds[512], count = 0, fd, result, index;

    job->out.index = 0;
    job->out.step = 0;
    for (path = job->lowers; *path; path += length_of(path) + 1, job->out.index++) {
        if (count == 500 || at - job->options > OPTIONS - OPTIONS_LEFT) {
            result = fail(job, OK_STEP_LOWER, -EINVAL);
            goto out;
        }
        fd = open_layer(path, O_PATH);
        if (fd < 0) {
            result = fail(job, OK_STEP_LOWER, fd);
            goto out;
        }
        fds[count++] = fd;
        at = append_number(count == 1 ? at : append(at, ":"), (unsigned)fd);
    }
    if (job->upper) {
        fd = open_layer(job->upper, O_PATH);
        if (fd < 0) {
            result = fail(job, OK_STEP_UPPER, fd);
            goto out;
        }
        fds[count++] = fd;
        at = append_number(append(at, ",upperdir="), (unsigned)fd);
        fd = open_layer(job->work, O_PATH);
        if (fd < 0) {
            result = fail(job, OK_STEP_WORK, fd);
            goto out;
        }
        fds[count++] = fd;
        at = append_number(append(at, ",workdir="), (unsigned)fd);
        if (job->flags & OK_MOUNT_VOLATILE)
            at = append(at, ",volatile");
    }
    if (job->flags & OK_MOUNT_USERXATTR)
        append(at, ",userxattr");
    /* The process has a working directory of its own, and the first layer's path may be relative to the caller's. */
    fd = open_layer(".", O_PATH);
    if (fd < 0) {
        result = fail(job, OK_STEP_MOUNT, fd);
        goto out;
    }
    fds[count++] = fd;
    if (job->lowers[0] != '/')
        result = fail(job, OK_STEP_LOWER, -EINVAL);
    else if (syscall(SYS_chdir, "/proc/self/fd") < 0)
        result = fail(job, OK_STEP_MOUNT, -errno);
    else
        result = mount_over(job, job->lowers);
out:
    for (index = 0; index < count; index++)
        close_fd(fds[index], 0);
    return result;
}

/* A second, read-only view of the same superblock. A kernel before 6.15 clones no detached mount: the caller does without. */
static void pair(struct job *job, int mount)
{
    int fd = clone_tree(mount, "");

    if (fd >= 0 && set_readonly(fd, 1) == 0)
        job->out.readonly = fd;
    else
        close_fd(fd, 0);
}

static int overlay_job(void *argument)
{
    struct job *job = argument;
    int fd;

    job->out.readonly = -1;
    job->out.method = job->method ? job->method : OK_METHOD_FD;
    if (job->out.method == OK_METHOD_CLASSIC) {
        fd = build_classic(job);
    } else {
        fd = build_by_context(job);
        /* Before 6.13 overlayfs knows no descriptors, before 6.8 no "lowerdir+": both say EINVAL at the first layer. */
        if (fd == -EINVAL && !job->method && job->out.step == OK_STEP_LOWER && job->out.index == 0) {
            job->out.method = OK_METHOD_STRING;
            fd = build_by_context(job);
        }
    }
    if (fd >= 0 && job->flags & OK_MOUNT_PAIR)
        pair(job, fd);
    return fd;
}

static int clone_job(void *argument)
{
    struct job *job = argument;
    int fd = clone_tree(job->directory, job->upper), error;

    if (fd < 0)
        return fail(job, OK_STEP_CLONE, fd);
    if (job->flags & OK_MOUNT_READONLY) {
        error = set_readonly(fd, 1);
        if (error)
            return close_fd(fd, fail(job, OK_STEP_READONLY, error));
    }
    return fd;
}

static int readonly_job(void *argument)
{
    struct job *job = argument;
    int error = set_readonly(job->directory, !(job->flags & OK_MOUNT_WRITABLE));

    return error ? fail(job, OK_STEP_READONLY, error) : 0;
}

/* What a namespace process is to read and write: the job, and behind it room for the options of mount(2). */
static int run_in_namespace(int (*work)(void *), const struct job *task, struct ok_mount_result *result)
{
    unsigned long size = sizeof *task + (task->method == OK_METHOD_CLASSIC ? OPTIONS : 0);
    int value, own_memory = ok_needs_own_memory();
    struct job *job = ok_shared_alloc(size, own_memory);

    if (!job)
        return -ENOMEM;
    *job = *task;
    job->options = (char *)(job + 1);
    value = ok_run_in_namespace(task->flags & OK_MOUNT_ROOTLESS, own_memory, work, job, &job->out.step);
    *result = job->out;
    ok_shared_free(job, size, own_memory);
    return value;
}

static int run(int (*work)(void *), struct job *job, struct ok_mount_result *result)
{
    int value;

    if (job->flags & OK_MOUNT_ROOTLESS || job->method == OK_METHOD_CLASSIC)
        return run_in_namespace(work, job, result);
    value = work(job);
    *result = job->out;
    return value;
}

int ok_overlay_mount(const char *lowers, const char *upper, const char *work, int flags, int method,
                     struct ok_mount_result *result)
{
    struct job job = {.lowers = lowers, .upper = upper, .work = work, .flags = flags, .method = method};
    int fd;

    fd = run(overlay_job, &job, result);
    if (fd == -EINVAL && !method && result->step == OK_STEP_LOWER && result->index == 0) {
        job.method = OK_METHOD_CLASSIC;
        fd = run(overlay_job, &job, result);
    }
    return fd;
}

int ok_clone_directory(int directory, const char *path, int flags, struct ok_mount_result *result)
{
    struct job job = {.upper = path, .flags = flags, .directory = directory, .out = {.readonly = -1}};
    return run(clone_job, &job, result);
}

int ok_set_readonly(int mount, int flags, struct ok_mount_result *result)
{
    struct job job = {.flags = flags, .directory = mount, .out = {.readonly = -1}};
    return run(readonly_job, &job, result);
}

int ok_attach(int mount, const char *path)
{
    return syscall(SYS_move_mount, mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

int ok_is_mount_admin(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    return data[CAP_SYS_ADMIN / 32].effective >> CAP_SYS_ADMIN % 32 & 1;
}

int ok_syncfs(int fd)
{
    return syncfs(fd) < 0 ? -errno : 0;
}
