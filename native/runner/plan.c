/* Reading the plan. Nothing in it is trusted to be well-formed, though it comes from the library. */
#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Arguments and environment of a program are limited to a few MiB by execve(2). */
enum { LARGEST = 64 * 1024 * 1024, HEADER = 12 };

struct shape {
    uint8_t numbers, texts;
};

static const struct shape SHAPES[OP_LAST + 1] = {
    [OP_NAMESPACES] = {1, 0}, [OP_IDS] = {1, 2},        [OP_ROOT] = {2, 1},        [OP_FILESYSTEM] = {2, 4},
    [OP_BIND] = {5, 2},       [OP_DEVICE] = {6, 1},     [OP_LINK] = {0, 2},        [OP_HOSTNAME] = {0, 1},
    [OP_DOMAINNAME] = {0, 1}, [OP_SYSCTL] = {0, 2},     [OP_LIMIT] = {3, 0},       [OP_DIRECTORY] = {1, 1},
    [OP_USER] = {4, 0},       [OP_CAPABILITIES] = {5, 0}, [OP_SECCOMP] = {1, 1},   [OP_TERMINAL] = {2, 0},
    [OP_ARGUMENTS] = {0, 1},  [OP_JOIN] = {2, 0},       [OP_LIFELINE] = {1, 0},    [OP_OOM_SCORE] = {1, 0},
    [OP_CGROUP] = {1, 0},     [OP_FILE] = {5, 2},
};

static uint32_t word_at(const char *at)
{
    uint32_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* The length of the record at an offset, 0 where it is not whole. */
static size_t record_length(const struct plan *plan, size_t from)
{
    size_t left = plan->size - from, length = HEADER;
    uint32_t numbers, texts, index;

    if (left < HEADER)
        return 0;
    numbers = word_at(plan->bytes + from + 4);
    texts = word_at(plan->bytes + from + 8);
    if (numbers > (left - length) / 8)
        return 0;
    length += (size_t)numbers * 8;
    for (index = 0; index < texts; index++) {
        size_t text;

        if (left - length < 4)
            return 0;
        text = word_at(plan->bytes + from + length);
        length += 4;
        if (text >= left - length || plan->bytes[from + length + text] != 0)
            return 0;
        length += text + 1;
    }
    return length;
}

int plan_next(struct cursor *cursor, struct record *record)
{
    const struct plan *plan = cursor->plan;
    const char *at = plan->bytes + cursor->at;

    if (cursor->at >= plan->size)
        return 0;
    record->operation = word_at(at);
    record->numbers = word_at(at + 4);
    record->texts = word_at(at + 8);
    record->first_number = at + HEADER;
    record->first_text = record->first_number + (size_t)record->numbers * 8;
    cursor->at += record_length(plan, cursor->at);
    return 1;
}

/* What the kernel or the C library takes as a string must not hold a NUL: it would be cut there. */
static int texts_are_whole(const struct record *record)
{
    uint32_t index;
    size_t length;

    for (index = 0; index < record->texts; index++) {
        const char *text = record_bytes(record, index, &length);
        int binary = record->operation == OP_SECCOMP || (record->operation == OP_FILE && index == 1);
        if (!binary && strlen(text) != length)
            return 0;
    }
    return 1;
}

static int check(const struct plan *plan)
{
    struct cursor cursor = plan_start(plan);
    struct record record;

    while (cursor.at < plan->size) {
        if (record_length(plan, cursor.at) == 0)
            return -EBADMSG;
        plan_next(&cursor, &record);
        if (record.operation == 0 || record.operation > OP_LAST)
            return -EBADMSG;
        if (record.numbers < SHAPES[record.operation].numbers || record.texts < SHAPES[record.operation].texts)
            return -EBADMSG;
        if (!texts_are_whole(&record))
            return -EBADMSG;
    }
    return 0;
}

int plan_read(struct plan *plan, int fd)
{
    struct stat status;
    size_t done = 0;
    int error = 0;

    *plan = (struct plan){0};
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_size < (off_t)strlen(RUNNER_MAGIC) || status.st_size > LARGEST)
        return -EBADMSG;
    plan->size = (size_t)status.st_size;
    plan->bytes = malloc(plan->size);
    if (!plan->bytes)
        return -ENOMEM;
    while (done < plan->size && !error) {
        ssize_t count = pread(fd, plan->bytes + done, plan->size - done, (off_t)done);
        if (count > 0)
            done += (size_t)count;
        else if (count == 0)
            error = -EBADMSG;
        else if (errno != EINTR)
            error = -errno;
    }
    if (!error && memcmp(plan->bytes, RUNNER_MAGIC, strlen(RUNNER_MAGIC)) != 0)
        error = -EBADMSG;
    if (!error)
        error = check(plan);
    if (error)
        plan_free(plan);
    return error;
}

void plan_free(struct plan *plan)
{
    free(plan->bytes);
    *plan = (struct plan){0};
}

struct cursor plan_start(const struct plan *plan)
{
    return (struct cursor){plan, strlen(RUNNER_MAGIC)};
}

int plan_find(const struct plan *plan, uint32_t operation, struct record *record)
{
    struct cursor cursor = plan_start(plan);

    while (plan_next(&cursor, record))
        if (record->operation == operation)
            return 1;
    return 0;
}

int plan_has(const struct plan *plan, uint32_t operation)
{
    struct record record;

    return plan_find(plan, operation, &record);
}

int64_t record_number(const struct record *record, uint32_t index)
{
    int64_t number = 0;

    if (index < record->numbers)
        memcpy(&number, record->first_number + (size_t)index * 8, sizeof number);
    return number;
}

const char *record_bytes(const struct record *record, uint32_t index, size_t *length)
{
    const char *at = record->first_text;

    *length = 0;
    if (index >= record->texts)
        return "";
    while (index--)
        at += 4 + word_at(at) + 1;
    *length = word_at(at);
    return at + 4;
}

const char *record_text(const struct record *record, uint32_t index)
{
    size_t length;

    return record_bytes(record, index, &length);
}

char **record_vector(const struct record *record)
{
    char **vector = calloc((size_t)record->texts + 1, sizeof *vector);
    const char *at = record->first_text;
    uint32_t index;

    if (!vector)
        return NULL;
    for (index = 0; index < record->texts; index++) {
        vector[index] = (char *)(uintptr_t)(at + 4);
        at += 4 + word_at(at) + 1;
    }
    return vector;
}
