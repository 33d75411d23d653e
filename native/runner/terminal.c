/* The terminal of a container, in the container's own devpts, so that ttyname(3) finds it; its master goes to the supervisor. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

static int open_master(void)
{
    int place, root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd, error;
    char name[FD_NAME];

    if (root < 0)
        return -errno;
    place = place_open(root, "/dev/pts/ptmx", 0);
    close(root);
    if (place < 0)
        return place;
    /* Not whatever an image has put there. */
    if (!place_is_on(place, DEVPTS_SUPER_MAGIC)) {
        close(place);
        return -ENOTTY;
    }
    name_descriptor(name, place);
    fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    error = -errno;
    close(place);
    return fd < 0 ? error : fd;
}

/* What a program that wants the system's console finds is the terminal. */
static int show_as_console(struct job *job, int number)
{
    char path[32] = "/dev/pts/";
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), target, error;

    if (root < 0)
        return note(job, STEP_TERMINAL, -errno, "/");
    append_number(path + strlen(path), (unsigned)number);
    target = place_make(root, "/dev/console", 0, 0);
    error = target < 0 ? note(job, STEP_TERMINAL, target, "/dev/console") : bind_over(job, path, target, "/dev/console");
    if (target >= 0)
        close(target);
    close(root);
    return error;
}

static int set_up(struct job *job, const struct record *record, int master, int console)
{
    struct winsize size = {.ws_row = (unsigned short)record_number(record, 0), .ws_col = (unsigned short)record_number(record, 1)};
    struct message message = {.kind = MESSAGE_TERMINAL};
    struct record user;
    int unlocked = 0, number, slave, error, fd;

    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
        return note(job, STEP_TERMINAL, -errno, "/dev/pts/ptmx");
    /* Before the program asks. Where nobody knows a size it is 0 by 0, as on a serial line. */
    if (size.ws_row || size.ws_col || ioctl(0, TIOCGWINSZ, &size) == 0)
        ioctl(master, TIOCSWINSZ, &size);
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return note(job, STEP_TERMINAL, -errno, "/dev/pts");
    error = console ? show_as_console(job, number) : 0;
    if (!error && plan_find(job->plan, OP_USER, &user) && fchown(slave, (uid_t)record_number(&user, 0), (gid_t)-1) < 0)
        error = note(job, STEP_TERMINAL, -errno, "/dev/pts");
    if (!error) {
        error = send_message(job->sync, &message, master);
        if (error)
            note(job, STEP_TERMINAL, error, NULL);
    }
    for (fd = 0; fd < 3 && !error; fd++)
        if (dup2(slave, fd) < 0)
            error = note(job, STEP_TERMINAL, -errno, "/dev/pts");
    close(slave);
    return error;
}

int open_terminal(struct job *job)
{
    struct record record;
    int master, error;

    if (!plan_find(job->plan, OP_TERMINAL, &record))
        return 0;
    master = open_master();
    if (master < 0)
        return note(job, STEP_TERMINAL, master, "/dev/pts/ptmx");
    /* A process that joins leaves the console to the one that was there first. */
    error = set_up(job, &record, master, !plan_has(job->plan, OP_JOIN));
    close(master);
    return error;
}

int control_terminal(struct job *job)
{
    if (!plan_has(job->plan, OP_TERMINAL))
        return 0;
    return ioctl(0, TIOCSCTTY, 0) < 0 ? note(job, STEP_TERMINAL, -errno, "standard input") : 0;
}
