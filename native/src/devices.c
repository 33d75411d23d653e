/*
 * Guarding devices by a program, as control groups of the second version have it (cgroup-v2.rst, "Device controller"): the kernel runs it
 * whenever a process of the group opens or makes a device file. It goes with the group.
 */
#include "overlaykit.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 1000, PER_RULE = 8, AROUND = 8 };
enum { CONTEXT = 1, TYPE, ACCESS, MAJOR, MINOR, SCRATCH }; /* registers */

struct program {
    struct bpf_insn *code;
    int length;
};

static void add(struct program *program, int code, int destination, int source, int offset, int constant)
{
    program->code[program->length++] = (struct bpf_insn){
        .code = (__u8)code,
        .dst_reg = (__u8)destination & 0xf,
        .src_reg = (__u8)source & 0xf,
        .off = (__s16)offset,
        .imm = constant,
    };
}

static void answer(struct program *program, int value)
{
    add(program, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, value);
    add(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Jumps over what is left of a rule, of which so many tests of a register follow. */
static void unless_equal(struct program *program, int source, int constant, int end)
{
    add(program, BPF_JMP | BPF_JNE | BPF_K, source, 0, end - program->length - 1, constant);
}

static void add_rule(struct program *program, const struct ok_device_rule *rule)
{
    int end = program->length + 6 + (rule->major >= 0) + (rule->minor >= 0);

    unless_equal(program, TYPE, rule->block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, end);
    add(program, BPF_ALU | BPF_MOV | BPF_X, SCRATCH, ACCESS, 0, 0);
    add(program, BPF_ALU | BPF_AND | BPF_K, SCRATCH, 0, 0, ~rule->access);
    unless_equal(program, SCRATCH, 0, end);
    if (rule->major >= 0)
        unless_equal(program, MAJOR, rule->major, end);
    if (rule->minor >= 0)
        unless_equal(program, MINOR, rule->minor, end);
    answer(program, 1);
}

static void build(struct program *program, const struct ok_device_rule *rules, int count)
{
    int index;

    add(program, BPF_LDX | BPF_MEM | BPF_W, TYPE, CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
    add(program, BPF_ALU | BPF_MOV | BPF_X, ACCESS, TYPE, 0, 0);
    add(program, BPF_ALU | BPF_RSH | BPF_K, ACCESS, 0, 0, 16);
    add(program, BPF_ALU | BPF_AND | BPF_K, TYPE, 0, 0, 0xffff);
    add(program, BPF_LDX | BPF_MEM | BPF_W, MAJOR, CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
    add(program, BPF_LDX | BPF_MEM | BPF_W, MINOR, CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
    for (index = 0; index < count; index++)
        add_rule(program, &rules[index]);
    answer(program, 0);
}

static int load(const struct program *program)
{
    union bpf_attr attributes;
    int fd;

    memset(&attributes, 0, sizeof attributes);
    attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attributes.insns = (__u64)(uintptr_t)program->code;
    attributes.insn_cnt = (__u32)program->length;
    attributes.license = (__u64)(uintptr_t) "Apache-2.0";
    fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
    return fd < 0 ? -errno : fd;
}

int ok_guard_devices(int cgroup, const struct ok_device_rule *rules, int count)
{
    struct program program = {NULL, 0};
    union bpf_attr attributes;
    int fd, error = 0;

    if (count < 0 || count > MOST)
        return -EINVAL;
    program.code = calloc((size_t)count * PER_RULE + AROUND, sizeof *program.code);
    if (!program.code)
        return -ENOMEM;
    build(&program, rules, count);
    fd = load(&program);
    free(program.code);
    if (fd < 0)
        return fd;
    memset(&attributes, 0, sizeof attributes);
    attributes.target_fd = (__u32)cgroup;
    attributes.attach_bpf_fd = (__u32)fd;
    attributes.attach_type = BPF_CGROUP_DEVICE;
    attributes.attach_flags = BPF_F_ALLOW_MULTI; /* all programs of the group and of those above must allow */
    if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attributes, sizeof attributes) < 0)
        error = -errno;
    close(fd);
    return error;
}
