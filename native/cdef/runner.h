/* The program that runs containers (native/runner), as the bytes of an executable file, and their count in *size. */
const unsigned char *ok_runner_program(size_t *size);
