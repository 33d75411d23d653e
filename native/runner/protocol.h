/*
 * What the library and the runner say to each other. overlaykit/runtime/_own_protocol.py states the same numbers; a test compares
 * the two.
 *
 * The plan is one file that the runner inherits as descriptor RUNNER_PLAN:
 *
 *     8 bytes   RUNNER_MAGIC
 *     records   u32 operation, u32 count of numbers, u32 count of texts,
 *               each number as i64, each text as u32 length, the bytes and a NUL
 *
 * in the machine's own byte order and without padding. Settings may stand anywhere; what changes the file system is done in the
 * order of the records.
 *
 * Descriptor RUNNER_STATUS is one end of a pair of SOCK_SEQPACKET sockets. The runner sends struct message; the library sends
 * single bytes, each the number of a signal for the container's first process. When the library closes its end, the
 * container is killed.
 */
#ifndef RUNNER_PROTOCOL_H
#define RUNNER_PROTOCOL_H

#include <stdint.h>

#define RUNNER_MAGIC "OKPLAN1\n"

enum { RUNNER_PLAN = 3, RUNNER_STATUS = 4 };

/* Numbers, then texts; "..." where any count will do. */
enum operation {
    OP_NAMESPACES = 1,  /* CLONE_NEW* flags */
    OP_IDS = 2,         /* whether setgroups(2) is given up; the contents of uid_map and gid_map */
    OP_ROOT = 3,        /* descriptor or -1, HOW_*; the path where there is no descriptor */
    OP_FILESYSTEM = 4,  /* MOUNT_ATTR_*, HOW_*; type, target, source, path to bind where it may not be mounted or "", options ... */
    OP_BIND = 5,        /* descriptor or -1, MOUNT_ATTR_* to set, to clear, HOW_*, propagation; source, target */
    OP_DEVICE = 6,      /* mode with type, major, minor, uid, gid, whether to bind the host's; path */
    OP_LINK = 7,        /* -; what the link says, path */
    OP_MASK = 8,        /* -; paths ... */
    OP_READONLY = 9,    /* -; paths ... */
    OP_HOSTNAME = 10,   /* -; name */
    OP_DOMAINNAME = 11, /* -; name */
    OP_SYSCTL = 12,     /* -; path below /proc/sys, value */
    OP_LIMIT = 13,      /* resource, soft, hard */
    OP_DIRECTORY = 14,  /* whether to make it; path */
    OP_USER = 15,       /* uid, gid, umask or -1, whether to set the groups, groups ... */
    OP_CAPABILITIES = 16, /* bounding, effective, permitted, inheritable, ambient */
    OP_NO_NEW_PRIVILEGES = 17,
    OP_SECCOMP = 18,    /* SECCOMP_FILTER_FLAG_*; the program */
    OP_CGROUP = 19,     /* directory of the group of version 2 to be born in, or -1; descriptors of cgroup.procs ... */
    OP_TERMINAL = 20,   /* rows, columns; 0 for those of the terminal that is standard input */
    OP_INIT = 21,
    OP_ARGUMENTS = 22,  /* -; words ... */
    OP_ENVIRONMENT = 23, /* -; NAME=VALUE ... */
    OP_JOIN = 24,       /* pidfd, CLONE_NEW* flags */
    OP_LIFELINE = 25,   /* pidfd of the process whose end ends the container */
    OP_OOM_SCORE = 26,  /* oom_score_adj */
    OP_LOOPBACK = 27,
    OP_FILE = 28,       /* mode, uid, gid, MOUNT_ATTR_*, HOW_*; target, content */
    OP_LAST = OP_FILE,
};

enum {
    HOW_RECURSIVE = 1,   /* with what is mounted below */
    HOW_ALL_READONLY = 2, /* the attributes hold below too */
    HOW_FOLLOW = 4,      /* symbolic links in the target are followed, inside the root */
    HOW_READONLY = 8,   /* of the root: read-only once all is mounted */
    HOW_NODEV = 32,      /* of the root: no device file in it can be opened */
    HOW_OPTIONAL = 16,   /* where the kernel does not know the file system, do without */
};

enum message_kind {
    MESSAGE_CHILD = 1,    /* value: the process id of the first process, with a pidfd of it as SCM_RIGHTS */
    MESSAGE_FAILED = 2,   /* step, error, path; nothing has been run */
    MESSAGE_RUNNING = 3,
    MESSAGE_ENDED = 4,    /* value: the status as wait(2) gives it */
    MESSAGE_TERMINAL = 5, /* between the runner's own processes: the terminal's master as SCM_RIGHTS */
};

struct message {
    uint32_t kind;
    int32_t step;
    int32_t error;
    int32_t value;
    char path[240];
};

enum step {
    STEP_NONE,
    STEP_PLAN,        /* error: EBADMSG, ENOMEM ... */
    STEP_CLONE,
    STEP_USER_MAP,
    STEP_CGROUP,
    STEP_CGROUP_NAMESPACE,
    STEP_JOIN,
    STEP_NAME,
    STEP_LOOPBACK,
    STEP_LIMIT,
    STEP_OOM_SCORE,
    STEP_PROPAGATION,
    STEP_ROOT,
    STEP_TARGET,      /* a mount's target inside the root */
    STEP_SOURCE,      /* what is to be bound */
    STEP_FILESYSTEM,  /* a new file system; path is its type and target */
    STEP_OPTION,      /* of a new file system; path is the option */
    STEP_ATTACH,
    STEP_ATTRIBUTES,
    STEP_DEVICE,
    STEP_LINK,
    STEP_MASK,
    STEP_READONLY,
    STEP_SYSCTL,
    STEP_FILE,
    STEP_PIVOT,
    STEP_DIRECTORY,
    STEP_TERMINAL,
    STEP_GROUPS,
    STEP_USER,
    STEP_CAPABILITIES,
    STEP_SECCOMP,
    STEP_EXEC,        /* EACCES, ENOENT, ENOEXEC ... of the program itself */
    STEP_LAST = STEP_EXEC,
};

#endif
