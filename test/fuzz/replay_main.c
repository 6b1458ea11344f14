/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_main - run a fuzz harness over the files of its corpus, without a fuzzer.
 *
 *   NAME_fuzz FILE|FOLDER...        prints "ok NAME/FILE" for each; a crash is the failure
 *
 * Each input lies in a block of exactly its size, so a sanitizer or valgrind sees a read of one byte too
 * many. Every harness also gets the empty input.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path);

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int replay_folder(const char *path)
{
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, by_name);
    int failed = 0;
    int files = 0;

    for (int i = 0; i < count; i++) {
        char file[4096];
        if (names[i]->d_name[0] != '.') {
            snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
            failed += replay_file(file);
            files++;
        }
        free(names[i]);
    }
    free(names);
    if (files == 0) {
        printf("not ok %s: no inputs\n", path);
        failed++;
    }
    return failed;
}

static int replay_file(const char *path)
{
    struct stat st;
    FILE *in;
    uint8_t *data;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return replay_folder(path);
    in = fopen(path, "rb");
    data = in != NULL ? malloc((size_t)st.st_size) : NULL;
    if (data == NULL || fread(data, 1, (size_t)st.st_size, in) != (size_t)st.st_size) {
        printf("not ok %s: cannot be read\n", path);
        if (in != NULL)
            fclose(in);
        free(data);
        return 1;
    }
    fclose(in);
    LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
    free(data);
    const char *name = strstr(path, "corpus/");
    printf("ok %s\n", name != NULL ? name + strlen("corpus/") : path);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("ok the empty input\n");
    for (int i = 1; i < argc; i++)
        failed += replay_file(argv[i]);
    return failed > 0;
}
