/*
 * The container runner lies in the module itself: it is there wherever the module could be loaded, also for a process that has
 * become a user who cannot read the installation.
 */
#include "overlaykit.h"

__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        "ok_runner_begin:\n"
        ".incbin \"" OVERLAYKIT_RUNNER "\"\n"
        "ok_runner_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const unsigned char ok_runner_begin[], ok_runner_end[];

const unsigned char *ok_runner_program(size_t *size)
{
    *size = (size_t)(ok_runner_end - ok_runner_begin);
    return ok_runner_begin;
}
