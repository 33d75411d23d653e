/*
 * Between the terminal that a user sits at and the one that the container has. Nothing here waits: who does not read, or does not
 * take what is typed, must not keep the supervisor from its other duties.
 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { NOTHING = -1 };

void relay_start(struct relay *relay, int master)
{
    struct termios raw;

    relay->master = master;
    fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    /* A description of its own: the caller's must go on to block. A socket cannot be opened again, and blocks. */
    relay->output = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (relay->output < 0)
        relay->output = 1;
    /* Line editing, echo and Ctrl-C are the container's terminal's; the user's passes everything on. */
    if (tcgetattr(0, &relay->before) == 0) {
        raw = relay->before;
        cfmakeraw(&raw);
        relay->raw = tcsetattr(0, TCSANOW, &raw) == 0;
    }
}

struct relay_wish relay_wants_input(const struct relay *relay)
{
    int wants = relay->master >= 0 && !relay->input_ended && relay->typed_from == relay->typed_to;
    return (struct relay_wish){wants ? 0 : NOTHING, POLLIN};
}

struct relay_wish relay_wants_output(const struct relay *relay)
{
    return (struct relay_wish){relay->shown_from < relay->shown_to ? relay->output : NOTHING, POLLOUT};
}

struct relay_wish relay_wants_master(const struct relay *relay)
{
    short events = 0;

    if (relay->shown_from == relay->shown_to)
        events |= POLLIN;
    if (relay->typed_from < relay->typed_to)
        events |= POLLOUT;
    return (struct relay_wish){events ? relay->master : NOTHING, events};
}

/* 1 when all has been written, or never will be. */
static int flush(int fd, const char *bytes, size_t *from, size_t *to)
{
    while (*from < *to) {
        ssize_t count = write(fd, bytes + *from, *to - *from);
        if (count < 0 && errno == EAGAIN)
            return 0;
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) /* nobody has the other end any more */
            break;
        *from += (size_t)count;
    }
    *from = *to = 0;
    return 1;
}

void relay_input(struct relay *relay)
{
    ssize_t count = read(0, relay->typed, sizeof relay->typed);

    if (count > 0) {
        relay->typed_from = 0;
        relay->typed_to = (size_t)count;
        flush(relay->master, relay->typed, &relay->typed_from, &relay->typed_to);
    } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
        relay->input_ended = 1; /* whoever typed is gone; a terminal has no end of file but Ctrl-D */
    }
}

void relay_output(struct relay *relay)
{
    flush(relay->output, relay->shown, &relay->shown_from, &relay->shown_to);
}

static int take(struct relay *relay)
{
    ssize_t count = read(relay->master, relay->shown, sizeof relay->shown);

    if (count <= 0)
        return 0;
    relay->shown_from = 0;
    relay->shown_to = (size_t)count;
    relay_output(relay);
    return 1;
}

void relay_master(struct relay *relay, short events)
{
    if (events & POLLOUT)
        flush(relay->master, relay->typed, &relay->typed_from, &relay->typed_to);
    if (relay->shown_from < relay->shown_to)
        return;
    /* POLLHUP without data: no process has the container's terminal open. It does not come back. */
    if (events & (POLLIN | POLLHUP) && !take(relay) && events & POLLHUP) {
        close(relay->master);
        relay->master = -1;
    }
}

void relay_resize(const struct relay *relay)
{
    struct winsize size;

    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        ioctl(relay->master, TIOCSWINSZ, &size);
}

static void show_the_rest(struct relay *relay, int status, int lifeline)
{
    while (relay->shown_from < relay->shown_to || (relay->master >= 0 && take(relay))) {
        struct pollfd watched[] = {{relay->output, POLLOUT, 0}, {status, POLLIN, 0}, {lifeline, POLLIN, 0}};

        if (relay->shown_from == relay->shown_to)
            continue;
        /* Whom the library has killed it does not wait for. */
        if (poll(watched, 3, status < 0 ? 0 : -1) == 0 || watched[1].revents || watched[2].revents)
            return;
        relay_output(relay);
    }
}

void relay_end(struct relay *relay, int status, int lifeline)
{
    show_the_rest(relay, status, lifeline);
    if (relay->raw)
        tcsetattr(0, TCSANOW, &relay->before);
}
