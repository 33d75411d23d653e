/* The program of a container: found, given its descriptors and signals, and started; below a small init where the plan asks for one. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int close_all(unsigned from, unsigned to)
{
    return from > to || syscall(SYS_close_range, from, to, 0) == 0 ? 0 : -errno;
}

/* The program gets its standard streams; of the runner only the socket stays, which closes when it starts. */
static int arrange_descriptors(struct job *job)
{
    int error = close_all(3, (unsigned)job->sync - 1);

    if (!error)
        error = close_all((unsigned)job->sync + 1, ~0U);
    return error ? note(job, STEP_EXEC, error, NULL) : 0;
}

static void reset_signals(void)
{
    static const uint64_t usual[8]; /* struct sigaction as the kernel has it: SIG_DFL, and nothing else */
    sigset_t none;
    int number;

    /* What the library's process ignores, as Python does SIGPIPE, is nothing a program expects; nor are the two signals of its
     * own that posix_spawn(3) of the C library ignores, and that only the system call resets. */
    for (number = 1; number < NSIG; number++)
        syscall(SYS_rt_sigaction, number, usual, NULL, 8);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static const char *search_path(char **environment)
{
    for (; *environment; environment++)
        if (!strncmp(*environment, "PATH=", 5))
            return *environment + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* The errno of a failed execve(2), told apart from that of a program that is there and whose interpreter is not. */
static int execute(const char *path, char **arguments, char **environment)
{
    int error;

    execve(path, arguments, environment);
    error = -errno;
    if (error == -ENOENT && access(path, F_OK) == 0)
        return -ELIBACC;
    return error;
}

static int search(struct job *job, char **arguments, char **environment)
{
    const char *name = arguments[0], *part = search_path(environment);
    char path[PATH_MAX];
    int error = -ENOENT, last;

    if (!name[0])
        return note(job, STEP_EXEC, -ENOENT, name);
    if (strchr(name, '/'))
        return note(job, STEP_EXEC, execute(name, arguments, environment), name);
    for (;; part++) {
        size_t length = strcspn(part, ":"), count = strlen(name);

        if (length + count + 2 <= sizeof path) {
            memcpy(path, part, length);
            if (length)
                path[length++] = '/';
            memcpy(path + length, name, count + 1);
            last = execute(path, arguments, environment);
            /* execvp(3): what may not be run here may be found further on, and is what is told if not. */
            if (last == -EACCES)
                error = last;
            else if (last != -ENOENT && last != -ENOTDIR)
                return note(job, STEP_EXEC, last, path);
        }
        part += strcspn(part, ":");
        if (!*part)
            return note(job, STEP_EXEC, error, name);
    }
}

static int start_program(struct job *job)
{
    struct record record;
    char **arguments, **environment;
    char *nothing[] = {NULL};
    int error;

    if (!plan_find(job->plan, OP_ARGUMENTS, &record))
        return note(job, STEP_PLAN, -EBADMSG, "arguments");
    arguments = record_vector(&record);
    environment = plan_find(job->plan, OP_ENVIRONMENT, &record) ? record_vector(&record) : nothing;
    if (!arguments || !environment) {
        error = note(job, STEP_EXEC, -ENOMEM, NULL);
    } else {
        reset_signals();
        error = search(job, arguments, environment);
    }
    if (environment != nothing)
        free(environment);
    free(arguments);
    return error;
}

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Process 1: collects whom nobody else does, passes signals on, and ends as the program does. */
static int serve(pid_t program)
{
    sigset_t all;

    sigfillset(&all);
    for (;;) {
        int number = sigwaitinfo(&all, NULL), status;
        pid_t pid;

        if (number > 0 && number != SIGCHLD) {
            kill(program, number);
            continue;
        }
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            if (pid == program)
                return exit_code(status);
    }
}

int run_program(struct job *job)
{
    int init = plan_has(job->plan, OP_INIT), error = arrange_descriptors(job);
    sigset_t all;
    pid_t pid;

    if (error)
        return error;
    if (init) {
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        pid = fork();
        if (pid < 0)
            return note(job, STEP_EXEC, -errno, NULL);
        if (pid > 0) {
            close_all(0, ~0U);
            _exit(serve(pid));
        }
        setsid();
    }
    error = control_terminal(job);
    return error ? error : start_program(job);
}
