/*
 * overlaykit's container runner. The library starts it with a plan; see protocol.h for what they say to each other. All that is
 * decided about a container is decided there; this program does it.
 */
#include "job.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char BY_HAND[] = "overlaykit's runner is started by the library: use `overlaykit run`\n";

int main(void)
{
    struct job job = {0};
    struct plan plan;
    int kind = 0, error, code;
    socklen_t length = sizeof kind;

    if (getsockopt(RUNNER_STATUS, SOL_SOCKET, SO_TYPE, &kind, &length) < 0 || kind != SOCK_SEQPACKET) {
        if (write(2, BY_HAND, sizeof BY_HAND - 1) < 0)
            return 125;
        return 125;
    }
    /* What is typed at the library's terminal is for the library, which passes on what is for the container. */
    setsid();
    prctl(PR_SET_NAME, "overlaykit-run"); /* executed by a descriptor, it would be called by its number */
    /* Nothing that the library's process has open reaches a container by accident. */
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        error = note(&job, STEP_PLAN, -errno, "close_range");
    else {
        error = plan_read(&plan, RUNNER_PLAN);
        if (error)
            note(&job, STEP_PLAN, error, NULL);
    }
    if (error) {
        send_message(RUNNER_STATUS, &job.failure, -1);
        return 125;
    }
    code = supervise(&plan);
    plan_free(&plan);
    return code;
}
