#include "tar.h"

#include <errno.h>
#include <string.h>

enum { BLOCK = 512 };

/* Where the fields of a header are: POSIX ustar, and GNU's. */
enum {
    NAME = 0, MODE = 100, UID = 108, GID = 116, SIZE = 124, MTIME = 136, CHECKSUM = 148, TYPE = 156, LINK = 157,
    MAGIC = 257, MAJOR = 329, MINOR = 337, PREFIX = 345, GNU_EXTENDED = 482,
};

/* Beyond any file there is, and still far from where sums overflow. */
#define LARGEST (INT64_MAX / 4)
#define NOBODY_AT_ALL 4294967295LL

static int is_zero(const uint8_t *block)
{
    uint64_t words[BLOCK / sizeof(uint64_t)], all = 0;
    memcpy(words, block, BLOCK);
    for (size_t i = 0; i < BLOCK / sizeof(uint64_t); i++)
        all |= words[i];
    return all == 0;
}

static int has_good_checksum(const uint8_t *block)
{
    int64_t told;
    uint32_t sum = 8 * ' ';
    int32_t with_signs = 8 * ' ';
    if (tar_number(block + CHECKSUM, 8, &told))
        return 0;
    for (int i = 0; i < BLOCK; i++) {
        if (i >= CHECKSUM && i < CHECKSUM + 8)
            continue;
        sum += block[i];
        with_signs += (int8_t)block[i]; /* some old writers took char for signed */
    }
    return told == (int64_t)sum || told == (int64_t)with_signs;
}

static uint64_t padded(uint64_t size)
{
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static int give_name(struct ok_tar_batch *batch, const void *text, size_t size, const char *before, size_t before_size,
                     uint64_t *at, uint64_t *length)
{
    size_t all = size + (before_size ? before_size + 1 : 0);
    if (all + 1 > batch->names_room - batch->names_size)
        return -1;
    char *out = batch->names + batch->names_size;
    *at = batch->names_size;
    *length = all;
    if (before_size) {
        memcpy(out, before, before_size);
        out[before_size] = '/';
        out += before_size + 1;
    }
    memcpy(out, text, size);
    out[size] = '\0';
    batch->names_size += all + 1;
    return 0;
}

/* A path of plain components, none of them a whiteout's: nothing to resolve, nothing to decide. */
static void find_simple(struct ok_tar_batch *batch, struct ok_tar_entry *entry)
{
    const char *path = batch->names + entry->path;
    size_t size = entry->path_size, start = 0, component = 0;
    if (size > 2 && path[0] == '.' && path[1] == '/')
        start = component = 2;
    if (start == size || size > batch->name_limit)
        return;
    for (size_t i = start; i <= size; i++) {
        if (i < size && path[i] != '/')
            continue;
        size_t length = i - component;
        const char *name = path + component;
        if (length == 0 || length > 255 || (length == 1 && name[0] == '.') ||
            (length == 2 && name[0] == '.' && name[1] == '.') || (length >= 4 && memcmp(name, ".wh.", 4) == 0))
            return;
        if (i < size)
            component = i + 1;
    }
    entry->path += start;
    entry->path_size -= start;
    entry->directory_size = component > start ? component - start - 1 : 0;
    entry->flags |= OK_TAR_SIMPLE;
}

static void find_runs(struct ok_tar_batch *batch)
{
    for (size_t i = batch->count; i-- > 0;) {
        struct ok_tar_entry *entry = &batch->entries[i], *next = entry + 1;
        if (!(entry->flags & OK_TAR_SIMPLE))
            continue;
        entry->run = 1;
        if (i + 1 < batch->count && (next->flags & OK_TAR_SIMPLE) && next->directory_size == entry->directory_size &&
            memcmp(batch->names + entry->path, batch->names + next->path, entry->directory_size) == 0)
            entry->run = next->run + 1;
    }
}

static int fault(struct ok_tar_batch *batch, int kind, uint64_t at)
{
    batch->fault = kind;
    batch->fault_at = at;
    return -EBADMSG;
}

static int attributes(const uint8_t *block, const struct tar_extra *extra, struct ok_tar_entry *entry)
{
    int64_t mode, major = 0, minor = 0;
    int device = entry->type == '3' || entry->type == '4';
    if (tar_number(block + MODE, 8, &mode) || tar_number(block + UID, 8, &entry->uid) ||
        tar_number(block + GID, 8, &entry->gid) || tar_number(block + SIZE, 12, &entry->size) ||
        tar_number(block + MTIME, 12, &entry->seconds))
        return -1;
    if (device && (tar_number(block + MAJOR, 8, &major) || tar_number(block + MINOR, 8, &minor)))
        return -1;
    if (extra->has & TAR_HAS_SIZE)
        entry->size = extra->size;
    if (extra->has & TAR_HAS_UID)
        entry->uid = extra->uid;
    if (extra->has & TAR_HAS_GID)
        entry->gid = extra->gid;
    if (extra->has & TAR_HAS_TIME)
        entry->seconds = extra->seconds, entry->nsec = extra->nsec;
    if (mode < 0 || entry->size < 0 || entry->size > LARGEST || entry->uid < 0 || entry->uid >= NOBODY_AT_ALL ||
        entry->gid < 0 || entry->gid >= NOBODY_AT_ALL || major < 0 || major > UINT32_MAX || minor < 0 || minor > UINT32_MAX ||
        entry->seconds >= INT64_MAX / 1000000000 || entry->seconds <= -(INT64_MAX / 1000000000))
        return -1;
    entry->mode = (uint32_t)(mode & 07777);
    entry->major = (uint32_t)major;
    entry->minor = (uint32_t)minor;
    return 0;
}

/* Returns 1 where there is no room for its names. */
static int names(struct ok_tar_batch *batch, const uint8_t *block, const struct tar_extra *extra, struct ok_tar_entry *entry)
{
    const char *link = (const char *)block + LINK;
    size_t link_size = strnlen(link, 100), prefix_size = 0;
    const char *path = (const char *)block + NAME, *prefix = (const char *)block + PREFIX;
    size_t path_size = strnlen(path, 100);
    if (extra->has & TAR_HAS_PATH)
        path = extra->path, path_size = extra->path_size;
    else if (memcmp(block + MAGIC, "ustar\0", 6) == 0)
        prefix_size = strnlen(prefix, 155);
    if (extra->has & TAR_HAS_LINK)
        link = extra->link, link_size = extra->link_size;
    if (give_name(batch, path, path_size, prefix, prefix_size, &entry->path, &entry->path_size) ||
        give_name(batch, link, link_size, NULL, 0, &entry->link, &entry->link_size))
        return 1;
    return 0;
}

static int has_content(uint32_t type)
{
    /* POSIX: links, devices, directories and FIFOs have none, whatever their size says; what is unknown is a file. */
    return !(type >= '1' && type <= '6');
}

/* Take one member. Returns 1 for one, 0 where more of the archive is needed, 2 without room, or -EBADMSG. */
static int member(const uint8_t *buffer, size_t size, struct ok_tar_batch *batch)
{
    struct tar_extra extra = {.pax = UINT64_MAX};
    uint64_t start = batch->consumed, at = start;
    for (;;) {
        if (at - start > batch->header_limit)
            return fault(batch, OK_TAR_FAULT_LONG, start);
        if (size - at < BLOCK)
            return 0;
        const uint8_t *block = buffer + at;
        if (is_zero(block)) {
            if (at != start)
                return fault(batch, OK_TAR_FAULT_LONE, at);
            return 3;
        }
        if (!has_good_checksum(block))
            return fault(batch, OK_TAR_FAULT_CHECKSUM, at);
        uint8_t type = block[TYPE] ? block[TYPE] : '0';
        if (type == 'x' || type == 'L' || type == 'K' || (type == 'X' && memcmp(block + MAGIC, "ustar", 5) == 0)) {
            int64_t length;
            if (tar_number(block + SIZE, 12, &length) || length < 0)
                return fault(batch, OK_TAR_FAULT_NUMBER, at);
            if ((uint64_t)length > batch->header_limit)
                return fault(batch, OK_TAR_FAULT_LONG, at);
            if (padded((uint64_t)length) > size - at - BLOCK)
                return 0;
            const char *text = (const char *)block + BLOCK;
            if (type == 'L')
                extra.path = text, extra.path_size = strnlen(text, (size_t)length), extra.has |= TAR_HAS_PATH;
            else if (type == 'K')
                extra.link = text, extra.link_size = strnlen(text, (size_t)length), extra.has |= TAR_HAS_LINK;
            else {
                int bad = tar_pax(block + BLOCK, (size_t)length, &extra);
                if (bad)
                    return fault(batch, bad, at);
                extra.pax = at + BLOCK;
                extra.pax_size = (uint64_t)length;
            }
            at += BLOCK + padded((uint64_t)length);
            continue;
        }
        struct ok_tar_entry *entry = &batch->entries[batch->count];
        memset(entry, 0, sizeof *entry);
        entry->type = type;
        entry->header = at;
        size_t kept = batch->names_size;
        if (names(batch, block, &extra, entry)) {
            batch->names_size = kept;
            return batch->count ? 2 : fault(batch, OK_TAR_FAULT_LONG, start);
        }
        if (entry->path_size == 0 && type != 'g')
            return fault(batch, OK_TAR_FAULT_NAME, at);
        if (attributes(block, &extra, entry))
            return fault(batch, OK_TAR_FAULT_NUMBER, at);
        at += BLOCK;
        if (type == 'S') {
            /* The rest of GNU's map of a sparse file stands between header and content. */
            int more = block[GNU_EXTENDED];
            while (more) {
                if (at - start > batch->header_limit)
                    return fault(batch, OK_TAR_FAULT_LONG, start);
                if (size - at < BLOCK)
                    return batch->names_size = kept, 0;
                more = buffer[at + 504];
                at += BLOCK;
            }
        }
        /* A directory of the oldest kind is a file whose name ends with a slash. */
        if (entry->type == '0' && batch->names[entry->path + entry->path_size - 1] == '/')
            entry->type = '5';
        if (!has_content(entry->type))
            entry->size = 0;
        entry->data = at;
        if (extra.pax != UINT64_MAX && (extra.complex || batch->all_complex))
            entry->flags |= OK_TAR_COMPLEX, entry->pax = extra.pax, entry->pax_size = extra.pax_size;
        if (type == 'g')
            entry->flags |= OK_TAR_COMPLEX;
        batch->count++;
        if (padded((uint64_t)entry->size) > size - at) {
            entry->flags |= OK_TAR_PARTIAL;
            batch->consumed = at;
            return 2;
        }
        if ((entry->type == '0' || entry->type == '7') && !(entry->flags & OK_TAR_COMPLEX) && !batch->all_complex)
            find_simple(batch, entry);
        batch->consumed = at + padded((uint64_t)entry->size);
        /* A global header changes how the next members are read. */
        return type == 'g' ? 2 : 1;
    }
}

int ok_tar_scan(const uint8_t *buffer, size_t size, int last, struct ok_tar_batch *batch)
{
    batch->count = 0;
    batch->names_size = 0;
    batch->consumed = 0;
    batch->ended = 0;
    batch->fault = 0;
    while (batch->count < batch->room) {
        int result = member(buffer, size, batch);
        if (result < 0)
            return result;
        if (result == 3) {
            size_t left = size - batch->consumed;
            if (left >= 2 * BLOCK && !is_zero(buffer + batch->consumed + BLOCK))
                return fault(batch, OK_TAR_FAULT_ZERO, batch->consumed);
            if (left >= 2 * BLOCK || last)
                batch->ended = 1;
            break;
        }
        if (result != 1)
            break;
    }
    find_runs(batch);
    return 0;
}
