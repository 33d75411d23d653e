/* Between the terminal that a user sits at and the one that the container has. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

void relay_start(struct relay *relay, int master)
{
    struct termios raw;

    relay->master = master;
    fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    /* Line editing, echo and Ctrl-C are the container's terminal's; the user's passes everything on. */
    if (tcgetattr(0, &relay->before) == 0) {
        raw = relay->before;
        cfmakeraw(&raw);
        relay->raw = tcsetattr(0, TCSANOW, &raw) == 0;
    }
}

short relay_wants_input(const struct relay *relay)
{
    return relay->master >= 0 && relay->from == relay->to && relay->to != sizeof relay->pending;
}

short relay_wants_master(const struct relay *relay)
{
    return (short)(POLLIN | (relay->from < relay->to ? POLLOUT : 0));
}

static void flush_pending(struct relay *relay)
{
    while (relay->from < relay->to) {
        ssize_t count = write(relay->master, relay->pending + relay->from, relay->to - relay->from);
        if (count < 0 && errno == EAGAIN)
            return;
        if (count < 0) /* nobody has the terminal open any more */
            break;
        relay->from += (size_t)count;
    }
    relay->from = relay->to = 0;
}

void relay_input(struct relay *relay)
{
    ssize_t count = read(0, relay->pending, sizeof relay->pending - 1);

    if (count > 0) {
        relay->from = 0;
        relay->to = (size_t)count;
        flush_pending(relay);
    } else if (count == 0 || errno != EINTR) {
        /* Whoever typed is gone. A terminal has no end of file but Ctrl-D. */
        relay->from = relay->to = sizeof relay->pending;
    }
}

static int show(const struct relay *relay)
{
    char bytes[16384];
    ssize_t count = read(relay->master, bytes, sizeof bytes), done = 0;

    while (done < count) {
        ssize_t written = write(1, bytes + done, (size_t)(count - done));
        if (written < 0 && errno == EAGAIN) {
            struct pollfd out = {1, POLLOUT, 0};
            poll(&out, 1, -1);
        } else if (written < 0 && errno != EINTR) {
            break; /* nobody looks */
        } else if (written > 0) {
            done += written;
        }
    }
    return count > 0;
}

void relay_master(struct relay *relay, short events)
{
    if (events & POLLOUT)
        flush_pending(relay);
    /* POLLHUP without data: no process has the container's terminal open. It does not come back. */
    if (events & (POLLIN | POLLHUP) && !show(relay) && events & POLLHUP) {
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

void relay_end(struct relay *relay)
{
    while (relay->master >= 0 && show(relay))
        ;
    if (relay->raw)
        tcsetattr(0, TCSANOW, &relay->before);
}
