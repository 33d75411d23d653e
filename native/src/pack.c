/* Archives of files: ustar headers, behind a pax one for the fraction of a second, and what the files have in them. */
#include "root.h"

#include <sys/stat.h>

enum { BLOCK = 512, NAME = 100, CHECKSUM = 148, HEADERS = 3 * BLOCK, RECORD = 64 };

#define SECOND INT64_C(1000000000)

static void put_number(uint8_t *field, int digits, uint64_t number)
{
    field[digits] = 0;
    while (digits-- > 0) {
        field[digits] = (uint8_t)('0' + (number & 7));
        number >>= 3;
    }
}

/* One header block of a regular file, or of another type without a link and a device. */
static void put_block(uint8_t *block, const char *name, size_t name_size, char type, uint64_t mode, uint64_t uid, uint64_t gid,
                      uint64_t size, uint64_t seconds)
{
    unsigned sum = 0;

    memset(block, 0, BLOCK);
    memcpy(block, name, name_size);
    put_number(block + 100, 7, mode);
    put_number(block + 108, 7, uid);
    put_number(block + 116, 7, gid);
    put_number(block + 124, 11, size);
    put_number(block + 136, 11, seconds);
    memset(block + CHECKSUM, ' ', 8);
    block[156] = (uint8_t)type;
    memcpy(block + 257, "ustar\0" "00", 8);
    put_number(block + 329, 7, 0);
    put_number(block + 337, 7, 0);
    for (int i = 0; i < BLOCK; i++)
        sum += block[i];
    put_number(block + CHECKSUM, 6, sum);
}

/* "20 mtime=1.5\n": the length counts itself, and has two digits here whatever the time. */
static size_t put_time(uint8_t *data, int64_t seconds, int64_t nsec)
{
    char number[RECORD];
    int size = snprintf(number, sizeof number, "%lld.%09lld", (long long)seconds, (long long)nsec);

    while (number[size - 1] == '0')
        size--;
    int whole = snprintf((char *)data, RECORD, "%d mtime=%.*s\n", size + 10, size, number);
    return (size_t)whole;
}

/* Returns the size of what goes before the content. */
static size_t header(const struct ok_packer *packer, const struct ok_pack_member *member, uint8_t headers[HEADERS],
                     const uint8_t **from)
{
    const char *name = packer->text + member->name;
    size_t size = 0;

    if (member->flags & OK_PACK_HEADER) {
        *from = (const uint8_t *)name;
        return member->name_size;
    }
    if (member->nsec) {
        const char *pax = "PaxHeaders/entry";
        memset(headers + BLOCK, 0, BLOCK);
        size_t length = put_time(headers + BLOCK, member->seconds, member->nsec);
        put_block(headers, pax, strlen(pax), 'x', 0644, 0, 0, length, 0);
        size = 2 * BLOCK;
    }
    put_block(headers + size, name, member->name_size, '0', member->mode, member->uid, member->gid, (uint64_t)member->size,
              (uint64_t)member->seconds);
    *from = headers;
    return size + BLOCK;
}

static int check_same(int fd, const struct ok_pack_member *member)
{
    struct stat now;

    if (fstat(fd, &now))
        return -errno;
    if (!S_ISREG(now.st_mode) || now.st_size != member->size
        || now.st_mtim.tv_sec * SECOND + now.st_mtim.tv_nsec != member->mtime
        || now.st_ctim.tv_sec * SECOND + now.st_ctim.tv_nsec != member->ctime)
        return -ESTALE;
    return 0;
}

/* What took the place of a file is not waited for. */
static int open_source(struct ok_packer *packer, const struct ok_pack_member *member)
{
    uint64_t flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | (member->flags & OK_PACK_FOLLOW ? 0 : O_NOFOLLOW);
    int fd;

    do
        fd = open_below(packer->directory, packer->text + member->source, flags, 0, IN_ROOT);
    while (fd == -EINTR);
    if (fd < 0)
        return fd;
    packer->fd = fd;
    return check_same(fd, member);
}

static int64_t read_source(struct ok_packer *packer, const struct ok_pack_member *member, uint8_t *buffer, size_t room,
                           uint64_t at)
{
    size_t wanted = (uint64_t)member->size - at < room ? (size_t)((uint64_t)member->size - at) : room;

    for (size_t done = 0; done < wanted;) {
        ssize_t got = pread(packer->fd, buffer + done, wanted - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ESTALE;
        done += (size_t)got;
    }
    return (int64_t)wanted;
}

/* Make more of the member that is next; ends it where there is room for all of it. */
static int64_t advance(struct ok_packer *packer, uint8_t *buffer, size_t room)
{
    const struct ok_pack_member *member = packer->members + packer->index;
    bool filled = member->flags & OK_PACK_SOURCE;
    uint64_t content = filled ? (uint64_t)member->size : 0, padded = (content + BLOCK - 1) / BLOCK * BLOCK, at;
    uint8_t headers[HEADERS];
    const uint8_t *from;
    size_t size = header(packer, member, headers, &from), done = 0;
    int64_t result;

    if (filled && packer->fd < 0) {
        result = open_source(packer, member);
        if (result < 0)
            return result;
    }
    if (packer->offset < size) {
        done = size - packer->offset < room ? size - packer->offset : room;
        memcpy(buffer, from + packer->offset, done);
    }
    at = packer->offset + done - size;
    if (packer->offset + done >= size && at < content && done < room) {
        result = read_source(packer, member, buffer + done, room - done, at);
        if (result < 0)
            return result;
        done += (size_t)result;
        at += (uint64_t)result;
    }
    if (packer->offset + done >= size + content && done < room) {
        size_t rest = (size_t)(padded - at) < room - done ? (size_t)(padded - at) : room - done;
        memset(buffer + done, 0, rest);
        done += rest;
    }
    packer->offset += done;
    if (packer->offset < size + padded)
        return (int64_t)done;
    result = filled ? check_same(packer->fd, member) : 0;
    ok_pack_close(packer);
    if (result < 0)
        return result;
    packer->offset = 0;
    packer->index++;
    return (int64_t)done;
}

int64_t ok_pack(struct ok_packer *packer, uint8_t *buffer, size_t room)
{
    size_t done = 0;

    while (packer->index < packer->count && done < room) {
        int64_t result = advance(packer, buffer + done, room - done);
        if (result < 0) {
            ok_pack_close(packer);
            return result;
        }
        done += (size_t)result;
    }
    return (int64_t)done;
}

void ok_pack_close(struct ok_packer *packer)
{
    if (packer->fd >= 0)
        close(packer->fd);
    packer->fd = -1;
}
