/* A signal for the first process of a namespace: the kernel drops what it does not care for (pid_namespaces(7)). */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How long a program that blocks all signals may go on working before that counts as its will. */
enum { BUSY_MILLISECONDS = 1000 };

/* How long a signal may wait for the end of the system call in which a process is, as execve(2) is one. */
enum { PENDING_MILLISECONDS = 100 };

/* How many programs that a process becomes in a row are told. */
enum { PROGRAMS = 50 };

/* A field of /proc/PID/stat, counted from 1 (proc_pid_stat(5)). */
enum { STARTSTACK = 28 };

static uint64_t bit_of(int number)
{
    return (uint64_t)1 << (number - 1);
}

/* The signals that have names, but for those that nobody can block. */
static uint64_t blockable(void)
{
    return (bit_of(32) - 1) & ~(bit_of(SIGKILL) | bit_of(SIGSTOP));
}

/* Of a file in /proc/PID; the number of bytes, or -errno. */
static ssize_t read_about(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64] = "/proc/";
    ssize_t count;
    int fd;

    strcpy(append_number(path + 6, (unsigned)pid), name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    count = read(fd, text, size - 1);
    if (count < 0)
        count = -errno;
    close(fd);
    text[count > 0 ? count : 0] = 0;
    return count;
}

static void wait_a_moment(void)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};

    nanosleep(&millisecond, NULL);
}

static uint64_t mask_in(const char *text, const char *line)
{
    const char *at = strstr(text, line);

    return at ? strtoull(at + strlen(line), NULL, 16) : 0;
}

/*
 * It catches, ignores or blocks it. A C library blocks all signals while it makes a process or a thread: that is no interest in
 * one, and the kernel drops what came meanwhile, so a program that works is asked again. One that blocks them to wait for them
 * sleeps.
 */
static int takes_signal(pid_t pid, int number)
{
    char text[4096];
    int turn;

    for (turn = 0; turn < BUSY_MILLISECONDS; turn++) {
        uint64_t blocked;

        if (read_about(pid, "/status", text, sizeof text) < 0)
            return 1; /* without /proc nobody knows */
        if ((mask_in(text, "\nSigIgn:\t") | mask_in(text, "\nSigCgt:\t")) & bit_of(number))
            return 1;
        blocked = mask_in(text, "\nSigBlk:\t");
        if (!(blocked & bit_of(number)))
            return 0;
        if (strstr(text, "\nState:\tS") || (blocked & blockable()) != blockable())
            return 1;
        wait_a_moment();
    }
    return 1;
}

/* Another value when it has become another program by execve(2): where its stack begins, which is random. 0 where nobody sees. */
static uint64_t program_mark(pid_t pid)
{
    char text[4096], *at;
    int field;

    if (read_about(pid, "/stat", text, sizeof text) < 0)
        return 0;
    at = strrchr(text, ')'); /* the end of the second field, which may hold anything */
    for (field = 2; at && field < STARTSTACK; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

static int is_pending(pid_t pid, int number)
{
    char text[4096];
    uint64_t waiting;

    if (read_about(pid, "/status", text, sizeof text) < 0)
        return 0;
    waiting = mask_in(text, "\nSigPnd:\t") | mask_in(text, "\nShdPnd:\t");
    return (waiting & ~mask_in(text, "\nSigBlk:\t") & bit_of(number)) != 0;
}

/*
 * One that is becoming another program has lost its handlers before the kernel looks for them, and nobody sees whether it heard
 * of the signal before: the new program is asked, and told, as well.
 */
int deliver(pid_t pid, int pidfd, int number)
{
    int program, turn;

    for (program = 0; program < PROGRAMS; program++) {
        uint64_t mark = program_mark(pid);

        if (!takes_signal(pid, number))
            return 0;
        syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
        for (turn = 0; turn < PENDING_MILLISECONDS && is_pending(pid, number); turn++)
            wait_a_moment();
        if (program_mark(pid) == mark)
            break;
    }
    return 1;
}
