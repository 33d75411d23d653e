/* Saying what happened. The texts are the library's business. */
#include "job.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int note(struct job *job, enum step step, int error, const char *path)
{
    struct message *failure = &job->failure;

    *failure = (struct message){.kind = MESSAGE_FAILED, .step = step, .error = -error};
    if (path) {
        size_t length = strlen(path);
        if (length >= sizeof failure->path)
            length = sizeof failure->path - 1;
        memcpy(failure->path, path, length);
    }
    return error;
}

int send_message(int socket, const struct message *message, int descriptor)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct message copy = *message;
    struct iovec part = {&copy, sizeof copy};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    if (descriptor >= 0) {
        struct cmsghdr *entry;

        header.msg_control = control.bytes;
        header.msg_controllen = sizeof control.bytes;
        entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(entry), &descriptor, sizeof descriptor);
    }
    while (sendmsg(socket, &header, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int receive_message(int socket, struct message *message, int *descriptor)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = {message, sizeof *message};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *entry;
    ssize_t count;

    *descriptor = -1;
    do
        count = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return errno == EAGAIN ? -EAGAIN : 0;
    entry = CMSG_FIRSTHDR(&header);
    if (entry && entry->cmsg_level == SOL_SOCKET && entry->cmsg_type == SCM_RIGHTS)
        memcpy(descriptor, CMSG_DATA(entry), sizeof *descriptor);
    return count == (ssize_t)sizeof *message;
}
