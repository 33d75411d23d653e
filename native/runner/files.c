/*
 * Files that the container sees and that are on no disk, such as secrets. They are made in a file system in memory that is attached
 * to nothing the container sees; each is bound to its target by a clone of its own.
 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int write_all(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t count = write(fd, bytes, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        bytes += count;
        length -= (size_t)count;
    }
    return 0;
}

static int make_file(struct job *job, int memory, const struct record *record, int index)
{
    char name[12];
    size_t length;
    const char *content = record_bytes(record, 1, &length);
    int fd, tree = -1, error;

    append_number(name, (unsigned)index);
    fd = openat(memory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return note(job, STEP_FILE, -errno, record_text(record, 0));
    error = write_all(fd, content, length);
    if (!error && fchown(fd, (uid_t)record_number(record, 1), (gid_t)record_number(record, 2)) < 0)
        error = -errno;
    if (!error && fchmod(fd, (mode_t)record_number(record, 0) & 07777) < 0)
        error = -errno;
    close(fd);
    if (!error) {
        tree = clone_mount(memory, name, 0);
        error = tree < 0 ? tree : set_attributes(tree, (uint64_t)record_number(record, 3), 0, MS_PRIVATE, 0);
    }
    if (error) {
        if (tree >= 0)
            close(tree);
        return note(job, STEP_FILE, error, record_text(record, 0));
    }
    job->files[index] = tree;
    return 0;
}

int make_files(struct job *job)
{
    struct cursor cursor = plan_start(job->plan);
    struct record record;
    int count = 0, index = 0, memory, error = 0;

    while (plan_next(&cursor, &record))
        count += record.operation == OP_FILE;
    if (!count)
        return 0;
    job->files = calloc((size_t)count, sizeof *job->files);
    if (!job->files)
        return note(job, STEP_PLAN, -ENOMEM, NULL);
    memory = new_filesystem(job, NULL, "tmpfs");
    if (memory < 0)
        return memory;
    /* Only what is attached can be cloned before Linux 6.15. */
    error = set_attributes(memory, 0, MOUNT_ATTR_RDONLY, 0, 0);
    if (error || syscall(SYS_move_mount, memory, "", AT_FDCWD, "/", 4 /* MOVE_MOUNT_F_EMPTY_PATH */) < 0)
        error = note(job, STEP_FILE, error ? error : -errno, "/");
    cursor = plan_start(job->plan);
    while (!error && plan_next(&cursor, &record))
        if (record.operation == OP_FILE)
            error = make_file(job, memory, &record, index++);
    if (error)
        close(memory);
    else
        job->memory = memory;
    return error;
}

/*
 * The old root, in which nothing is looked up any more, takes it along: to unmount it by itself would be one more wait for every
 * processor (RCU). Over the root it may not stay, where it would be unmounted in the old root's stead.
 */
int leave_files(struct job *job)
{
    int error = 0;

    if (job->memory < 0)
        return 0;
    if (syscall(SYS_move_mount, job->memory, "", AT_FDCWD, "/proc", 4 /* MOVE_MOUNT_F_EMPTY_PATH */) < 0)
        error = note(job, STEP_PIVOT, -errno, "/proc");
    close(job->memory);
    job->memory = -1;
    return error;
}

int bind_file(struct job *job, const struct record *record, int index)
{
    const char *path = record_text(record, 0);
    int target = open_target(job, path, (int)record_number(record, 4), 0), error;

    if (target < 0)
        return target;
    error = attach_tree(job, job->files[index], target, path);
    close(target);
    close(job->files[index]);
    return error;
}
