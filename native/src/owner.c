#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

enum { WATCH_EVERY = 20 }; /* milliseconds */

bool ok_owner_may_help(int error)
{
    return error == -EACCES && geteuid() != 0;
}

void *ok_owner_alloc(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void ok_owner_free(void *memory, size_t size)
{
    munmap(memory, size);
}

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int error = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return error;
}

static int become_owner(unsigned uid, unsigned gid)
{
    char line[32];

    if (unshare(CLONE_NEWUSER))
        return -errno;
    /* /proc/self is root's where a process is not dumpable, such as one that gave up privileges without an exec. Then
     * nobody may look into this copy of its memory for longer than it takes. */
    int dumpable = prctl(PR_GET_DUMPABLE);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    int error = write_text("/proc/self/setgroups", "deny");
    if (!error || error == -ENOENT) {
        snprintf(line, sizeof line, "%u %u 1", uid, uid);
        error = write_text("/proc/self/uid_map", line);
    }
    if (!error) {
        snprintf(line, sizeof line, "%u %u 1", gid, gid);
        error = write_text("/proc/self/gid_map", line);
    }
    if (dumpable != 1)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return error;
}

int ok_run_as_owner(int (*job)(void *), void (*watch)(void *), void *argument)
{
    int *result = ok_owner_alloc(sizeof *result);
    unsigned uid = geteuid(), gid = getegid();
    sigset_t all, before;

    if (!result)
        return -ENOMEM;
    *result = -EIO; /* stays if the process is killed */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        *result = become_owner(uid, gid) ? -EACCES : job(argument);
        _exit(0);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    int error = pid < 0 ? -errno : 0;
    if (!error) {
        int handle = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd ended = {.fd = handle, .events = POLLIN};
        while (watch && handle >= 0) {
            int got = poll(&ended, 1, WATCH_EVERY);
            watch(argument);
            if (got > 0 || (got < 0 && errno != EINTR))
                break;
        }
        if (handle >= 0)
            close(handle);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        error = *result;
    }
    ok_owner_free(result, sizeof *result);
    return error;
}
