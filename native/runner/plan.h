/* The plan, checked once and then read in place. */
#ifndef RUNNER_PLAN_H
#define RUNNER_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

struct record {
    uint32_t operation;
    uint32_t numbers, texts;
    const char *first_number, *first_text;
};

struct plan {
    char *bytes;
    size_t size;
};

struct cursor {
    const struct plan *plan;
    size_t at;
};

/* Reads and checks a plan: after it every record is whole, known, and has what its operation needs. -EBADMSG where not. */
int plan_read(struct plan *plan, int fd);
void plan_free(struct plan *plan);

struct cursor plan_start(const struct plan *plan);
/* 1 and the next record, or 0 at the end. */
int plan_next(struct cursor *cursor, struct record *record);
/* 1 and the first record of an operation, or 0 where there is none. */
int plan_find(const struct plan *plan, uint32_t operation, struct record *record);
int plan_has(const struct plan *plan, uint32_t operation);

/* A number that the record has, else 0. */
int64_t record_number(const struct record *record, uint32_t index);
/* A text that the record has, else "". */
const char *record_text(const struct record *record, uint32_t index);
/* The same with its length, for what is not text. */
const char *record_bytes(const struct record *record, uint32_t index, size_t *length);
/* The texts as execve(2) wants them, NULL where there is no memory; the caller frees the array. */
char **record_vector(const struct record *record);

#endif
