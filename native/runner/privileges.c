/* User, groups, capabilities, seccomp: what a process of a container may do. */
#include "job.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAST_CAPABILITY = 63 };

static int install_filter(struct job *job, const struct record *record)
{
    size_t length;
    const char *bytes = record_bytes(record, 0, &length);
    struct sock_fprog program;
    int error = 0;

    if (length == 0 || length % sizeof(struct sock_filter) || length / sizeof(struct sock_filter) > BPF_MAXINSNS)
        return note(job, STEP_SECCOMP, -EBADMSG, NULL);
    program.len = (unsigned short)(length / sizeof(struct sock_filter));
    program.filter = malloc(length); /* in the plan it is not aligned */
    if (!program.filter)
        return note(job, STEP_SECCOMP, -ENOMEM, NULL);
    memcpy(program.filter, bytes, length);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)record_number(record, 0), &program) < 0)
        error = note(job, STEP_SECCOMP, -errno, NULL);
    free(program.filter);
    return error;
}

static int set_bounds(struct job *job, uint64_t bounding)
{
    int capability;

    for (capability = 0; capability <= LAST_CAPABILITY; capability++) {
        if (bounding >> capability & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            if (errno == EINVAL) /* the kernel has no more */
                break;
            return note(job, STEP_CAPABILITIES, -errno, "bounding");
        }
    }
    return 0;
}

static int set_capabilities(struct job *job, const struct record *record)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    uint64_t effective = (uint64_t)record_number(record, 1), permitted = (uint64_t)record_number(record, 2);
    uint64_t inheritable = (uint64_t)record_number(record, 3), ambient = (uint64_t)record_number(record, 4);
    int half, capability;

    for (half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(effective >> 32 * half);
        data[half].permitted = (uint32_t)(permitted >> 32 * half);
        data[half].inheritable = (uint32_t)(inheritable >> 32 * half);
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return note(job, STEP_CAPABILITIES, -errno, "effective");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return note(job, STEP_CAPABILITIES, -errno, "ambient");
    for (capability = 0; capability <= LAST_CAPABILITY; capability++)
        if (ambient >> capability & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
            return note(job, STEP_CAPABILITIES, -errno, "ambient");
    return 0;
}

static int set_groups(struct job *job, const struct record *record)
{
    uint32_t count = record->numbers - 4, index;
    gid_t *groups;
    int error = 0;

    if (!record_number(record, 3))
        return 0;
    groups = calloc((size_t)count + 1, sizeof *groups);
    if (!groups)
        return note(job, STEP_GROUPS, -ENOMEM, NULL);
    for (index = 0; index < count; index++)
        groups[index] = (gid_t)record_number(record, 4 + index);
    if (setgroups(count, groups) < 0)
        error = note(job, STEP_GROUPS, -errno, NULL);
    free(groups);
    return error;
}

/* A program of another user could not open /dev/stdout and the like where they are pipes of this one. Files and terminals of the
 * host keep their owners. */
static void give_pipes(uid_t uid)
{
    struct stat status;
    int fd;

    for (fd = 0; fd < 3; fd++)
        if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) && status.st_uid != uid)
            if (fchown(fd, uid, (gid_t)-1) < 0)
                continue; /* the pipe of somebody else: what is open stays usable */
}

int take_user(struct job *job)
{
    struct record record;
    uid_t uid;
    gid_t gid;
    int error;

    if (!plan_find(job->plan, OP_USER, &record))
        return 0;
    uid = (uid_t)record_number(&record, 0);
    gid = (gid_t)record_number(&record, 1);
    give_pipes(uid);
    error = set_groups(job, &record);
    if (error)
        return error;
    if (setresgid(gid, gid, gid) < 0)
        return note(job, STEP_USER, -errno, "group");
    if (setresuid(uid, uid, uid) < 0)
        return note(job, STEP_USER, -errno, "user");
    return 0;
}

int drop_privileges(struct job *job)
{
    int restricted = plan_has(job->plan, OP_NO_NEW_PRIVILEGES), error = 0;
    struct record capabilities, filter;
    int limited = plan_find(job->plan, OP_CAPABILITIES, &capabilities);
    int filtered = plan_find(job->plan, OP_SECCOMP, &filter);

    /* seccomp(2): without no_new_privs a filter needs CAP_SYS_ADMIN, which goes below; with it the filter comes as late as can
     * be, so that it need not allow what is done here. */
    if (filtered && !restricted)
        error = install_filter(job, &filter);
    if (!error && limited)
        error = set_bounds(job, (uint64_t)record_number(&capabilities, 0));
    if (!error && limited && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        error = note(job, STEP_CAPABILITIES, -errno, "keep");
    if (!error)
        error = take_user(job);
    if (!error && limited)
        error = set_capabilities(job, &capabilities);
    if (!error && restricted && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        error = note(job, STEP_CAPABILITIES, -errno, "no_new_privs");
    if (!error && filtered && restricted)
        error = install_filter(job, &filter);
    return error;
}
