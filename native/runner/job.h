/* What the parts of the runner share: the plan, the way to report, and what each part does. */
#ifndef RUNNER_JOB_H
#define RUNNER_JOB_H

#include <sys/types.h>
#include <termios.h>

#include "plan.h"

struct job {
    const struct plan *plan;
    int sync;   /* of the container's process: to its supervisor */
    int root;   /* the root's mount, while it is being put together */
    int masks;  /* an empty read-only directory that covers others, -1 before the first */
    int *files; /* mounts of the plan's files, in their order */
    int memory; /* the mount that those are clones of, -1 where there are none */
    struct message failure;
};

/* Every function returns 0 or more, or -errno after it has noted in job->failure what failed. */
int note(struct job *job, enum step step, int error, const char *path);
int send_message(int socket, const struct message *message, int descriptor);
/* 1 and a message, with a descriptor or -1; 0 where the other end is closed; -EAGAIN where nothing waits. */
int receive_message(int socket, struct message *message, int *descriptor);

/* place.c: paths inside the root. No symbolic link leads out; without follow, none is followed at all. */
int place_open(int root, const char *path, int follow);
/* The same, and what is missing is made: directories, and at the end a directory or an empty file. */
int place_make(int root, const char *path, int follow, int directory);
/* The directory that holds the last component of a path, made where missing, and that component. */
int place_parent(int root, const char *path, const char **name);
/* Whether a descriptor is on a file system of this kind (statfs(2)). */
int place_is_on(int fd, long magic);

/* mounts.c, devices.c: the file system of the container, from the records in their order. */
int mount_root(struct job *job);
int mount_filesystem(struct job *job, const struct record *record);
int mount_bind(struct job *job, const struct record *record);
int bind_over(struct job *job, const char *source, int target, const char *target_path);
int attach_tree(struct job *job, int tree, int target, const char *target_path);
int set_attributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation, int recursive);
int clone_mount(int directory, const char *path, int recursive);
/* A mount of a directory or file that can be attached, of a descriptor of it. */
int take_mount(int fd, int recursive);
/* Whether the supervisor has put such mounts in the place of the plan's descriptors. */
int mounts_are_taken(const struct plan *plan);
int open_target(struct job *job, const char *path, int how, int directory);
int new_filesystem(struct job *job, const struct record *record, const char *type);
int pivot(struct job *job);
int make_device(struct job *job, const struct record *record);
int make_link(struct job *job, const struct record *record);
int mask_paths(struct job *job, const struct record *record);
int make_readonly(struct job *job, const struct record *record);
int set_sysctl(struct job *job, const struct record *record);
/* files.c: files that are only in the plan; they are made before the root is attached, and bound after it. */
int make_files(struct job *job);
int leave_files(struct job *job);
int bind_file(struct job *job, const struct record *record, int index);

/* number.c */
char *append_number(char *at, unsigned number);
/* "/proc/self/fd/N", for which name has room. */
enum { FD_NAME = 32 };
void name_descriptor(char name[FD_NAME], int fd);

/* settings.c: what needs no file system of the container. */
int apply_settings(struct job *job);

/* terminal.c */
int open_terminal(struct job *job);
int control_terminal(struct job *job);

/* privileges.c */
int take_user(struct job *job);
int drop_privileges(struct job *job);

/* program.c: does not return but after a failure. */
int run_program(struct job *job);

/* container.c: the first process of a container, or one that joins it. Returns the exit code of that process. */
int container_main(const struct plan *plan, int sync);

/* relay.c: what is typed goes into the container's terminal, and what is shown comes out of it. */
struct relay {
    int master;            /* -1 where there is no terminal */
    int output;            /* where it is shown; does not block */
    int raw;               /* the terminal of the library's process has been changed */
    int input_ended;
    struct termios before;
    char typed[4096];      /* and not taken yet */
    size_t typed_from, typed_to;
    char shown[16384];     /* or to be */
    size_t shown_from, shown_to;
};
/* Which descriptor is waited for, and for what; -1 for none. */
struct relay_wish {
    int fd;
    short events;
};
void relay_start(struct relay *relay, int master);
struct relay_wish relay_wants_input(const struct relay *relay);
struct relay_wish relay_wants_output(const struct relay *relay);
struct relay_wish relay_wants_master(const struct relay *relay);
void relay_input(struct relay *relay);
void relay_output(struct relay *relay);
void relay_master(struct relay *relay, short events);
void relay_resize(const struct relay *relay);
/* Shows what is left, as long as nobody is heard of at one of the two descriptors, and gives the terminal back as it was. */
void relay_end(struct relay *relay, int status, int lifeline);

/* interest.c: sends a signal to a process; 0 where it does not care for it, and the kernel would drop it. */
int deliver(pid_t pid, int pidfd, int number);

/* supervise.c: the process that waits for it. Returns the exit code of the runner. */
int supervise(const struct plan *plan);

#endif
