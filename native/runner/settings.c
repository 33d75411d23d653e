/* Names, limits and the loopback interface: what a container has besides files and privileges. */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int start_loopback(struct job *job)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;

    /* A kernel without IPv4 has a loopback interface nevertheless. */
    if (fd < 0)
        fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return note(job, STEP_LOOPBACK, -errno, "lo");
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        error = note(job, STEP_LOOPBACK, -errno, "lo");
    close(fd);
    return error;
}

static int set_limit(struct job *job, const struct record *record)
{
    struct rlimit limit = {(rlim_t)record_number(record, 1), (rlim_t)record_number(record, 2)};
    char name[12];

    if (setrlimit((__rlimit_resource_t)record_number(record, 0), &limit) == 0)
        return 0;
    append_number(name, (unsigned)record_number(record, 0));
    return note(job, STEP_LIMIT, -errno, name);
}

static int set_oom_score(struct job *job, const struct record *record)
{
    char text[16], *at = text;
    int64_t score = record_number(record, 0);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC), error = 0;

    if (fd < 0)
        return note(job, STEP_OOM_SCORE, -errno, NULL);
    if (score < 0)
        *at++ = '-';
    at = append_number(at, (unsigned)(score < 0 ? -score : score));
    if (write(fd, text, (size_t)(at - text)) < 0)
        error = note(job, STEP_OOM_SCORE, -errno, NULL);
    close(fd);
    return error;
}

static int apply_one(struct job *job, const struct record *record)
{
    const char *text = record_text(record, 0);

    switch (record->operation) {
    case OP_HOSTNAME:
        return sethostname(text, strlen(text)) < 0 ? note(job, STEP_NAME, -errno, text) : 0;
    case OP_DOMAINNAME:
        return setdomainname(text, strlen(text)) < 0 ? note(job, STEP_NAME, -errno, text) : 0;
    case OP_LIMIT:
        return set_limit(job, record);
    case OP_OOM_SCORE:
        return set_oom_score(job, record);
    case OP_LOOPBACK:
        return start_loopback(job);
    default:
        return 0;
    }
}

int apply_settings(struct job *job)
{
    struct cursor cursor = plan_start(job->plan);
    struct record record;
    int error = 0;

    /* The keys of the caller's session are nobody's business here. Where there are no keyrings, or no more of them, there is
     * nothing to see either: an old session keyring is not usable from another user namespace. */
    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
    while (!error && plan_next(&cursor, &record))
        error = apply_one(job, &record);
    return error;
}
