/* The first process of a container, from its beginning in new namespaces to the program; or a process that joins one. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Dies with its supervisor, however that one ends. Where it ended before this was called, the socket tells. */
static void die_with_supervisor(int sync)
{
    struct pollfd other = {.fd = sync, .events = 0};

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (poll(&other, 1, 0) > 0 && other.revents & (POLLHUP | POLLERR))
        _exit(125);
}

static void wait_for_supervisor(int sync)
{
    char byte;
    ssize_t count;

    do
        count = recv(sync, &byte, 1, 0);
    while (count < 0 && errno == EINTR);
    if (count != 1)
        _exit(125);
}

static int mount_one(struct job *job, const struct record *record, int *file)
{
    switch (record->operation) {
    case OP_FILESYSTEM:
        return mount_filesystem(job, record);
    case OP_BIND:
        return mount_bind(job, record);
    case OP_FILE:
        return bind_file(job, record, (*file)++);
    case OP_DEVICE:
        return make_device(job, record);
    case OP_LINK:
        return make_link(job, record);
    case OP_MASK:
        return mask_paths(job, record);
    case OP_READONLY:
        return make_readonly(job, record);
    case OP_SYSCTL:
        return set_sysctl(job, record);
    default:
        return 0;
    }
}

static int make_directory(struct job *job)
{
    struct record record;
    int fd;

    if (!plan_find(job->plan, OP_DIRECTORY, &record) || !record_number(&record, 0))
        return 0;
    fd = place_make(job->root, record_text(&record, 0), 1, 1);
    if (fd < 0)
        return note(job, STEP_DIRECTORY, fd, record_text(&record, 0));
    close(fd);
    return 0;
}

static int mount_all(struct job *job)
{
    struct cursor cursor = plan_start(job->plan);
    struct record record;
    int file = 0, error;

    /* Nothing mounted here reaches the host; what the host mounts and unmounts meanwhile still arrives. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return note(job, STEP_PROPAGATION, -errno, "/");
    error = make_files(job);
    if (!error)
        error = mount_root(job);
    while (!error && plan_next(&cursor, &record))
        error = mount_one(job, &record, &file);
    if (!error)
        error = make_directory(job);
    return error ? error : pivot(job);
}

/* -EACCES where the process is not let in as what it is now. */
static int enter_directory(struct job *job)
{
    struct record record;
    const char *path;
    int root, fd, error = 0;

    if (!plan_find(job->plan, OP_DIRECTORY, &record))
        return 0;
    path = record_text(&record, 0);
    root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return note(job, STEP_DIRECTORY, -errno, "/");
    /* No link of /proc leads to a directory that somebody left open outside. */
    fd = place_open(root, path, 1);
    if (fd < 0 || fchdir(fd) < 0)
        error = note(job, STEP_DIRECTORY, fd < 0 ? fd : -errno, path);
    if (fd >= 0)
        close(fd);
    close(root);
    return error;
}

static int enter_namespaces(struct job *job)
{
    struct record record;
    int64_t flags = 0;

    if (plan_find(job->plan, OP_JOIN, &record)) {
        flags = record_number(&record, 1) & ~(int64_t)(CLONE_NEWUSER | CLONE_NEWPID);
        if (flags && setns((int)record_number(&record, 0), (int)flags) < 0)
            return note(job, STEP_JOIN, -errno, NULL);
        return 0;
    }
    if (plan_find(job->plan, OP_NAMESPACES, &record))
        flags = record_number(&record, 0);
    /* Only now, in its cgroup: what a process is in when it makes the namespace is what it sees as "/". */
    if (flags & CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0)
        return note(job, STEP_CGROUP_NAMESPACE, -errno, NULL);
    /* Where the caller's own ids are not among those of the namespace, it has all capabilities and owns nothing. */
    if (flags & CLONE_NEWUSER && geteuid() != 0 && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        return note(job, STEP_USER, -errno, "root");
    return 0;
}

static int set_up(struct job *job)
{
    struct record record;
    int error, late = 0;

    umask(0);
    error = enter_namespaces(job);
    if (!error)
        error = apply_settings(job);
    if (!error && plan_find(job->plan, OP_NAMESPACES, &record) && record_number(&record, 0) & CLONE_NEWNS)
        error = mount_all(job);
    if (!error) {
        error = enter_directory(job);
        late = error == -EACCES || error == -EPERM;
    }
    if (!error || late)
        error = open_terminal(job);
    if (!error)
        error = drop_privileges(job);
    if (!error && late)
        error = enter_directory(job);
    umask(plan_find(job->plan, OP_USER, &record) && record_number(&record, 2) >= 0 ? (mode_t)record_number(&record, 2) : 022);
    return error;
}

int container_main(const struct plan *plan, int sync)
{
    struct job job = {.plan = plan, .sync = sync, .root = -1, .masks = -1, .memory = -1};
    int error;

    die_with_supervisor(sync);
    wait_for_supervisor(sync);
    setsid();
    error = set_up(&job);
    /* A change of user has made it forget. */
    die_with_supervisor(sync);
    if (!error)
        run_program(&job);
    send_message(job.sync, &job.failure, -1);
    return 125;
}
