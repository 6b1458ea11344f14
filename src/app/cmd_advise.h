/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_advise - the two halves of `advise`. */
#ifndef APP_CMD_ADVISE_H
#define APP_CMD_ADVISE_H

#include "app/command.h"

int command_advise_report(struct cli *cli, const struct config *config);

#endif
