/*
 * The process between the library and a container: a child of the one and the parent of the other. It makes the
 * container's first process, waits for it, and takes care that it does not outlive the library.
 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGNALS, STATUS, LIFELINE, SYNC, INPUT, OUTPUT, MASTER, CHILD, WATCHED };
enum { NOT_RUN = 125, CANNOT_RUN = 126, NOT_FOUND = 127 };

struct supervisor {
    struct job job;
    pid_t pid;
    int at_home;  /* it was born in its cgroup of version 2 */
    int running;  /* the program has been started */
    int failed;   /* it never will be */
    int deadly;   /* the signal for which the container has been killed */
    int killed;   /* by the library, which waits for nothing more */
    struct relay relay;
    struct pollfd watched[WATCHED];
};

static int write_map(pid_t pid, const char *file, const char *text)
{
    char path[64] = "/proc/";
    int fd, error = 0;
    size_t length = strlen(text);

    strcpy(append_number(path + 6, (unsigned)pid), file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (write(fd, text, length) != (ssize_t)length)
        error = -errno;
    close(fd);
    return error;
}

static int map_ids(struct supervisor *self)
{
    struct record record;
    int error = 0;

    if (!plan_find(self->job.plan, OP_IDS, &record))
        return 0;
    /* user_namespaces(7): who has no privileges may map a group only after giving up setgroups(2). */
    if (record_number(&record, 0))
        error = write_map(self->pid, "/setgroups", "deny");
    if (!error)
        error = write_map(self->pid, "/uid_map", record_text(&record, 0));
    if (!error)
        error = write_map(self->pid, "/gid_map", record_text(&record, 1));
    return error ? note(&self->job, STEP_USER_MAP, error, record_text(&record, 0)) : 0;
}

static int join_cgroup(struct supervisor *self, int procs)
{
    char text[12];
    size_t length = (size_t)(append_number(text, (unsigned)self->pid) - text);

    return write(procs, text, length) < 0 ? note(&self->job, STEP_CGROUP, -errno, NULL) : 0;
}

static int join_cgroups(struct supervisor *self)
{
    struct record record;
    uint32_t index;
    int error = 0;

    if (!plan_find(self->job.plan, OP_CGROUP, &record))
        return 0;
    if (record_number(&record, 0) >= 0 && !self->at_home) {
        int procs = openat((int)record_number(&record, 0), "cgroup.procs", O_WRONLY | O_CLOEXEC);
        error = procs < 0 ? note(&self->job, STEP_CGROUP, -errno, NULL) : join_cgroup(self, procs);
        if (procs >= 0)
            close(procs);
    }
    for (index = 1; !error && index < record.numbers; index++)
        error = join_cgroup(self, (int)record_number(&record, index));
    return error;
}

/*
 * Whose mounts a descriptor is of matters: with privileges the caller's are cloned here, where they are at home. Without, the
 * container's process has to find them by their paths, in a namespace where it may mount.
 */
static void take_mounts(const struct plan *plan)
{
    struct cursor cursor = plan_start(plan);
    struct record record;

    while (plan_next(&cursor, &record)) {
        int root = record.operation == OP_ROOT, fd = (int)record_number(&record, 0), tree;

        if ((!root && record.operation != OP_BIND) || fd < 0)
            continue;
        tree = take_mount(fd, (int)record_number(&record, root ? 1 : 3) & HOW_RECURSIVE);
        if (tree < 0)
            continue; /* the container's process will say so */
        dup3(tree, fd, O_CLOEXEC);
        close(tree);
    }
}

/*
 * To be moved into a cgroup a process waits until every processor has been seen between two things (RCU), which takes longer
 * than all the rest of a start; one that is born there does not. seccomp profiles of older engines do not know clone3(2); why
 * else it fails, the slow way will find out and say at its own step.
 */
static pid_t clone_process(struct supervisor *self, unsigned long flags, int *pidfd)
{
    struct record record;
    pid_t pid;

    if (plan_find(self->job.plan, OP_CGROUP, &record) && record_number(&record, 0) >= 0) {
        struct clone_args arguments = {
            .flags = flags | CLONE_INTO_CGROUP,
            .pidfd = (uint64_t)(uintptr_t)pidfd,
            .exit_signal = SIGCHLD,
            .cgroup = (uint64_t)record_number(&record, 0),
        };
        pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
        self->at_home = pid >= 0;
        if (pid >= 0)
            return pid;
    }
    pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, pidfd, NULL, NULL);
    return pid < 0 ? -errno : pid;
}

static pid_t make_process(struct supervisor *self, int *pidfd)
{
    const struct plan *plan = self->job.plan;
    struct record record;
    unsigned long flags = CLONE_PIDFD;

    if (plan_find(plan, OP_JOIN, &record)) {
        int join = (int)record_number(&record, 1) & (CLONE_NEWUSER | CLONE_NEWPID);

        /* Who is in the container could otherwise look into this process by its /proc while it is on the way. */
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        if (join && setns((int)record_number(&record, 0), join) < 0)
            return -errno;
    } else if (plan_find(plan, OP_NAMESPACES, &record)) {
        flags |= (unsigned long)record_number(&record, 0) & ~(unsigned long)CLONE_NEWCGROUP;
        if (mounts_are_taken(plan))
            take_mounts(plan);
    }
    return clone_process(self, flags, pidfd);
}

static int start(struct supervisor *self)
{
    const struct plan *plan = self->job.plan;
    int pair[2], pidfd = -1, error;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return note(&self->job, STEP_CLONE, -errno, NULL);
    self->pid = make_process(self, &pidfd);
    if (self->pid == 0) {
        close(pair[0]);
        _exit(container_main(plan, pair[1]));
    }
    close(pair[1]);
    if (self->pid < 0) {
        close(pair[0]);
        return note(&self->job, plan_has(plan, OP_JOIN) ? STEP_JOIN : STEP_CLONE, self->pid, NULL);
    }
    self->watched[SYNC].fd = pair[0];
    self->watched[CHILD].fd = pidfd;
    self->job.sync = pair[0];
    error = join_cgroups(self);
    return error ? error : map_ids(self);
}

static void tell(uint32_t kind, int value, int descriptor)
{
    struct message message = {.kind = kind, .value = value};

    /* A library that does not listen any more is noticed where its end of the socket is watched. */
    send_message(RUNNER_STATUS, &message, descriptor);
}

static void fail(struct supervisor *self)
{
    if (!self->failed && !self->running)
        send_message(RUNNER_STATUS, &self->job.failure, -1);
    self->failed = 1;
}

static void send_signal(struct supervisor *self, int number)
{
    syscall(SYS_pidfd_send_signal, self->watched[CHILD].fd, number, NULL, 0);
}

/*
 * Whether the kernel drops it, as it does what the first process of a namespace has no handler for (pid_namespaces(7)), while
 * any other program that does not care for it ends.
 */
static int may_be_dropped(const struct supervisor *self, int number)
{
    static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGVTALRM, SIGPROF};
    struct record record;
    size_t index;

    for (index = 0; index < sizeof ending / sizeof *ending; index++)
        if (ending[index] == number)
            break;
    if (index == sizeof ending / sizeof *ending || plan_has(self->job.plan, OP_INIT))
        return 0;
    return !self->running ||
           (plan_find(self->job.plan, OP_NAMESPACES, &record) && record_number(&record, 0) & CLONE_NEWPID);
}

/* Who types does so at another terminal than the container's: its size is what is passed on, not the signal. */
static void pass_signal(struct supervisor *self, int number)
{
    if (number == SIGWINCH && self->relay.master >= 0) {
        relay_resize(&self->relay);
        return;
    }
    if (!may_be_dropped(self, number)) {
        send_signal(self, number);
    } else if (!self->running || !deliver(self->pid, self->watched[CHILD].fd, number)) {
        self->deadly = number;
        send_signal(self, SIGKILL);
    }
}

static void go(struct supervisor *self)
{
    if (send(self->job.sync, "", 1, MSG_NOSIGNAL) < 0)
        send_signal(self, SIGKILL);
}

static void hear_library(struct supervisor *self)
{
    unsigned char byte;
    ssize_t count = recv(RUNNER_STATUS, &byte, 1, MSG_DONTWAIT);

    if (count == 1) {
        self->killed |= byte == SIGKILL;
        pass_signal(self, byte);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        self->watched[STATUS].fd = -1;
        self->killed = 1;
        send_signal(self, SIGKILL);
    }
}

/* 1 where there may be more. */
static int hear_container(struct supervisor *self)
{
    struct message message;
    int descriptor, count = receive_message(self->job.sync, &message, &descriptor);

    if (count > 0 && message.kind == MESSAGE_TERMINAL && descriptor >= 0) {
        relay_start(&self->relay, descriptor);
    } else if (count > 0) {
        self->job.failure = message;
        fail(self);
    } else if (count == 0) {
        self->watched[SYNC].fd = -1;
        close(self->job.sync);
        if (!self->failed && !self->running) {
            self->running = 1;
            tell(MESSAGE_RUNNING, 0, -1);
        }
    }
    return count > 0;
}

static void hear_signal(struct supervisor *self)
{
    struct signalfd_siginfo info;

    if (read(self->watched[SIGNALS].fd, &info, sizeof info) == sizeof info && info.ssi_signo != SIGCHLD)
        pass_signal(self, (int)info.ssi_signo);
}

static int exit_code(const struct supervisor *self, int status)
{
    int error = self->job.failure.error;

    if (self->failed && self->job.failure.step != STEP_EXEC)
        return NOT_RUN;
    if (self->failed)
        return error == ENOENT || error == ENOTDIR ? NOT_FOUND : CANNOT_RUN;
    if (self->deadly && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return 128 + self->deadly;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int finish(struct supervisor *self)
{
    int status = 0;

    while (waitpid(self->pid, &status, 0) < 0 && errno == EINTR)
        ;
    /* What it said last comes before that it ended. */
    while (self->watched[SYNC].fd >= 0 && hear_container(self))
        ;
    relay_end(&self->relay, self->killed ? -1 : self->watched[STATUS].fd, self->watched[LIFELINE].fd);
    if (!self->failed)
        tell(MESSAGE_ENDED, status, -1);
    return exit_code(self, status);
}

static void wish(struct supervisor *self, int place, struct relay_wish wanted)
{
    self->watched[place] = (struct pollfd){.fd = wanted.fd, .events = wanted.events};
}

static int watch(struct supervisor *self)
{
    for (;;) {
        int index;

        wish(self, INPUT, relay_wants_input(&self->relay));
        wish(self, OUTPUT, relay_wants_output(&self->relay));
        wish(self, MASTER, relay_wants_master(&self->relay));
        if (poll(self->watched, WATCHED, -1) < 0)
            continue;
        if (self->watched[CHILD].revents)
            return finish(self);
        for (index = 0; index < WATCHED; index++) {
            if (!self->watched[index].revents)
                continue;
            switch (index) {
            case SIGNALS:
                hear_signal(self);
                break;
            case STATUS:
                hear_library(self);
                break;
            case LIFELINE:
                self->watched[LIFELINE].fd = -1;
                self->killed = 1;
                send_signal(self, SIGKILL);
                break;
            case SYNC:
                hear_container(self);
                break;
            case INPUT:
                relay_input(&self->relay);
                break;
            case OUTPUT:
                relay_output(&self->relay);
                break;
            case MASTER:
                relay_master(&self->relay, self->watched[MASTER].revents);
                break;
            }
        }
    }
}

/* Signals wait until they are read, so that none gets lost and none ends this process before the container. */
static int catch_signals(void)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t set;
    size_t index;

    sigfillset(&set);
    for (index = 0; index < sizeof own / sizeof *own; index++)
        sigdelset(&set, own[index]);
    sigprocmask(SIG_SETMASK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int supervise(const struct plan *plan)
{
    struct supervisor self = {.job = {.plan = plan, .root = -1, .masks = -1, .memory = -1}, .relay = {.master = -1}};
    struct record record;
    int index, error;

    for (index = 0; index < WATCHED; index++)
        self.watched[index] = (struct pollfd){.fd = -1, .events = POLLIN};
    self.watched[SIGNALS].fd = catch_signals();
    self.watched[STATUS].fd = RUNNER_STATUS;
    if (plan_find(plan, OP_LIFELINE, &record))
        self.watched[LIFELINE].fd = (int)record_number(&record, 0);
    error = start(&self);
    if (error)
        fail(&self);
    if (self.pid <= 0)
        return NOT_RUN;
    /* The streams are the container's: who reads them sees their end when it closes them. */
    for (index = 0; index < 3 && !plan_has(plan, OP_TERMINAL); index++)
        close(index);
    if (error) {
        send_signal(&self, SIGKILL);
        return watch(&self);
    }
    tell(MESSAGE_CHILD, self.pid, self.watched[CHILD].fd);
    go(&self);
    return watch(&self);
}
