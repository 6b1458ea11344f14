/* SPDX-License-Identifier: Apache-2.0 */
/* main - argv, and no more. */
#include "app/command.h"

int main(int argc, char **argv)
{
    return command_main(argc, argv);
}
